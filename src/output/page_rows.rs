//! The rows of a page: one action, one waiting account, one finding, one guard.
//!
//! Actions of one kind and one reason stand together, deactivations first, each with the records
//! its decision rests on.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::page::{Cell, Section, Severity};
use super::phrases::WEIGHED;
use crate::domain::text::{length, number};
use crate::domain::time::{Timestamp, time_for_people};
use crate::domain::{ActionKind, ActionReport, ActionStatus, Finding, GuardReport, WaitingReport};

/// The rows of a section.
pub(super) enum Rows<'a> {
    Guards(&'a [GuardReport]),
    Actions(Vec<&'a ActionReport>),
    Waiting(Vec<&'a WaitingReport>),
    Findings(Vec<&'a Finding>),
    /// Made already, because each is about two reports.
    Made(Vec<Vec<Cell<'a>>>),
}

/// The columns of actions that are left out where no action of the group fills them.
const OPTIONAL: [&str; 3] = ["OPA record", "Missing since", "Message"];

impl<'a> Section<'a> {
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::Guards(rows) => rows.len(),
            Rows::Actions(rows) => rows.len(),
            Rows::Waiting(rows) => rows.len(),
            Rows::Findings(rows) => rows.len(),
            Rows::Made(rows) => rows.len(),
        }
    }

    pub(super) fn rows(&self) -> Box<dyn Iterator<Item = Vec<Cell<'a>>> + '_> {
        match &self.rows {
            Rows::Guards(guards) => Box::new(guards.iter().map(|guard| {
                let mut row = guard_row(guard);
                row.truncate(self.columns.len());
                row
            })),
            Rows::Actions(actions) => Box::new(
                actions
                    .iter()
                    .map(|action| action_row(action, &self.columns)),
            ),
            Rows::Waiting(waiting) => Box::new(waiting.iter().map(|w| waiting_row(w))),
            Rows::Findings(findings) => Box::new(findings.iter().map(|f| finding_row(f))),
            Rows::Made(rows) => Box::new(rows.iter().cloned()),
        }
    }
}

/// A section for each reason of each kind: what cannot be undone first.
pub(super) fn action_sections<'a>(actions: &[&'a ActionReport]) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    for kind in WEIGHED {
        let of_kind = actions.iter().copied().filter(|action| action.kind == kind);
        if kind == ActionKind::Deactivate {
            let mut by_reason: BTreeMap<&str, Vec<&ActionReport>> = BTreeMap::new();
            for action in of_kind {
                by_reason.entry(&action.reason).or_default().push(action);
            }
            for (reason, group) in by_reason {
                let title = format!("Deactivations: {}", evidence_in_words(reason));
                sections.push(section(kind, &title, group));
            }
        } else {
            let group: Vec<_> = of_kind.collect();
            if !group.is_empty() {
                let title = match kind {
                    ActionKind::SetRole => "Role changes",
                    ActionKind::Create | ActionKind::Deactivate => "Creations",
                };
                sections.push(section(kind, title, group));
            }
        }
    }
    sections
}

fn section<'a>(kind: ActionKind, title: &str, group: Vec<&'a ActionReport>) -> Section<'a> {
    let (note, columns): (_, &[&'static str]) = match kind {
        ActionKind::Deactivate => (
            Some("A deactivation cannot be undone."),
            &[
                "Account",
                "OPA record",
                "Missing since",
                "Status",
                "Message",
            ],
        ),
        ActionKind::SetRole => (
            None,
            &["Account", "From", "To", "Reason", "Status", "Message"],
        ),
        ActionKind::Create => (None, &["Account", "Role", "Reason", "Status", "Message"]),
    };
    let is_filled = |name: &&'static str| {
        !OPTIONAL.contains(name)
            || group.iter().any(|action| {
                let basis = Basis::of(action);
                !cell(action, &basis, name).text.is_empty()
            })
    };
    Section {
        group: kind.as_str(),
        title: format!("{title} ({})", number(length(&group))),
        note,
        columns: columns.iter().copied().filter(is_filled).collect(),
        rows: Rows::Actions(group),
    }
}

/// Evidence in words that a reader need not look up.
fn evidence_in_words(reason: &str) -> Cow<'_, str> {
    match reason {
        "disabled" => "disabled in OPA".into(),
        "deleted" => "deleted in OPA".into(),
        "absent" => "absent, no OPA record has the address".into(),
        "not_in_required_group" => {
            "not_in_required_group, active in OPA but in none of scope.required_groups".into()
        }
        other => other.into(),
    }
}

/// The records that an action rests on. They are text, which is read once for all the columns of a
/// row, and not at all where no column asks.
struct Basis<'a> {
    action: &'a ActionReport,
    evidence: OnceCell<Value>,
}

impl<'a> Basis<'a> {
    fn of(action: &'a ActionReport) -> Self {
        Self {
            action,
            evidence: OnceCell::new(),
        }
    }

    fn evidence(&self) -> &Value {
        self.evidence
            .get_or_init(|| self.action.evidence.to_value())
    }
}

fn action_row<'a>(action: &'a ActionReport, columns: &[&'static str]) -> Vec<Cell<'a>> {
    let basis = Basis::of(action);
    columns
        .iter()
        .map(|name| cell(action, &basis, name))
        .collect()
}

fn cell<'a>(action: &'a ActionReport, basis: &Basis<'_>, column: &str) -> Cell<'a> {
    let role = |role: &'a Option<String>| match role {
        Some(role) => Cell::untrusted(role.as_str()),
        None => Cell::trusted("unknown"),
    };
    match column {
        "Account" => Cell::untrusted(action.email.as_str()),
        "OPA record" => Cell::untrusted(records(basis.evidence())),
        "Missing since" => Cell::untrusted(missing_since(basis.evidence())),
        "From" => role(&action.from),
        "To" | "Role" => role(&action.to),
        "Reason" => Cell::untrusted(action.reason.as_str()),
        "Status" => status(action),
        _ => Cell::untrusted(action.message.as_deref().unwrap_or_default()),
    }
}

/// The names of the OPA records behind a deactivation, or those once known.
fn records(evidence: &Value) -> String {
    let records = evidence.get("opa_records").and_then(Value::as_array);
    let names: Vec<&str> = records
        .into_iter()
        .flatten()
        .filter_map(|record| record.get("name")?.as_str())
        .collect();
    if !names.is_empty() {
        return names.join(", ");
    }
    let known = evidence.get("names_once_known").and_then(Value::as_array);
    let known: Vec<&str> = known
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if known.is_empty() {
        String::new()
    } else {
        format!("once {}", known.join(", "))
    }
}

fn missing_since(evidence: &Value) -> String {
    let since = evidence.get("absent_since").and_then(Value::as_str);
    since.map_or_else(String::new, |since| {
        since
            .parse::<Timestamp>()
            .map_or_else(|_| since.to_owned(), time_for_people)
    })
}

fn status(action: &ActionReport) -> Cell<'_> {
    let (word, severity) = match action.status {
        ActionStatus::Planned => ("planned", Severity::Plain),
        ActionStatus::Succeeded => ("succeeded", Severity::Good),
        ActionStatus::Already => ("already done", Severity::Good),
        ActionStatus::Failed => ("failed", Severity::Bad),
        ActionStatus::Rejected => ("rejected", Severity::Bad),
        ActionStatus::Skipped => ("skipped", Severity::Warning),
        ActionStatus::Held => ("held", Severity::Warning),
        ActionStatus::NotTried => ("not tried", Severity::Warning),
    };
    let word = if action.attempts > 1 {
        Cow::Owned(format!("{word} ({} attempts)", action.attempts))
    } else {
        Cow::Borrowed(word)
    };
    Cell::trusted(word).with(severity)
}

fn guard_row(guard: &GuardReport) -> Vec<Cell<'_>> {
    let severity = if guard.held {
        Severity::Warning
    } else {
        Severity::Plain
    };
    let tenths = used_tenths(guard);
    let result = match &guard.approved_by_plan {
        _ if guard.held => Cell::trusted("holds"),
        Some(plan) => Cell::trusted(format!("approved with plan {plan}")),
        None => Cell::trusted("passed"),
    };
    vec![
        Cell::trusted(guard.guard.as_str()).with(severity),
        Cell::trusted(number(guard.actual)).with(severity),
        Cell::trusted(number(guard.limit)),
        Cell {
            tenths,
            ..Cell::trusted("").with(severity)
        },
        result.with(severity),
        Cell::trusted(guard.basis.as_deref().unwrap_or_default()),
    ]
}

/// How much of a limit is used; none for a guard that holds from below.
fn used_tenths(guard: &GuardReport) -> Option<usize> {
    if guard.guard.holds_from_below() {
        return None;
    }
    let tenths = match (guard.actual, guard.limit) {
        (0, _) => 0,
        (_, 0) => 10,
        (actual, limit) => actual.saturating_mul(10).div_ceil(limit).min(10),
    };
    usize::try_from(tenths).ok()
}

fn waiting_row(waiting: &WaitingReport) -> Vec<Cell<'_>> {
    vec![
        Cell::untrusted(waiting.email.as_str()),
        Cell::trusted(waiting.reason.as_str()),
        Cell::trusted(time_for_people(waiting.since)),
        Cell::trusted(time_for_people(waiting.due)),
    ]
}

fn finding_row(finding: &Finding) -> Vec<Cell<'_>> {
    vec![
        Cell::untrusted(finding.email.as_str()),
        Cell::untrusted(finding.detail.as_str()),
    ]
}
