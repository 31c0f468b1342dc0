//! The queue as an operator meets it: what is stuck and why, another try, and taking one out.

use rolecall::sandbox::{Answer, Fault, FaultKind};
use rolecall::store::RunLock;
use serde_json::Value;

use crate::operator::{COUNTING, Desk, addresses};

/// The ids in `queue list` with their states.
#[track_caller]
fn listed(desk: &Desk, args: &[&str]) -> Vec<(i64, String)> {
    let rows = desk.run(&[&["queue", "list"], args].concat()).json();
    let rows = rows.as_array().unwrap();
    let pair = |row: &Value| {
        let state = row["state"].as_str().unwrap().to_owned();
        (row["id"].as_i64().unwrap(), state)
    };
    rows.iter().map(pair).collect()
}

/// Somebody who owns pipelines leaves, and Opsera refuses to let the account go.
async fn refused() -> Desk {
    let desk = Desk::with(COUNTING).await;
    desk.own_something("p1");
    desk.leave(&["p1"]);
    let report = desk.sync(4);
    assert_eq!(report["actions"][0]["status"], "rejected");
    desk
}

/// Three leavers, one of whom is gone; the token was not accepted any more after that.
async fn interrupted() -> Desk {
    let desk =
        Desk::with("[guards]\nmax_opa_drop_percent = 100\nmax_deactivations_percent = 100\n").await;
    desk.leave(&["p1", "p2", "p3"]);
    let unauthorized = FaultKind::Answer(Answer::status(401));
    desk.sandbox
        .inject(Fault::opsera(unauthorized).on("DELETE", "/user/").after(1));
    desk.sync(1);
    desk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_action_is_listed_and_tried_again_when_the_operator_says_so() {
    let desk = refused().await;
    assert_eq!(listed(&desk, &[]), [(1, "rejected".to_owned())]);
    let table = desk.run(&["queue", "list", "--format", "table"]).out;
    assert!(
        table.contains("p1@example.com")
            && table.contains("refused by Opsera: ")
            && table.contains("the user owns 2 objects")
            && table.contains("not tried again before "),
        "{table}"
    );

    // The refusal is respected, although the objects have a new owner by now.
    desk.sandbox
        .opsera()
        .transfer_ownership("p1@example.com")
        .unwrap();
    desk.sync(0);
    assert!(desk.deactivated().is_empty());
    assert_eq!(listed(&desk, &[]), [(1, "rejected".to_owned())]);

    let told = desk.run(&["queue", "retry", "1", "--format", "table"]);
    assert_eq!(
        (told.status, told.out.as_str()),
        (
            0,
            "Action 1 (deactivate p1@example.com) may be tried again: the next `rolecall sync` \
             does so if it is still due.\n"
        )
    );
    let entries = desk.entries("action_skipped");
    let entry = entries.last().unwrap();
    assert!(
        entry["reason"]
            .as_str()
            .unwrap()
            .starts_with("released for another try by "),
        "{entry}"
    );
    assert_eq!(entry["email"], "p1@example.com");
    assert_eq!(entry["evidence"]["was"], "rejected");
    assert_eq!(listed(&desk, &[]), []);

    assert_eq!(desk.sync(0)["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1"]));
    assert_eq!(
        listed(&desk, &["--all"]),
        [(2, "succeeded".to_owned()), (1, "released".to_owned())]
    );
    assert_eq!(desk.run(&["audit", "verify"]).status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_action_is_left_alone_until_it_is_released() {
    let desk = interrupted().await;
    let left = [(3, "planned".to_owned()), (2, "planned".to_owned())];
    assert_eq!(listed(&desk, &[]), left);
    let told = desk.run(&["queue", "cancel", "2", "--format", "table"]);
    assert_eq!((told.status, told.err.as_str()), (0, ""));
    assert!(
        told.out.starts_with(
            "Action 2 (deactivate p2@example.com) is cancelled: it is not tried before "
        ) && told.out.ends_with(
            "or until `rolecall queue retry 2`.\nTo keep it from being done for good, protect \
                 the address (protect.emails).\n"
        ),
        "{}",
        told.out
    );
    let entries = desk.entries("action_skipped");
    let reason = entries.last().unwrap()["reason"].as_str().unwrap();
    assert!(reason.starts_with("cancelled by "), "{reason}");

    let report = desk.sync(4);
    assert_eq!(report["outcome"], "partial");
    assert_eq!(desk.deactivated(), addresses(&["p1", "p3"]));
    assert_eq!(listed(&desk, &[]), [(2, "cancelled".to_owned())]);
    let released = desk.run(&["queue", "retry", "2"]).json();
    let expected = serde_json::json!({
        "schema": "rolecall.queue_decision/1",
        "id": 2,
        "was": "cancelled",
        "state": "released",
        "kind": "deactivate",
        "email": "p2@example.com",
        "opsera_id": released["opsera_id"],
        "not_before": null,
    });
    assert_eq!(released, expected);
    assert_eq!(desk.sync(0)["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1", "p2", "p3"]));
    assert_eq!(listed(&desk, &[]), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_nobody_wants_any_more_is_not_listed_for_ever() {
    let desk = refused().await;
    // Back in the Team: the next run does not want it, and its time is over.
    desk.sandbox.opa().enable("p1").unwrap();
    let mut store = attach(&desk).await;
    sqlx::query("UPDATE actions SET next_attempt_at = '2020-01-01T00:00:00.000Z' WHERE id = 1")
        .execute(&mut store)
        .await
        .unwrap();
    assert_eq!(desk.sync(0)["outcome"], "in_sync");
    assert_eq!(listed(&desk, &[]), []);
    assert_eq!(listed(&desk, &["--all"]), [(1, "rejected".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_listed_until_a_later_run_had_its_say() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1"]);
    let broken = FaultKind::Answer(Answer::status(500));
    desk.sandbox
        .inject(Fault::opsera(broken).on("DELETE", "/user/").times(4));
    let told = desk.run_with(&["sync"], &[("ROLECALL__RETRY__MAX_ATTEMPTS", "2")]);
    assert_eq!(told.status, 4, "{told:?}");
    assert_eq!(listed(&desk, &[]), [(1, "failed".to_owned())]);
    let table = desk.run(&["queue", "list", "--format", "table"]).out;
    assert!(table.contains("; the next run tries again"), "{table}");
    desk.sandbox.clear_faults();
    desk.sync(0);
    assert_eq!(listed(&desk, &[]), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_in_one_sentence() {
    let desk = interrupted().await;
    for (args, sentence) in [
        (
            ["queue", "retry", "2"],
            "action 2 (deactivate p2@example.com) cannot be retried because it is planned: the \
             next run tries it anyway if it is still due",
        ),
        (
            ["queue", "cancel", "1"],
            "action 1 (deactivate p1@example.com) cannot be cancelled because it is succeeded: it \
             is over",
        ),
        (
            ["queue", "retry", "77"],
            "there is no action 77 in the queue: `rolecall queue list` shows the ids",
        ),
        (
            ["queue", "cancel", "p2@example.com"],
            "there is no action p2@example.com in the queue: `rolecall queue list` shows the ids",
        ),
    ] {
        assert_eq!(desk.run(&args).refused(), sentence);
    }

    let desk = refused().await;
    assert_eq!(
        desk.run(&["queue", "cancel", "1"]).refused(),
        "action 1 (deactivate p1@example.com) cannot be cancelled because it is rejected: Opsera \
         refused it, and it is not tried again until its time has passed; protect the address \
         (protect.emails) to stop it for good"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_of_a_run_that_is_under_way_is_not_cancelled_but_one_of_a_killed_run_is() {
    let desk = interrupted().await;
    let mut store = attach(&desk).await;
    sqlx::query("UPDATE runs SET finished_at = NULL, outcome = NULL")
        .execute(&mut store)
        .await
        .unwrap();
    let clock = rolecall::domain::time::SystemClock::shared();
    let lock = RunLock::acquire(&desk.path("rolecall.db"), &*clock).unwrap();
    let told = desk.run(&["queue", "cancel", "2"]);
    assert_eq!((told.status, told.out.as_str()), (5, ""));
    assert_eq!(
        told.err,
        "rolecall: a run that is under way carries Action 2 (deactivate p2@example.com) out: wait \
         for the end of the run, or interrupt it, before you cancel the action\n"
    );
    drop(lock);
    let told = desk.run(&["queue", "cancel", "2"]);
    assert_eq!(told.status, 0);
    let cancelled = told.json();
    assert_eq!(
        (&cancelled["was"], &cancelled["state"]),
        (&"planned".into(), &"cancelled".into())
    );
    assert!(cancelled["not_before"].is_string(), "{cancelled}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_yet_is_empty() {
    let desk = Desk::with(COUNTING).await;
    assert_eq!(listed(&desk, &[]), []);
    let table = desk.run(&["queue", "list", "--format", "table"]).out;
    assert_eq!(
        table,
        format!(
            "There has been no run yet: there is no store at {}.\n",
            desk.path("rolecall.db").display()
        )
    );
    assert_eq!(
        desk.run(&["queue", "retry", "1"]).refused(),
        format!(
            "there is no store at {} yet: nothing has run with this store.path; begin with `rolecall sync --dry-run`, or name other settings with --config",
            desk.path("rolecall.db").display()
        )
    );
}

/// A connection for what no command does.
pub(crate) async fn attach(desk: &Desk) -> sqlx::SqliteConnection {
    use sqlx::Connection as _;
    let path = desk.path("rolecall.db");
    sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}
