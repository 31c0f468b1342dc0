//! The verdict of the guards (§6), approval included.
//!
//! A run and `explain` both ask here, so that what is shown beforehand is what a run does.

use chrono::TimeDelta;

use crate::domain::{GuardReport, HeldPlan, Plan, time::Timestamp};
use crate::rules::GuardLimits;
use crate::rules::guards::{GuardInput, SOURCE_GUARDS, evaluate};
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
        let was_shown = |name: &str| {
            self.approval
                .iter()
                .flat_map(|approved| &approved.guards)
                .any(|shown| shown.guard == name && shown.held)
        };
        self.guards
            .iter()
            .filter(|guard| SOURCE_GUARDS.contains(&guard.guard.as_str()))
            .all(|guard| {
                !guard.held && (guard.approved_by_plan.is_none() || was_shown(&guard.guard))
            })
    }
}

/// Evaluates every guard for `plan`, made of `pull`. `input` carries what planning counted; what
/// only the store knows is added here. An approval that covers the plan lets it pass (§6).
///
/// # Errors
/// The store cannot be read.
pub async fn judge(
    store: &Store,
    pull: Pull,
    limits: &GuardLimits,
    plan: &Plan,
    input: GuardInput,
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
    if verdict.is_held() {
        verdict.approval = store
            .find_covering_approval(plan, limits.approval_ttl, now)
            .await?;
    }
    if let Some(approved) = &verdict.approval {
        for guard in verdict.guards.iter_mut().filter(|guard| guard.held) {
            guard.held = false;
            guard.approved_by_plan = Some(approved.id.clone());
        }
    }
    Ok(verdict)
}
