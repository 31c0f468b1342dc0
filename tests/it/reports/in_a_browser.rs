//! The page in a real browser (tests/browser/report.mjs): what axe finds, what a phone, paper and a
//! keyboard make of it, and whether names that somebody chose stay text.

use std::fs;
use std::path::Path;
use std::process::Command;

use rolecall::domain::{ActionKind, ActionStatus, Report};
use rolecall::output::Format;

use super::examples::{action, dry_run};
use super::{endings, guards_over_time, plain, shown};
use crate::requirements::{Requirement, run_script};

/// The largest plan that a reader is expected to open.
fn fifty_thousand() -> Report {
    Report {
        actions: (0..50_000)
            .map(|n| {
                action(
                    ActionKind::Deactivate,
                    &format!("person.{n:06}@example.com"),
                    ActionStatus::Planned,
                )
            })
            .collect(),
        ..dry_run()
    }
}

#[test]
fn readers_of_all_kinds_can_use_the_page() {
    // Kept, so that whoever changes the page can look at it.
    let pages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports");
    fs::create_dir_all(&pages).unwrap();
    for (name, report) in endings()
        .into_iter()
        .chain([("fifty_thousand", fifty_thousand())])
    {
        let page = shown(&report, Format::Html, plain());
        fs::write(pages.join(format!("{name}.html")), page).unwrap();
    }
    let (report, history) = guards_over_time::eventful();
    let page = guards_over_time::with_history(&report, &history, Format::Html);
    fs::write(pages.join("guards_over_time.html"), page).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/run");
    run_script(Requirement::Browser, Command::new(script).arg(&pages));
}
