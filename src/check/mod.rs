//! `check`: goes through everything a run needs and says for each item whether it is fine, what it
//! means if it is not, and what to do.
//!
//! Nothing is written, neither to a directory nor to the store. An area that fails does not stop
//! the next one: all that is wrong is told in one go, and what cannot be looked at says why.
//!
//! To add an item: a call of [`CheckReport::ok`] and its siblings in the file of its area.

mod account_stats;
mod audit;
mod connectivity;
mod groups;
mod mail;
mod model;
mod opa;
mod opsera;
mod plan;
mod protection;
mod quota;
mod render;
mod schedule;
mod settings;
mod store;

use std::collections::HashSet;

use crate::audit::Actor;
use crate::clients::{Opa, OpseraReader, Transport};
use crate::domain::time::{SharedClock, Timestamp};
use crate::domain::{OpseraId, text::error_chain};
use crate::settings::{ConfigSources, OfflineSettings, RetrySettings, Settings};

pub use account_stats::AccountStats;
pub use model::{CheckReport, Item, SCHEMA, Status};
pub use opa::{OpaAnswers, examine as examine_opa_credential};
pub use opsera::examine as examine_opsera_credential;
pub use render::{render, render_items};

/// Why an item of a directory was not looked at.
const SETTINGS_FIRST: &str = "not checked because the settings are wrong";

/// Examines everything that `sources` describe.
pub async fn examine(sources: &ConfigSources, clock: SharedClock, actor: Actor) -> CheckReport {
    let mut report = CheckReport::default();
    let loaded = settings::examine(&mut report, sources);
    let offline = match &loaded {
        Some(settings) => Some(settings.offline.clone()),
        // The parts that name no directory may still be fine.
        None => OfflineSettings::load(sources)
            .ok()
            .map(|loaded| loaded.settings),
    };
    let known = if let Some(offline) = &offline {
        local(&mut report, offline, loaded.as_ref(), &clock, actor).await
    } else {
        for name in ["schedule", "store.file", "audit.chain"] {
            report.not_checked(name, SETTINGS_FIRST);
        }
        HashSet::new()
    };
    match &loaded {
        Some(settings) => directories(&mut report, settings, clock, &known).await,
        None => {
            for name in [
                "opa.reachable",
                "opsera.reachable",
                "roles.rules",
                "protect.emails",
            ] {
                report.not_checked(name, SETTINGS_FIRST);
            }
        }
    }
    report
}

/// What is on this machine. Gives the accounts that the store remembers to be Administrators.
async fn local(
    report: &mut CheckReport,
    settings: &OfflineSettings,
    all: Option<&Settings>,
    clock: &SharedClock,
    actor: Actor,
) -> HashSet<OpseraId> {
    schedule::examine(report, &settings.schedule, clock.now());
    let store = store::examine(report, settings, all).await;
    audit::examine(report, settings, store.as_ref(), clock, actor).await;
    let Some(store) = store else {
        return HashSet::new();
    };
    plan::examine(report, &store, settings, clock.now()).await;
    let known = store.list_known_administrators().await.unwrap_or_default();
    store.close().await;
    known.into_iter().collect()
}

/// A check should take seconds: one more try tells a brief failure from an outage.
pub fn brief(retry: &RetrySettings) -> RetrySettings {
    RetrySettings {
        max_attempts: retry.max_attempts.min(2),
        ..retry.clone()
    }
}

async fn directories(
    report: &mut CheckReport,
    settings: &Settings,
    clock: SharedClock,
    known_administrators: &HashSet<OpseraId>,
) {
    let retry = brief(&settings.retry);
    let now = clock.now();
    let transport = match Transport::new(&settings.http, clock) {
        Ok(transport) => transport,
        Err(error) => {
            report.failure(
                "http",
                error_chain(&error),
                "correct [http]; the directories were not checked",
            );
            return;
        }
    };
    // Side by side, because a directory that is down takes its whole time-out.
    let (opa, opsera, mail) = tokio::join!(
        examine_opa(&transport, settings, &retry, now),
        examine_opsera(&transport, settings, &retry, known_administrators, now),
        Box::pin(mail::examine(&transport, settings)),
    );
    report.append(opa);
    report.append(opsera);
    report.append(mail);
}

async fn examine_opa(
    transport: &Transport,
    settings: &Settings,
    retry: &RetrySettings,
    now: Timestamp,
) -> CheckReport {
    let mut report = CheckReport::default();
    match Opa::new(transport, &settings.opa, retry) {
        Ok(opa) => {
            let answers = opa::examine(&mut report, &opa, &settings.opa).await;
            let memberships = groups::examine(&mut report, &opa, &settings.policy, &answers).await;
            quota::examine(
                &mut report,
                &opa,
                &answers,
                memberships,
                settings.opa.quota_reserve_percent,
                schedule::interval(&settings.schedule, now),
            );
        }
        Err(error) => {
            report.failure(
                "opa.reachable",
                error_chain(&error),
                "correct [opa] or [http]",
            );
            report.not_checked("roles.rules", "not checked because OPA cannot be asked");
        }
    }
    report
}

async fn examine_opsera(
    transport: &Transport,
    settings: &Settings,
    retry: &RetrySettings,
    known_administrators: &HashSet<OpseraId>,
    now: Timestamp,
) -> CheckReport {
    let mut report = CheckReport::default();
    let policy = &settings.policy;
    let stats = match OpseraReader::new(transport, &settings.opsera, retry) {
        Ok(opsera) => {
            opsera::examine(
                &mut report,
                &opsera,
                &settings.opsera,
                policy,
                known_administrators,
                now,
                &mut |_| {},
            )
            .await
        }
        Err(error) => {
            report.failure(
                "opsera.reachable",
                error_chain(&error),
                "correct [opsera] or [http]",
            );
            None
        }
    };
    protection::examine(&mut report, policy, stats.as_ref(), now);
    report
}
