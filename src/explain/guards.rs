//! The guards as the next run would meet them, if the directories stayed as in the snapshot.

use futures::TryStreamExt as _;

use super::model::GuardsView;
use super::words;
use crate::domain::{KindSet, PlannedAction, time::Timestamp};
use crate::reconcile::{PlanScope, PullOfPlan, RunError, judge, plan_from_store};
use crate::rules::{Decision, Policy, decide_joiner};
use crate::store::{Pull, Store, StoreError};

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
        creations_at_most: count_creations(store, pull, policy).await?,
        concerns_this_person,
        held,
        holding,
        approval,
    })
}

async fn count_creations(store: &Store, pull: Pull, policy: &Policy) -> Result<u64, StoreError> {
    if !policy.provision {
        return Ok(0);
    }
    let mut count = 0;
    let mut joiners = std::pin::pin!(store.stream_joiners(pull));
    while let Some(facts) = joiners.try_next().await? {
        count += u64::from(matches!(
            decide_joiner(&facts, policy).decision,
            Decision::Act(_)
        ));
    }
    Ok(count)
}
