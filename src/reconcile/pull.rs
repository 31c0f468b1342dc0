//! The pull: both directories into the store, at the same time, or not at all (G0).

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Instrument as _;

use super::error::RunError;
use super::reading::Reading;
use crate::clients::{Api, CallError, Opa, OpseraReader, SecondCount, StatusFilter};
use crate::domain::{Counter, Finding, FindingKind, Progress, Stage};
use crate::rules::Policy;
use crate::store::{Snapshot, Store};

/// Which sides arrived whole, also when the pull failed.
#[derive(Debug, Default)]
pub(super) struct Sides {
    opa: AtomicBool,
    opsera: AtomicBool,
}

impl Sides {
    pub(super) fn opa_is_complete(&self) -> bool {
        self.opa.load(Ordering::Relaxed)
    }

    pub(super) fn opsera_is_complete(&self) -> bool {
        self.opsera.load(Ordering::Relaxed)
    }
}

/// Opsera's lists of other objects stop here, so a listing of exactly so many is suspicious.
const LISTS_STOP_AT: u64 = 1000;

/// What a pull reads with, and into what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulling<'p> {
    pub(super) store: &'p Store,
    pub(super) snapshot: &'p Snapshot<'p>,
    pub(super) policy: &'p Policy,
    pub(super) opa: &'p Opa,
    pub(super) opsera: &'p OpseraReader,
    pub(super) progress: &'p Progress,
}

/// Reads both sides to their ends. The first error ends both. Gives what was noticed.
pub(super) async fn pull(pulling: Pulling<'_>, sides: &Sides) -> Result<Vec<Finding>, RunError> {
    let Pulling {
        snapshot,
        opa,
        opsera,
        progress,
        ..
    } = pulling;
    progress.stage(Stage::Reading);
    let ((), findings) = tokio::try_join!(
        async {
            let before = opa.human_count().await.map_err(opa_error)?;
            pull_people(snapshot, opa, progress).await?;
            let after = opa.human_count().await.map_err(opa_error)?;
            check_team_listing(snapshot, &before, &after).await?;
            sides.opa.store(true, Ordering::Relaxed);
            Ok::<_, RunError>(())
        }
        .instrument(tracing::info_span!("pull", directory = "opa")),
        async {
            pull_accounts(snapshot, opsera, progress).await?;
            let findings = check_account_listing(pulling).await?;
            sides.opsera.store(true, Ordering::Relaxed);
            Ok(findings)
        }
        .instrument(tracing::info_span!("pull", directory = "opsera")),
    )?;
    Ok(findings)
}

/// G0: at least as many distinct humans as the Team counts. People come and go during a pull, so
/// the smaller of the two counts is held against the listings.
async fn check_team_listing(
    snapshot: &Snapshot<'_>,
    before: &SecondCount,
    after: &SecondCount,
) -> Result<(), RunError> {
    let counts = snapshot.count_people().await?;
    let listed = counts.users.saturating_sub(counts.service);
    match (before, after) {
        (SecondCount::Count(before), SecondCount::Count(after)) => {
            let counted = *before.min(after);
            if listed < counted {
                return Err(RunError::ShortTeamListing { listed, counted });
            }
            tracing::debug!(
                listed,
                counted,
                "the Team's own count bears the listing out"
            );
        }
        (SecondCount::NotAvailable { reason }, _) | (_, SecondCount::NotAvailable { reason }) => {
            tracing::info!(
                reason,
                "the Team's own count is left out: that the listing is complete is known from its \
                 pages alone"
            );
        }
    }
    Ok(())
}

/// G0: a listing that lost everybody, or its own reader, is incomplete. One that may be short is
/// told, because nobody is deactivated for being missing from it.
async fn check_account_listing(pulling: Pulling<'_>) -> Result<Vec<Finding>, RunError> {
    let Pulling {
        store,
        snapshot,
        policy,
        opsera,
        ..
    } = pulling;
    let listed = snapshot.count_accounts().await?.users;
    if listed == 0
        && let Some((latest, _)) = store.latest_pull().await?
    {
        let known = store.count_listed_accounts(latest).await?;
        if known > 0 {
            return Err(RunError::NoAccounts { known });
        }
    }
    if let Some(owner) = &policy.protection.token_owner {
        let key = policy.matching.opsera_key(owner);
        if !snapshot.has_account(&key).await? {
            return Err(RunError::TokenOwnerNotListed {
                owner: owner.as_str().to_owned(),
            });
        }
    }
    let detail = match opsera.count_active().await {
        Ok(SecondCount::Count(counted)) if counted > listed => Some(format!(
            "Opsera counts {counted} active accounts (totalResults of SCIM) and listed {listed}: \
             leavers among the others keep their accounts; report the listing to Opsera"
        )),
        Ok(SecondCount::Count(_)) => None,
        Ok(SecondCount::NotAvailable { reason }) => {
            tracing::info!(reason, "Opsera's own count of its accounts is left out");
            suspicious(listed)
        }
        Err(error) => {
            tracing::warn!(error = %error, "Opsera's own count of its accounts is left out");
            suspicious(listed)
        }
    };
    Ok(detail
        .or_else(|| suspicious(listed))
        .map(|detail| Finding {
            kind: FindingKind::ShortOpseraListing,
            email: "GET /users".to_owned(),
            detail,
        })
        .into_iter()
        .collect())
}

fn suspicious(listed: u64) -> Option<String> {
    (listed == LISTS_STOP_AT).then(|| {
        format!(
            "Opsera listed exactly {LISTS_STOP_AT} accounts, which is where its other lists stop: \
             leavers among the others would keep their accounts; ask Opsera how many there are"
        )
    })
}

/// §4: three listings, because what the one without a filter leaves out is not documented.
async fn pull_people(
    snapshot: &Snapshot<'_>,
    opa: &Opa,
    progress: &Progress,
) -> Result<(), RunError> {
    for filter in [
        None,
        Some(StatusFilter::Disabled),
        Some(StatusFilter::Deleted),
    ] {
        let opa = opa.clone();
        let mut pages = Reading::start(move |pages| async move {
            let mut listing = opa.list_users(filter);
            while pages.put(listing.next_page().await).await {}
        });
        while let Some(page) = pages.next(opa_error).await? {
            let records = u64::try_from(page.len()).unwrap_or(0);
            snapshot.add_people(page).await?;
            progress.count(Counter::OpaRecords, records);
        }
    }
    look_up_unidentified(snapshot, opa).await
}

/// I7: an ACTIVE human without a usable address is read once more by name.
async fn look_up_unidentified(snapshot: &Snapshot<'_>, opa: &Opa) -> Result<(), RunError> {
    let mut after = None;
    loop {
        let people = snapshot.list_unidentified(after.as_ref()).await?;
        let Some((_, last)) = people.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for (id, name) in &people {
            let found = match opa.find_user(name).await {
                Ok(found) => found,
                // OPA cannot be asked: the record stays without an address, which is told.
                Err(CallError::InvalidPathSegment { .. }) => continue,
                Err(error) => return Err(opa_error(error)),
            };
            // Another id under the name is another person: it answers nothing about this one.
            if let Some(person) = found.filter(|person| person.id == *id) {
                snapshot.add_people(vec![person]).await?;
            }
        }
    }
}

async fn pull_accounts(
    snapshot: &Snapshot<'_>,
    opsera: &OpseraReader,
    progress: &Progress,
) -> Result<(), RunError> {
    let mut accounts = opsera.list_users();
    let mut batches = Reading::start(move |batches| async move {
        while batches.put(accounts.next_batch().await).await {}
    });
    while let Some(batch) = batches.next(opsera_error).await? {
        let records = u64::try_from(batch.len()).unwrap_or(0);
        snapshot.add_accounts(batch).await?;
        progress.count(Counter::OpseraAccounts, records);
    }
    Ok(snapshot.end_accounts().await?)
}

pub(super) fn opa_error(source: CallError) -> RunError {
    RunError::Pull {
        api: Api::Opa,
        at: String::new(),
        source,
    }
}

fn opsera_error(source: CallError) -> RunError {
    RunError::Pull {
        api: Api::Opsera,
        at: String::new(),
        source,
    }
}
