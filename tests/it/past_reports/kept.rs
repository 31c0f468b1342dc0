//! How past reports are kept: every row in its order, by difference, until no run needs it, and
//! never shown when it is damaged.

use std::time::Duration;

use rolecall::audit::AuditWriter;
use rolecall::domain::time::SystemClock;
use rolecall::domain::{
    ActionKind, ActionStatus, Finding, FindingKind, GuardReport, Outcome, Report, RunId,
};
use rolecall::store::{FinishedRun, PastReport, Store, StoreError};
use sqlx::Connection as _;

use super::{begin, connect, open};
use crate::reports::examples::{action, at, dry_run, held, hostile, partial};

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
        String::new(),
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
            concerned: addresses
                .iter()
                .map(|email| email.as_str().into())
                .collect(),
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
                }]})
                .into();
                row
            })
            .collect(),
        guards: vec![GuardReport {
            concerned: addresses.into_iter().map(Into::into).collect(),
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
    const RUNS: u64 = 10;
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
    for (runs, step) in [(0, 0), (1, 0), (RUNS, 0), (RUNS, 2)] {
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
        (same - first) / RUNS,
        (other - same) / RUNS
    );
    let rows = u64::try_from(people).unwrap();
    assert!(first - empty < rows * 120, "{}", first - empty);
    assert!(
        (same - first) / RUNS < 8 * 1024,
        "{}",
        (same - first) / RUNS
    );
    assert!(
        (other - same) / RUNS < 40 * 1024,
        "{}",
        (other - same) / RUNS
    );
}
