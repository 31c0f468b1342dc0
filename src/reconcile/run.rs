//! One run from its lock to its checkpoint: it is opened, carried out (`steps`), and closed with one
//! truth about how it ended, on paper, in the store and in the exit code.

use super::error::RunError;
use super::outcome::{RunEnd, build_report, origin_of, outcome_of};
use super::steps::{Clients, Run, RunState, limits_of};
use super::{Context, Finished, RunRequest, RunResult, failed_before_start};
use crate::audit::{AuditKey, AuditWriter, Checkpoint, Head, must_take_checkpoints};
use crate::domain::text::error_chain;
use crate::domain::time::Timestamp;
use crate::domain::{GuardReport, History, Origin, Outcome, PlanId, Report, StoreReport};
use crate::store::audit::refuse_lost_store;
use crate::store::{FinishedRun, Installation, LockError, RunLock, Store};
use tracing::Instrument as _;

/// Runs once. Returns at once if another run is in progress on the same store (A8).
pub async fn run(context: &Context, request: &RunRequest) -> RunResult {
    let started_at = context.clock.now();
    let settings = &context.settings;
    let fail = |error: RunError| {
        let failed_on = Some(error.failed_on());
        RunResult::Finished(Box::new(Finished {
            report: Report {
                origin: origin(context),
                failed_on,
                ..failed_before_start(request, started_at, context.clock.now(), error.explained())
            },
            traffic: None,
            failed_on,
        }))
    };
    let store_path = &settings.store.path;
    // Before the lock's file appears beside it: a store that was lost must not be made anew.
    if let Some(checkpoints) = &settings.audit.checkpoint_file
        && let Err(error) = refuse_lost_store(store_path, checkpoints)
    {
        return fail(error.into());
    }
    let _lock = match RunLock::acquire(store_path, &*context.clock) {
        Ok(lock) => lock,
        Err(error @ LockError::Held { .. }) => return RunResult::AnotherRun(error.to_string()),
        Err(error) => return fail(RunError::Lock(error)),
    };
    let (store, audit_writer) = match open(context).await {
        Ok(opened) => opened,
        Err(error) => return fail(error),
    };
    let span = tracing::info_span!("run", run_id = request.id.as_str());
    let finished = run_on(context, request, &store, &audit_writer, started_at)
        .instrument(span)
        .await;
    store.close().await;
    RunResult::Finished(Box::new(finished))
}

/// Makes the clients, opens the store as a run does and writes to it, so that a daemon finds out at
/// its start and not at its first run: certificates, the lock's file, the schema, the installation,
/// the audit key and the last checkpoint. A lock that another run holds is no objection.
///
/// # Errors
/// What a run would fail with.
pub async fn check_start(context: &Context) -> Result<(), RunError> {
    Clients::new(context)?;
    let settings = &context.settings;
    let store_path = &settings.store.path;
    if let Some(checkpoints) = &settings.audit.checkpoint_file {
        refuse_lost_store(store_path, checkpoints)?;
    }
    let _lock = match RunLock::acquire(store_path, &*context.clock) {
        Ok(lock) => Some(lock),
        Err(LockError::Held { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (store, _) = open(context).await?;
    let written = store.probe(context.clock.now()).await;
    store.close().await;
    Ok(written?)
}

async fn open(context: &Context) -> Result<(Store, AuditWriter), RunError> {
    let settings = &context.settings;
    let key = settings
        .audit
        .key_file
        .as_deref()
        .map(AuditKey::read)
        .transpose()?;
    let audit_writer = AuditWriter {
        clock: context.clock.clone(),
        actor: context.actor.clone(),
        key,
    };
    let store = Store::open(&settings.store.path, &*context.clock).await?;
    store
        .bind(&Installation::new(
            &settings.opa.team,
            &settings.opa.base_url,
            &settings.opsera.base_url,
        ))
        .await?;
    store
        .check_anchor(&audit_writer, settings.audit.checkpoint_file.as_deref())
        .await?;
    if let Some(file) = &settings.audit.checkpoint_file {
        must_take_checkpoints(file)?;
    }
    Ok((store, audit_writer))
}

async fn run_on(
    context: &Context,
    request: &RunRequest,
    store: &Store,
    audit_writer: &AuditWriter,
    started_at: Timestamp,
) -> Finished {
    let mut state = RunState::default();
    let mut traffic = None;
    let history = history(store).await;
    let begun = store
        .begin_run(
            audit_writer,
            &request.id,
            request.mode,
            limits_of(request),
            started_at,
        )
        .await;
    let result = match begun {
        Err(error) => Err(error.into()),
        Ok(()) => match Clients::new(context) {
            Err(error) => Err(error),
            Ok(clients) => {
                clients
                    .transport
                    .request_metrics()
                    .beat_with(request.progress.heartbeat());
                let run = Run {
                    context,
                    request,
                    store,
                    audit_writer,
                    clients: &clients,
                };
                let result = run
                    .steps(&mut state)
                    .await
                    .map_err(|error| error.located(&context.settings));
                state.opa.requests = clients.opa.requests();
                state.opsera.requests = clients.opsera.requests();
                traffic = Some(clients.transport.request_metrics().snapshot());
                result
            }
        },
    };
    request.progress.done();
    let mut failed_on = result.as_ref().err().map(RunError::failed_on);
    let ended = RunEnd {
        started_at,
        finished_at: context.clock.now(),
        outcome: outcome_of(request.mode, &state, result.as_ref().err()),
        error: result.as_ref().err().map(RunError::explained),
        failed_on,
    };
    let mut report = build_report(request, state, ended);
    report.origin = Origin {
        store: history.map(|history| StoreReport {
            path: absolute(store.path()),
            history,
        }),
        ..origin(context)
    };
    if finish(context, store, audit_writer, &mut report)
        .await
        .is_err()
    {
        failed_on = report.failed_on;
    }
    log_end(&report);
    prune(context, store).await;
    Finished {
        report,
        traffic,
        failed_on,
    }
}

/// What earlier runs left; `None` where the store does not say, which the run itself finds out.
async fn history(store: &Store) -> Option<History> {
    match store.latest_pull().await {
        Ok(Some(_)) => Some(History::Present),
        Ok(None) => Some(History::Empty),
        Err(error) => {
            tracing::debug!(error = error_chain(&error), "the last pull cannot be read");
            None
        }
    }
}

fn absolute(path: &std::path::Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}

fn origin(context: &Context) -> Origin {
    let settings = &context.settings;
    Origin {
        team: Some(settings.opa.team.clone()),
        opa_url: Some(settings.opa.base_url.as_url().to_string()),
        opsera_url: Some(settings.opsera.base_url.as_url().to_string()),
        settings_digest: Some(settings.digest()),
        ..origin_of(&context.actor)
    }
}

/// Closes the run's row and leaves the checkpoint (§8). Where that fails, the run has failed:
/// the report says so and, as far as it still takes a row, the store.
async fn finish(
    context: &Context,
    store: &Store,
    audit_writer: &AuditWriter,
    report: &mut Report,
) -> Result<(), RunError> {
    let finished = store.finish_run(audit_writer, FinishedRun { report }).await;
    let head = match finished {
        Ok(head) => head,
        Err(error) => {
            let error = RunError::from(error);
            fail_at_the_end(report, "the end of the run could not be recorded", &error);
            return Err(error);
        }
    };
    report.audit_head = Some(head.hash.clone());
    let Err(error) = leave_checkpoint(context, head) else {
        return Ok(());
    };
    fail_at_the_end(
        report,
        "the checkpoint of the run could not be left",
        &error,
    );
    match store
        .correct_run(audit_writer, FinishedRun { report })
        .await
    {
        Ok(head) => report.audit_head = Some(head.hash),
        Err(second) => tracing::error!(
            error = error_chain(&second),
            "the store could not be told that the run failed"
        ),
    }
    Err(error)
}

fn leave_checkpoint(context: &Context, head: Head) -> Result<(), RunError> {
    let checkpoint = Checkpoint::new(context.clock.now(), head);
    tracing::info!(checkpoint = checkpoint.line().trim_end(), "checkpoint");
    if let Some(file) = &context.settings.audit.checkpoint_file {
        checkpoint.append_to(file)?;
    }
    Ok(())
}

/// The one line of the log that says what a run came to. A run that is held or not all done asks
/// for somebody, so it is a warning.
fn log_end(report: &Report) {
    let holding: Vec<String> = report
        .guards
        .iter()
        .filter(|guard| guard.held)
        .map(describe_guard)
        .collect();
    let guards = holding.join(", ");
    let plan_id = report.plan_id.as_ref().map(PlanId::as_str);
    let took = report.finished_at.signed_duration_since(report.started_at);
    let summary = &report.summary;
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                run_id = report.run_id.as_str(),
                outcome = report.outcome.as_str(),
                plan_id,
                guards,
                deactivate = summary.deactivate,
                set_role = summary.set_role,
                create = summary.create,
                waiting = summary.waiting,
                refused = summary.refused,
                findings = summary.findings,
                duration_ms = took.num_milliseconds(),
                error = report.error,
                "run finished"
            )
        };
    }
    match report.outcome {
        Outcome::Failed => line!(tracing::Level::ERROR),
        Outcome::Held | Outcome::Partial => line!(tracing::Level::WARN),
        Outcome::InSync | Outcome::ChangesPending | Outcome::Applied => {
            line!(tracing::Level::INFO);
        }
    }
}

/// `max_deactivations 8>4`
fn describe_guard(guard: &GuardReport) -> String {
    let sign = if guard.guard.holds_from_below() {
        '<'
    } else {
        '>'
    };
    format!("{} {}{sign}{}", guard.guard, guard.actual, guard.limit)
}

fn fail_at_the_end(report: &mut Report, what: &str, error: &RunError) {
    let words = format!("{what}: {}", error_chain(error));
    tracing::error!("{words}");
    report.failed_on = Some(error.failed_on());
    report.outcome = Outcome::Failed;
    report.error = Some(match report.error.take() {
        Some(earlier) => format!("{earlier}; {words}"),
        None => words,
    });
}

/// Removes what is older than `store.retain`. Housekeeping comes last and never decides how a run
/// ended.
async fn prune(context: &Context, store: &Store) {
    let retain = context.settings.store.retain;
    if let Err(error) = store.prune(retain, context.clock.now()).await {
        tracing::error!(
            error = error_chain(&error),
            "what is older than store.retain could not be removed; the next run tries again"
        );
    }
}
