//! `rolecall sync`: one reconciliation.

use std::io::IsTerminal as _;
use std::path::Path;

use crate::audit::Actor;
use crate::audit_stream;
use crate::cli::signals::stop_on_signals;
use crate::cli::{GlobalArgs, ReportFormat, SyncArgs};
use crate::domain::text;
use crate::domain::text::error_chain;
use crate::domain::time::Timestamp;
use crate::domain::{ExitStatus, KindSet, Mode, Outcome, PeopleFilter, Report, RunId};
use crate::metrics::{Exposition, Metrics, write_file};
use crate::notifications;
use crate::output;
use crate::output::{Format, ProgressLine, Visibility, render, verdict};
use crate::reconcile::{
    Context, FailedOn, Finished, RunRequest, RunResult, exit_status, failed_before_start,
    machine_clock, run as reconcile,
};
use crate::store::Store;

pub(super) async fn run(global: &GlobalArgs, args: &SyncArgs) -> anyhow::Result<ExitStatus> {
    let clock = machine_clock();
    let request = RunRequest {
        id: RunId::random(),
        mode: if args.dry_run {
            Mode::DryRun
        } else {
            Mode::Apply
        },
        kinds: KindSet::only(args.only.iter().map(|kind| (*kind).into())),
        people: PeopleFilter::of(args.person.iter().cloned()),
        stop: stop_on_signals()?,
        progress: ProgressLine::on_stderr(if global.quiet > 0 {
            Visibility::Silent
        } else {
            Visibility::OnTerminal
        }),
    };
    let started_at = clock.now();
    let settings = match super::load_settings(global) {
        Ok(loaded) => loaded.settings,
        Err(error) => {
            // Scripts read the report whatever happened; people read the error below it.
            let words = format!("{error:#}");
            let report = failed_before_start(&request, started_at, clock.now(), words);
            if !shows_table(args) {
                print(global, args, &report)?;
            }
            return Err(error);
        }
    };
    let context = Context {
        settings,
        clock: clock.clone(),
        actor: Actor::of_this_process(),
    };
    match reconcile(&context, &request).await {
        RunResult::AnotherRun(words) => {
            if let Some(file) = &args.metrics_file {
                let metrics = metrics_of(&context).await;
                metrics.another_run();
                write_metrics(file, &metrics);
            }
            output::note(
                &format!("rolecall: {}\n", text::terminal_safe(&words)),
                global.colour(),
            );
            Ok(ExitStatus::AnotherRun)
        }
        RunResult::Finished(finished) => {
            print(global, args, &finished.report)?;
            after_run(&context, &request, args, &finished, started_at).await;
            // On a terminal the report has just said it.
            if let Some(error) = &finished.report.error
                && !shows_table(args)
            {
                output::note(
                    &format!("error: {}\n", text::terminal_safe(error)),
                    global.colour(),
                );
            }
            if finished.failed_on == Some(FailedOn::Request) {
                return Ok(ExitStatus::Usage);
            }
            Ok(exit_status(&finished.report, args.exit_code))
        }
    }
}

/// What others are told of the run: the webhook, the target of `audit.stream` and the textfile collector.
async fn after_run(
    context: &Context,
    request: &RunRequest,
    args: &SyncArgs,
    finished: &Finished,
    started_at: Timestamp,
) {
    let report = &finished.report;
    // Whoever interrupted the run knows.
    if !(request.stop.is_cancelled() && report.outcome == Outcome::Failed) {
        notifications::notify(context, report).await;
    }
    audit_stream::deliver_once(&context.settings).await;
    if let Some(file) = &args.metrics_file {
        let metrics = metrics_of(context).await;
        metrics.attempt(started_at);
        let took = (report.finished_at - started_at)
            .to_std()
            .unwrap_or_default();
        metrics.finished(finished, took);
        write_metrics(file, &metrics);
    }
}

/// The exit status tells of the run (§1), so a file that cannot be written only ends in the log.
fn write_metrics(file: &Path, metrics: &Metrics) {
    if let Err(error) = write_file(file, &metrics.render(Exposition::Prometheus)) {
        tracing::error!("{}", error_chain(&error));
    }
}

/// Metrics with what the store remembers; a store that cannot be read remembers nothing.
async fn metrics_of(context: &Context) -> Metrics {
    let metrics = Metrics::new();
    if let Ok(store) = Store::open_existing_read_only(&context.settings.store.path).await {
        if let Ok(status) = store.read_status().await {
            metrics.restore(&status);
        }
        store.close().await;
    }
    metrics
}

fn print(global: &GlobalArgs, args: &SyncArgs, report: &Report) -> anyhow::Result<()> {
    let on_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    let format = match args.format {
        Some(ReportFormat::Table) => Format::Table,
        Some(ReportFormat::Markdown) => Format::Markdown,
        Some(ReportFormat::Html) => Format::Html,
        Some(ReportFormat::Csv) => Format::Csv,
        None if on_terminal => Format::Table,
        Some(ReportFormat::Json) | None => Format::Json,
    };
    let mut sink = output::Sink::open(args.output.as_deref(), global.colour())?;
    render(
        report,
        format,
        output::table_style(global.colour(), on_terminal),
        &mut sink,
    )?;
    sink.finish()?;
    if let Some(file) = &args.output {
        let file = text::terminal_safe(&file.display().to_string()).into_owned();
        let verdict = text::for_terminal(&verdict(report)).into_owned();
        output::note(&format!("{verdict}\nwritten to {file}\n"), global.colour());
    }
    Ok(())
}

/// Whether the report goes to a terminal as a table.
fn shows_table(args: &SyncArgs) -> bool {
    args.output.is_none()
        && std::io::stdout().is_terminal()
        && matches!(args.format, None | Some(ReportFormat::Table))
}
