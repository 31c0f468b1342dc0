//! The report for a spreadsheet: one row per action, waiting account and finding, told apart by
//! the first column, deactivations first; before them a row for the error, for each number of the
//! summary, so that the rows can be added up against it, and for each guard.

use std::io;

use csv::{QuoteStyle, WriterBuilder};

use super::diff_page::moved_words;
use super::phrases::WEIGHED;
use crate::domain::text::for_csv;
use crate::domain::{ActionReport, Changes, GuardReport, Report, ReportDiff, WaitingReport};
use crate::domain::{Finding, time::Timestamp};

/// One row; the fields are the columns.
#[derive(Default)]
struct Row<'a> {
    section: &'a str,
    kind: &'a str,
    email: &'a str,
    opsera_id: &'a str,
    from: &'a str,
    to: &'a str,
    reason: &'a str,
    status: &'a str,
    attempts: String,
    since: String,
    due: String,
    detail: &'a str,
}

const COLUMNS: [&str; 12] = [
    "section",
    "kind",
    "email",
    "opsera_id",
    "from",
    "to",
    "reason",
    "status",
    "attempts",
    "since",
    "due",
    "detail",
];

fn writer<W: io::Write>(out: W) -> csv::Writer<W> {
    WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .terminator(csv::Terminator::CRLF)
        .from_writer(out)
}

pub(super) fn render(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let mut csv = writer(out);
    csv.write_record(COLUMNS)?;
    let error = report.error.iter().map(|error| Row {
        section: "error",
        kind: report.outcome.as_str(),
        detail: error,
        ..Row::default()
    });
    let actual: Vec<String> = report.guards.iter().map(measured).collect();
    let guards = report
        .guards
        .iter()
        .zip(&actual)
        .map(|(guard, detail)| Row {
            section: "guard",
            kind: guard.guard.as_str(),
            status: if guard.held { "held" } else { "passed" },
            detail,
            ..Row::default()
        });
    let numbers = summary(report);
    let numbers = numbers.iter().map(|(kind, count)| Row {
        section: "summary",
        kind,
        detail: count,
        ..Row::default()
    });
    let actions = WEIGHED.into_iter().flat_map(|kind| {
        report
            .actions
            .iter()
            .filter(move |action| action.kind == kind)
    });
    let rows = error
        .chain(numbers)
        .chain(guards)
        .chain(actions.map(action))
        .chain(report.waiting.iter().map(waiting))
        .chain(report.findings.iter().map(finding));
    for row in rows {
        csv.write_record(row.fields().map(|field| for_csv(field).into_owned()))?;
    }
    csv.flush()
}

/// The rows that two reports do not have in common, each with what became of it before the columns
/// of a report. A row that changed stands there twice.
pub(super) fn render_diff(diff: &ReportDiff<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    let mut csv = writer(out);
    csv.write_record(["change"].into_iter().chain(COLUMNS))?;
    let guards: Vec<(&str, String)> = diff
        .guards
        .iter()
        .filter_map(|moved| Some((moved.guard.as_str(), moved_words(moved)?)))
        .collect();
    let guards = guards.iter().map(|(guard, detail)| {
        let row = Row {
            section: "guard",
            kind: guard,
            detail,
            ..Row::default()
        };
        ("moved", row)
    });
    let rows = guards
        .chain(changed_rows(&diff.actions, action))
        .chain(changed_rows(&diff.waiting, waiting))
        .chain(changed_rows(&diff.findings, finding));
    for (change, row) in rows {
        let fields = row.fields().map(|field| for_csv(field).into_owned());
        csv.write_record([change.to_owned()].into_iter().chain(fields))?;
    }
    csv.flush()
}

fn changed_rows<'r, T>(
    changes: &'r Changes<'_, T>,
    row: impl Fn(&'r T) -> Row<'r> + Copy + 'r,
) -> impl Iterator<Item = (&'static str, Row<'r>)> {
    let new = changes.new.iter().map(move |new| ("new", row(new)));
    let gone = changes.gone.iter().map(move |gone| ("gone", row(gone)));
    let different = changes
        .changed
        .iter()
        .flat_map(move |change| [("before", row(change.before)), ("after", row(change.after))]);
    new.chain(gone).chain(different)
}

impl Row<'_> {
    fn fields(&self) -> [&str; 12] {
        [
            self.section,
            self.kind,
            self.email,
            self.opsera_id,
            self.from,
            self.to,
            self.reason,
            self.status,
            &self.attempts,
            &self.since,
            &self.due,
            self.detail,
        ]
    }
}

fn measured(guard: &GuardReport) -> String {
    let basis = guard.basis.as_deref().map(|basis| format!(" ({basis})"));
    format!(
        "{} against a limit of {}{}",
        guard.actual,
        guard.limit,
        basis.unwrap_or_default()
    )
}

fn summary(report: &Report) -> Vec<(&'static str, String)> {
    let summary = &report.summary;
    [
        ("unchanged", summary.unchanged),
        ("deactivate", summary.deactivate),
        ("set_role", summary.set_role),
        ("create", summary.create),
        ("waiting", summary.waiting),
        ("protected", summary.protected),
        ("unmanaged", summary.unmanaged),
        ("refused", summary.refused),
        ("findings", summary.findings),
    ]
    .map(|(kind, count)| (kind, count.to_string()))
    .to_vec()
}

fn action(action: &ActionReport) -> Row<'_> {
    Row {
        section: "action",
        kind: action.kind.as_str(),
        email: &action.email,
        opsera_id: action.opsera_id.as_ref().map_or("", |id| id.as_str()),
        from: action.from.as_deref().unwrap_or_default(),
        to: action.to.as_deref().unwrap_or_default(),
        reason: &action.reason,
        status: action.status.as_str(),
        attempts: action.attempts.to_string(),
        detail: action.message.as_deref().unwrap_or_default(),
        ..Row::default()
    }
}

fn waiting(waiting: &WaitingReport) -> Row<'_> {
    Row {
        section: "waiting",
        email: &waiting.email,
        opsera_id: waiting.opsera_id.as_str(),
        reason: waiting.reason.as_str(),
        since: time(waiting.since),
        due: time(waiting.due),
        ..Row::default()
    }
}

fn finding(finding: &Finding) -> Row<'_> {
    Row {
        section: "finding",
        kind: finding.kind.as_str(),
        email: &finding.email,
        detail: &finding.detail,
        ..Row::default()
    }
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
