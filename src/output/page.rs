//! What a reader is shown, before it is styled for a medium.
//!
//! The terminal, Markdown and HTML show the same page; they differ in style and in how a text of a
//! directory is escaped. So every text says where it comes from ([`Source`]), and rows are made
//! one at a time, as a plan can have 100,000 of them. The order is the reader's: the verdict, whose
//! report it is, what cannot be undone, then the rest, the guards and the next step.

use std::borrow::Cow;

use super::page_rows::{Rows, action_sections};
use super::phrases::{self, NextStep};
use crate::domain::text::{counted, length, number};
use crate::domain::time::time_for_people;
use crate::domain::{
    Finding, FindingKind, GuardReport, OpaCounts, OpseraCounts, Outcome, Report, RunId,
    WaitingReport,
};

/// How a text is meant: the only thing colour says, and it says nothing that words do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Neither.
    Plain,
    /// Nothing is left to do.
    Good,
    /// Somebody should look.
    Warning,
    /// It went wrong.
    Bad,
}

impl Severity {
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
    Untrusted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) source: Source,
    pub(super) severity: Severity,
    /// Tenths of the limit that are used up, for a bar beside the text.
    pub(super) tenths: Option<usize>,
}

impl<'a> Cell<'a> {
    pub(super) fn trusted(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: text.into(),
            source: Source::Program,
            severity: Severity::Plain,
            tenths: None,
        }
    }

    pub(super) fn untrusted(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            source: Source::Untrusted,
            ..Self::trusted(text)
        }
    }

    pub(super) fn with(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// The bar in characters: `█████░░░░░`.
    pub(super) fn bar(&self) -> Option<String> {
        let filled = self.tenths?.min(10);
        Some("█".repeat(filled) + &"░".repeat(10_usize.saturating_sub(filled)))
    }
}

pub(super) struct Page<'a> {
    /// What a browser calls the page.
    pub(super) title: String,
    pub(super) verdict: String,
    pub(super) severity: Severity,
    pub(super) error: Option<&'a str>,
    pub(super) fields: Vec<(&'static str, Cell<'a>)>,
    pub(super) sections: Vec<Section<'a>>,
    /// The command that shows what a terminal leaves out of a long list.
    pub(super) whole: String,
    pub(super) next: Vec<NextStep>,
}

/// The group of the guards, which a medium never cuts.
pub(super) const GUARDS: &str = "guard";

pub(super) struct Section<'a> {
    /// What is filtered by: the kind of action, `waiting`, `finding`, `guard`.
    pub(super) group: &'static str,
    pub(super) title: String,
    pub(super) note: Option<&'static str>,
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Rows<'a>,
}

impl<'a> Page<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        Self {
            title: title(report),
            verdict: phrases::verdict(report),
            severity: match report.outcome {
                Outcome::InSync | Outcome::Applied => Severity::Good,
                Outcome::ChangesPending => Severity::Plain,
                Outcome::Held | Outcome::Partial => Severity::Warning,
                Outcome::Failed => Severity::Bad,
            },
            error: report.error.as_deref(),
            fields: fields(report),
            sections: sections(report),
            whole: format!("rolecall report {} --format csv", short(&report.run_id)),
            next: phrases::next_steps(report),
        }
    }
}

pub(super) fn title(report: &Report) -> String {
    let team = report.origin.team.as_deref().unwrap_or("unknown");
    format!(
        "rolecall, Team {team}, {}",
        time_for_people(report.finished_at)
    )
}

/// As much of a run's id as tells it from the others.
pub(super) fn short(id: &RunId) -> String {
    id.as_str().chars().take(8).collect()
}

fn fields(report: &Report) -> Vec<(&'static str, Cell<'_>)> {
    let origin = &report.origin;
    let mut fields = Vec::new();
    if let Some(team) = &origin.team {
        fields.push(("Team", Cell::trusted(team.as_str())));
    }
    fields.push((
        "OPA",
        with_address(
            origin.opa_url.as_deref(),
            opa_counts(&report.opa),
            report.opa.complete,
        ),
    ));
    fields.push((
        "Opsera",
        with_address(
            origin.opsera_url.as_deref(),
            opsera_counts(&report.opsera),
            report.opsera.complete,
        ),
    ));
    fields.push(("Accounts", Cell::trusted(accounts(report))));
    fields.push(("Run", Cell::trusted(report.run_id.as_str())));
    fields.push((
        "Time",
        Cell::trusted(format!(
            "{} to {}",
            time_for_people(report.started_at),
            time_for_people(report.finished_at)
        )),
    ));
    if let Some(plan) = &report.plan_id {
        fields.push(("Plan", Cell::trusted(plan.as_str())));
    }
    if let (Some(actor), Some(host)) = (&origin.actor, &origin.host) {
        let version = origin.version.as_deref().unwrap_or("unknown");
        fields.push((
            "Operator",
            Cell::trusted(format!("{actor}@{host}, rolecall {version}")),
        ));
    }
    if let Some(digest) = &origin.settings_digest {
        // The first half tells two settings apart; JSON has the whole.
        let short: String = digest.chars().take(16).collect();
        fields.push(("Settings", Cell::trusted(format!("digest {short}"))));
    }
    if let Some(store) = &origin.store {
        fields.push(("Store", Cell::trusted(store.path.as_str())));
    }
    if let Some(head) = &report.audit_head {
        fields.push(("Audit head", Cell::trusted(head.as_str())));
    }
    fields
}

fn with_address(url: Option<&str>, counts: String, complete: bool) -> Cell<'static> {
    let severity = if complete {
        Severity::Plain
    } else {
        Severity::Bad
    };
    let text = match url {
        Some(url) => format!("{url} · {counts}"),
        None => counts,
    };
    Cell::trusted(text).with(severity)
}

fn opa_counts(opa: &OpaCounts) -> String {
    format!(
        "{}: {} active, {} disabled, {} deleted, {}; {}",
        counted(opa.users, "record", "records"),
        number(opa.active),
        number(opa.disabled),
        number(opa.deleted),
        counted(opa.service, "service user", "service users"),
        pull(opa.requests, opa.complete),
    )
}

fn opsera_counts(opsera: &OpseraCounts) -> String {
    format!(
        "{}, {} managed; {}",
        counted(opsera.users, "account", "accounts"),
        number(opsera.managed),
        pull(opsera.requests, opsera.complete),
    )
}

fn pull(requests: u64, complete: bool) -> String {
    let requests = counted(requests, "request", "requests");
    let complete = if complete { "complete" } else { "INCOMPLETE" };
    format!("{requests}, {complete}")
}

/// What becomes of the managed accounts; a zero says that it was looked for.
fn accounts(report: &Report) -> String {
    let summary = &report.summary;
    [
        (summary.unchanged, "unchanged"),
        (summary.deactivate, "to deactivate"),
        (summary.set_role, "to change"),
        (summary.create, "to create"),
        (summary.waiting, "waiting"),
        (summary.protected, "protected"),
        (summary.unmanaged, "left by deactivation.on"),
        (summary.refused, "refused by Opsera"),
    ]
    .into_iter()
    .map(|(count, words)| format!("{} {words}", number(count)))
    .collect::<Vec<_>>()
    .join(", ")
}

fn sections(report: &Report) -> Vec<Section<'_>> {
    let actions: Vec<_> = report.actions.iter().collect();
    let mut sections = action_sections(&actions);
    sections.extend(waiting_section(report.waiting.iter().collect()));
    let findings: Vec<_> = report.findings.iter().collect();
    sections.extend(finding_sections(&findings));
    sections.extend(guard_section(&report.guards));
    sections
}

/// One section, if anybody waits.
pub(super) fn waiting_section(waiting: Vec<&WaitingReport>) -> Option<Section<'_>> {
    (!waiting.is_empty()).then(|| Section {
        group: "waiting",
        title: format!("Waiting ({})", number(length(&waiting))),
        note: Some("Deactivated only if the person is still missing when it is due."),
        columns: vec!["Account", "Evidence", "Since", "Due"],
        rows: Rows::Waiting(waiting),
    })
}

/// A section for each kind of finding.
pub(super) fn finding_sections<'a>(all: &[&'a Finding]) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    for kind in FindingKind::ALL.iter().copied() {
        let findings: Vec<_> = all.iter().copied().filter(|f| f.kind == kind).collect();
        if !findings.is_empty() {
            sections.push(Section {
                group: "finding",
                title: format!(
                    "Findings: {} ({})",
                    kind.as_str().replace('_', " "),
                    number(length(&findings))
                ),
                note: Some(kind.cure()),
                columns: vec!["Account", "Detail"],
                rows: Rows::Findings(findings),
            });
        }
    }
    sections
}

pub(super) fn guard_section(guards: &[GuardReport]) -> Option<Section<'_>> {
    if guards.is_empty() {
        return None;
    }
    let held = guards.iter().filter(|guard| guard.held).count();
    let has = |wanted: fn(&GuardReport) -> bool| guards.iter().any(wanted);
    let mut columns = vec!["Guard", "Actual", "Limit", "Used", "Result"];
    if has(|guard| guard.basis.is_some()) {
        columns.push("Basis");
    }
    Some(Section {
        group: GUARDS,
        title: match held {
            0 => "Guards".to_owned(),
            1 => "Guards (1 holds this plan)".to_owned(),
            _ => format!("Guards ({held} hold this plan)"),
        },
        note: (held > 0)
            .then_some("Nothing of the plan is written to Opsera until somebody approves it."),
        columns,
        rows: Rows::Guards(guards),
    })
}
