//! Every state of a plan, before and after `guards.approval_ttl`.

use super::*;
use crate::domain::RunId;

const HOUR: Duration = Duration::from_hours(1);

fn time(text: &str) -> Timestamp {
    format!("2026-03-01T{text}Z").parse().unwrap()
}

fn plan(state: PlanState) -> HeldPlan {
    let is_decided = !matches!(state, PlanState::Held | PlanState::Superseded);
    HeldPlan {
        id: PlanId::new("0123456789ab"),
        state,
        run_id: RunId::new("run"),
        undoes: None,
        kinds: KindSet::all(),
        people: None,
        guards: Vec::new(),
        held_at: time("10:00:00"),
        last_held_at: time("11:00:00"),
        decided_at: is_decided.then(|| time("11:30:00")),
        decided_by: is_decided.then(|| "jo@desk".to_owned()),
        reviewer: None,
        reason: None,
        actions: 3,
        done: 0,
    }
}

fn at(now: &str) -> Circumstances {
    Circumstances {
        ttl: HOUR,
        now: time(now),
        wanted: Wanted::Plan(PlanId::new("ba9876543210")),
    }
}

fn approve(state: PlanState, circumstances: &Circumstances) -> Result<(), String> {
    let plan = plan(state);
    may_approve(&plan.id, Some(&plan), circumstances).map_err(|refusal| refusal.to_string())
}

fn reject(state: PlanState, circumstances: &Circumstances) -> Result<(), String> {
    let plan = plan(state);
    may_reject(&plan.id, Some(&plan), circumstances).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_hold_can_be_approved_until_its_time_is_over_and_not_at_its_end() {
    assert_eq!(approve(PlanState::Held, &at("11:00:00")), Ok(()));
    assert_eq!(approve(PlanState::Held, &at("11:59:59")), Ok(()));
    let expired = "plan 0123456789ab was last held at 2026-03-01 11:00:00 UTC and expired at \
                   2026-03-01 12:00:00 UTC (guards.approval_ttl): run `rolecall sync --dry-run` \
                   and look at it again";
    for now in ["12:00:00", "23:00:00"] {
        assert_eq!(approve(PlanState::Held, &at(now)), Err(expired.to_owned()));
    }
}

#[test]
fn an_approval_cannot_be_renewed_without_another_look() {
    assert_eq!(
        approve(PlanState::Approved, &at("12:29:59")).unwrap_err(),
        "plan 0123456789ab is already approved, by jo@desk at 2026-03-01 11:30:00 UTC, and the \
         approval is good until 2026-03-01 12:30:00 UTC: the next `rolecall sync` applies it"
    );
    let lapsed = approve(PlanState::Approved, &at("12:30:00")).unwrap_err();
    assert!(
        lapsed.contains("expired at 2026-03-01 12:30:00 UTC"),
        "{lapsed}"
    );
}

#[test]
fn what_is_done_with_cannot_be_approved_or_rejected() {
    let sentences = [
        (
            PlanState::Used,
            "plan 0123456789ab is already used: everything in it was done under the approval of \
             jo@desk at 2026-03-01 11:30:00 UTC",
        ),
        (
            PlanState::Superseded,
            "plan 0123456789ab is superseded because the people changed: plan ba9876543210 is \
             what the latest run wants",
        ),
    ];
    for (state, sentence) in sentences {
        assert_eq!(approve(state, &at("11:40:00")).unwrap_err(), sentence);
        assert_eq!(reject(state, &at("11:40:00")).unwrap_err(), sentence);
    }
}

#[test]
fn a_rejection_can_be_taken_back_by_an_approval_but_not_given_twice() {
    assert_eq!(approve(PlanState::Rejected, &at("11:40:00")), Ok(()));
    let stale = approve(PlanState::Rejected, &at("12:00:00")).unwrap_err();
    assert!(
        stale.contains(
            "was last held at 2026-03-01 11:00:00 UTC and expired at 2026-03-01 12:00:00"
        ),
        "{stale}"
    );
    assert_eq!(
        reject(PlanState::Rejected, &at("11:40:00")).unwrap_err(),
        "plan 0123456789ab is already rejected, by jo@desk at 2026-03-01 11:30:00 UTC, and that \
         stands until 2026-03-01 12:30:00 UTC: to take the rejection back, approve the plan with \
         `rolecall plan approve 0123456789ab --reason \"…\"`"
    );
}

#[test]
fn a_hold_and_an_approval_can_be_rejected_at_any_time() {
    for now in ["11:31:00", "23:00:00"] {
        assert_eq!(reject(PlanState::Held, &at(now)), Ok(()));
        assert_eq!(reject(PlanState::Approved, &at(now)), Ok(()));
    }
}

#[test]
fn a_superseded_plan_says_what_is_known_of_its_successor() {
    let mut circumstances = at("11:40:00");
    circumstances.wanted = Wanted::Plan(PlanId::new("0123456789ab"));
    assert_eq!(
        approve(PlanState::Superseded, &circumstances).unwrap_err(),
        "plan 0123456789ab is not held any more: it passed the guards in the latest run and needs \
         no decision"
    );
    circumstances.wanted = Wanted::Unknown;
    let refusal = approve(PlanState::Superseded, &circumstances).unwrap_err();
    assert!(
        refusal.contains("run `rolecall sync --dry-run`"),
        "{refusal}"
    );
}

#[test]
fn an_unknown_plan_is_named() {
    let id = PlanId::new("nonsense");
    for refusal in [
        may_approve(&id, None, &at("11:00:00")),
        may_reject(&id, None, &at("11:00:00")),
    ] {
        assert_eq!(
            refusal.unwrap_err().to_string(),
            "there is no held plan nonsense: only a plan that a guard holds can be decided on, \
             and `rolecall plan list` shows them"
        );
    }
}

#[test]
fn looking_again_asks_for_the_kinds_that_were_held() {
    let mut plan = plan(PlanState::Held);
    assert_eq!(look_again(&plan), "rolecall sync --dry-run");
    plan.kinds = "set_role,deactivate".parse().unwrap();
    assert_eq!(
        look_again(&plan),
        "rolecall sync --dry-run --only role,deactivate"
    );
    assert_eq!(
        run_that_applies(&plan),
        "rolecall sync --only role,deactivate"
    );
}

#[test]
fn what_is_still_open_has_an_end() {
    let until = |state| good_until(&plan(state), HOUR);
    assert_eq!(until(PlanState::Held), Some(time("12:00:00")));
    assert_eq!(until(PlanState::Approved), Some(time("12:30:00")));
    assert_eq!(until(PlanState::Rejected), Some(time("12:30:00")));
    assert_eq!(until(PlanState::Used), None);
    assert_eq!(until(PlanState::Superseded), None);
}
