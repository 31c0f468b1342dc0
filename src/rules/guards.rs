//! The guards G1 to G6 (§6): limits on what one plan may do before a person has looked at it.
//!
//! G0, the completeness of a pull, is not here: an incomplete pull never reaches a plan.

use std::sync::Arc;

use crate::domain::{ActionKind, Guard, GuardReport, Plan, PlannedAction, SiteRole};
use crate::rules::GuardLimits;

/// What the guards look at beside the plan itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardInput {
    /// ACTIVE OPA humans of this pull.
    pub opa_active: u64,
    /// ACTIVE OPA humans of the last run that G1 and G2 did not hold; `None`: there was none.
    pub opa_active_before: Option<u64>,
    /// Accounts in Opsera's listing of this pull.
    pub opsera_listed: u64,
    /// The same in the last run that G1 and G2 did not hold; `None`: there was none.
    pub opsera_listed_before: Option<u64>,
    /// Accounts that this program has deactivated since then: their fall is its own work.
    pub deactivated_since: u64,
    /// Managed accounts.
    pub managed: u64,
    /// Deactivations that succeeded in the last seven days.
    pub deactivated_7d: u64,
    /// Active accounts known to be Administrators.
    pub administrators: u64,
    /// Those of them whom the plan deactivates or gives another role.
    pub administrators_lost: Vec<Arc<str>>,
    /// Accounts whose protection has ended and that the plan touches.
    pub expired_protections: Vec<Arc<str>>,
}

/// Evaluates every guard, in the order of the settings. Never stops at the first that holds: a
/// reviewer wants to see them all.
pub fn evaluate(limits: &GuardLimits, input: &GuardInput, plan: &Plan) -> Vec<GuardReport> {
    let of = |kind| emails(plan, |action| action.kind() == kind);
    let deactivations = of(ActionKind::Deactivate);
    let role_changes = of(ActionKind::SetRole);
    let creations = of(ActionKind::Create);
    let grants = emails(plan, |action| action.to() == Some(SiteRole::Administrators));
    let granted_now = plan.actions().iter().filter(|action| {
        action.kind() == ActionKind::SetRole && action.to() == Some(SiteRole::Administrators)
    });
    let mut guards = vec![
        min_opa_users(limits, input),
        max_opa_drop(limits, input),
        max_opsera_drop(limits, input),
        most(
            Guard::MaxDeactivations,
            limits.max_deactivations,
            &deactivations,
        ),
        most_percent(
            Guard::MaxDeactivationsPercent,
            limits.max_deactivations_percent,
            input.managed,
            &deactivations,
        ),
        weekly_deactivations(limits, input, &deactivations),
        most(
            Guard::MaxRoleChanges,
            limits.max_role_changes,
            &role_changes,
        ),
        most_percent(
            Guard::MaxRoleChangesPercent,
            limits.max_role_changes_percent,
            input.managed,
            &role_changes,
        ),
        most(Guard::MaxCreations, limits.max_creations, &creations),
        most(
            Guard::MaxAdministratorGrants,
            limits.max_administrator_grants,
            &grants,
        ),
        min_administrators(limits, input, granted_now.count()),
    ];
    // Only where there is something to say: most installations protect nobody up to a day.
    if !input.expired_protections.is_empty() {
        guards.push(most(
            Guard::MaxExpiredProtections,
            limits.max_expired_protections,
            &input.expired_protections,
        ));
    }
    guards
}

fn emails(plan: &Plan, wanted: impl Fn(&PlannedAction) -> bool) -> Vec<Arc<str>> {
    plan.actions()
        .iter()
        .filter(|action| wanted(action))
        .map(|action| action.email.as_str().into())
        .collect()
}

fn as_count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// `percent` of `whole`, rounded up, as G3 and G4 want it.
fn percent_rounded_up(whole: u64, percent: u64) -> u64 {
    let share = (u128::from(whole) * u128::from(percent)).div_ceil(100);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// `percent` of `whole`, rounded down: people are whole, so more than the exact share is more than
/// the share rounded down (G2).
fn percent_rounded_down(whole: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

fn report(
    guard: Guard,
    limit: u64,
    actual: u64,
    held: bool,
    basis: Option<String>,
    concerned: &[Arc<str>],
) -> GuardReport {
    GuardReport {
        guard,
        limit,
        actual,
        held,
        basis,
        approved_by_plan: None,
        concerned: if held { concerned.to_vec() } else { Vec::new() },
    }
}

fn most(guard: Guard, limit: u64, concerned: &[Arc<str>]) -> GuardReport {
    let actual = as_count(concerned.len());
    report(guard, limit, actual, actual > limit, None, concerned)
}

fn most_percent(guard: Guard, percent: u64, managed: u64, concerned: &[Arc<str>]) -> GuardReport {
    let limit = percent_rounded_up(managed, percent);
    let actual = as_count(concerned.len());
    let basis = format!("{percent} % of {managed} managed accounts");
    report(guard, limit, actual, actual > limit, Some(basis), concerned)
}

fn weekly_deactivations(
    limits: &GuardLimits,
    input: &GuardInput,
    planned: &[Arc<str>],
) -> GuardReport {
    let new = as_count(planned.len());
    let actual = input.deactivated_7d.saturating_add(new);
    // A week that is already over the limit (an approval let it) must not hold role changes.
    let held = new > 0 && actual > limits.max_deactivations_7d;
    let basis = format!(
        "{} in the last seven days, {new} in this plan",
        input.deactivated_7d
    );
    report(
        Guard::MaxDeactivations7d,
        limits.max_deactivations_7d,
        actual,
        held,
        Some(basis),
        planned,
    )
}

fn min_opa_users(limits: &GuardLimits, input: &GuardInput) -> GuardReport {
    let held = input.opa_active < limits.min_opa_users;
    let basis = "ACTIVE people in the OPA Team".to_owned();
    report(
        Guard::MinOpaUsers,
        limits.min_opa_users,
        input.opa_active,
        held,
        Some(basis),
        &[],
    )
}

fn max_opa_drop(limits: &GuardLimits, input: &GuardInput) -> GuardReport {
    let before = input.opa_active_before.unwrap_or(input.opa_active);
    let drop = before.saturating_sub(input.opa_active);
    let limit = percent_rounded_down(before, limits.max_opa_drop_percent);
    let basis = format!(
        "{} % of the {before} ACTIVE people of the last accepted pull; now {}",
        limits.max_opa_drop_percent, input.opa_active
    );
    report(
        Guard::MaxOpaDropPercent,
        limit,
        drop,
        drop > limit,
        Some(basis),
        &[],
    )
}

fn max_opsera_drop(limits: &GuardLimits, input: &GuardInput) -> GuardReport {
    let before = input.opsera_listed_before.unwrap_or(input.opsera_listed);
    let own = input.deactivated_since;
    let drop = before
        .saturating_sub(own)
        .saturating_sub(input.opsera_listed);
    let limit = percent_rounded_down(before, limits.max_opsera_drop_percent);
    let basis = format!(
        "{} % of the {before} Opsera accounts of the last accepted pull; now {}, and {own} \
         deactivated by rolecall since then",
        limits.max_opsera_drop_percent, input.opsera_listed
    );
    report(
        Guard::MaxOpseraDropPercent,
        limit,
        drop,
        drop > limit,
        Some(basis),
        &[],
    )
}

fn min_administrators(limits: &GuardLimits, input: &GuardInput, granted: usize) -> GuardReport {
    let lost = as_count(input.administrators_lost.len());
    let after = input
        .administrators
        .saturating_sub(lost)
        .saturating_add(as_count(granted));
    let held = after < limits.min_administrators && after < input.administrators;
    let basis = format!(
        "{} known now, {lost} lost and {granted} gained by this plan",
        input.administrators
    );
    report(
        Guard::MinAdministrators,
        limits.min_administrators,
        after,
        held,
        Some(basis),
        &input.administrators_lost,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Change, DecisionRecords, Evidence, Key, OpseraId};
    use std::time::Duration;

    fn limits() -> GuardLimits {
        GuardLimits {
            min_opa_users: 1,
            max_opa_drop_percent: 20,
            max_opsera_drop_percent: 20,
            max_deactivations: 25,
            max_deactivations_percent: 10,
            max_deactivations_7d: 75,
            max_role_changes: 100,
            max_role_changes_percent: 25,
            max_creations: 50,
            max_administrator_grants: 3,
            min_administrators: 1,
            max_expired_protections: 0,
            approval_ttl: Duration::from_hours(24),
        }
    }

    fn action(number: usize, change: fn(OpseraId) -> Change) -> PlannedAction {
        PlannedAction {
            change: change(OpseraId::new(number.to_string())),
            email: format!("p{number}@x"),
            address: format!("p{number}@x"),
            key: Key::from_store(format!("p{number}@x")),
            reason: String::new(),
            evidence: DecisionRecords::default(),
        }
    }

    type Make = fn(usize) -> PlannedAction;

    fn leaver(number: usize) -> PlannedAction {
        action(number, |opsera_id| Change::Deactivate {
            opsera_id,
            evidence: Evidence::Disabled,
            known_names: Vec::new(),
            earlier_names: Vec::new(),
        })
    }

    fn mover(number: usize) -> PlannedAction {
        action(number, |opsera_id| Change::SetRole {
            opsera_id,
            from: None,
            to: SiteRole::Users,
        })
    }

    fn grant(number: usize) -> PlannedAction {
        action(number, |opsera_id| Change::SetRole {
            opsera_id,
            from: None,
            to: SiteRole::Administrators,
        })
    }

    fn joiner(number: usize) -> PlannedAction {
        action(number, |_| Change::Create {
            first_name: "P".into(),
            last_name: "P".into(),
            to: SiteRole::Users,
        })
    }

    fn held(limits: &GuardLimits, input: &GuardInput, actions: Vec<PlannedAction>) -> Vec<Guard> {
        evaluate(limits, input, &Plan::new(actions))
            .into_iter()
            .filter(|guard| guard.held)
            .map(|guard| guard.guard)
            .collect()
    }

    fn calm(managed: u64) -> GuardInput {
        GuardInput {
            opa_active: 1000,
            opa_active_before: Some(1000),
            managed,
            administrators: 5,
            ..GuardInput::default()
        }
    }

    #[test]
    fn counts_hold_above_their_limit_and_not_at_it() {
        let limits = limits();
        let kinds: [(Make, usize, Guard); 4] = [
            (leaver, 25, Guard::MaxDeactivations),
            (mover, 100, Guard::MaxRoleChanges),
            (joiner, 50, Guard::MaxCreations),
            (grant, 3, Guard::MaxAdministratorGrants),
        ];
        for (make, limit, name) in kinds {
            for (count, expected) in [(limit - 1, false), (limit, false), (limit + 1, true)] {
                let actions = (0..count).map(make).collect();
                let held = held(&limits, &calm(100_000), actions);
                assert_eq!(held.contains(&name), expected, "{name} {count}");
            }
        }
    }

    #[test]
    fn percentages_are_of_the_managed_accounts_rounded_up() {
        let limits = limits();
        for (managed, allowed) in [(1, 1), (2, 1), (3, 1), (10, 1), (11, 2), (100, 10)] {
            let name = Guard::MaxDeactivationsPercent;
            let fine = held(&limits, &calm(managed), (0..allowed).map(leaver).collect());
            assert!(!fine.contains(&name), "{managed}");
            let over = held(&limits, &calm(managed), (0..=allowed).map(leaver).collect());
            assert!(over.contains(&name), "{managed}");
        }
        let mut none = limits.clone();
        none.max_deactivations_percent = 0;
        assert!(!held(&none, &calm(100), vec![leaver(1)]).is_empty());
        assert!(held(&none, &calm(100), vec![]).is_empty());
        let mut all = limits;
        all.max_deactivations_percent = 100;
        assert!(held(&all, &calm(3), (0..3).map(leaver).collect()).is_empty());
    }

    #[test]
    fn a_slow_drip_is_held_by_the_weekly_limit_but_only_where_there_is_something_to_hold() {
        let input = |deactivated_7d| GuardInput {
            deactivated_7d,
            ..calm(100_000)
        };
        let limits = limits();
        assert!(held(&limits, &input(74), vec![leaver(1)]).is_empty());
        assert_eq!(
            held(&limits, &input(75), vec![leaver(1)]),
            [Guard::MaxDeactivations7d]
        );
        assert!(held(&limits, &input(200), vec![mover(1)]).is_empty());
    }

    #[test]
    fn a_source_that_shrank_or_is_nearly_empty_is_held_even_without_a_plan() {
        let input = |opa_active, before| GuardInput {
            opa_active,
            opa_active_before: before,
            ..calm(10)
        };
        let limits = limits();
        assert!(held(&limits, &input(80, Some(100)), vec![]).is_empty());
        assert_eq!(
            held(&limits, &input(79, Some(100)), vec![]),
            [Guard::MaxOpaDropPercent]
        );
        assert_eq!(
            held(&limits, &input(8, Some(11)), vec![]),
            [Guard::MaxOpaDropPercent]
        );
        assert!(held(&limits, &input(9, Some(11)), vec![]).is_empty());
        assert_eq!(held(&limits, &input(0, None), vec![]), [Guard::MinOpaUsers]);
        assert!(held(&limits, &input(1, None), vec![]).is_empty());
        assert!(held(&limits, &input(5, None), vec![]).is_empty());
        assert!(held(&limits, &input(500, Some(100)), vec![]).is_empty());
    }

    #[test]
    fn a_listing_of_accounts_that_shrank_is_held_but_not_by_what_rolecall_did_itself() {
        let input = |listed, before, own| GuardInput {
            opsera_listed: listed,
            opsera_listed_before: before,
            deactivated_since: own,
            ..calm(10)
        };
        let limits = limits();
        let name = Guard::MaxOpseraDropPercent;
        for (listed, before, own, expected) in [
            (81, Some(100), 0, false),
            (80, Some(100), 0, false),
            (79, Some(100), 0, true),
            (0, Some(100), 0, true),
            (60, Some(100), 20, false),
            (59, Some(100), 20, true),
            (10, Some(100), 90, false),
            (120, Some(100), 0, false),
            (0, None, 0, false),
            (9, Some(11), 0, false),
            (8, Some(11), 0, true),
        ] {
            let held = held(&limits, &input(listed, before, own), vec![]);
            assert_eq!(
                held == [name],
                expected,
                "{listed} of {before:?}, {own} own"
            );
        }
    }

    #[test]
    fn an_account_whose_protection_has_ended_is_not_touched_without_approval() {
        let input = GuardInput {
            expired_protections: vec!["p1@x".into()],
            ..calm(1000)
        };
        let name = Guard::MaxExpiredProtections;
        assert_eq!(held(&limits(), &input, vec![leaver(1)]), [name]);
        let guards = |input| evaluate(&limits(), &input, &Plan::new(vec![leaver(1)]));
        assert!(guards(calm(1000)).iter().all(|guard| guard.guard != name));
    }

    #[test]
    fn the_last_known_administrators_are_not_taken_away() {
        let input = |administrators, lost: usize| GuardInput {
            administrators,
            administrators_lost: (0..lost).map(|n| n.to_string().into()).collect(),
            ..calm(1000)
        };
        let limits = limits();
        assert!(held(&limits, &input(2, 1), vec![leaver(1)]).is_empty());
        assert_eq!(
            held(&limits, &input(1, 1), vec![leaver(1)]),
            [Guard::MinAdministrators]
        );
        // Somebody else becomes one in the same plan, and before: A9.
        assert!(held(&limits, &input(1, 1), vec![leaver(1), grant(2)]).is_empty());
        // Another role is no replacement, and an account that is only being created is none yet.
        let other = vec![leaver(1), mover(2), joiner(3)];
        assert_eq!(
            held(&limits, &input(1, 1), other),
            [Guard::MinAdministrators]
        );
        // Nobody is known to be one: nothing can fall.
        assert!(held(&limits, &input(0, 0), vec![leaver(1)]).is_empty());
    }
}
