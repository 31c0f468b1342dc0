//! The pull: both directories into the store, at the same time, or not at all (G0).

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::RunError;
use crate::clients::{Api, Opa, OpseraReader, StatusFilter};
use crate::domain::Progress;
use crate::store::Snapshot;

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

/// Reads both sides to their ends. The first error ends both.
pub(super) async fn pull(
    snapshot: &Snapshot<'_>,
    opa: &Opa,
    opsera: &OpseraReader,
    sides: &Sides,
    progress: &Progress,
) -> Result<(), RunError> {
    progress.stage("reading OPA and Opsera");
    tokio::try_join!(
        async {
            pull_people(snapshot, opa, progress).await?;
            sides.opa.store(true, Ordering::Relaxed);
            Ok::<_, RunError>(())
        },
        async {
            pull_accounts(snapshot, opsera, progress).await?;
            sides.opsera.store(true, Ordering::Relaxed);
            Ok(())
        },
    )?;
    Ok(())
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
        let mut listing = opa.list_users(filter);
        while let Some(page) = listing.next_page().await.map_err(opa_error)? {
            snapshot.add_people(&page).await?;
            progress.count(u64::try_from(page.len()).unwrap_or(0));
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
            let found = opa.find_user(name).await.map_err(opa_error)?;
            // Another id under the name is another person: it answers nothing about this one.
            if let Some(person) = found.filter(|person| person.id == *id) {
                snapshot.add_people(std::slice::from_ref(&person)).await?;
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
    while let Some(batch) = accounts.next_batch().await.map_err(opsera_error)? {
        snapshot.add_accounts(&batch).await?;
        progress.count(u64::try_from(batch.len()).unwrap_or(0));
    }
    Ok(())
}

pub(super) fn opa_error(source: crate::clients::CallError) -> RunError {
    RunError::Pull {
        api: Api::Opa,
        at: String::new(),
        source,
    }
}

fn opsera_error(source: crate::clients::CallError) -> RunError {
    RunError::Pull {
        api: Api::Opsera,
        at: String::new(),
        source,
    }
}
