//! `rolecall report`: a past run again, or what changed between two; and how every report is printed.

use std::io::IsTerminal as _;

use anstream::ColorChoice;
use anyhow::{anyhow, bail};

use super::desk::Desk;
use crate::cli::{GlobalArgs, ReportArgs, ReportFormat, ReportOutput};
use crate::domain::time::time_for_people;
use crate::domain::{ExitStatus, GuardHistory, Outcome, Report, ReportDiff, RunId, text};
use crate::output;
use crate::output::{Format, render, render_diff, verdict};
use crate::store::PastReport;

/// What is printed.
pub(super) enum Shown<'r> {
    /// With what its guards said in the runs before, where that is known.
    Report(&'r Report, Option<&'r GuardHistory>),
    Diff(&'r ReportDiff<'r>),
}

pub(super) async fn run(global: &GlobalArgs, args: &ReportArgs) -> anyhow::Result<ExitStatus> {
    let wanted: Vec<&str> = args
        .run
        .iter()
        .chain(&args.diff)
        .map(|run| run.trim())
        .collect();
    let desk = Desk::look_at_store(global).await?;
    let found = find(&desk, &wanted, args.report.format).await;
    desk.store.close().await;
    let found = found?;
    match found.reports.as_slice() {
        [before, after] => {
            let diff = ReportDiff::between(before, after);
            print(global, &args.report, &Shown::Diff(&diff))?;
        }
        reports => {
            for report in reports {
                let shown = Shown::Report(report, found.history.as_ref());
                print(global, &args.report, &shown)?;
            }
        }
    }
    for note in found.notes {
        output::note(&format!("rolecall: {note}\n"), global.colour());
    }
    Ok(ExitStatus::Done)
}

/// What the store has of what is wanted.
struct Found {
    reports: Vec<Report>,
    /// For the page of one report.
    history: Option<GuardHistory>,
    /// What else is to be said.
    notes: Vec<String>,
}

async fn find(desk: &Desk, wanted: &[&str], format: Option<ReportFormat>) -> anyhow::Result<Found> {
    let mut reports = Vec::new();
    for given in wanted {
        let run = choose(desk, given).await?;
        reports.push(whole(desk, &run).await?);
    }
    let newest = if wanted.contains(&"latest") {
        desk.store.list_runs(1).await?
    } else {
        Vec::new()
    };
    let unfinished = newest.into_iter().find(|run| run.finished_at.is_none());
    let newer = unfinished.map(|run| {
        format!(
            "run {} of {} is newer and has no end: it is under way, or was killed",
            run.id,
            time_for_people(run.started_at)
        )
    });
    let mut notes = Vec::from_iter(newer);
    let mut history = None;
    if let ([report], Some(ReportFormat::Html)) = (reports.as_slice(), format) {
        // The report is whole without it, and may be wanted in a hurry.
        match desk.store.guard_history(report).await {
            Ok(known) => history = Some(known),
            Err(error) => notes.push(format!(
                "the page does not show the guards over 90 days: {}",
                text::terminal_safe(&text::error_chain(&error))
            )),
        }
    }
    Ok(Found {
        reports,
        history,
        notes,
    })
}

async fn choose(desk: &Desk, given: &str) -> anyhow::Result<RunId> {
    let (outcome, none) = match given {
        "latest" => (None, "no run has come to its end yet"),
        "last-held" => (
            Some(Outcome::Held),
            "no run that is kept was held by a guard",
        ),
        id => return desk.run_named(id).await,
    };
    let last = desk.store.last_ended_run(outcome).await?;
    last.ok_or_else(|| anyhow!(none))
}

async fn whole(desk: &Desk, run: &RunId) -> anyhow::Result<Report> {
    let instead = format!("`rolecall audit list --run {run}` has what it did");
    match desk.store.past_report(run).await? {
        PastReport::Whole(report) => Ok(*report),
        PastReport::WithoutPeople(report) => bail!(
            "the people of run {run} were not kept, because an older version of rolecall wrote its \
             report ({}): {instead}",
            numbers(&report)
        ),
        PastReport::NoEnd {
            started_at,
            is_killed: true,
        } => bail!(
            "run {run} of {} was killed before it could report: {instead}",
            time_for_people(started_at)
        ),
        PastReport::NoEnd {
            started_at,
            is_killed: false,
        } => bail!(
            "run {run} of {} has no end: it is under way, or was killed",
            time_for_people(started_at)
        ),
        PastReport::NotKept => {
            bail!("the report of run {run} is no longer kept (store.retain): {instead}")
        }
    }
}

/// What is left of a report whose people were not kept.
fn numbers(report: &Report) -> String {
    let summary = &report.summary;
    format!(
        "{}: {} to deactivate, {} role changes, {} to create, {} findings",
        report.outcome.as_str().replace('_', " "),
        summary.deactivate,
        summary.set_role,
        summary.create,
        summary.findings
    )
}

/// Prints a report, or what changed between two, where and as it is wanted.
pub(super) fn print(
    global: &GlobalArgs,
    wanted: &ReportOutput,
    shown: &Shown<'_>,
) -> anyhow::Result<()> {
    let on_terminal = wanted.output.is_none() && std::io::stdout().is_terminal();
    let format = match wanted.format {
        Some(ReportFormat::Table) => Format::Table,
        Some(ReportFormat::Markdown) => Format::Markdown,
        Some(ReportFormat::Html) => Format::Html,
        Some(ReportFormat::Csv) => Format::Csv,
        None if on_terminal => Format::Table,
        Some(ReportFormat::Json) | None => Format::Json,
    };
    let style = output::table_style(global.colour(), on_terminal);
    // No other format has escape sequences to be taken out, which costs a tenth of a long report.
    let colour = match format {
        Format::Table => global.colour(),
        Format::Json | Format::Markdown | Format::Html | Format::Csv => ColorChoice::AlwaysAnsi,
    };
    let mut sink = output::Sink::open(wanted.output.as_deref(), colour)?;
    match shown {
        Shown::Report(report, history) => render(report, *history, format, style, &mut sink)?,
        Shown::Diff(diff) => render_diff(diff, format, style, &mut sink)?,
    }
    sink.finish()?;
    if let Some(file) = &wanted.output {
        let file = text::terminal_safe(&file.display().to_string()).into_owned();
        let said = match shown {
            Shown::Report(report, _) => format!("{}\n", text::for_terminal(&verdict(report))),
            Shown::Diff(_) => String::new(),
        };
        output::note(&format!("{said}written to {file}\n"), global.colour());
    }
    Ok(())
}
