//! Roles whose change had no known outcome, settling after a run that ended badly, and a machine
//! whose clock jumps.

use std::time::Duration;

use rolecall::domain::time::{Clock as _, Timestamp};
use rolecall::domain::{ActionKind, ActionStatus, Outcome};
use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind};

use crate::fault_world::{World, action, address, assert_outcome, status_of};

fn answer(status: u16) -> FaultKind {
    FaultKind::Answer(Answer::status(status))
}

fn after_effect(status: u16) -> FaultKind {
    FaultKind::AnswerAfterEffect(Answer::status(status))
}

/// A mover whose role this program has set before: Users, and PowerUsers is due.
async fn known_mover(more: &str) -> World {
    let world = World::empty().await;
    world.member("amy", &[]);
    world.member("mia", &["plain"]);
    world.settings(&format!("{PLAIN}{more}"));
    world.sync().await;
    assert_eq!(world.role("mia"), "Users");
    world.sandbox.opa().leave("mia", "plain").unwrap();
    world.sandbox.opa().join("mia", "power").unwrap();
    world
}

const PLAIN: &str = r#"
[[roles.rules]]
group = "power"
role = "PowerUsers"
[[roles.rules]]
group = "plain"
role = "Users"
"#;

#[tokio::test]
async fn a_change_that_may_have_happened_is_never_taken_for_undone_by_a_later_refusal() {
    // The first request has its effect and its answer is lost; the second one is refused.
    for refusal in [400, 401, 403, 404, 409, 422, 301] {
        let world = known_mover("").await;
        world
            .sandbox
            .inject(Fault::opsera(after_effect(500)).on("PUT", "/user"));
        world
            .sandbox
            .inject(Fault::opsera(answer(refusal)).on("PUT", "/user"));
        let report = world.sync().await;
        assert_ne!(status_of(&report, "mia"), ActionStatus::Succeeded);
        assert_eq!(world.role("mia"), "PowerUsers", "it did happen");
        world.check_invariants().await;
        // She moves back: the program must not believe that she still is what she was.
        world.sandbox.opa().leave("mia", "power").unwrap();
        world.sandbox.opa().join("mia", "plain").unwrap();
        let report = world.sync().await;
        let again = action(&report, ActionKind::SetRole);
        assert_eq!(
            (again.from.as_deref(), again.status),
            (None, ActionStatus::Succeeded),
            "{refusal}"
        );
        assert_eq!(world.role("mia"), "Users");
        assert_outcome(&world.sync().await, Outcome::InSync);
    }
}

#[tokio::test]
async fn an_uncertain_role_is_asserted_even_where_unknown_ones_are_adopted() {
    let world = known_mover("[roles]\nunknown = \"adopt\"\n").await;
    // `adopt` took Users for granted; now a change is lost, and then refused.
    world
        .sandbox
        .inject(Fault::opsera(after_effect(507)).on("PUT", "/user"));
    let report = world.sync().await;
    assert_eq!(status_of(&report, "mia"), ActionStatus::Failed);
    world
        .sandbox
        .inject(Fault::opsera(answer(400)).on("PUT", "/user"));
    let report = world.sync().await;
    let asserted = action(&report, ActionKind::SetRole);
    assert_eq!(
        (asserted.from.as_deref(), asserted.status),
        (None, ActionStatus::Rejected)
    );
    world.clock.advance(Duration::from_hours(25));
    let report = world.sync().await;
    let asserted = action(&report, ActionKind::SetRole);
    assert_eq!(
        (asserted.from.as_deref(), asserted.status),
        (None, ActionStatus::Succeeded)
    );
    assert_outcome(&world.sync().await, Outcome::InSync);
}

#[tokio::test]
async fn a_lost_answer_followed_by_a_refusal_is_read_before_it_is_believed() {
    for (method, kind, status) in [
        ("DELETE", ActionKind::Deactivate, 400),
        ("DELETE", ActionKind::Deactivate, 422),
        ("POST", ActionKind::Create, 400),
        ("POST", ActionKind::Create, 409),
    ] {
        let world = World::one_of_each().await;
        // The server is slow: the look finds nothing yet, the repeated request is refused
        // because the first one has had its effect by then.
        world
            .sandbox
            .inject(Fault::opsera(answer(500)).on(method, "/user"));
        let late = after_effect(status);
        world
            .sandbox
            .inject(Fault::opsera(late).on(method, "/user"));
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Applied);
        assert_eq!(
            action(&report, kind).status,
            ActionStatus::Succeeded,
            "{method} {status}"
        );
        world.check_invariants().await;
        assert_outcome(&world.sync().await, Outcome::InSync);
    }
}

#[tokio::test]
async fn an_outcome_that_cannot_be_read_waits_until_it_can() {
    let world = World::one_of_each().await;
    let id = world.id("lea");
    world
        .sandbox
        .inject(Fault::opsera(after_effect(500)).on("DELETE", "/user"));
    let blind = Fault::opsera(answer(403))
        .on("GET", &format!("/user/{id}"))
        .after(1)
        .always();
    world.sandbox.inject(blind);
    let report = world.sync().await;
    assert_eq!(status_of(&report, "lea"), ActionStatus::Failed);
    assert_outcome(&report, Outcome::Partial);
    assert_eq!(world.writes_of("DELETE").len(), 1);
    // Still unreadable, and listed as active by a listing that lags: nothing is sent.
    world
        .sandbox
        .opsera()
        .edit(&id, |account| account.status = AccountStatus::Active)
        .unwrap();
    world.sandbox.clear_faults();
    world.sandbox.inject(
        Fault::opsera(answer(403))
            .on("GET", &format!("/user/{id}"))
            .always(),
    );
    let report = world.sync().await;
    assert_eq!(status_of(&report, "lea"), ActionStatus::NotTried);
    assert!(world.writes_of("DELETE").is_empty());
    world.sandbox.clear_faults();
    let report = world.sync().await;
    assert_eq!(status_of(&report, "lea"), ActionStatus::Succeeded);
    assert_outcome(&world.sync().await, Outcome::InSync);
    world.check_invariants().await;
}

#[tokio::test]
async fn a_refused_credential_while_an_outcome_is_read_stops_the_run() {
    let world = World::empty().await;
    world.member("amy", &[]);
    for name in ["lea", "lou"] {
        world.leaver(name);
    }
    let id = world.id("lea");
    world
        .sandbox
        .inject(Fault::opsera(after_effect(507)).on("DELETE", "/user"));
    let path = format!("/user/{id}");
    world.sandbox.inject(
        Fault::opsera(answer(401))
            .on("GET", &path)
            .after(1)
            .always(),
    );
    let report = world.sync().await;
    assert_outcome(&report, Outcome::Failed);
    assert_eq!(world.writes().len(), 1);
    let report = world.sync().await;
    assert_outcome(&report, Outcome::Failed);
    assert!(
        report.actions.is_empty(),
        "nothing is planned before it is settled"
    );
    world.sandbox.clear_faults();
    assert_outcome(&world.sync().await, Outcome::Applied);
    assert_outcome(&world.sync().await, Outcome::InSync);
    assert_eq!(world.sandbox.opsera().deactivations().len(), 2);
    world.check_invariants().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_between_runs_delays_but_never_hastens() {
    let world = World::empty().await;
    world.member("amy", &[]);
    world.account("abe");
    world.sync().await;
    world.audit().await;
    // Back by a day: the grace has not begun to pass.
    world
        .clock
        .jump_to(world.clock.now() - chrono::TimeDelta::days(1));
    let report = world.sync().await;
    assert_eq!(report.summary.waiting, 1);
    assert!(world.writes().is_empty());
    world.audit().await;
    world.clock.advance(Duration::from_mins(59));
    assert_eq!(world.sync().await.summary.waiting, 1);
    world.audit().await;
    // The pull with the clock that jumped counts for nobody, so this is the second that does.
    world.clock.advance(Duration::from_hours(26));
    assert_eq!(world.sync().await.summary.waiting, 1);
    world.clock.advance(Duration::from_mins(1));
    assert_outcome(&world.sync().await, Outcome::Applied);
    assert_eq!(world.standing("abe"), Some(AccountStatus::Inactive));
    world.audit().await;
}

#[tokio::test]
async fn an_absence_first_noticed_by_a_clock_that_was_behind_still_has_its_grace() {
    let world = World::empty().await;
    world.member("amy", &[]);
    world.sync().await;
    let now: Timestamp = world.clock.now();
    // The machine starts with its clock at the epoch, pulls once, and then learns the time.
    world.account("abe");
    world.clock.jump_to("1970-01-01T00:00:10Z".parse().unwrap());
    assert_eq!(world.sync().await.summary.waiting, 1);
    world.clock.jump_to(now + chrono::TimeDelta::minutes(1));
    let report = world.sync().await;
    assert_eq!(report.summary.waiting, 1, "{report:#?}");
    // From here on the clock is trusted: three pulls and the whole grace.
    for minutes in [0, 20, 39] {
        world.clock.advance(Duration::from_mins(minutes));
        let report = world.sync().await;
        assert_eq!(report.summary.waiting, 1, "{report:#?}");
        assert!(world.writes().is_empty());
    }
    world.clock.advance(Duration::from_mins(1));
    assert_outcome(&world.sync().await, Outcome::Applied);
    world.audit().await;
}

#[tokio::test]
async fn a_clock_that_jumps_during_a_run_changes_no_decision_and_no_order() {
    for days in [-3650_i64, -1, 1, 3650] {
        let world = World::one_of_each().await;
        world.account("abe");
        world.sandbox.journal().on_receive({
            let clock = world.clock.clone();
            move |request| {
                // When the plan stands and the first write arrives.
                if request.is_write() && request.method == "PUT" {
                    clock.jump_to(clock.now() + chrono::TimeDelta::days(days));
                }
            }
        });
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Applied);
        assert_eq!(report.summary.waiting, 1);
        assert_eq!(world.standing("abe"), Some(AccountStatus::Active));
        world.check_invariants().await;
        assert!(world.sandbox.opsera().get(&address("abe")).is_some());
    }
}

#[tokio::test]
async fn a_refusal_is_still_respected_when_the_clock_is_set_back() {
    let world = World::one_of_each().await;
    world
        .sandbox
        .inject(Fault::opsera(answer(422)).on("DELETE", "/user"));
    world.sync().await;
    world
        .clock
        .jump_to(world.clock.now() - chrono::TimeDelta::days(30));
    let report = world.sync().await;
    assert_eq!(status_of(&report, "lea"), ActionStatus::Rejected);
    assert!(world.writes().is_empty());
    world.check_invariants().await;
}

#[tokio::test]
async fn a_short_retention_does_not_make_the_weekly_budget_forget() {
    let world = World::empty().await;
    world.member("amy", &[]);
    world.settings("[store]\nretain = \"1d\"\n[guards]\nmax_deactivations_7d = 2\n");
    for name in ["lea", "lou"] {
        world.leaver(name);
    }
    assert_outcome(&world.sync().await, Outcome::Applied);
    world.clock.advance(Duration::from_hours(72));
    assert_outcome(&world.sync().await, Outcome::InSync);
    world.leaver("leo");
    assert_outcome(&world.sync().await, Outcome::Held);
    world.clock.advance(Duration::from_hours(24 * 5));
    assert_outcome(&world.sync().await, Outcome::Applied);
}
