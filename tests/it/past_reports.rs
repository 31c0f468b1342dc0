//! Past reports: what `sync` printed is printed again, byte for byte, for as long as the run is
//! kept; kept by difference; and whatever is not there any more is said in one sentence.

use std::path::Path;
use std::time::Duration;

use rolecall::audit::{Actor, AuditWriter};
use rolecall::domain::time::{SharedClock, SystemClock};
use rolecall::domain::{
    ActionKind, ActionStatus, Finding, FindingKind, GuardReport, KindSet, Mode, Outcome, Report,
    RunId,
};
use rolecall::sandbox::{Answer, Fault, FaultKind};
use rolecall::store::{FinishedRun, PastReport, RunLimits, Store, StoreError};
use sqlx::{Connection as _, SqliteConnection};

use crate::operator::{COUNTING, Desk, Told};
use crate::reports::examples::{action, at, dry_run, held, hostile, partial};

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
    desk.sandbox
        .opsera()
        .edit("p1@example.com", |account| account.owned_objects = 2)
        .unwrap();
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
        &["report"] as &[&str],
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

/// A run that reports this.
async fn reported(store: &Store, audit_writer: &AuditWriter, report: &Report) -> Report {
    begin(store, audit_writer, &report.run_id).await;
    let head = store
        .finish_run(audit_writer, FinishedRun { report })
        .await
        .unwrap();
    Report {
        audit_head: Some(head.hash),
        ..report.clone()
    }
}

fn named(id: &str, report: Report) -> Report {
    Report {
        run_id: RunId::new(id),
        ..report
    }
}

async fn count(store: &Store, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(store.reader())
        .await
        .unwrap()
}

const PARTS: &str = "SELECT count(*) FROM report_parts";

#[tokio::test]
async fn every_row_comes_back_in_its_order_whatever_it_is_about() {
    let directory = tempfile::tempdir().unwrap();
    let (store, audit_writer) = open(&directory.path().join("s.db"), SystemClock::shared()).await;
    let mut addresses: Vec<String> = (0..3000)
        .map(|n| format!("p{}@x.com", n * 7 % 3001))
        .collect();
    // Addresses that somebody chose so that no part would ever end.
    addresses.extend(std::iter::repeat_n("p0@x.com".to_owned(), 2000));
    addresses.extend([
        "".to_owned(),
        "a\nb\u{0}".to_owned(),
        "é\u{202e}".to_owned(),
    ]);
    let many = Report {
        actions: addresses
            .iter()
            .map(|email| action(ActionKind::Deactivate, email, ActionStatus::Held))
            .collect(),
        findings: addresses
            .iter()
            .map(|email| Finding {
                kind: FindingKind::InvalidEmail,
                email: email.clone(),
                detail: "é".repeat(20),
            })
            .collect(),
        guards: vec![GuardReport {
            concerned: addresses.clone(),
            ..held().guards.remove(0)
        }],
        ..held()
    };
    let long = Report {
        findings: vec![Finding {
            kind: FindingKind::InvalidEmail,
            email: "long".to_owned(),
            detail: "x".repeat(3 * 1024 * 1024),
        }],
        ..dry_run()
    };
    for report in [
        named("1", many),
        named("2", hostile()),
        named("3", partial()),
        named("4", dry_run()),
        named("5", long),
    ] {
        let printed = reported(&store, &audit_writer, &report).await;
        let PastReport::Whole(kept) = store.past_report(&report.run_id).await.unwrap() else {
            panic!("{} is not whole", report.run_id);
        };
        assert_eq!(
            serde_json::to_string(&kept).unwrap(),
            serde_json::to_string(&printed).unwrap()
        );
    }
    store.close().await;
}

/// A plan of `people` deactivations that a guard holds.
fn large(people: usize) -> Report {
    let addresses: Vec<String> = (0..people)
        .map(|n| format!("person.{n:06}@example.com"))
        .collect();
    Report {
        actions: addresses
            .iter()
            .enumerate()
            .map(|(n, email)| {
                let mut row = action(ActionKind::Deactivate, email, ActionStatus::Held);
                row.opsera_id = Some(rolecall::domain::OpseraId::new(format!("{n:024x}")));
                row.evidence = serde_json::json!({ "opa_records": [{
                    "id": format!("{:08x}-0000-4000-8000-{n:012x}", n.wrapping_mul(2_654_435_761)),
                    "name": format!("person.{n:06}"), "status": "DISABLED", "email": email,
                }]});
                row
            })
            .collect(),
        guards: vec![GuardReport {
            concerned: addresses,
            ..held().guards.remove(0)
        }],
        ..held()
    }
}

#[tokio::test]
async fn a_row_that_changes_costs_its_own_part_and_what_no_run_needs_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    let (store, audit_writer) = open(&path, SystemClock::shared()).await;
    let first = named("1", large(5_000));
    reported(&store, &audit_writer, &first).await;
    let parts = count(&store, PARTS).await;
    assert!((60..400).contains(&parts), "{parts}");

    // The same again, and again without anybody: nothing is added but a name for nobody.
    reported(&store, &audit_writer, &named("2", first.clone())).await;
    assert_eq!(count(&store, PARTS).await, parts);
    assert_eq!(count(&store, "SELECT count(*) FROM report_rows").await, 1);

    // Somebody in the middle left the plan, somebody else was done.
    let mut third = named("3", first.clone());
    third.actions.remove(2_000);
    third.actions[3_000].status = ActionStatus::Succeeded;
    reported(&store, &audit_writer, &third).await;
    let more = count(&store, PARTS).await - parts;
    assert!((1..=4).contains(&more), "{more} parts for two rows");

    // The first two go, and with them what the third does not need.
    let mut tx = store.begin().await.unwrap();
    sqlx::query("DELETE FROM runs WHERE id IN ('1', '2')")
        .execute(&mut *tx)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM report_rows").await, 1);
    assert!(count(&store, PARTS).await <= parts);
    let PastReport::Whole(kept) = store.past_report(&third.run_id).await.unwrap() else {
        panic!("the third run is not whole");
    };
    assert_eq!(kept.actions, third.actions);

    // What is older than `store.retain` goes too, but for the last run's.
    let later = audit_writer.clock.now() + chrono::TimeDelta::days(400);
    store.prune(Duration::from_hours(24), later).await.unwrap();
    for table in [
        PARTS,
        "SELECT count(*) FROM report_rows",
        "SELECT count(*) FROM report_row_parts",
    ] {
        assert_eq!(count(&store, table).await, 0, "{table}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_corrected_end_has_the_rows_of_the_correction() {
    let directory = tempfile::tempdir().unwrap();
    let (store, audit_writer) = open(&directory.path().join("s.db"), SystemClock::shared()).await;
    let mut report = named("1", dry_run());
    reported(&store, &audit_writer, &report).await;
    report.outcome = Outcome::Failed;
    report.actions.clear();
    let head = store
        .correct_run(&audit_writer, FinishedRun { report: &report })
        .await
        .unwrap();
    report.audit_head = Some(head.hash);
    assert_eq!(
        store.past_report(&report.run_id).await.unwrap(),
        PastReport::Whole(Box::new(report))
    );
    assert_eq!(count(&store, "SELECT count(*) FROM report_rows").await, 1);
    store.close().await;
}

#[tokio::test]
async fn damaged_rows_are_named_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    let (store, audit_writer) = open(&path, SystemClock::shared()).await;
    let report = named("1", dry_run());
    reported(&store, &audit_writer, &report).await;
    store.close().await;
    let good = std::fs::read(&path).unwrap();
    for (damage, table, column) in [
        (
            "UPDATE report_parts SET rows = x'00'",
            "report_parts",
            "rows",
        ),
        (
            "UPDATE report_parts SET rows = substr(rows, 2)",
            "report_parts",
            "rows",
        ),
        (
            "UPDATE report_parts SET digest = zeroblob(32)",
            "report_parts",
            "rows",
        ),
        (
            "UPDATE report_rows SET digest = zeroblob(32)",
            "report_rows",
            "digest",
        ),
        ("DELETE FROM report_row_parts", "report_rows", "digest"),
        ("UPDATE runs SET report_rows = 77", "runs", "report_rows"),
        ("UPDATE runs SET report = '{}'", "runs", "report"),
    ] {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(directory.path().join(format!("s.db{suffix}")));
        }
        std::fs::write(&path, &good).unwrap();
        let mut connection = connect(&path).await;
        for statement in ["PRAGMA foreign_keys = OFF", damage] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection.close().await.unwrap();
        let store = Store::open_existing_read_only(&path).await.unwrap();
        let error = store.past_report(&report.run_id).await.unwrap_err();
        let StoreError::Corrupt {
            table: named,
            column: of,
            ..
        } = &error
        else {
            panic!("{damage}: {error:?}");
        };
        assert_eq!((*named, *of), (table, column), "{damage}: {error}");
        store.close().await;
    }
}

/// The figures of `docs/backup.md`: `ROLECALL_REPORT_COST=100000 cargo test --test it
/// the_cost_of_a_year -- --nocapture`.
#[tokio::test]
async fn the_cost_of_a_year_is_measured() {
    let asked = std::env::var("ROLECALL_REPORT_COST").ok();
    let people: usize = asked.map_or(2_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    let size = || std::fs::metadata(&path).unwrap().len();
    let mut report = large(people);
    report.started_at = at(0);
    let mut sizes = Vec::new();
    let mut number = 0;
    // A first run, the same again, then runs in each of which two people are others.
    for (runs, step) in [(0, 0), (1, 0), (20, 0), (20, 2)] {
        let (store, audit_writer) = open(&path, SystemClock::shared()).await;
        for _ in 0..runs {
            number += 1;
            for change in 0..step {
                let at = (number * 7_919 + change * 104_729) % people;
                report.actions[at].message = Some(format!("other in run {number}"));
            }
            reported(
                &store,
                &audit_writer,
                &named(&format!("run {number}"), report.clone()),
            )
            .await;
        }
        store.close().await;
        sizes.push(size());
    }
    let [empty, first, same, other] = sizes[..] else {
        unreachable!()
    };
    println!(
        "{people} people: {} bytes for the first report, {} for each that is the same, {} for each \
         in which two rows are others",
        first - empty,
        (same - first) / 20,
        (other - same) / 20
    );
    let rows = u64::try_from(people).unwrap();
    assert!(first - empty < rows * 120, "{}", first - empty);
    assert!((same - first) / 20 < 8 * 1024, "{}", (same - first) / 20);
    assert!((other - same) / 20 < 40 * 1024, "{}", (other - same) / 20);
}
