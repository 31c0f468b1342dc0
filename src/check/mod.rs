//! `check`: goes through everything a run needs and says for each item whether it is fine, what it
//! means if it is not, and what to do.
//!
//! Nothing is written, neither to a directory nor to the store. An area that fails does not stop
//! the next one: all that is wrong is told in one go, and what cannot be looked at says why.
//!
//! To add an item: a call of [`Checkup::ok`] and its siblings in the file of its area.

mod accounts;
mod audit;
mod groups;
mod model;
mod opa;
mod opsera;
mod protection;
mod reach;
mod render;
mod schedule;
mod settings;
mod store;

use crate::audit::Actor;
use crate::clients::{Opa, OpseraReader, Transport};
use crate::domain::{OpseraId, text::error_chain, time::SharedClock};
use crate::settings::{ConfigSources, OfflineSettings, RetrySettings, Settings};

pub use model::{Checkup, Item, SCHEMA, Status};
pub use render::render;

/// Why an item of a directory was not looked at.
const SETTINGS_FIRST: &str = "not checked because the settings are wrong";

/// Examines everything that `sources` describe.
pub async fn examine(sources: &ConfigSources, clock: SharedClock, actor: Actor) -> Checkup {
    let mut checkup = Checkup::default();
    let loaded = settings::examine(&mut checkup, sources);
    let offline = match &loaded {
        Some(settings) => Some(settings.offline.clone()),
        // The parts that name no directory may still be fine.
        None => OfflineSettings::load(sources)
            .ok()
            .map(|loaded| loaded.settings),
    };
    let known = if let Some(offline) = &offline {
        local(&mut checkup, offline, loaded.as_ref(), &clock, actor).await
    } else {
        for name in ["schedule", "store.file", "audit.chain"] {
            checkup.not_checked(name, SETTINGS_FIRST);
        }
        Vec::new()
    };
    match &loaded {
        Some(settings) => directories(&mut checkup, settings, clock, &known).await,
        None => {
            for name in [
                "opa.reachable",
                "opsera.reachable",
                "roles.rules",
                "protect.emails",
            ] {
                checkup.not_checked(name, SETTINGS_FIRST);
            }
        }
    }
    checkup
}

/// What is on this machine. Gives the accounts that the store remembers to be Administrators.
async fn local(
    checkup: &mut Checkup,
    settings: &OfflineSettings,
    all: Option<&Settings>,
    clock: &SharedClock,
    actor: Actor,
) -> Vec<OpseraId> {
    schedule::examine(checkup, &settings.schedule, clock.now());
    let store = store::examine(checkup, settings, all).await;
    audit::examine(checkup, settings, store.as_ref(), clock, actor).await;
    let Some(store) = store else {
        return Vec::new();
    };
    let known = store.list_known_administrators().await.unwrap_or_default();
    store.close().await;
    known
}

async fn directories(
    checkup: &mut Checkup,
    settings: &Settings,
    clock: SharedClock,
    known_administrators: &[OpseraId],
) {
    // A doctor's patience is shorter than a run's: one more try tells a hiccup from an outage.
    let mut retry = settings.retry.clone();
    retry.max_attempts = retry.max_attempts.min(2);
    let transport = match Transport::new(&settings.http, clock) {
        Ok(transport) => transport,
        Err(error) => {
            checkup.failure(
                "http",
                error_chain(&error),
                "correct [http]; the directories were not checked",
            );
            return;
        }
    };
    // Side by side, because a directory that is down takes its whole time-out.
    let (opa, opsera) = tokio::join!(
        examine_opa(&transport, settings, &retry),
        examine_opsera(&transport, settings, &retry, known_administrators),
    );
    checkup.append(opa);
    checkup.append(opsera);
}

async fn examine_opa(transport: &Transport, settings: &Settings, retry: &RetrySettings) -> Checkup {
    let mut checkup = Checkup::default();
    match Opa::new(transport, &settings.opa, retry) {
        Ok(opa) => {
            let listable = opa::examine(&mut checkup, &opa, &settings.opa).await;
            groups::examine(&mut checkup, &opa, &settings.policy, listable).await;
        }
        Err(error) => {
            checkup.failure(
                "opa.reachable",
                error_chain(&error),
                "correct [opa] or [http]",
            );
            checkup.not_checked("roles.rules", "not checked because OPA cannot be asked");
        }
    }
    checkup
}

async fn examine_opsera(
    transport: &Transport,
    settings: &Settings,
    retry: &RetrySettings,
    known_administrators: &[OpseraId],
) -> Checkup {
    let mut checkup = Checkup::default();
    let policy = &settings.policy;
    let seen = match OpseraReader::new(transport, &settings.opsera, retry) {
        Ok(opsera) => {
            opsera::examine(
                &mut checkup,
                &opsera,
                &settings.opsera,
                policy,
                known_administrators,
            )
            .await
        }
        Err(error) => {
            checkup.failure(
                "opsera.reachable",
                error_chain(&error),
                "correct [opsera] or [http]",
            );
            None
        }
    };
    protection::examine(&mut checkup, policy, seen.as_ref());
    checkup
}
