//! The guards over the days before a run, drawn in the page and in no other format.

use std::time::Duration;

use rolecall::domain::time::before;
use rolecall::domain::{Guard, GuardHistory, GuardReport, Report};
use rolecall::output::{Format, render};

use super::examples::{guard, held, in_sync};
use super::{plain, shown};

/// Each run: how many days before the report, what it deactivated, whether it was held.
fn history(report: &Report, runs: &[(u64, u64, bool)]) -> GuardHistory {
    GuardHistory::of(runs.iter().map(|&(days, actual, held)| {
        let at = before(report.finished_at, Duration::from_hours(24 * days));
        let guards: Vec<GuardReport> = vec![
            guard(Guard::MinOpaUsers, 250 - actual, 200, false),
            guard(Guard::MaxDeactivationsPercent, actual, 24, held),
        ];
        (at, guards)
    }))
}

pub(super) fn with_history(report: &Report, history: &GuardHistory, format: Format) -> String {
    let mut out = Vec::new();
    render(report, Some(history), format, plain(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn drawing(page: &str) -> &str {
    let start = page.find("<section>\n<h2>Guards over 90 days").unwrap();
    let end = page[start..].find("</section>").unwrap() + "</section>".len();
    &page[start..start + end]
}

/// Beyond what is drawn, at the limit, below it, nothing at all, and both ends of the days.
pub(super) fn eventful() -> (Report, GuardHistory) {
    let mut report = held();
    let least = guard(Guard::MinOpaUsers, 214, 200, false);
    report.guards.insert(0, least);
    let runs = [
        (90, 4, false),
        (41, 24, false),
        (40, 48, true),
        (40, 3, false),
        (7, 0, false),
        (0, 26, true),
    ];
    let history = history(&report, &runs);
    (report, history)
}

#[test]
fn each_guard_with_a_history_is_drawn_and_told_in_words() {
    let (report, history) = eventful();
    let page = with_history(&report, &history, Format::Html);
    insta::assert_snapshot!(drawing(&page));
    // The rest of the page is what it is without a history, policy and style included.
    let rest = page.replace(drawing(&page), "");
    assert_eq!(
        rest.replace("\n\n", "\n"),
        shown(&report, Format::Html, plain()).replace("\n\n", "\n")
    );
}

#[test]
fn one_run_is_not_drawn_and_no_other_format_draws() {
    let report = held();
    let one = history(&report, &[(0, 26, true)]);
    for &format in Format::ALL {
        let page = with_history(&report, &one, format);
        assert_eq!(page, shown(&report, format, plain()), "{format}");
    }
    let (report, history) = eventful();
    for &format in Format::ALL {
        if format != Format::Html {
            let page = with_history(&report, &history, format);
            assert_eq!(page, shown(&report, format, plain()), "{format}");
        }
    }
    // Guards that this report does not have.
    let (_, history) = eventful();
    let report = Report {
        guards: Vec::new(),
        ..in_sync()
    };
    assert!(!with_history(&report, &history, Format::Html).contains("over 90 days"));
}
