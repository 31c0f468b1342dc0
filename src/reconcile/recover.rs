//! Recovery by reading: what came of a request whose outcome nobody wrote down (A4, A7).

use crate::audit::AuditWriter;
use crate::clients::{CallError, OpseraReader};
use crate::domain::{ActionOutcome, ActionState, Effect};
use crate::domain::{Change, PlannedAction, RunId};
use crate::store::{Store, StoreError};

/// Reads what came of a request for `action`.
///
/// # Errors
/// The account cannot be read: nobody knows yet.
pub(super) async fn read_outcome(
    opsera: &OpseraReader,
    action: &PlannedAction,
) -> Result<ActionOutcome, CallError> {
    Ok(match &action.change {
        Change::Deactivate { opsera_id, .. } => match opsera.find_user(opsera_id.as_str()).await? {
            Some(account) if account.active => {
                not_happened("read afterwards: the account is still active")
            }
            Some(_) => happened("read afterwards: the account is inactive"),
            None => happened("read afterwards: the account is gone"),
        },
        Change::Create { .. } => match opsera.find_user(&action.email).await? {
            Some(account) => {
                let mut outcome = happened("read afterwards: the account exists");
                outcome.created_id = Some(account.id);
                outcome
            }
            None => not_happened("read afterwards: there is no such account"),
        },
        Change::SetRole { opsera_id, to, .. } => {
            match opsera.find_user(opsera_id.as_str()).await? {
                None => ActionOutcome::new(
                    ActionState::Already,
                    Effect::DidNotHappen,
                    "read afterwards: the account is gone",
                ),
                Some(account) => match account.site_role.as_deref() {
                    Some(role) if role == to.as_str() => {
                        happened("read afterwards: the account has the role")
                    }
                    Some(role) => {
                        not_happened(&format!("read afterwards: the account has the role {role}"))
                    }
                    // The record does not say. Setting a role again does no harm, so the next
                    // plan does; until then the role is known to be uncertain.
                    None => ActionOutcome::new(
                        ActionState::Failed,
                        Effect::Unknown,
                        "no answer, and Opsera does not show the role: the next run sets it again",
                    ),
                },
            }
        }
    })
}

fn happened(words: &str) -> ActionOutcome {
    ActionOutcome::new(ActionState::Succeeded, Effect::Happened, words)
}

fn not_happened(words: &str) -> ActionOutcome {
    ActionOutcome::new(ActionState::Failed, Effect::DidNotHappen, words)
}

/// Reads the outcome of every action that a killed run left `in_flight` (A7). One that cannot be read stays as
/// it is, and is not tried until it can be.
///
/// # Errors
/// The inner error: Opsera does not accept the credential. The outer one: the store.
pub async fn recover(
    store: &Store,
    audit_writer: &AuditWriter,
    run: &RunId,
    opsera: &OpseraReader,
) -> Result<Result<(), CallError>, StoreError> {
    for queued in store.list_in_flight().await? {
        match read_outcome(opsera, &queued.action).await {
            Ok(outcome) => {
                tracing::info!(
                    action = queued.id,
                    kind = %queued.action.kind(),
                    state = outcome.state.as_str(),
                    "read the outcome of an action that an earlier run left in flight"
                );
                store
                    .close_action(audit_writer, run, &queued, &outcome)
                    .await?;
            }
            Err(error @ CallError::Unauthorized { .. }) => return Ok(Err(error)),
            Err(error) => tracing::warn!(
                action = queued.id,
                error = %error,
                "cannot read what came of an earlier request; nothing is sent for it until that works"
            ),
        }
    }
    Ok(Ok(()))
}
