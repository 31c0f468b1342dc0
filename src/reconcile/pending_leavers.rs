//! Leavers with an account that waits for its first sign-in: the listing hides it, so it is asked
//! for by address (§4, last paragraph). Nothing is written to Opsera.

use futures::stream::{self, StreamExt as _};

use super::error::RunError;
use crate::clients::{CallError, OpseraReader};
use crate::domain::{Finding, FindingKind, OpseraId, time::Timestamp};
use crate::store::{HiddenLeaver, Pull, Store};

/// Asks about everybody who left since the last complete pull, and again about those whose account
/// was still there. Gives a finding for each account that is not yet deactivated.
pub(super) async fn find_pending_leavers(
    store: &Store,
    pull: Pull,
    opsera: &OpseraReader,
    in_flight: usize,
    now: Timestamp,
) -> Result<Vec<Finding>, RunError> {
    store.note_hidden_leavers(pull, now).await?;
    let mut findings = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_hidden_leavers(pull, after.as_ref()).await?;
        let Some(last) = page.last() else {
            return Ok(findings);
        };
        after = Some(last.key.clone());
        let mut answers = std::pin::pin!(
            stream::iter(page)
                .map(|leaver| async move {
                    let answer = opsera.find_user(&leaver.address).await;
                    (leaver, answer)
                })
                .buffered(in_flight.max(1))
        );
        while let Some((leaver, answer)) = answers.next().await {
            match answer {
                Ok(Some(account)) if account.active => {
                    if leaver.account.as_ref() != Some(&account.id) {
                        store.note_pending_account(&leaver.key, &account.id).await?;
                    }
                    findings.push(pending(&leaver, &account.id));
                }
                Ok(_) => store.forget_hidden_leaver(&leaver.key).await?,
                Err(error @ CallError::Unauthorized { .. }) => return Err(RunError::LookUp(error)),
                Err(error) => {
                    tracing::warn!(
                        email = leaver.address,
                        error = %error,
                        "cannot ask whether this leaver has an account that waits for its first \
                         sign-in; the next run asks again"
                    );
                    // Nobody has said that it is gone.
                    findings.extend(leaver.account.as_ref().map(|id| pending(&leaver, id)));
                }
            }
        }
    }
}

fn pending(leaver: &HiddenLeaver, account: &OpseraId) -> Finding {
    Finding {
        kind: FindingKind::PendingLeaver,
        email: leaver.key.as_str().to_owned(),
        detail: format!(
            "OPA record {} is not ACTIVE any more, and Opsera account {} (id {account}) is not \
             deactivated, but not listed: it waits for its first sign-in. Nothing is written; \
             deactivate it in Opsera",
            leaver.name, leaver.address
        ),
    }
}
