//! `status`: whether all is well, and if not, what is stuck and why.

use rolecall::sandbox::{Answer, Fault, FaultKind};

use crate::mounts::Mount;
use crate::operator::{COUNTING, Desk};
use crate::queue_commands::attach;
use crate::requirements::{Requirement, require};

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_run_there_is_nothing_to_show_and_that_is_no_failure() {
    let desk = Desk::with(COUNTING).await;
    let told = desk.run(&["status", "--format", "table"]);
    let store = desk.path("rolecall.db").display().to_string();
    let expected = format!("There has been no run yet: there is no store at {store}.\n");
    assert_eq!((told.status, told.out), (0, expected));
    let json = desk.run(&["status"]).json();
    assert_eq!(json["schema"], "rolecall.status/1");
    assert_eq!(json["runs"], serde_json::json!([]));
    assert!(!desk.path("rolecall.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_lost_is_a_failure() {
    let desk = Desk::with("[audit]\ncheckpoint_file = \"checkpoints\"\n").await;
    desk.sync(0);
    std::fs::remove_file(desk.path("rolecall.db")).unwrap();
    let told = desk.run(&["status"]);
    let store = desk.path("rolecall.db").display().to_string();
    assert!(
        told.refused()
            .contains(&format!("but there is no store at {store}")),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_snapshot_plans_audit_log_and_size_are_shown() {
    let desk = Desk::with(COUNTING).await;
    let first = desk.sync(0);
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    desk.sandbox.inject(
        Fault::opa(FaultKind::Answer(Answer::status(403)))
            .on("GET", "/users")
            .always(),
    );
    let failed = desk.sync(1);

    let json = desk.run(&["status"]).json();
    let outcomes: Vec<&str> = json["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failed", "held", "in_sync"]);
    assert_eq!(json["runs"][0]["error"], failed["error"]);
    assert_eq!(json["runs"][1]["plan_id"], id.as_str());
    assert_eq!(json["runs"][1]["summary"]["deactivate"], 2);
    assert_eq!(json["last_success_at"], first["finished_at"]);
    // The held run read everything; the failed one did not.
    let pulled = json["snapshot_at"].as_str().unwrap();
    assert!(pulled > first["finished_at"].as_str().unwrap());
    assert!(pulled < failed["started_at"].as_str().unwrap());
    assert!(json["snapshot_age_seconds"].as_i64().unwrap() < 60);
    assert_eq!(json["plans"][0]["plan_id"], id.as_str());
    assert_eq!(json["plans"][0]["state"], "held");
    assert_eq!(json["audit"]["head"], failed["audit_head"]);
    let size = std::fs::metadata(desk.path("rolecall.db")).unwrap().len();
    assert_eq!(json["store"]["bytes"].as_u64(), Some(size));

    let table = desk.run(&["status", "--format", "table"]);
    assert_eq!((table.status, table.err.as_str()), (0, ""));
    for words in [
        "Last success ",
        "Last complete pull ",
        "0 planned, 0 in flight",
        "Plans held by a guard",
        "2 actions, decide by ",
        &format!("rolecall plan show {id}"),
        "2 deactivate",
        failed["audit_head"].as_str().unwrap(),
    ] {
        assert!(table.out.contains(words), "no “{words}” in:\n{}", table.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_is_shown_with_the_reason() {
    let desk =
        Desk::with("[guards]\nmax_opa_drop_percent = 100\nmax_deactivations_percent = 100\n").await;
    desk.own_something("p1");
    desk.leave(&["p1", "p2", "p3"]);
    let unauthorized = FaultKind::Answer(Answer::status(401));
    desk.sandbox
        .inject(Fault::opsera(unauthorized).on("DELETE", "/user/").after(1));
    desk.sync(1);
    // As a kill right after a request leaves it.
    let mut store = attach(&desk).await;
    sqlx::query("UPDATE actions SET state = 'in_flight', attempts = 1 WHERE id = 3")
        .execute(&mut store)
        .await
        .unwrap();

    let json = desk.run(&["status"]).json();
    let depth = &json["queue"]["depth"];
    assert_eq!(
        (&depth["rejected"], &depth["planned"], &depth["in_flight"]),
        (&1.into(), &1.into(), &1.into())
    );
    let stuck = json["queue"]["stuck"].as_array().unwrap();
    assert_eq!(stuck.len(), 3);
    assert_eq!(stuck[2]["state"], "rejected");
    assert_eq!(stuck[2]["email"], "p1@example.com");
    assert!(stuck[2]["next_attempt_at"].is_string());
    let table = desk.run(&["status", "--format", "table"]).out;
    for words in [
        "1 planned, 1 in flight; on record 1 rejected",
        "the next run settles it by reading the account",
        "refused by Opsera: ",
        "the user owns 2 objects",
        "the next run plans it afresh",
    ] {
        assert!(table.contains(words), "no “{words}” in:\n{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_told_from_one_that_is_under_way_by_the_lock() {
    let desk = Desk::with(COUNTING).await;
    desk.sync(0);
    let state = || desk.run(&["status"]).json()["runs"][0]["state"].clone();
    assert_eq!(state(), "finished");
    sqlx::query("UPDATE runs SET finished_at = NULL, outcome = NULL")
        .execute(&mut attach(&desk).await)
        .await
        .unwrap();
    let clock = rolecall::domain::time::SystemClock::shared();
    let lock = rolecall::store::RunLock::acquire(&desk.path("rolecall.db"), &*clock).unwrap();
    assert_eq!(state(), "under_way");
    drop(lock);
    assert_eq!(state(), "killed");
    let table = desk.run(&["status", "--format", "table"]).out;
    assert!(table.contains("killed; the next run settles it"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_a_directory_that_takes_no_files_can_be_looked_at() {
    if !require(Requirement::Mounts) {
        return;
    }
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let plan = desk.hold();
    let place = desk.path("copy");
    let mount = Mount::memory(&place, "16m");
    std::fs::copy(desk.path("rolecall.db"), place.join("rolecall.db")).unwrap();
    mount.change("ro");
    let path = place.join("rolecall.db").display().to_string();
    let look = |args: &[&str]| desk.run_with(args, &[("ROLECALL__STORE__PATH", &path)]);
    assert_eq!(look(&["status"]).json()["plans"][0]["plan_id"], *plan);
    for args in [
        &["audit", "verify"][..],
        &["audit", "list"],
        &["plan", "show", &plan],
        &["queue", "list"],
    ] {
        let told = look(args);
        assert_eq!(told.status, 0, "{args:?}: {told:?}");
    }

    mount.change("rw");
    std::fs::write(place.join("rolecall.db-wal"), "rows").unwrap();
    mount.change("ro");
    let told = look(&["status"]);
    assert!(told.refused().contains("directory of your own"), "{told:?}");
}
