//! The drawings: the whole as one bar for each directory, each part as long as its share, and each
//! guard over the days before a run, one bar a day.

use chrono::NaiveDate;

use super::page::Severity;
use crate::domain::text::{counted, number};
use crate::domain::{ActionKind, GUARD_HISTORY, GuardDays, GuardHistory, GuardReading, Report};

/// Length of a bar in units of the drawing.
const LENGTH: u64 = 960;

/// One bar.
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) parts: Vec<Part>,
}

/// A part of a bar that has anybody in it.
pub(super) struct Part {
    pub(super) words: String,
    pub(super) class: &'static str,
    pub(super) x: u64,
    pub(super) width: u64,
}

/// Both bars; none where nothing was read.
pub(super) fn bars(report: &Report) -> Vec<Bar> {
    let opa = &report.opa;
    let summary = &report.summary;
    let planned = |kind| {
        let found = report.actions.iter().filter(|action| action.kind == kind);
        u64::try_from(found.count()).unwrap_or(u64::MAX)
    };
    let in_doubt: u64 = summary.protected.saturating_add(summary.unmanaged);
    [
        (
            "OPA people",
            vec![
                (opa.active, "active", Severity::Good),
                (opa.disabled, "disabled", Severity::Warning),
                (opa.deleted, "deleted", Severity::Bad),
            ],
        ),
        (
            "Opsera accounts",
            vec![
                (summary.unchanged, "matched, unchanged", Severity::Good),
                (planned(ActionKind::SetRole), "changing", Severity::Plain),
                (planned(ActionKind::Create), "new", Severity::Plain),
                (summary.waiting, "waiting", Severity::Warning),
                (
                    in_doubt,
                    "kept (protected, or by deactivation.on)",
                    Severity::Warning,
                ),
                (planned(ActionKind::Deactivate), "leaving", Severity::Bad),
            ],
        ),
    ]
    .into_iter()
    .filter_map(|(name, parts)| bar(name, &parts))
    .collect()
}

fn bar(name: &'static str, parts: &[(u64, &'static str, Severity)]) -> Option<Bar> {
    let total = parts.iter().map(|(count, _, _)| *count).sum::<u64>();
    if total == 0 {
        return None;
    }
    let mut x = 0_u64;
    let parts = parts
        .iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, words, severity)| {
            // Three units at least: the few that leave are what the reader looks for.
            let width = (count.saturating_mul(LENGTH) / total).max(3);
            let part = Part {
                words: format!("{} {words}", number(*count)),
                class: severity.class(),
                x,
                width,
            };
            x = x.saturating_add(width);
            part
        })
        .collect();
    Some(Bar { name, parts })
}

/// One guard over the days before a run.
pub(super) struct GuardDrawing {
    pub(super) name: &'static str,
    /// All that the drawing says.
    pub(super) words: String,
    pub(super) days: Vec<DayBar>,
}

/// The worst run of one day.
pub(super) struct DayBar {
    pub(super) words: String,
    pub(super) class: &'static str,
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) height: u64,
}

impl GuardDrawing {
    /// Units of the drawing per day.
    const DAY: u64 = 10;
    /// The day of the run, and the days before it.
    pub(super) const WIDTH: u64 = (GUARD_HISTORY.as_secs() / 86_400 + 1) * Self::DAY;
    pub(super) const HEIGHT: u64 = 30;
    /// How high a bar at its limit is.
    pub(super) const LIMIT: u64 = 20;
}

/// The guards of `report` that have a history, in the report's order.
pub(super) fn guards_over_time(report: &Report, history: &GuardHistory) -> Vec<GuardDrawing> {
    let guards = report.guards.iter();
    guards
        .filter_map(|guard| history.days_of(guard.guard))
        .map(|days| GuardDrawing {
            name: days.guard.as_str(),
            words: words(days),
            days: day_bars(days, report.finished_at.date_naive()),
        })
        .collect()
}

fn words(days: &GuardDays) -> String {
    let held = match days.held {
        0 => "no run".to_owned(),
        held => counted(held, "run", "runs"),
    };
    format!(
        "{} from {} to {}. Latest: {}. Worst: {}, on {}. It held {held}.",
        counted(days.runs, "run", "runs"),
        days.first.at.date_naive(),
        days.latest.at.date_naive(),
        measured(&days.latest),
        measured(&days.worst),
        days.worst.at.date_naive(),
    )
}

/// `26, limit 24`
fn measured(reading: &GuardReading) -> String {
    format!(
        "{}, limit {}",
        number(reading.actual),
        number(reading.limit)
    )
}

fn day_bars(days: &GuardDays, last: NaiveDate) -> Vec<DayBar> {
    let days = days.days.iter();
    days.filter_map(|(date, worst)| {
        let ago = u64::try_from(last.signed_duration_since(*date).num_days()).ok()?;
        let from_right = ago.checked_add(1)?.checked_mul(GuardDrawing::DAY)?;
        let height = worst.share.saturating_mul(GuardDrawing::LIMIT) / 1_000_000;
        // Nothing is one unit: a day without a bar is a day without a run.
        let height = height.clamp(1, GuardDrawing::HEIGHT);
        let (held, class) = if worst.held {
            (", held", Severity::Warning.class())
        } else {
            ("", Severity::Plain.class())
        };
        Some(DayBar {
            words: format!("{date}: {}{held}", measured(worst)),
            class,
            x: GuardDrawing::WIDTH.checked_sub(from_right)?,
            // The foot of a bar is below, and SVG counts from the top.
            y: GuardDrawing::HEIGHT.saturating_sub(height),
            height,
        })
    })
    .collect()
}
