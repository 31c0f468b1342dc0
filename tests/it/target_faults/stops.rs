//! Answers that stop more than one action: 401, 403, 429, and failure after failure (A3 to A6).

use std::time::Duration;

use rolecall::domain::{ActionStatus, Outcome, time::Clock as _};
use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind, PersonSeed};

use crate::fault_world::{World, action_for, assert_outcome, status_of};

/// Leavers, movers and joiners, three of each.
async fn three_of_each() -> World {
    let world = World::empty().await;
    world.member("amy", &[]);
    for n in 1..=3 {
        world.leaver(&format!("lea{n}"));
        world.member(&format!("mia{n}"), &["power"]);
        let name = format!("joe{n}");
        let joiner = PersonSeed::active(&name, &format!("{name}@example.com")).named("Joe", "Doe");
        world.sandbox.opa().add_person(joiner).unwrap();
    }
    world
}

fn answer(status: u16) -> FaultKind {
    FaultKind::Answer(Answer::status(status))
}

async fn finish(world: &World) {
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_hours(25));
    assert_outcome(&world.sync().await, Outcome::Applied);
    world.check_invariants().await;
    assert_outcome(&world.sync().await, Outcome::InSync);
    for n in 1..=3 {
        assert_eq!(
            world.standing(&format!("lea{n}")),
            Some(AccountStatus::Inactive)
        );
        assert_eq!(world.role(&format!("mia{n}")), "PowerUsers");
        assert_eq!(
            world.standing(&format!("joe{n}")),
            Some(AccountStatus::Pending)
        );
    }
}

#[tokio::test]
async fn a_refused_credential_stops_the_run_at_once() {
    for (method, tried, before) in [
        ("PUT", "mia2", 1),
        ("POST", "joe2", 4),
        ("DELETE", "lea2", 7),
    ] {
        let world = three_of_each().await;
        let fault = Fault::opsera(answer(401))
            .on(method, "/user")
            .after(1)
            .always();
        world.sandbox.inject(fault);
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Failed);
        assert!(report.error.as_ref().unwrap().contains("401"));
        assert_eq!(status_of(&report, tried), ActionStatus::Failed, "{method}");
        assert_eq!(
            world.writes().len(),
            before + 1,
            "nothing after the refusal"
        );
        let last = world.sandbox.journal().entries().pop().unwrap();
        assert!(
            last.received.is_write(),
            "not one request after it: {last:?}"
        );
        let untried = report
            .actions
            .iter()
            .filter(|action| action.status == ActionStatus::NotTried)
            .count();
        assert_eq!(untried, 9 - before - 1);
        world.check_invariants().await;
        finish(&world).await;
    }
}

#[tokio::test]
async fn a_refused_credential_on_the_look_after_a_deactivation_stops_the_run_too() {
    let world = World::empty().await;
    world.member("amy", &[]);
    world.leaver("lea");
    // The first read of the account is the last look, the second the confirmation.
    let fault = Fault::opsera(answer(401))
        .on("GET", "/user/")
        .after(1)
        .always();
    world.sandbox.inject(fault);
    let report = world.sync().await;
    assert_eq!(status_of(&report, "lea"), ActionStatus::Succeeded);
    assert_outcome(&report, Outcome::Failed);
    assert!(report.error.as_ref().unwrap().contains("401"));
}

#[tokio::test]
async fn a_missing_permission_ends_its_kind_and_no_other() {
    for (method, kind, refused) in [
        ("PUT", "mia", ActionStatus::Rejected),
        ("POST", "joe", ActionStatus::Rejected),
        ("DELETE", "lea", ActionStatus::Rejected),
    ] {
        let world = three_of_each().await;
        let fault = Fault::opsera(answer(403)).on(method, "/user").always();
        world.sandbox.inject(fault);
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        assert_eq!(world.writes_of(method).len(), 1);
        assert_eq!(status_of(&report, &format!("{kind}1")), refused);
        for n in 2..=3 {
            let told = action_for(&report, &format!("{kind}{n}"));
            assert_eq!(told.status, ActionStatus::NotTried);
            assert!(told.message.as_ref().unwrap().contains("403"));
        }
        let done = report
            .actions
            .iter()
            .filter(|action| action.status == ActionStatus::Succeeded)
            .count();
        assert_eq!(done, 6, "the other kinds go on");
        world.check_invariants().await;
        finish(&world).await;
    }
}

#[tokio::test]
async fn five_failures_in_a_row_stop_the_run() {
    for does in [
        answer(500),
        answer(503),
        answer(507),
        FaultKind::CutBeforeEffect,
    ] {
        let world = three_of_each().await;
        let fault = Fault::opsera(does.clone()).when(rolecall::sandbox::Received::is_write);
        world.sandbox.inject(fault.always());
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        assert_eq!(world.writes().len(), 5, "{does:?}");
        let untried = report
            .actions
            .iter()
            .filter(|action| action.status == ActionStatus::NotTried)
            .count();
        assert!(untried >= 4, "{does:?}: {untried}");
        world.check_invariants().await;
        finish(&world).await;
    }
}

#[tokio::test]
async fn one_success_in_between_starts_the_count_afresh() {
    let world = three_of_each().await;
    let cut = || Fault::opsera(answer(500)).when(rolecall::sandbox::Received::is_write);
    // Four failures, a success, four failures, a success.
    for after in [0, 5] {
        let skipped = u32::from(after != 0);
        world.sandbox.inject(cut().after(skipped).times(4));
    }
    let report = world.sync().await;
    assert_outcome(&report, Outcome::Applied);
    assert_eq!(world.writes().len(), 9 + 8);
    world.check_invariants().await;
}

#[tokio::test]
async fn being_asked_to_slow_down_pauses_everything_and_is_not_answered_by_hammering() {
    let clock_time = |seconds: i64| {
        let start: rolecall::domain::time::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        start + chrono::TimeDelta::seconds(seconds)
    };
    let date = clock_time(900)
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let forms = [
        ("retry-after", "600".to_owned(), 600),
        ("retry-after", date, 800),
        (
            "x-ratelimit-retry-at",
            clock_time(900).timestamp().to_string(),
            800,
        ),
    ];
    for (header, value, at_least) in forms {
        for method in ["PUT", "POST", "DELETE"] {
            let world = three_of_each().await;
            let slow = Answer::status(429).header(header, &value);
            let fault = Fault::opsera(FaultKind::Answer(slow)).on(method, "/user");
            world.sandbox.inject(fault.after(1));
            let report = world.sync().await;
            assert_outcome(&report, Outcome::Applied);
            let entries = world.sandbox.journal().entries();
            let throttled = entries
                .iter()
                .position(|entry| entry.status == Some(429))
                .unwrap();
            let next = entries[throttled + 1..]
                .iter()
                .find(|entry| entry.received.api == rolecall::sandbox::Api::Opsera)
                .unwrap();
            let waited = next.received.at - entries[throttled].received.at;
            assert!(
                waited.num_seconds() >= at_least,
                "{header} {method}: {waited}"
            );
            assert_eq!(world.writes().len(), 9 + 1);
            world.check_invariants().await;
        }
    }
}

#[tokio::test]
async fn after_a_pause_the_saved_burst_is_not_spent() {
    let world = three_of_each().await;
    world.settings("[opsera]\nrequests_per_second = 10\nburst = 50\n");
    let slow = Answer::status(429).header("retry-after", 600);
    world
        .sandbox
        .inject(Fault::opsera(FaultKind::Answer(slow)).on("PUT", "/user"));
    world.sync().await;
    let entries = world
        .sandbox
        .journal()
        .requests(rolecall::sandbox::Api::Opsera, "PUT", "/");
    let times: Vec<_> = entries.iter().map(|entry| entry.received.at).collect();
    assert!((times[1] - times[0]).num_seconds() >= 600);
    for pair in times[1..].windows(2) {
        assert!((pair[1] - pair[0]).num_milliseconds() >= 99, "{pair:?}");
    }
}

#[tokio::test]
async fn being_throttled_to_the_last_attempt_leaves_the_work_for_the_next_run() {
    let world = three_of_each().await;
    let slow = Answer::status(429).header("retry-after", 5);
    let fault = Fault::opsera(FaultKind::Answer(slow)).when(rolecall::sandbox::Received::is_write);
    world.sandbox.inject(fault.always());
    let before = world.clock.monotonic();
    let report = world.sync().await;
    assert_outcome(&report, Outcome::Partial);
    assert!(report.actions.iter().all(|action| action.attempts <= 5));
    let passed = world.clock.monotonic().saturating_sub(before).as_secs();
    let sent = u64::try_from(world.writes().len()).unwrap();
    assert!(passed >= (sent - 1) * 5, "{sent} requests in {passed} s");
    world.check_invariants().await;
    finish(&world).await;
}
