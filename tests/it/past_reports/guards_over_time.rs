//! The page of a past run shows its guards over the days before it, from what the store keeps.

use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use rolecall::audit::AuditWriter;
use rolecall::domain::{ActionKind, Guard, KindSet, Mode, Report, RunId};
use rolecall::store::{FinishedRun, RunLimits, Store};

use super::{edit, library_store, out};
use crate::operator::{COUNTING, Desk};
use crate::reports::examples::{guard, held, in_sync};

fn end() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 30, 12, 0, 0).unwrap()
}

/// A run with this many deactivations, the limit being 25, that ended so long before [`end`].
async fn run(
    (store, audit_writer): &(Store, AuditWriter),
    id: &str,
    before: TimeDelta,
    actual: u64,
    kinds: &KindSet,
) {
    let is_held = actual > 25;
    let report = Report {
        run_id: RunId::new(id),
        finished_at: end() - before,
        guards: vec![guard(Guard::MaxDeactivations, actual, 25, is_held)],
        ..if is_held { held() } else { in_sync() }
    };
    let limits = RunLimits {
        kinds,
        people: None,
    };
    store
        .begin_run(
            audit_writer,
            &report.run_id,
            Mode::Apply,
            limits,
            end() - before,
        )
        .await
        .unwrap();
    store
        .finish_run(audit_writer, FinishedRun { report: &report })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_run_shows_its_guards_in_the_runs_of_the_90_days_before() {
    let desk = Desk::with(COUNTING).await;
    let parts = library_store(&desk).await;
    let all = KindSet::all();
    run(&parts, "too-old", TimeDelta::days(91), 30, &all).await;
    run(&parts, "a", TimeDelta::days(40), 3, &all).await;
    run(
        &parts,
        "b",
        TimeDelta::days(40) - TimeDelta::hours(1),
        24,
        &all,
    )
    .await;
    run(&parts, "c", TimeDelta::days(10), 26, &all).await;
    let creations = KindSet::only([ActionKind::Create]);
    run(&parts, "only", TimeDelta::days(5), 31, &creations).await;
    run(&parts, "person", TimeDelta::days(4), 32, &all).await;
    run(&parts, "d", TimeDelta::zero(), 2, &all).await;
    run(&parts, "later", TimeDelta::days(-1), 33, &all).await;
    parts.0.close().await;
    edit(&desk, "UPDATE runs SET people = '[]' WHERE id = 'person'").await;

    let page = desk.run(&["report", "d", "--format", "html"]);
    let page = out(&page);
    let words = "4 runs from 2026-05-21 to 2026-06-30. Latest: 2, limit 25. \
                 Worst: 26, limit 25, on 2026-06-20. It held 1 run.";
    let described = format!("<desc id=\"max_deactivations-words\">{words}</desc>");
    assert!(page.contains(&described), "{page}");
    let caption = format!("<figcaption>max_deactivations: {words}</figcaption>");
    assert!(page.contains(&caption), "{page}");
    let (_, drawing) = page.split_once("<h2>Guards over 90 days</h2>").unwrap();
    let days: Vec<&str> = drawing
        .lines()
        .filter_map(|line| line.split_once("<title>2026-"))
        .map(|(_, day)| day.split('<').next().unwrap())
        .collect();
    assert_eq!(
        days,
        [
            "05-21: 24, limit 25",
            "06-20: 26, limit 25, held",
            "06-30: 2, limit 25"
        ]
    );

    // The first run had none before it.
    let page = desk.run(&["report", "too-old", "--format", "html"]);
    assert!(!out(&page).contains("over 90 days"));

    // Damage elsewhere is told, and does not keep anybody from the report.
    edit(&desk, "UPDATE runs SET report = '{' WHERE id = 'b'").await;
    let told = desk.run(&["report", "d", "--format", "html"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert!(!told.out.contains("over 90 days"));
    assert!(
        told.err
            .starts_with("rolecall: the page does not show the guards over 90 days: ")
            && told.err.contains("runs")
            && told.err.contains('b'),
        "{told:?}"
    );
}
