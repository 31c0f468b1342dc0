//! The run itself: the steps in their order, each handing its value to the next.

use super::error::RunError;
use super::guarding::{GuardVerdict, judge};
use super::outcome::{RunEnd, build_report, origin_of, outcome_of};
use super::pending_leavers::find_pending_leavers;
use super::planning::{PlanScope, Planned, plan_from_store};
use super::pull::{Pulling, Sides, pull};
use super::{Context, Finished, RunRequest, RunResult, failed_before_start, memberships};
use tracing::Instrument as _;

use crate::audit::{
    AuditKey, AuditWriter, Checkpoint, Event, Head, NewEntry, must_take_checkpoints,
};
use crate::clients::{Api, Backoff, Opa, OpseraReader, OpseraWriter, Transport};
use crate::domain::text::error_chain;
use crate::domain::{
    ActionKind, Counter, Finding, FindingKind, GuardReport, HeldPlan, History, Mode, Origin,
    Outcome, PlanId, PlanState, Rejection, Report, Stage, StoreReport, approval::rejection_of,
    time::Timestamp,
};
use crate::reconcile::{Applied, StopReason, Worker, recover, refusal_progress};
use crate::rules::Policy;
use crate::rules::clock_trust::{ClockReading, ClockTrust, judge_clock};
use crate::store::{
    FinishedRun, Installation, LockError, Pull, RunLimits, RunLock, Snapshot, Store,
    audit::refuse_lost_store,
};

/// Runs that are searched for the last one that read both directories to their ends.
const RUNS_LOOKED_AT: u32 = 10;

/// Everything that is known about a run so far; what it never came to stays empty.
#[derive(Debug, Default)]
pub(super) struct RunState {
    pub(super) opa: crate::domain::OpaCounts,
    pub(super) opsera: crate::domain::OpseraCounts,
    pub(super) planned: Option<Planned>,
    pub(super) guards: Vec<GuardReport>,
    pub(super) held: bool,
    pub(super) rejection: Option<Rejection>,
    pub(super) applied: Applied,
}

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
                let result = run.steps(&mut state).await;
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
    if let Err(error) = finish(context, store, audit_writer, &mut report).await {
        failed_on = Some(error.failed_on());
        report.failed_on = failed_on;
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

fn limits_of(request: &RunRequest) -> RunLimits<'_> {
    RunLimits {
        kinds: &request.kinds,
        people: request.people.as_ref(),
    }
}

fn origin(context: &Context) -> Origin {
    let settings = &context.settings;
    Origin {
        team: Some(settings.opa.team.clone()),
        opa_url: Some(settings.opa.base_url.to_string()),
        opsera_url: Some(settings.opsera.base_url.to_string()),
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

/// `max_deactivations 8>4`; the guards whose name begins with `min_` hold from below.
fn describe_guard(guard: &GuardReport) -> String {
    let sign = if guard.guard.starts_with("min_") {
        '<'
    } else {
        '>'
    };
    format!("{} {}{sign}{}", guard.guard, guard.actual, guard.limit)
}

fn fail_at_the_end(report: &mut Report, what: &str, error: &RunError) {
    let words = format!("{what}: {}", error_chain(error));
    tracing::error!("{words}");
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

struct Clients {
    transport: Transport,
    opa: Opa,
    opsera: OpseraReader,
}

impl Clients {
    fn new(context: &Context) -> Result<Self, RunError> {
        let settings = &context.settings;
        let client = |api| move |source| RunError::Client { api, source };
        let transport =
            Transport::new(&settings.http, context.clock.clone()).map_err(client(Api::Opa))?;
        Ok(Self {
            opa: Opa::new(&transport, &settings.opa, &settings.retry).map_err(client(Api::Opa))?,
            opsera: OpseraReader::new(&transport, &settings.opsera, &settings.retry)
                .map_err(client(Api::Opsera))?,
            transport,
        })
    }
}

fn clock_finding(policy: &Policy, clock: &ClockTrust) -> Option<Finding> {
    match clock {
        ClockTrust::NotTrusted { reason } if !policy.absent_grace.is_zero() => Some(Finding {
            kind: FindingKind::ClockNotTrusted,
            email: "clock".to_owned(),
            detail: format!(
                "{reason}: nobody is deactivated as absent in this run, and every absence counts \
                 from now on; let the machine synchronize its clock"
            ),
        }),
        ClockTrust::Trusted | ClockTrust::NotTrusted { .. } => None,
    }
}

/// One run on an open store.
struct Run<'r> {
    context: &'r Context,
    request: &'r RunRequest,
    store: &'r Store,
    audit_writer: &'r AuditWriter,
    clients: &'r Clients,
}

impl Run<'_> {
    async fn steps(&self, state: &mut RunState) -> Result<(), RunError> {
        // Everything up to the plan only reads, so a signal may end it anywhere (A10).
        let pull = tokio::select! {
            biased;
            () = self.request.stop.cancelled() => return Err(RunError::Interrupted),
            pull = self.read_and_plan(state) => pull?,
        };
        let Some(planned) = &state.planned else {
            return Ok(());
        };
        let verdict = judge(
            self.store,
            pull,
            &self.context.settings.policy.guards,
            &planned.plan,
            planned.input.clone(),
            self.context.clock.now(),
        )
        .instrument(tracing::info_span!("guard"))
        .await?;
        state.guards.clone_from(&verdict.guards);
        state.held = verdict.is_held();
        self.remember(pull, planned, &verdict).await?;
        if state.held {
            state.rejection = self.hold(planned, &verdict.guards).await?;
            Ok(())
        } else {
            self.carry_out(pull, planned, verdict.approval.as_ref(), &mut state.applied)
                .await?;
            match &state.applied.stopped {
                Some(StopReason::Unauthorized(words)) => Err(RunError::Unauthorized(words.clone())),
                Some(StopReason::Interrupted) => Err(RunError::Interrupted),
                Some(StopReason::Breaker(_)) | None => Ok(()),
            }
        }
    }

    async fn read_and_plan(&self, state: &mut RunState) -> Result<Pull, RunError> {
        self.request.progress.stage(Stage::Settling);
        recover(
            self.store,
            self.audit_writer,
            &self.request.id,
            &self.clients.opsera,
        )
        .await?
        .map_err(RunError::Settle)?;
        self.expect_as_many_as_last_time().await;
        let policy = &self.context.settings.policy;
        // A run that was killed or failed after its pull has left this undone (I8).
        self.store.remember_latest_pull().await?;
        let snapshot = Snapshot::begin(self.store, policy, &self.request.id).await?;
        let mut findings = match self.read(&snapshot, state).await {
            Ok(findings) => findings,
            Err(error) => {
                let error = error.located(&self.context.settings);
                let entry = self.entry(Event::PullFailed).because(error_chain(&error));
                if let Err(second) = self.store.note(self.audit_writer, entry).await {
                    // What went wrong first is what has to be put right.
                    tracing::error!(
                        error = error_chain(&second),
                        "the failed pull could not be recorded"
                    );
                }
                return Err(error);
            }
        };
        snapshot.complete(self.context.clock.now()).await?;
        self.check_people(snapshot.pull()).await?;
        let entry = self
            .entry(Event::PullCompleted)
            .evidence(serde_json::json!({
                "opa": state.opa,
                "opsera": state.opsera,
            }));
        self.store.note(self.audit_writer, entry).await?;
        let now = self.context.clock.now();
        let clock = self.judge_clock(snapshot.pull(), now).await?;
        findings.extend(clock_finding(policy, &clock));
        self.store
            .move_absence_clocks(snapshot.pull(), now, &clock)
            .await?;
        self.request.progress.stage(Stage::Planning);
        let in_flight = usize::try_from(self.context.settings.opsera.max_in_flight).unwrap_or(1);
        let opsera = &self.clients.opsera;
        findings.extend(
            find_pending_leavers(self.store, snapshot.pull(), opsera, in_flight, now).await?,
        );
        let scope = PlanScope {
            policy,
            kinds: &self.request.kinds,
            people: self.request.people.as_ref(),
            now,
            clock_is_trusted: clock.is_trusted(),
        };
        let planned = plan_from_store(
            self.store,
            snapshot.pull(),
            scope,
            Some((opsera, in_flight)),
            findings,
        )
        .instrument(tracing::info_span!("plan"))
        .await?;
        let entry = self.entry(Event::PlanCreated).evidence(serde_json::json!({
            "plan_id": planned.plan.id(),
            "summary": planned.summary,
        }));
        self.store.note(self.audit_writer, entry).await?;
        state.planned = Some(planned);
        Ok(snapshot.pull())
    }

    /// Tells the watcher how many records the last complete run read; only a line on a terminal
    /// hangs on it.
    async fn expect_as_many_as_last_time(&self) {
        let Ok(runs) = self.store.list_runs(RUNS_LOOKED_AT).await else {
            return;
        };
        let reports = runs.into_iter().filter_map(|run| run.report);
        let last = reports
            .into_iter()
            .find(|report| report.opa.complete && report.opsera.complete);
        if let Some(report) = last {
            let progress = &self.request.progress;
            progress.expect(Counter::OpaRecords, report.opa.users);
            progress.expect(Counter::OpseraAccounts, report.opsera.users);
        }
    }

    /// Compares the machine's clock with the servers' and with the last run's (§4 step 6).
    async fn judge_clock(&self, pull: Pull, now: Timestamp) -> Result<ClockTrust, RunError> {
        let reading = ClockReading {
            wall: now,
            since_boot: self.context.clock.since_boot(),
        };
        let last = self.store.last_clock().await?;
        let trust = judge_clock(
            last.as_ref(),
            &reading,
            self.clients.transport.clock_offsets().median(),
        );
        self.store
            .note_clock(pull, &reading, trust.is_trusted())
            .await?;
        Ok(trust)
    }

    /// Whether everybody whom `--person` names is known to anybody.
    async fn check_people(&self, pull: Pull) -> Result<(), RunError> {
        let Some(people) = &self.request.people else {
            return Ok(());
        };
        for (address, keys) in people.keys(&self.context.settings.policy.matching) {
            let mut is_known = false;
            for key in &keys {
                is_known |= self.store.knows_key(pull, key).await?;
            }
            if !is_known {
                return Err(RunError::UnknownPerson(address.to_owned()));
            }
        }
        Ok(())
    }

    /// Both listings and the memberships; counts what arrived, also when not all of it did.
    async fn read(
        &self,
        snapshot: &Snapshot<'_>,
        state: &mut RunState,
    ) -> Result<Vec<crate::domain::Finding>, RunError> {
        let Clients { opa, opsera, .. } = self.clients;
        let policy = &self.context.settings.policy;
        let progress = &self.request.progress;
        let sides = Sides::default();
        let pulling = Pulling {
            store: self.store,
            snapshot,
            policy,
            opa,
            opsera,
            progress,
        };
        let mut result = pull(pulling, &sides).await;
        if let Ok(findings) = &mut result {
            let joiners = policy.provision && self.request.kinds.contains(ActionKind::Create);
            match memberships::pull_memberships(
                self.store, snapshot, policy, joiners, opa, progress,
            )
            .await
            {
                Ok(more) => findings.extend(more),
                Err(error) => result = Err(error),
            }
        }
        state.opa = snapshot.count_people().await?;
        state.opsera = snapshot.count_accounts().await?;
        state.opa.complete =
            sides.opa_is_complete() && !(memberships::matter(policy) && result.is_err());
        state.opsera.complete = sides.opsera_is_complete();
        result
    }

    /// What the store learns from this plan, whatever becomes of it.
    async fn remember(
        &self,
        pull: Pull,
        planned: &Planned,
        verdict: &GuardVerdict,
    ) -> Result<(), RunError> {
        if verdict.accepts_source() {
            self.store.accept_source(&self.request.id).await?;
        }
        self.store.remember_key_holders(pull).await?;
        if self.context.settings.policy.provision && self.request.kinds.contains(ActionKind::Create)
        {
            self.store
                .remember_unlisted_accounts(&planned.findings)
                .await?;
        }
        // A plan that is not held (any more) needs nobody's decision either.
        self.store
            .supersede_plans(
                limits_of(self.request),
                verdict.is_held().then(|| planned.plan.id()),
            )
            .await?;
        Ok(())
    }

    /// Keeps the plan for a decision. Gives the rejection that stands against it, if one does.
    async fn hold(
        &self,
        planned: &Planned,
        guards: &[GuardReport],
    ) -> Result<Option<Rejection>, RunError> {
        let ttl = self.context.settings.policy.guards.approval_ttl;
        let state = self
            .store
            .hold_plan(
                self.audit_writer,
                &self.request.id,
                limits_of(self.request),
                &planned.plan,
                guards,
                ttl,
            )
            .await?;
        if state != PlanState::Rejected {
            return Ok(None);
        }
        let plan = self.store.find_plan(planned.plan.id()).await?;
        Ok(plan.as_ref().and_then(|plan| rejection_of(plan, ttl)))
    }

    async fn carry_out(
        &self,
        pull: Pull,
        planned: &Planned,
        approval: Option<&HeldPlan>,
        applied: &mut Applied,
    ) -> Result<(), RunError> {
        let now = self.context.clock.now();
        let plan = &planned.plan;
        match self.request.mode {
            Mode::DryRun => {
                let refused = self.store.list_refusals(plan, now).await?;
                applied.progress = refused
                    .iter()
                    .map(|(position, refusal)| (*position, refusal_progress(refusal)))
                    .collect();
                Ok(())
            }
            Mode::Apply => {
                self.store.adopt_roles(&planned.adopted, now).await?;
                if let Some(approved) = approval {
                    self.store.use_up_empty_approval(&approved.id).await?;
                }
                let refused = self.store.enqueue(&self.request.id, plan, now).await?;
                let progress = &self.request.progress;
                progress.stage(Stage::Applying);
                let due = plan.actions().len().saturating_sub(refused.len());
                progress.expect(Counter::Actions, u64::try_from(due).unwrap_or(u64::MAX));
                let settings = &self.context.settings;
                let Some(opsera) = OpseraWriter::new(&self.clients.opsera, self.request.mode)
                else {
                    return Ok(());
                };
                let worker = Worker {
                    store: self.store,
                    audit_writer: self.audit_writer,
                    run: &self.request.id,
                    pull,
                    policy: &settings.policy,
                    opa: &self.clients.opa,
                    opsera: &opsera,
                    retry: &settings.retry,
                    backoff: &Backoff::new(&settings.retry),
                    stop: &self.request.stop,
                    progress,
                };
                Ok(worker
                    .apply(plan, &refused, applied)
                    .instrument(tracing::info_span!("apply"))
                    .await?)
            }
        }
    }

    fn entry(&self, event: Event) -> NewEntry {
        NewEntry::new(event).in_run(&self.request.id)
    }
}
