//! The role changes that somebody approved to take back, on their way into a plan.
//!
//! For this run they stand in place of what the rules want for the account. Each is used up when it
//! succeeds, and with the last one the undo is over: the next run goes by the rules again. Where a
//! run ended half-way, what it had restored is left as it is while the rest is still to be done.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::time::Timestamp;
use crate::domain::{ActionIdentity, ActionKind, OpseraId, PlanId, PlannedAction};
use crate::rules::restore::restore_now;
use crate::rules::{AccountFacts, Decision, Policy};
use crate::store::{ApprovedRestore, Pull, RestoreProgress, Store, StoreError};

/// The actions of a plan that take a run back, each with the plan that was approved for it.
pub type Restored = BTreeMap<ActionIdentity, PlanId>;

/// What approved undos want of their accounts.
#[derive(Debug, Default)]
pub struct Restores {
    due: BTreeMap<OpseraId, Due>,
    /// The roles of accounts that are restored already.
    done: BTreeMap<OpseraId, PlannedAction>,
}

/// A restore that is to be done, and the account it is for.
#[derive(Debug)]
struct Due {
    facts: AccountFacts,
    action: PlannedAction,
    plan: PlanId,
}

impl Restores {
    /// What is approved and not used up, as far as the accounts of `pull` are still as they were
    /// looked at. Of two for one account, the later approval counts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load(
        store: &Store,
        pull: Pull,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let approved: BTreeMap<OpseraId, ApprovedRestore> = store
            .list_approved_restores(policy.guards.approval_ttl, now)
            .await?
            .into_iter()
            .filter_map(|restore| Some((restore.action.opsera_id()?.clone(), restore)))
            .collect();
        let mut due = BTreeMap::new();
        let mut done = Vec::new();
        for (id, restore) in approved {
            let was_tried = match restore.progress {
                RestoreProgress::Untried => false,
                RestoreProgress::Tried => true,
                RestoreProgress::Done => {
                    done.push((id, restore));
                    continue;
                }
            };
            let facts = store.find_account(pull, &id, false).await?;
            match (
                restore_now(&restore.action, was_tried, facts.as_ref(), policy, now),
                facts,
            ) {
                (Ok(action), Some(facts)) => {
                    let plan = restore.plan;
                    due.insert(
                        id,
                        Due {
                            facts,
                            action,
                            plan,
                        },
                    );
                }
                (Err(why), _) => tracing::warn!(
                    email = restore.action.email,
                    plan_id = restore.plan.as_str(),
                    undoes = restore.undoes.as_str(),
                    "an approved role change is not taken back: {why}"
                ),
                (Ok(_), None) => {}
            }
        }
        // An undo of which nothing can be done any more is over as well.
        let under_way: BTreeSet<&PlanId> = due.values().map(|due| &due.plan).collect();
        let done = done
            .into_iter()
            .filter(|(_, restore)| under_way.contains(&restore.plan))
            .map(|(id, restore)| (id, restore.action))
            .collect();
        Ok(Self { due, done })
    }

    /// What is decided about an account in place of what the rules want, with the plan that was
    /// approved for it. Each restore is given once.
    pub fn instead(&mut self, facts: &AccountFacts, rules: Decision) -> (Decision, Option<PlanId>) {
        if let Some(due) = self.due.remove(&facts.id) {
            return (Decision::Act(Box::new(due.action)), Some(due.plan));
        }
        let is_restored = self
            .done
            .get(&facts.id)
            .and_then(PlannedAction::to)
            .is_some_and(|role| facts.role.is(role));
        match rules {
            Decision::Act(action) if is_restored && action.kind() == ActionKind::SetRole => {
                (Decision::Unchanged, None)
            }
            rules => (rules, None),
        }
    }

    /// The accounts that nobody has asked about: they have the role that the rules want, and it is
    /// to be taken back.
    pub fn rest(&mut self) -> Vec<AccountFacts> {
        self.due.values().map(|due| due.facts.clone()).collect()
    }
}
