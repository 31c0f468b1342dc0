//! Taking a run back (`rolecall undo`): the plan that restores the roles it changed, made from what
//! the latest snapshot says of the accounts. Nothing is written to Opsera here, nor decided.

use super::guarding::judge;
use super::restores::Restored;
use crate::domain::time::Timestamp;
use crate::domain::{ActionKind, GuardReport, Plan, PlannedAction, RunId, SiteRole};
use crate::rules::Policy;
use crate::rules::guards::GuardInput;
use crate::rules::restore::{LeftOut, restore_of};
use crate::rules::roles::desired_role;
use crate::store::{Store, StoreError};

/// What taking a run back comes to.
#[derive(Debug)]
pub struct Undo {
    /// The restores.
    pub plan: Plan,
    /// What the guards say to them today.
    pub guards: Vec<GuardReport>,
    /// Role changes of the run that are left as they are.
    pub left_out: Vec<(PlannedAction, LeftOut)>,
    /// Deactivations of the run, which have no undo.
    pub deactivated: Vec<PlannedAction>,
    /// Creations of the run, which have no undo.
    pub created: Vec<PlannedAction>,
    /// Addresses to which the rules, as they are now, give the same role again.
    pub set_again: Vec<String>,
}

/// Finds out what can be taken back of `run`.
///
/// # Errors
/// The store cannot be read.
pub async fn undo(
    store: &Store,
    run: &RunId,
    policy: &Policy,
    now: Timestamp,
) -> Result<Undo, StoreError> {
    let pull = store.latest_pull().await?.map(|(pull, _)| pull);
    let mut restores = Vec::new();
    let mut left_out = Vec::new();
    let mut deactivated = Vec::new();
    let mut created = Vec::new();
    let mut set_again = Vec::new();
    let mut administrators_lost = Vec::new();
    for action in store.list_done_in_run(run).await? {
        let id = match (action.kind(), action.opsera_id()) {
            (ActionKind::SetRole, Some(id)) => id,
            (ActionKind::Deactivate, _) => {
                deactivated.push(action);
                continue;
            }
            (ActionKind::Create | ActionKind::SetRole, _) => {
                created.push(action);
                continue;
            }
        };
        let facts = match pull {
            Some(pull) => store.find_account(pull, id, false).await?,
            None => None,
        };
        match restore_of(&action, run, facts.as_ref(), policy, now) {
            Err(why) => left_out.push((action, why)),
            Ok(restore) => {
                if let Some(facts) = facts {
                    let desired = desired_role(&policy.roles, &facts.groups);
                    if desired.map(|desired| desired.role) == action.to() {
                        set_again.push(action.email);
                    }
                    if facts.role.is(SiteRole::Administrators) {
                        administrators_lost.push(restore.email.as_str().into());
                    }
                }
                restores.push(restore);
            }
        }
    }
    let plan = Plan::new(restores);
    let guards = match pull {
        Some(pull) => {
            let input = GuardInput {
                administrators: store.count_administrators(pull).await?,
                administrators_lost,
                ..GuardInput::default()
            };
            let nothing = Restored::default();
            let verdict = judge(store, pull, &policy.guards, &plan, input, &nothing, now).await?;
            verdict.guards
        }
        None => Vec::new(),
    };
    Ok(Undo {
        plan,
        guards,
        left_out,
        deactivated,
        created,
        set_again,
    })
}
