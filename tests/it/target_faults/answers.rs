//! Every answer to every kind of write.

use std::time::Duration;

use rolecall::domain::{ActionKind, ActionStatus, Outcome};
use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind};

use crate::fault_world::{TIMEOUT, World, action, assert_outcome};

const KINDS: [(ActionKind, &str, &str); 3] = [
    (ActionKind::SetRole, "PUT", "mia"),
    (ActionKind::Create, "POST", "joe"),
    (ActionKind::Deactivate, "DELETE", "lea"),
];

/// Whether Opsera is as the plan wanted it for this kind.
fn is_done(world: &World, kind: ActionKind) -> bool {
    match kind {
        ActionKind::SetRole => world.role("mia") == "PowerUsers",
        ActionKind::Create => world.standing("joe") == Some(AccountStatus::Pending),
        ActionKind::Deactivate => world.standing("lea") == Some(AccountStatus::Inactive),
    }
}

/// A world in which one write of this kind is answered so, and everything else goes well.
async fn world_with(method: &str, does: FaultKind) -> World {
    let world = World::one_of_each().await;
    world
        .sandbox
        .inject(Fault::opsera(does).on(method, "/user"));
    world
}

async fn check_other_kinds(world: &World, kind: ActionKind) {
    for (other, _, _) in KINDS.into_iter().filter(|(other, _, _)| *other != kind) {
        assert!(is_done(world, other), "{other} should not suffer");
    }
    world.check_invariants().await;
}

/// The next run finishes what is due, and the one after it finds nothing.
async fn check_recovery(world: &World, kind: ActionKind) {
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_hours(25));
    world.sync().await;
    world.check_invariants().await;
    assert!(is_done(world, kind), "{kind} is done in the end");
    assert_outcome(&world.sync().await, Outcome::InSync);
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn trouble_that_passes_is_tried_again_after_a_look_and_happens_once() {
    for status in [408, 500, 502, 503, 504] {
        for (kind, method, _) in KINDS {
            for happened in [false, true] {
                let answer = Answer::status(status).body("trouble");
                let world = world_with(
                    method,
                    if happened {
                        FaultKind::AnswerAfterEffect(answer)
                    } else {
                        FaultKind::Answer(answer)
                    },
                )
                .await;
                let report = world.sync().await;
                assert_outcome(&report, Outcome::Applied);
                let told = action(&report, kind);
                assert_eq!(told.status, ActionStatus::Succeeded, "{status} {kind}");
                let sent = world.writes_of(method).len();
                // A role may be set twice; what cannot be undone is read first.
                let expected = if happened && kind != ActionKind::SetRole {
                    1
                } else {
                    2
                };
                assert_eq!(sent, expected, "{status} {kind} {happened}");
                assert_eq!(usize::try_from(told.attempts).unwrap(), sent);
                check_other_kinds(&world, kind).await;
                check_recovery(&world, kind).await;
            }
        }
    }
}

#[tokio::test]
async fn trouble_that_is_not_worth_repeating_is_read_and_told() {
    for status in [501, 505, 507] {
        for (kind, method, _) in KINDS {
            for happened in [false, true] {
                let answer = Answer::status(status);
                let does = if happened {
                    FaultKind::AnswerAfterEffect(answer)
                } else {
                    FaultKind::Answer(answer)
                };
                let world = world_with(method, does).await;
                let report = world.sync().await;
                let told = action(&report, kind);
                assert_eq!(world.writes_of(method).len(), 1, "{status} {kind}");
                let known_done = happened && kind != ActionKind::SetRole;
                let expected = if known_done {
                    ActionStatus::Succeeded
                } else {
                    ActionStatus::Failed
                };
                assert_eq!(told.status, expected, "{status} {kind} {happened}");
                let outcome = if known_done {
                    Outcome::Applied
                } else {
                    Outcome::Partial
                };
                assert_outcome(&report, outcome);
                check_other_kinds(&world, kind).await;
                check_recovery(&world, kind).await;
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_opseras_words_and_respected_for_a_day() {
    for status in [400, 409, 422] {
        for (kind, method, _) in KINDS {
            let words = "the user owns 3 pipelines";
            let answer = Answer::status(status).json(&serde_json::json!({ "message": words }));
            let world = world_with(method, FaultKind::Answer(answer)).await;
            let report = world.sync().await;
            assert_outcome(&report, Outcome::Partial);
            let told = action(&report, kind);
            assert_eq!(told.status, ActionStatus::Rejected, "{status} {kind}");
            assert!(told.message.as_ref().unwrap().contains(words));
            assert_eq!(world.writes_of(method).len(), 1);
            check_other_kinds(&world, kind).await;

            world.clock.advance(Duration::from_hours(23));
            let report = world.sync().await;
            let told = action(&report, kind);
            assert_eq!(told.status, ActionStatus::Rejected, "{status} {kind}");
            assert_eq!(told.attempts, 0);
            assert!(told.message.as_ref().unwrap().contains(words));
            assert!(world.writes().is_empty(), "{status} {kind}");

            world.clock.advance(Duration::from_hours(2));
            let report = world.sync().await;
            assert_outcome(&report, Outcome::Applied);
            assert!(is_done(&world, kind));
            assert_outcome(&world.sync().await, Outcome::InSync);
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_nothing_is_repeated() {
    for (kind, method, _) in KINDS {
        let answer = Answer::status(301).header("location", "http://127.0.0.1:9/elsewhere");
        let world = world_with(method, FaultKind::Answer(answer)).await;
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        let told = action(&report, kind);
        assert_eq!(told.status, ActionStatus::Failed);
        assert!(told.message.as_ref().unwrap().contains("redirect"));
        assert_eq!(world.writes_of(method).len(), 1);
        check_other_kinds(&world, kind).await;
        check_recovery(&world, kind).await;
    }
}

#[tokio::test]
async fn not_found_is_looked_into_before_it_is_believed() {
    for (kind, method, _) in KINDS {
        let world = world_with(method, FaultKind::Answer(Answer::status(404))).await;
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        let told = action(&report, kind);
        assert_eq!(told.status, ActionStatus::Failed, "{kind}");
        assert_eq!(world.writes_of(method).len(), 1);
        check_other_kinds(&world, kind).await;
        check_recovery(&world, kind).await;
    }
}

#[tokio::test]
async fn any_success_will_do_if_the_account_agrees() {
    for status in [200, 201, 202, 204] {
        for (kind, method, _) in KINDS {
            let answer = Answer::status(status);
            let world = world_with(method, FaultKind::AnswerAfterEffect(answer)).await;
            let report = world.sync().await;
            assert_outcome(&report, Outcome::Applied);
            let told = action(&report, kind);
            assert_eq!((told.status, told.attempts), (ActionStatus::Succeeded, 1));
            check_other_kinds(&world, kind).await;
            check_recovery(&world, kind).await;
        }
    }
}

#[tokio::test]
async fn a_success_that_did_nothing_to_a_leaver_is_called_a_failure() {
    for does in [
        FaultKind::Pretend,
        FaultKind::Answer(Answer::status(200)),
        FaultKind::Answer(Answer::status(201)),
        FaultKind::Answer(Answer::status(204)),
        FaultKind::Answer(Answer::status(200).body("User deactivation completed: false")),
    ] {
        let world = world_with("DELETE", does).await;
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        let told = action(&report, ActionKind::Deactivate);
        assert_eq!(told.status, ActionStatus::Failed);
        assert!(told.message.as_ref().unwrap().contains("still active"));
        assert_eq!(
            world.writes_of("DELETE").len(),
            1,
            "the next run tries again"
        );
        check_recovery(&world, ActionKind::Deactivate).await;
    }
}

#[tokio::test]
async fn a_creation_that_only_pretended_is_found_by_the_next_run() {
    let world = world_with("POST", FaultKind::Pretend).await;
    world.sync().await;
    assert_eq!(world.standing("joe"), None);
    check_recovery(&world, ActionKind::Create).await;
}

#[tokio::test]
async fn the_record_of_another_account_is_no_answer() {
    for (kind, method, _) in KINDS {
        let world = World::one_of_each().await;
        let id = world.id("amy");
        let echo = FaultKind::EchoAccount { id };
        world
            .sandbox
            .inject(Fault::opsera(echo).on(method, "/user"));
        let report = world.sync().await;
        assert_eq!(action(&report, kind).attempts, 1);
        assert_eq!(world.writes_of(method).len(), 1);
        check_other_kinds(&world, kind).await;
        check_recovery(&world, kind).await;
    }
}

#[tokio::test]
async fn a_page_for_people_is_no_success() {
    for (kind, method, _) in KINDS {
        let page = Answer::status(200).body("<html><body>Sign in</body></html>");
        let world = world_with(method, FaultKind::Answer(page)).await;
        let report = world.sync().await;
        assert_outcome(&report, Outcome::Partial);
        let told = action(&report, kind);
        assert_eq!(told.status, ActionStatus::Failed, "{kind}");
        assert!(told.message.as_ref().unwrap().contains("HTML"), "{told:?}");
        assert_eq!(world.writes_of(method).len(), 1);
        check_other_kinds(&world, kind).await;
        check_recovery(&world, kind).await;
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_stalls_is_looked_into_before_anything_is_repeated() {
    let faults = [
        (FaultKind::CutBeforeEffect, false),
        (FaultKind::CutAfterEffect, true),
        (FaultKind::StallBeforeEffect, false),
        (FaultKind::StallAfterEffect, true),
        (FaultKind::Truncate(5), true),
        (FaultKind::Truncate(0), true),
    ];
    for (does, happened) in faults {
        for (kind, method, _) in KINDS {
            let world = world_with(method, does.clone()).await;
            let started = std::time::Instant::now();
            let report = world.sync().await;
            assert!(started.elapsed() < TIMEOUT * 10, "{does:?} {kind}");
            assert_outcome(&report, Outcome::Applied);
            let told = action(&report, kind);
            assert_eq!(told.status, ActionStatus::Succeeded, "{does:?} {kind}");
            let expected = if happened && kind != ActionKind::SetRole {
                1
            } else {
                2
            };
            assert_eq!(world.writes_of(method).len(), expected, "{does:?} {kind}");
            check_other_kinds(&world, kind).await;
            check_recovery(&world, kind).await;
        }
    }
}

#[tokio::test]
async fn a_role_of_which_nothing_is_known_after_a_lost_answer_is_set_again_by_the_next_run() {
    let world = World::one_of_each().await;
    let lost = Fault::opsera(FaultKind::AnswerAfterEffect(Answer::status(507)));
    world.sandbox.inject(lost.on("PUT", "/user"));
    world.sync().await;
    let report = world.sync().await;
    let again = action(&report, ActionKind::SetRole);
    assert_eq!(again.from, None, "what Opsera has is not known");
    assert_eq!(again.status, ActionStatus::Succeeded);
    assert_outcome(&world.sync().await, Outcome::InSync);
}
