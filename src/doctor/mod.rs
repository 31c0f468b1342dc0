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
use crate::clock::SharedClock;
use crate::directory::{Opa, OpseraReader, Transport};
use crate::domain::OpseraId;
use crate::run::chain;
use crate::settings::{ConfigSources, OfflineSettings, Settings};

pub use model::{Checkup, Item, SCHEMA, Status};
pub use render::render;

/// Why an item of a directory was not looked at.
const SETTINGS_FIRST: &str = "not checked because the settings are wrong";

/// Examines everything that `sources` describe.
pub async fn examine(sources: &ConfigSources, clock: SharedClock, actor: Actor) -> Checkup {
    let mut checkup = Checkup::default();
    let loaded = settings::examine(&mut checkup, sources);
    let offline = match &loaded {
        Some(settings) => Some(offline_part(settings)),
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
    let policy = &settings.policy;
    let transport = match Transport::new(&settings.http, clock) {
        Ok(transport) => transport,
        Err(error) => {
            checkup.failure(
                "http",
                chain(&error),
                "correct [http]; the directories were not checked",
            );
            return;
        }
    };
    let groups_matter = match Opa::new(&transport, &settings.opa, &retry) {
        Ok(opa) => {
            let listable = opa::examine(checkup, &opa, &settings.opa).await;
            groups::examine(checkup, &opa, policy, listable).await;
            true
        }
        Err(error) => {
            checkup.failure("opa.reachable", chain(&error), "correct [opa] or [http]");
            false
        }
    };
    if !groups_matter {
        checkup.not_checked("roles.rules", "not checked because OPA cannot be asked");
    }
    match OpseraReader::new(&transport, &settings.opsera, &retry) {
        Ok(opsera) => {
            let seen = opsera::examine(
                checkup,
                &opsera,
                &settings.opsera,
                policy,
                known_administrators,
            )
            .await;
            protection::examine(checkup, policy, seen.as_ref());
        }
        Err(error) => {
            checkup.failure(
                "opsera.reachable",
                chain(&error),
                "correct [opsera] or [http]",
            );
            protection::examine(checkup, policy, None);
        }
    }
}

fn offline_part(settings: &Settings) -> OfflineSettings {
    OfflineSettings {
        store: settings.store.clone(),
        schedule: settings.schedule.clone(),
        policy: settings.policy.clone(),
        retry: settings.retry.clone(),
        audit: settings.audit.clone(),
        log: settings.log.clone(),
    }
}
