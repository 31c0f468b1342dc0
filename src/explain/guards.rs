//! The guards as the next run would meet them, if the directories stayed as in the snapshot.

use super::model::GuardsView;
use super::words;
use crate::domain::{KindSet, PlannedAction, time::Timestamp};
use crate::reconcile::{PlanScope, PullOfPlan, RunError, judge, most_creations, plan_from_store};
use crate::rules::Policy;
use crate::store::{Pull, Store};

pub(super) async fn view(
    store: &Store,
    pull: Pull,
    policy: &Policy,
    now: Timestamp,
    own: &[PlannedAction],
) -> Result<GuardsView, RunError> {
    let scope = PlanScope {
        policy,
        kinds: &KindSet::all(),
        people: None,
        now,
        clock_is_trusted: store.last_clock_is_trusted().await?,
        pull: PullOfPlan::StillToCome,
    };
    let planned = plan_from_store(store, pull, scope, None, Vec::new()).await?;
    let plan = &planned.plan;
    let verdict = judge(
        store,
        pull,
        &policy.guards,
        plan,
        planned.input.clone(),
        &planned.restored,
        now,
    )
    .await?;
    let held = verdict.is_held();
    let approval = verdict.approval.as_ref().map(|found| {
        format!(
            "plan {} was approved by {} at {}: {}",
            found.id,
            found.decided_by.as_deref().unwrap_or("somebody"),
            found.decided_at.map(words::time).unwrap_or_default(),
            found.reason.as_deref().unwrap_or("no reason given"),
        )
    });
    let mut holding = verdict.guards;
    holding.retain(|guard| guard.held || guard.approved_by_plan.is_some());
    let concerns_this_person = own.iter().any(|action| {
        plan.actions()
            .iter()
            .any(|planned| planned.identity() == action.identity())
    });
    Ok(GuardsView {
        plan_id: plan.id().clone(),
        actions: plan.actions().len(),
        creations_at_most: most_creations(store, pull, policy).await?,
        concerns_this_person,
        held,
        holding,
        approval,
    })
}
