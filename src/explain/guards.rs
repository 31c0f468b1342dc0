//! The guards as the next run would meet them, if the directories stayed as in the snapshot.

use futures::TryStreamExt as _;

use super::model::GuardsView;
use super::words;
use crate::domain::{PlannedAction, time::Timestamp};
use crate::reconcile::{Kinds, RunError, SEVEN_DAYS, plan_from_store};
use crate::rules::{Decision, Policy, decide_joiner, guards::evaluate};
use crate::store::{Pull, Store, StoreError};

pub(super) async fn view(
    store: &Store,
    pull: Pull,
    policy: &Policy,
    now: Timestamp,
    own: &[PlannedAction],
) -> Result<GuardsView, RunError> {
    let mut planned =
        plan_from_store(store, pull, policy, &Kinds::all(), now, None, Vec::new()).await?;
    let (opa_active, managed) = store.count_sides(pull).await?;
    planned.sums.opa_active = opa_active;
    planned.sums.managed = managed;
    planned.sums.opa_active_before = store.accepted_active().await?;
    planned.sums.deactivated_7d = store.count_deactivated_since(now - SEVEN_DAYS).await?;
    let plan = &planned.plan;
    let mut holding = evaluate(&policy.guards, &planned.sums, plan);
    holding.retain(|guard| guard.held);
    let mut held = !holding.is_empty();
    let mut approval = None;
    if held {
        let found = store
            .find_covering_approval(plan, policy.guards.approval_ttl, now)
            .await?;
        if let Some(found) = found {
            held = false;
            for guard in &mut holding {
                guard.held = false;
                guard.approved_by_plan = Some(found.id.clone());
            }
            approval = Some(format!(
                "plan {} was approved by {} at {}: {}",
                found.id,
                found.decided_by.as_deref().unwrap_or("somebody"),
                found.decided_at.map(words::time).unwrap_or_default(),
                found.reason.as_deref().unwrap_or("no reason given"),
            ));
        }
    }
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
