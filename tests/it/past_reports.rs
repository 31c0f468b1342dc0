//! Past reports: what `sync` printed is printed again, byte for byte, for as long as the run is
//! kept, and whatever is not there any more is said in one sentence.

mod guards_over_time;
mod kept;

use std::path::Path;

use rolecall::audit::{Actor, AuditWriter};
use rolecall::domain::time::{SharedClock, SystemClock};
use rolecall::domain::{KindSet, Mode, RunId};
use rolecall::sandbox::{Answer, Fault, FaultKind};
use rolecall::store::{RunLimits, Store};
use sqlx::{Connection as _, SqliteConnection};

use crate::operator::{COUNTING, Desk, Told};

#[track_caller]
fn out(told: &Told) -> &str {
    assert_eq!((told.status, told.err.as_str()), (0, ""), "{told:?}");
    &told.out
}

#[track_caller]
fn one_sentence(told: &Told, status: i32) -> &str {
    assert_eq!((told.status, told.out.as_str()), (status, ""), "{told:?}");
    let line = told.err.strip_prefix("error: ").expect(&told.err);
    let line = line.strip_suffix('\n').expect(line);
    assert!(!line.contains('\n'), "more than one line: {line}");
    line
}

fn id_of(report: &str) -> String {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    report["run_id"].as_str().unwrap().to_owned()
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}

async fn edit(desk: &Desk, statement: &'static str) {
    let mut store = connect(&desk.path("rolecall.db")).await;
    sqlx::query(statement).execute(&mut store).await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sync_printed_is_printed_again_byte_for_byte_however_the_run_ended() {
    let desk = Desk::with(COUNTING).await;
    desk.own_something("p1");
    let mut printed = Vec::new();
    let mut sync = |arguments: &[&str], status: i32| {
        let told = desk.run(arguments);
        assert_eq!(told.status, status, "{told:?}");
        crate::report_schema::parsed(&told.out);
        printed.push(told.out);
    };
    sync(&["sync"], 0);
    desk.leave(&["p1"]);
    sync(&["sync", "--dry-run"], 0);
    sync(&["sync"], 4);
    desk.leave(&["p2", "p3"]);
    sync(&["sync"], 3);
    let forbidden = FaultKind::Answer(Answer::status(403));
    desk.sandbox
        .inject(Fault::opa(forbidden).on("GET", "/users").always());
    sync(&["sync"], 1);
    let outcomes: Vec<String> = printed
        .iter()
        .map(|report| {
            let report: serde_json::Value = serde_json::from_str(report).unwrap();
            report["outcome"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        outcomes,
        ["in_sync", "changes_pending", "partial", "held", "failed"]
    );
    for report in &printed {
        let id = id_of(report);
        assert_eq!(out(&desk.run(&["report", &id])), report);
        assert_eq!(out(&desk.run(&["report", &id[..13]])), report);
    }
    assert_eq!(out(&desk.run(&["report", "latest"])), printed[4]);
    assert_eq!(out(&desk.run(&["report", "last-held"])), printed[3]);
    // The held one names everybody whom its guard concerns.
    assert!(printed[3].contains("\"concerned\""));
    let file = desk.path("held.html");
    let told = desk.run(&[
        "report",
        "last-held",
        "--format",
        "html",
        "--output",
        file.to_str().unwrap(),
    ]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("p2@example.com")
    );
    let table = desk.run(&["report", &id_of(&printed[2])[..8], "--format", "table"]);
    assert!(out(&table).contains("1 refused by Opsera"), "{table:?}");

    let told = desk.run(&["report", "--diff", &id_of(&printed[2]), "last-held"]);
    let diff: serde_json::Value = serde_json::from_str(out(&told)).unwrap();
    assert_eq!(diff["schema"], "rolecall.report_diff/1");
    assert_eq!(diff["after"]["outcome"], "held");
    assert_eq!(diff["actions"]["new"].as_array().unwrap().len(), 2);
    assert_eq!(
        diff["actions"]["changed"][0]["before"]["status"],
        "rejected"
    );
    let told = desk.run(&[
        "report",
        "--diff",
        "latest",
        "last-held",
        "--format",
        "table",
    ]);
    assert!(out(&told).starts_with("3 actions new."), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_shown_is_said_in_one_sentence() {
    let desk = Desk::with(COUNTING).await;
    let told = desk.run(&["report", "latest"]);
    assert!(one_sentence(&told, 1).starts_with("there is no store at"));
    let first = id_of(out(&desk.run(&["sync"])));
    let told = desk.run(&["report", "zzz"]);
    assert_eq!(
        one_sentence(&told, 2),
        format!("no run has an id that begins with zzz: the latest runs are {first}")
    );
    let told = desk.run(&["report", "last-held"]);
    assert_eq!(
        one_sentence(&told, 1),
        "no run that is kept was held by a guard"
    );
    for wrong in [
        ["report"].as_slice(),
        &["report", "latest", "--diff", "latest", "latest"],
        &["report", "--diff", "latest"],
        &["report", " "],
    ] {
        assert_eq!(desk.run(wrong).status, 2, "{wrong:?}");
    }

    // A run that was killed: nobody has closed it yet.
    let (store, audit_writer) = library_store(&desk).await;
    begin(&store, &audit_writer, &RunId::new("killed-1")).await;
    store.close().await;
    let told = desk.run(&["report", "killed-1"]);
    let words = one_sentence(&told, 1);
    assert!(words.starts_with("run killed-1 of 20"), "{words}");
    assert!(words.ends_with("has no end: it is under way, or was killed"));
    let told = desk.run(&["report", "latest"]);
    assert_eq!(
        (told.status, id_of(&told.out)),
        (0, first.clone()),
        "{told:?}"
    );
    assert!(
        told.err.starts_with("rolecall: run killed-1 of"),
        "{told:?}"
    );
    assert!(told.err.contains("is newer and has no end"), "{told:?}");

    // The next one closes it.
    let (store, audit_writer) = library_store(&desk).await;
    begin(&store, &audit_writer, &RunId::new("killed-2")).await;
    store.close().await;
    for given in ["killed-1", "latest"] {
        let told = desk.run(&["report", given]);
        let words = one_sentence(&told, 1);
        assert!(
            words.contains("was killed before it could report"),
            "{words}"
        );
    }
    let told = desk.run(&["report", "killed"]);
    assert_eq!(
        one_sentence(&told, 2),
        "more than one run has an id that begins with killed: killed-1, killed-2"
    );
    let told = desk.run(&["audit", "list", "--run", "killed"]);
    assert!(one_sentence(&told, 2).starts_with("more than one run"));

    edit(
        &desk,
        "UPDATE runs SET report_rows = NULL WHERE report IS NOT NULL",
    )
    .await;
    let told = desk.run(&["report", &first]);
    let words = one_sentence(&told, 1);
    assert!(
        words.starts_with(&format!(
            "the people of run {first} were not kept, because an older version of rolecall wrote \
             its report (in sync: 0 to deactivate"
        )),
        "{words}"
    );
    edit(&desk, "DELETE FROM runs").await;
    let told = desk.run(&["report", &first[..8]]);
    assert!(one_sentence(&told, 1).contains("is no longer kept (store.retain)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_named_by_the_beginning_of_its_id() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let plan = desk.hold();
    let shown = desk.run(&["plan", "show", &plan[..4]]).json();
    assert_eq!(shown["plan_id"], plan.as_str());
    desk.approve(&plan[..5]);
    assert_eq!(desk.state(&plan), "approved");
    let told = desk.run(&["plan", "show", "zz"]);
    assert!(told.refused().contains("there is no held plan zz"));
    let run = shown["run_id"].as_str().unwrap();
    let entries = desk.run(&["audit", "list", "--run", &run[..8]]).json();
    assert!(!entries.as_array().unwrap().is_empty());
}

async fn library_store(desk: &Desk) -> (Store, AuditWriter) {
    open(&desk.path("rolecall.db"), SystemClock::shared()).await
}

async fn open(path: &Path, clock: SharedClock) -> (Store, AuditWriter) {
    let store = Store::open(path, &*clock).await.unwrap();
    let audit_writer = AuditWriter {
        clock,
        actor: Actor::of_this_process(),
        key: None,
    };
    (store, audit_writer)
}

async fn begin(store: &Store, audit_writer: &AuditWriter, run: &RunId) {
    let limits = RunLimits {
        kinds: &KindSet::all(),
        people: None,
    };
    let now = audit_writer.clock.now();
    store
        .begin_run(audit_writer, run, Mode::Apply, limits, now)
        .await
        .unwrap();
}
