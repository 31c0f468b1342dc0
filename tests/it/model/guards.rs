//! G1 to G6 (§6).

use super::decide::Plan;
use super::memory::Memory;
use super::{Rules, whole};
use rolecall::domain::time::Timestamp;

/// One guard: name, actual value, whether it holds.
pub(crate) type Guard = (&'static str, u64, bool);

pub(crate) fn guards(plan: &Plan, rules: &Rules, memory: &Memory, now: Timestamp) -> Vec<Guard> {
    let limits = &rules.limits;
    let count = |wanted: &dyn Fn(&super::decide::Action) -> bool| {
        whole(plan.actions.iter().filter(|a| wanted(a)).count())
    };
    let leavers = count(&|a| a.kind == "deactivate");
    let changed = count(&|a| a.kind == "set_role");
    let creations = count(&|a| a.kind == "create");
    let grants = count(&|a| a.to.as_deref() == Some("Administrators"));
    let share = |percent: u64| (plan.managed * percent).div_ceil(100);
    let week = chrono::TimeDelta::days(7);
    let in_the_week = |at: &&Timestamp| **at >= now - week;
    let recent = whole(memory.deactivated.iter().filter(in_the_week).count());
    let before = memory.accepted.unwrap_or(plan.active);
    let fallen = before.saturating_sub(plan.active);
    let (listed_before, deactivated_before) = memory
        .accepted_accounts
        .unwrap_or((plan.listed, memory.deactivated.len()));
    let own = whole(memory.deactivated.len() - deactivated_before);
    let vanished = listed_before
        .saturating_sub(own)
        .saturating_sub(plan.listed);
    let known_after =
        plan.known_administrators - plan.administrators_lost + plan.administrators_won;
    vec![
        (
            "min_opa_users",
            plan.active,
            plan.active < limits.min_opa_users,
        ),
        (
            "max_opa_drop_percent",
            fallen,
            fallen * 100 > before * limits.max_opa_drop_percent,
        ),
        (
            "max_opsera_drop_percent",
            vanished,
            vanished * 100 > listed_before * limits.max_opsera_drop_percent,
        ),
        (
            "max_deactivations",
            leavers,
            leavers > limits.max_deactivations,
        ),
        (
            "max_deactivations_percent",
            leavers,
            leavers > share(limits.max_deactivations_percent),
        ),
        (
            "max_deactivations_7d",
            leavers + recent,
            // Nothing new, nothing to hold.
            leavers > 0 && leavers + recent > limits.max_deactivations_7d,
        ),
        (
            "max_role_changes",
            changed,
            changed > limits.max_role_changes,
        ),
        (
            "max_role_changes_percent",
            changed,
            changed > share(limits.max_role_changes_percent),
        ),
        ("max_creations", creations, creations > limits.max_creations),
        (
            "max_administrator_grants",
            grants,
            grants > limits.max_administrator_grants,
        ),
        (
            "min_administrators",
            known_after,
            // Only a fall by this plan counts, not a shortage that was there before.
            known_after < limits.min_administrators && known_after < plan.known_administrators,
        ),
    ]
}
