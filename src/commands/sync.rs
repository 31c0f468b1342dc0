//! `rolecall sync`: one reconciliation.

use std::io::IsTerminal as _;
use std::path::Path;

use super::report::{Shown, print};
use crate::audit::Actor;
use crate::audit_stream;
use crate::cli::signals::stop_on_signals;
use crate::cli::{GlobalArgs, ReportFormat, SyncArgs};
use crate::domain::text;
use crate::domain::text::error_chain;
use crate::domain::time::Timestamp;
use crate::domain::{ExitStatus, KindSet, Mode, Outcome, PeopleFilter, RunId};
use crate::metrics::{Exposition, Metrics, write_file};
use crate::notifications;
use crate::output;
use crate::output::{ProgressLine, Visibility};
use crate::reconcile::{
    Context, FailedOn, Finished, RunRequest, RunResult, exit_status, failed_before_start,
    machine_clock, run as reconcile,
};
use crate::store::Store;

pub(super) async fn run(global: &GlobalArgs, args: &SyncArgs) -> anyhow::Result<ExitStatus> {
    if args.force {
        let words = "error: there is no --force, because a deactivation cannot be undone and nothing \
                     switches a guard off: `rolecall plan show` shows what is held, and `rolecall \
                     plan approve` lets exactly that pass\n";
        output::note(words, global.colour());
        return Ok(ExitStatus::Usage);
    }
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
            let mut words = format!("{error:#}");
            for hint in super::hints(&error) {
                words.push_str(". What to do: ");
                words.push_str(&hint);
            }
            let report = failed_before_start(&request, started_at, clock.now(), words);
            if !shows_table(args) {
                print(global, &args.report, &Shown::Report(&report, None))?;
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
            print(global, &args.report, &Shown::Report(&finished.report, None))?;
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

/// What others are told of the run: those who get messages, the target of `audit.stream` and the textfile collector.
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

/// Whether the report goes to a terminal as a table.
fn shows_table(args: &SyncArgs) -> bool {
    args.report.output.is_none()
        && std::io::stdout().is_terminal()
        && matches!(args.report.format, None | Some(ReportFormat::Table))
}
