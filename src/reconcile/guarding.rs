//! The verdict of the guards (§6), approval included.
//!
//! A run and `explain` both ask here, so that what is shown beforehand is what a run does.

use std::sync::Arc;

use chrono::TimeDelta;

use super::restores::Restored;
use crate::domain::{
    ActionKind, Guard, GuardReport, HeldPlan, Plan, PlanId, SiteRole, time::Timestamp,
};
use crate::rules::GuardLimits;
use crate::rules::guards::{GuardInput, evaluate};
use crate::store::{Pull, Store, StoreError};

/// The window of `guards.max_deactivations_7d`.
const SEVEN_DAYS: TimeDelta = TimeDelta::days(7);

/// What the guards say to a plan.
#[derive(Clone, Debug, Default)]
pub struct GuardVerdict {
    /// Every guard, in the order of the settings.
    pub guards: Vec<GuardReport>,
    /// The approval that lets the plan pass the guards that would hold it.
    pub approval: Option<HeldPlan>,
}

impl GuardVerdict {
    /// Whether a guard holds the plan and no approval lets it pass.
    pub fn is_held(&self) -> bool {
        self.guards.iter().any(|guard| guard.held)
    }

    /// Whether the source becomes the baseline that later runs are compared with (G2): its own
    /// guards are quiet, or what was approved had been held by them.
    pub fn accepts_source(&self) -> bool {
        let was_shown = |guard: Guard| {
            self.approval
                .iter()
                .flat_map(|approved| &approved.guards)
                .any(|shown| shown.guard == guard && shown.held)
        };
        self.guards
            .iter()
            .filter(|guard| guard.guard.judges_the_source())
            .all(|guard| {
                !guard.held && (guard.approved_by_plan.is_none() || was_shown(guard.guard))
            })
    }
}

/// Evaluates every guard for `plan`, made of `pull`. `input` carries what planning counted; what
/// only the store knows is added here. An approval that covers the plan lets it pass (§6). What is
/// `restored` was approved by itself, so where no approval covers the whole, the rest must pass by
/// itself.
///
/// # Errors
/// The store cannot be read.
pub async fn judge(
    store: &Store,
    pull: Pull,
    limits: &GuardLimits,
    plan: &Plan,
    input: GuardInput,
    restored: &Restored,
    now: Timestamp,
) -> Result<GuardVerdict, StoreError> {
    let (opa_active, managed) = store.count_sides(pull).await?;
    let before = store.accepted_source().await?;
    let input = GuardInput {
        opa_active,
        managed,
        opa_active_before: before.map(|before| before.opa_active),
        opsera_listed: store.count_listed_accounts(pull).await?,
        opsera_listed_before: before.and_then(|before| before.opsera_listed),
        deactivated_since: before.map_or(0, |before| before.deactivated_since),
        deactivated_7d: store.count_deactivated_since(now - SEVEN_DAYS).await?,
        ..input
    };
    let mut verdict = GuardVerdict {
        guards: evaluate(limits, &input, plan),
        approval: None,
    };
    if !verdict.is_held() {
        return Ok(verdict);
    }
    let ttl = limits.approval_ttl;
    if let Some(approved) = store.find_covering_approval(plan, ttl, now).await? {
        pass(&mut verdict.guards, &approved.id, |_| true);
        verdict.approval = Some(approved);
        return Ok(verdict);
    }
    let Some(undo) = restored.values().next() else {
        return Ok(verdict);
    };
    let rest = Plan::new(
        plan.actions()
            .iter()
            .filter(|action| !restored.contains_key(&action.identity()))
            .cloned()
            .collect(),
    );
    let alone = evaluate(limits, &without(&input, plan, &rest), &rest);
    let holding: Vec<Guard> = alone
        .into_iter()
        .filter(|guard| guard.held)
        .map(|guard| guard.guard)
        .collect();
    if holding.is_empty() {
        pass(&mut verdict.guards, undo, |_| true);
        verdict.approval = store.find_plan(undo).await?;
    } else if let Some(approved) = store.find_covering_approval(&rest, ttl, now).await? {
        pass(&mut verdict.guards, &approved.id, |guard| {
            holding.contains(&guard.guard)
        });
        pass(&mut verdict.guards, undo, |_| true);
        verdict.approval = Some(approved);
    }
    Ok(verdict)
}

/// Lets the guards that hold, and that are `covered`, pass by the approval of `plan`.
fn pass(guards: &mut [GuardReport], plan: &PlanId, covered: impl Fn(&GuardReport) -> bool) {
    for guard in guards {
        if guard.held && covered(guard) {
            guard.held = false;
            guard.approved_by_plan = Some(plan.clone());
        }
    }
}

/// What the guards look at for `rest`, the part of `plan` that takes nothing back: the restores
/// count as done.
fn without(input: &GuardInput, plan: &Plan, rest: &Plan) -> GuardInput {
    let in_rest = |email: &Arc<str>| rest.actions().iter().any(|action| *action.email == **email);
    let (lost, restored_lost): (Vec<_>, Vec<_>) =
        input.administrators_lost.iter().cloned().partition(in_rest);
    let gained = |plan: &Plan| {
        plan.actions()
            .iter()
            .filter(|action| {
                action.kind() == ActionKind::SetRole
                    && action.to() == Some(SiteRole::Administrators)
            })
            .count()
    };
    let restored_gained = gained(plan).saturating_sub(gained(rest));
    GuardInput {
        administrators: input
            .administrators
            .saturating_sub(as_count(restored_lost.len()))
            .saturating_add(as_count(restored_gained)),
        administrators_lost: lost,
        ..input.clone()
    }
}

fn as_count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
