//! The drawing of the whole: one bar for each directory, each part as long as its share.

use super::page::Severity;
use crate::domain::text::number;
use crate::domain::{ActionKind, Report};

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
