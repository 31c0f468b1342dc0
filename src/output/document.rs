//! What a reader is shown, before it is dressed for a medium.
//!
//! The terminal, Markdown and HTML show the same document; they differ in dress and in how a text
//! of a directory is defused. So every text says where it comes from ([`Source`]), and rows are
//! made one at a time, as a plan can have 100,000 of them.

use std::borrow::Cow;

use super::words::{self, NextStep, counted};
use crate::domain::{ActionKind, Finding, time::Timestamp};
use crate::domain::{
    ActionReport, ActionStatus, GuardReport, OpaCounts, OpseraCounts, Outcome, Report,
    WaitingReport,
};

/// People listed for a guard that holds; the rest is in the JSON report.
const PEOPLE_SHOWN: usize = 20;

/// How a text is meant: the only thing colour says, and it says nothing that words do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
}

impl Tone {
    /// The class of the HTML page.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// Where a text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The program's own words and numbers.
    Program,
    /// A directory, a server or a file.
    Outside,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) source: Source,
    pub(super) tone: Tone,
}

impl<'a> Cell<'a> {
    pub(super) fn ours(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: text.into(),
            source: Source::Program,
            tone: Tone::Plain,
        }
    }

    pub(super) fn outside(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            source: Source::Outside,
            ..Self::ours(text)
        }
    }

    fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

pub(super) struct Document<'a> {
    pub(super) headline: String,
    pub(super) tone: Tone,
    pub(super) error: Option<&'a str>,
    pub(super) facts: Vec<(&'static str, Cell<'a>)>,
    pub(super) sections: Vec<Section<'a>>,
    pub(super) next: Vec<NextStep>,
}

pub(super) struct Section<'a> {
    pub(super) title: String,
    pub(super) note: Option<&'static str>,
    pub(super) columns: &'static [&'static str],
    rows: Rows<'a>,
}

enum Rows<'a> {
    Guards(&'a [GuardReport]),
    Passed(&'a [GuardReport]),
    People(&'a [String]),
    Actions(ActionKind, &'a [ActionReport]),
    Waiting(&'a [WaitingReport]),
    Findings(&'a [Finding]),
    Summary(&'a Report),
}

impl<'a> Document<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        Self {
            headline: words::headline(report),
            tone: match report.outcome {
                Outcome::InSync | Outcome::Applied => Tone::Good,
                Outcome::ChangesPending => Tone::Plain,
                Outcome::Held | Outcome::Partial => Tone::Warning,
                Outcome::Failed => Tone::Bad,
            },
            error: report.error.as_deref(),
            facts: facts(report),
            sections: sections(report),
            next: words::next_steps(report),
        }
    }
}

impl<'a> Section<'a> {
    pub(super) fn rows(&self) -> Box<dyn Iterator<Item = Vec<Cell<'a>>> + 'a> {
        match self.rows {
            Rows::Guards(guards) => Box::new(guards.iter().filter(|g| g.held).map(guard_row)),
            Rows::Passed(guards) => Box::new(guards.iter().filter_map(passed_row)),
            Rows::People(people) => Box::new(people_rows(people)),
            Rows::Actions(kind, actions) => {
                let columns = self.columns.len();
                let actions = actions.iter().filter(move |action| action.kind == kind);
                Box::new(actions.map(move |action| {
                    let mut row = action_row(action);
                    row.truncate(columns);
                    row
                }))
            }
            Rows::Waiting(waiting) => Box::new(waiting.iter().map(waiting_row)),
            Rows::Findings(findings) => Box::new(findings.iter().map(finding_row)),
            Rows::Summary(report) => Box::new(std::iter::once(summary_row(report))),
        }
    }
}

fn facts(report: &Report) -> Vec<(&'static str, Cell<'_>)> {
    let mut facts = vec![(
        "Run",
        Cell::ours(format!(
            "{}, {} to {}",
            report.run_id,
            time(report.started_at),
            time(report.finished_at)
        )),
    )];
    if let Some(plan) = &report.plan_id {
        facts.push(("Plan", Cell::ours(plan.as_str())));
    }
    facts.push(("OPA", opa_fact(&report.opa)));
    facts.push(("Opsera", opsera_fact(&report.opsera)));
    if let Some(head) = &report.audit_head {
        facts.push(("Audit log head", Cell::ours(head.as_str())));
    }
    facts
}

fn opa_fact(opa: &OpaCounts) -> Cell<'static> {
    let text = format!(
        "{}: {} active, {} disabled, {} deleted, {}; {}",
        counted(opa.users, "record", "records"),
        opa.active,
        opa.disabled,
        opa.deleted,
        counted(opa.service, "service user", "service users"),
        pull(opa.requests, opa.complete),
    );
    Cell::ours(text).toned(completeness(opa.complete))
}

fn opsera_fact(opsera: &OpseraCounts) -> Cell<'static> {
    let text = format!(
        "{}, {} managed; {}",
        counted(opsera.users, "account", "accounts"),
        opsera.managed,
        pull(opsera.requests, opsera.complete),
    );
    Cell::ours(text).toned(completeness(opsera.complete))
}

fn pull(requests: u64, complete: bool) -> String {
    let requests = counted(requests, "request", "requests");
    let complete = if complete { "complete" } else { "INCOMPLETE" };
    format!("{requests}, {complete}")
}

fn completeness(complete: bool) -> Tone {
    if complete { Tone::Plain } else { Tone::Bad }
}

fn sections(report: &Report) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    if report.guards.iter().any(|guard| guard.held) {
        sections.push(Section {
            title: "Guards that hold this plan".to_owned(),
            note: Some("Nothing of the plan is written to Opsera until somebody approves it."),
            columns: &["Guard", "Limit", "Actual", "How the limit came about"],
            rows: Rows::Guards(&report.guards),
        });
    }
    for guard in report.guards.iter().filter(|guard| guard.held) {
        if !guard.concerned.is_empty() {
            sections.push(Section {
                title: format!(
                    "{}: {} concerned",
                    guard.guard,
                    counted(count(&guard.concerned), "person", "people")
                ),
                note: None,
                columns: &["Person"],
                rows: Rows::People(&guard.concerned),
            });
        }
    }
    if report
        .guards
        .iter()
        .any(|guard| passed_row(guard).is_some())
    {
        sections.push(Section {
            title: "Limits passed with an approval".to_owned(),
            note: None,
            columns: &["Guard", "Limit", "Actual", "Approved with plan"],
            rows: Rows::Passed(&report.guards),
        });
    }
    sections.extend(ActionKind::ALL.into_iter().filter_map(|kind| {
        let count = report.actions.iter().filter(|a| a.kind == kind).count();
        (count > 0).then(|| action_section(kind, count, &report.actions))
    }));
    if !report.waiting.is_empty() {
        sections.push(Section {
            title: format!("Waiting ({})", report.waiting.len()),
            note: Some("Deactivated only if the person is still missing when it is due."),
            columns: &["Account", "Evidence", "Since", "Due"],
            rows: Rows::Waiting(&report.waiting),
        });
    }
    if !report.findings.is_empty() {
        sections.push(Section {
            title: format!("Findings ({})", report.findings.len()),
            note: Some("Noticed and left alone."),
            columns: &["Kind", "About", "Detail"],
            rows: Rows::Findings(&report.findings),
        });
    }
    sections.push(Section {
        title: "Summary".to_owned(),
        note: None,
        columns: &[
            "Unchanged",
            "Deactivate",
            "Set role",
            "Create",
            "Waiting",
            "Protected",
            "Unmanaged",
            "Findings",
        ],
        rows: Rows::Summary(report),
    });
    sections
}

fn action_section(kind: ActionKind, count: usize, actions: &[ActionReport]) -> Section<'_> {
    let (title, note, columns): (_, _, &'static [&'static str]) = match kind {
        ActionKind::SetRole => (
            "Role changes",
            None,
            &["Account", "From", "To", "Reason", "Status", "Message"],
        ),
        ActionKind::Create => (
            "Creations",
            None,
            &["Account", "Role", "Reason", "Status", "Message"],
        ),
        ActionKind::Deactivate => (
            "Deactivations",
            Some("A deactivation cannot be undone."),
            &["Account", "Evidence", "Status", "Message"],
        ),
    };
    let silent = actions
        .iter()
        .all(|action| action.kind != kind || action.message.is_none());
    Section {
        title: format!("{title} ({count})"),
        note,
        // The last column is the message: an empty one would only take room.
        columns: match columns.split_last() {
            Some((_message, others)) if silent => others,
            _ => columns,
        },
        rows: Rows::Actions(kind, actions),
    }
}

fn guard_row(guard: &GuardReport) -> Vec<Cell<'_>> {
    vec![
        Cell::ours(guard.guard.as_str()).toned(Tone::Warning),
        Cell::ours(guard.limit.to_string()),
        Cell::ours(guard.actual.to_string()).toned(Tone::Warning),
        Cell::ours(guard.basis.as_deref().unwrap_or_default()),
    ]
}

fn passed_row(guard: &GuardReport) -> Option<Vec<Cell<'_>>> {
    let plan = guard.approved_by_plan.as_ref().filter(|_| !guard.held)?;
    Some(vec![
        Cell::ours(guard.guard.as_str()),
        Cell::ours(guard.limit.to_string()),
        Cell::ours(guard.actual.to_string()),
        Cell::ours(plan.as_str()),
    ])
}

fn people_rows(people: &[String]) -> impl Iterator<Item = Vec<Cell<'_>>> {
    let more = people.len().saturating_sub(PEOPLE_SHOWN);
    let more = (more > 0)
        .then(|| Cell::ours(format!("… and {more} more: see --format json")))
        .map(|cell| vec![cell]);
    people
        .iter()
        .take(PEOPLE_SHOWN)
        .map(|person| vec![Cell::outside(person.as_str())])
        .chain(more)
}

fn action_row(action: &ActionReport) -> Vec<Cell<'_>> {
    let role = |role: &'_ Option<String>| match role {
        Some(role) => Cell::outside(role.clone()),
        None => Cell::ours("unknown"),
    };
    let mut row = vec![Cell::outside(action.email.as_str())];
    match action.kind {
        ActionKind::SetRole => row.extend([role(&action.from), role(&action.to)]),
        ActionKind::Create => row.push(role(&action.to)),
        ActionKind::Deactivate => {}
    }
    row.extend([
        Cell::outside(action.reason.as_str()),
        status(action),
        Cell::outside(action.message.as_deref().unwrap_or_default()),
    ]);
    row
}

fn status(action: &ActionReport) -> Cell<'_> {
    let (word, tone) = match action.status {
        ActionStatus::Planned => ("planned", Tone::Plain),
        ActionStatus::Succeeded => ("succeeded", Tone::Good),
        ActionStatus::Already => ("already done", Tone::Good),
        ActionStatus::Failed => ("failed", Tone::Bad),
        ActionStatus::Rejected => ("rejected", Tone::Bad),
        ActionStatus::Skipped => ("skipped", Tone::Warning),
        ActionStatus::Held => ("held", Tone::Warning),
        ActionStatus::NotTried => ("not tried", Tone::Warning),
    };
    let word = if action.attempts > 1 {
        Cow::Owned(format!("{word} ({} attempts)", action.attempts))
    } else {
        Cow::Borrowed(word)
    };
    Cell::ours(word).toned(tone)
}

fn waiting_row(waiting: &WaitingReport) -> Vec<Cell<'_>> {
    vec![
        Cell::outside(waiting.email.as_str()),
        Cell::ours(waiting.reason.as_str()),
        Cell::ours(time(waiting.since)),
        Cell::ours(time(waiting.due)),
    ]
}

fn finding_row(finding: &Finding) -> Vec<Cell<'_>> {
    vec![
        Cell::ours(finding.kind.as_str()).toned(Tone::Warning),
        Cell::outside(finding.email.as_str()),
        Cell::outside(finding.detail.as_str()),
    ]
}

fn summary_row(report: &Report) -> Vec<Cell<'_>> {
    let summary = &report.summary;
    [
        summary.unchanged,
        summary.deactivate,
        summary.set_role,
        summary.create,
        summary.waiting,
        summary.protected,
        summary.unmanaged,
        summary.findings,
    ]
    .into_iter()
    .map(|number| Cell::ours(number.to_string()))
    .collect()
}

fn time(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn count<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).unwrap_or(u64::MAX)
}
