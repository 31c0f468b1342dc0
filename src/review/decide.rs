//! One decision, however it was taken: the same checks, the same audit entry.

use std::path::PathBuf;
use std::time::Duration;

use crate::audit::AuditWriter;
use crate::domain::approval::{Circumstances, Refusal, Wanted, may_approve, may_reject};
use crate::domain::{
    ActionReport, ActionStatus, Decider, HeldPlan, PlanId, PlanState, PlannedAction,
};
use crate::store::{RunLimits, Store, StoreError};

/// What somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The plan may pass the guards.
    Approve,
    /// Nothing of the plan is done.
    Reject,
}

/// A decision that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The plan.
    pub id: PlanId,
    /// For or against it.
    pub decision: Decision,
    /// Why.
    pub reason: Option<String>,
    /// Whom the operating system's user decides for.
    pub reviewer: Option<String>,
}

/// Where decisions are taken.
#[derive(Clone, Debug)]
pub struct Decisions {
    /// The store, open for writing.
    pub store: Store,
    /// Who decides.
    pub audit_writer: AuditWriter,
    /// `guards.approval_ttl`
    pub ttl: Duration,
    /// `audit.checkpoint_file`
    pub checkpoint_file: Option<PathBuf>,
}

impl Decisions {
    /// Takes a decision. The inner error is a refusal; nothing is recorded then.
    ///
    /// # Errors
    /// The store or its audit log.
    pub async fn decide(&self, asked: &Asked) -> Result<Result<HeldPlan, Refusal>, StoreError> {
        let known = self.store.find_plan(&asked.id).await?;
        let circumstances = self.circumstances(known.as_ref()).await?;
        let decider = Decider {
            by: self.audit_writer.actor.to_string(),
            reviewer: asked.reviewer.clone(),
            reason: asked.reason.clone(),
            at: circumstances.now,
        };
        let (state, check): (_, fn(&PlanId, Option<&HeldPlan>, &Circumstances) -> _) =
            match asked.decision {
                Decision::Approve => (PlanState::Approved, may_approve),
                Decision::Reject => (PlanState::Rejected, may_reject),
            };
        self.store
            .decide_plan(&self.audit_writer, &asked.id, state, &decider, |plan| {
                check(&asked.id, plan, &circumstances)
            })
            .await
    }

    /// Why nothing can be decided about a plan, neither for nor against it.
    ///
    /// # Errors
    /// The store.
    pub async fn refusal(&self, id: &PlanId) -> Result<Option<Refusal>, StoreError> {
        let known = self.store.find_plan(id).await?;
        let circumstances = self.circumstances(known.as_ref()).await?;
        let approve = may_approve(id, known.as_ref(), &circumstances);
        let reject = may_reject(id, known.as_ref(), &circumstances);
        Ok(approve.err().filter(|_| reject.is_err()))
    }

    /// A plan with its actions as a page shows them.
    ///
    /// # Errors
    /// The store.
    pub async fn look(
        &self,
        id: &PlanId,
    ) -> Result<Option<(HeldPlan, Vec<ActionReport>)>, StoreError> {
        let Some(plan) = self.store.find_plan(id).await? else {
            return Ok(None);
        };
        let actions = self.store.list_plan_actions(id).await?;
        let shown = reported(&plan, &actions);
        Ok(Some((plan, shown)))
    }

    async fn circumstances(&self, plan: Option<&HeldPlan>) -> Result<Circumstances, StoreError> {
        let wanted = match plan {
            Some(plan) => {
                let limits = RunLimits {
                    kinds: &plan.kinds,
                    people: plan.people.as_ref(),
                };
                self.store.latest_plan(limits).await?
            }
            None => None,
        };
        Ok(Circumstances {
            ttl: self.ttl,
            now: self.audit_writer.clock.now(),
            wanted: wanted.map_or(Wanted::Unknown, Wanted::Plan),
        })
    }
}

/// The actions of a plan as a page shows them; of each, whether it is done.
pub fn reported(plan: &HeldPlan, actions: &[(PlannedAction, bool)]) -> Vec<ActionReport> {
    let status = |is_done| match plan.state {
        _ if is_done => ActionStatus::Succeeded,
        PlanState::Held | PlanState::Rejected => ActionStatus::Held,
        PlanState::Approved | PlanState::Used => ActionStatus::Planned,
        PlanState::Superseded => ActionStatus::NotTried,
    };
    actions
        .iter()
        .map(|(action, is_done)| action.clone().reported(status(*is_done), 0, None))
        .collect()
}
