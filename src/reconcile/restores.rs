//! The role changes that somebody approved to take back, on their way into a plan.
//!
//! For this one run they stand in place of what the rules want for the account. Each is used up
//! when it succeeds, so the run after it goes by the rules again.

use std::collections::BTreeMap;

use crate::domain::time::Timestamp;
use crate::domain::{ActionIdentity, OpseraId, PlanId, PlannedAction};
use crate::rules::restore::restore_now;
use crate::rules::{AccountFacts, Policy};
use crate::store::{ApprovedRestore, Store, StoreError};

/// The actions of a plan that take a run back, each with the plan that was approved for it.
pub type Restored = BTreeMap<ActionIdentity, PlanId>;

/// Approved restores by account.
#[derive(Debug, Default)]
pub struct Restores(BTreeMap<OpseraId, ApprovedRestore>);

impl Restores {
    /// Those that are approved and not done. Of two for one account, the later approval counts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn load(store: &Store, policy: &Policy, now: Timestamp) -> Result<Self, StoreError> {
        let approved = store
            .list_approved_restores(policy.guards.approval_ttl, now)
            .await?;
        Ok(Self(
            approved
                .into_iter()
                .filter_map(|restore| Some((restore.action.opsera_id()?.clone(), restore)))
                .collect(),
        ))
    }

    /// What is to be done to an account in place of what the rules want, if it is still as it was
    /// looked at. Each account is asked about once.
    pub fn take(
        &mut self,
        id: &OpseraId,
        facts: Option<&AccountFacts>,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<(PlannedAction, PlanId)> {
        let approved = self.0.remove(id)?;
        match restore_now(&approved.action, approved.was_tried, facts, policy, now) {
            Ok(action) => Some((action, approved.plan)),
            Err(why) => {
                tracing::warn!(
                    email = approved.action.email,
                    plan_id = approved.plan.as_str(),
                    undoes = approved.undoes.as_str(),
                    "an approved role change is not taken back: {why}"
                );
                None
            }
        }
    }

    /// The accounts that nobody has asked about yet.
    pub fn left(&self) -> Vec<OpseraId> {
        self.0.keys().cloned().collect()
    }
}
