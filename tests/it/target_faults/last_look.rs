//! The last look (A2): whatever changed or cannot be read between the plan and the request is a
//! reason not to send it.
//!
//! The world changes at the moment the first request of the last look arrives: after the plan.

use std::time::Duration;

use rolecall::domain::{ActionStatus, FindingKind, Outcome};
use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind, Visibility};

use crate::fault_world::{World, action_for, address, assert_outcome, status_of};

/// One leaver and one who stays.
async fn one_leaver() -> World {
    let world = World::empty().await;
    world.member("amy", &[]);
    world.leaver("lea");
    world
}

fn opsera_read(status: u16, name: &World) -> Fault {
    let id = name.id("lea");
    Fault::opsera(FaultKind::Answer(Answer::status(status)))
        .on("GET", &format!("/user/{id}"))
        .always()
}

fn opa_read(answer: Answer) -> Fault {
    Fault::opa(FaultKind::Answer(answer))
        .on("GET", "/users/lea")
        .always()
}

/// A leaver's OPA record as it is read, with another status.
fn record(status: &str) -> Answer {
    Answer::status(200).json(&serde_json::json!({
        "id": "00000000-0000-0000-0000-000000000001", "name": "lea", "team_name": "example",
        "status": status, "user_type": "human",
        "details": { "email": address("lea") }
    }))
}

#[tokio::test]
async fn an_account_that_is_gone_or_inactive_by_then_is_already_done() {
    let inactive = |world: &World| {
        Answer::status(200).json(&serde_json::json!({
            "_id": world.id("lea"), "email": address("lea"), "active": false }))
    };
    let world = one_leaver().await;
    for answer in [inactive(&world), Answer::status(404)] {
        let world = one_leaver().await;
        let path = format!("/user/{}", world.id("lea"));
        let fault = Fault::opsera(FaultKind::Answer(answer))
            .on("GET", &path)
            .always();
        world.sandbox.inject(fault);
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Applied);
        assert_eq!(status_of(&report, "lea"), ActionStatus::Already);
        assert!(world.writes().is_empty());
        world.check_invariants().await;
    }
}

#[tokio::test]
async fn an_account_that_became_somebody_elses_is_left_alone() {
    let world = one_leaver().await;
    let moved = Answer::status(200).json(&serde_json::json!({
        "_id": world.id("lea"), "email": "new.owner@example.com", "active": true }));
    let path = format!("/user/{}", world.id("lea"));
    world.sandbox.inject(
        Fault::opsera(FaultKind::Answer(moved))
            .on("GET", &path)
            .always(),
    );
    let report = world.sync().await;
    let told = action_for(&report, "lea");
    assert_eq!(told.status, ActionStatus::Skipped);
    assert!(
        told.message
            .as_ref()
            .unwrap()
            .contains("new.owner@example.com")
    );
    assert!(world.writes().is_empty());
    world.check_invariants().await;
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_doubt_and_still_due() {
    for status in [400, 403, 500, 502, 503, 507, 201, 204, 301] {
        let world = one_leaver().await;
        world.sandbox.inject(opsera_read(status, &world));
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        assert_eq!(status_of(&report, "lea"), ActionStatus::Skipped, "{status}");
        assert!(world.writes().is_empty(), "{status}");
        world.sandbox.clear_faults();
        assert_outcome(&world.sync().await, Outcome::Applied);
        assert_eq!(world.standing("lea"), Some(AccountStatus::Inactive));
    }
    for body in ["", "{}", "<html>", "[]", "{\"_id\":", "null"] {
        let world = one_leaver().await;
        let path = format!("/user/{}", world.id("lea"));
        let answer = FaultKind::Answer(Answer::status(200).body(body));
        world
            .sandbox
            .inject(Fault::opsera(answer).on("GET", &path).always());
        let report = world.sync().await;
        assert_eq!(status_of(&report, "lea"), ActionStatus::Skipped, "{body:?}");
        assert!(world.writes().is_empty(), "{body:?}");
    }
}

#[tokio::test]
async fn the_record_of_another_account_is_no_last_look() {
    let world = one_leaver().await;
    let echo = FaultKind::EchoAccount {
        id: world.id("amy"),
    };
    let path = format!("/user/{}", world.id("lea"));
    world
        .sandbox
        .inject(Fault::opsera(echo).on("GET", &path).always());
    let report = world.sync().await;
    assert_eq!(status_of(&report, "lea"), ActionStatus::Skipped);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_person_who_is_active_again_keeps_the_account() {
    let world = one_leaver().await;
    world.sandbox.journal().on_receive({
        let opa = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        move |request| {
            // Only notes that the hook is called; the change itself is made below, through a fault.
            opa.store(request.is_write(), std::sync::atomic::Ordering::Relaxed);
        }
    });
    let id = world.sandbox.opa().person("lea").unwrap().id;
    let mut answer = record("ACTIVE");
    let body = String::from_utf8(answer.body.clone()).unwrap();
    answer.body = body
        .replace("00000000-0000-0000-0000-000000000001", &id)
        .into_bytes();
    world.sandbox.inject(opa_read(answer));
    let report = world.sync().await;
    let told = action_for(&report, "lea");
    assert_eq!(told.status, ActionStatus::Skipped);
    assert!(told.message.as_ref().unwrap().starts_with("reentitled"));
    assert!(
        report
            .findings
            .iter()
            .all(|f| f.kind != FindingKind::InconsistentListing)
    );
    assert_outcome(&report, Outcome::Applied);
    assert!(world.writes().is_empty());
    world.check_invariants().await;
}

#[tokio::test]
async fn a_status_nobody_knows_or_a_record_nobody_can_read_is_doubt() {
    let answers = [
        record("SUSPENDED"),
        record("active"),
        record(""),
        Answer::status(500),
        Answer::status(403),
        Answer::status(503),
        Answer::status(204),
        Answer::status(200).body("<html>"),
        Answer::status(200).body("{}"),
        Answer::status(200)
            .body("{\"id\":\"x\",\"name\":\"somebody.else\",\"status\":\"DISABLED\"}"),
    ];
    for answer in answers {
        let world = one_leaver().await;
        world.sandbox.inject(opa_read(answer.clone()));
        let report = world.sync().await;
        assert_eq!(
            status_of(&report, "lea"),
            ActionStatus::Skipped,
            "{answer:?}"
        );
        assert_outcome(&report, Outcome::Partial);
        assert!(world.writes().is_empty(), "{answer:?}");
        world.check_invariants().await;
        world.sandbox.clear_faults();
        assert_outcome(&world.sync().await, Outcome::Applied);
    }
}

#[tokio::test]
async fn a_refused_credential_in_the_last_look_stops_the_run() {
    for (opa, after) in [(true, 0_usize), (true, 1), (false, 0)] {
        let world = one_leaver().await;
        world.leaver("lou");
        let unauthorised = FaultKind::Answer(Answer::status(401));
        let fault = if opa {
            Fault::opa(unauthorised).on("GET", "/users/l")
        } else {
            Fault::opsera(unauthorised).on("GET", "/user/")
        };
        let skipped = u32::try_from(after).unwrap();
        world.sandbox.inject(fault.after(skipped).always());
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Failed);
        assert!(report.error.as_ref().unwrap().contains("401"));
        // Each leaver is read right before the request: those who were readable before are done,
        // and nothing is sent after the refusal.
        assert_eq!(world.writes().len(), after);
        let (done, not_tried) = ["lea", "lou"].split_at(after);
        for name in done {
            assert_eq!(status_of(&report, name), ActionStatus::Succeeded);
        }
        for name in not_tried {
            assert_eq!(status_of(&report, name), ActionStatus::NotTried);
        }
        world.check_invariants().await;
        world.sandbox.clear_faults();
        assert_outcome(&world.sync().await, Outcome::Applied);
    }
}

#[tokio::test]
async fn a_listing_that_lost_somebody_is_not_believed_about_anybody_absent() {
    let world = World::empty().await;
    // Sorted before, at and after the person the listing loses; and a leaver it did not lose.
    for name in ["abe", "amy", "mia", "zoe"] {
        world.member(name, &[]);
    }
    world.leaver("lea");
    world.settings("[deactivation]\nabsent_grace = \"0s\"\non = [\"absent\"]\n");
    assert_outcome(&world.sync().await, Outcome::InSync);
    let opa = world.sandbox.opa();
    opa.purge("abe").unwrap();
    opa.purge("zoe").unwrap();
    opa.set_visibility("mia", Visibility::Hidden).unwrap();
    world.settings("[deactivation]\nabsent_grace = \"0s\"\n");
    let report = world.sync().await;
    assert_eq!(
        status_of(&report, "lea"),
        ActionStatus::Succeeded,
        "disabled is disabled"
    );
    for name in ["abe", "mia", "zoe"] {
        assert_eq!(status_of(&report, name), ActionStatus::Skipped, "{name}");
        assert_eq!(world.standing(name), Some(AccountStatus::Active));
    }
    let lost: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.kind == FindingKind::InconsistentListing)
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].email, address("mia"));
    assert_outcome(&report, Outcome::Partial);
    world.check_invariants().await;

    // The listing is whole again: the two who are gone go.
    opa.set_visibility("mia", Visibility::Listed).unwrap();
    let report = world.sync().await;
    assert_outcome(&report, Outcome::Applied);
    assert_eq!(world.standing("abe"), Some(AccountStatus::Inactive));
    assert_eq!(world.standing("mia"), Some(AccountStatus::Active));
    assert_outcome(&world.sync().await, Outcome::InSync);
}

#[tokio::test]
async fn a_listing_that_loses_somebody_between_two_looks_stops_those_still_to_come() {
    let world = World::empty().await;
    for name in ["amy", "mia", "zoe"] {
        world.member(name, &[]);
    }
    world.settings("[deactivation]\nabsent_grace = \"0s\"\n");
    world.sync().await;
    for name in ["mia", "zoe"] {
        world
            .sandbox
            .opa()
            .set_visibility(name, Visibility::Hidden)
            .unwrap();
    }
    // The first look finds nobody; the look right before the request finds both.
    let gone = || FaultKind::Answer(Answer::status(404));
    world
        .sandbox
        .inject(Fault::opa(gone()).on("GET", "/users/mia"));
    world
        .sandbox
        .inject(Fault::opa(gone()).on("GET", "/users/zoe").times(2));
    let report = world.sync().await;
    assert_eq!(status_of(&report, "mia"), ActionStatus::Skipped);
    assert_eq!(status_of(&report, "zoe"), ActionStatus::Skipped);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn somebody_who_left_a_required_group_is_asked_about_the_group_again() {
    let settings = "[scope]\nrequired_groups = [\"staff\"]\n";
    let world = World::empty().await;
    world.member("amy", &["staff"]);
    world.member("mia", &["staff"]);
    world.settings(settings);
    world.sync().await;
    world.sandbox.opa().leave("mia", "staff").unwrap();
    let back = Answer::status(200).json(&serde_json::json!({
        "list": [{ "id": "g1", "name": "staff", "roles": [], "deleted_at": null }] }));
    let membership = |does| Fault::opa(does).on("GET", "/users/mia/groups").always();
    world.sandbox.inject(membership(FaultKind::Answer(back)));
    world.settings(&format!("{settings}[roles]\nlookup = \"group\"\n"));
    let report = world.sync().await;
    assert_eq!(status_of(&report, "mia"), ActionStatus::Skipped);
    assert!(
        action_for(&report, "mia")
            .message
            .as_ref()
            .unwrap()
            .starts_with("reentitled")
    );
    assert!(world.writes().is_empty());

    for status in [500, 403, 404] {
        world.sandbox.clear_faults();
        let unreadable = FaultKind::Answer(Answer::status(status));
        world.sandbox.inject(membership(unreadable));
        let report = world.sync().await;
        assert_eq!(status_of(&report, "mia"), ActionStatus::Skipped, "{status}");
        assert!(world.writes().is_empty());
        world.clock.advance(Duration::from_mins(2));
    }
    world.sandbox.clear_faults();
    assert_outcome(&world.sync().await, Outcome::Applied);
    assert_eq!(world.standing("mia"), Some(AccountStatus::Inactive));
    world.check_invariants().await;
}
