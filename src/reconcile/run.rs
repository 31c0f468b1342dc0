//! The run itself: the steps in their order, each handing its value to the next.

use chrono::TimeDelta;

use super::error::RunError;
use super::outcome::{Ended, build_report, outcome_of};
use super::planning::{Planned, plan_from_store};
use super::pull::{Sides, pull};
use super::{Context, Finished, RunRequest, RunResult, failed_before_start, memberships};
use crate::audit::{AuditKey, Checkpoint, Event, NewEntry, Scribe, must_take_checkpoints};
use crate::clients::{Api, Backoff, Opa, OpseraReader, OpseraWriter, Transport};
use crate::domain::text::error_chain;
use crate::domain::{ActionKind, GuardReport, HeldPlan, Mode, time::Timestamp};
use crate::reconcile::{Applied, StopReason, Worker, refusal_progress, settle};
use crate::rules::guards::{SOURCE_GUARDS, evaluate};
use crate::store::{
    FinishedRun, Installation, LockError, Pull, RunLock, Snapshot, Store, audit::refuse_lost_store,
};

/// The window of `guards.max_deactivations_7d`.
pub(crate) const SEVEN_DAYS: TimeDelta = TimeDelta::days(7);

/// Everything that is known about a run so far; what it never came to stays empty.
#[derive(Debug, Default)]
pub(super) struct Progressed {
    pub(super) opa: crate::domain::OpaCounts,
    pub(super) opsera: crate::domain::OpseraCounts,
    pub(super) planned: Option<Planned>,
    pub(super) guards: Vec<GuardReport>,
    pub(super) held: bool,
    pub(super) applied: Applied,
}

/// Runs once. Returns at once if another run is in progress on the same store (A8).
pub async fn run(context: &Context, request: &RunRequest) -> RunResult {
    let started_at = context.clock.now();
    let settings = &context.settings;
    let fail = |error: RunError| {
        let failed_on = Some(error.failed_on());
        RunResult::Finished(Box::new(Finished {
            report: failed_before_start(
                request,
                started_at,
                context.clock.now(),
                error_chain(&error),
            ),
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
    let (store, scribe) = match open(context).await {
        Ok(opened) => opened,
        Err(error) => return fail(error),
    };
    let finished = run_on(context, request, &store, &scribe, started_at).await;
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

async fn open(context: &Context) -> Result<(Store, Scribe), RunError> {
    let settings = &context.settings;
    let key = settings
        .audit
        .key_file
        .as_deref()
        .map(AuditKey::read)
        .transpose()?;
    let scribe = Scribe {
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
        .check_anchor(&scribe, settings.audit.checkpoint_file.as_deref())
        .await?;
    if let Some(file) = &settings.audit.checkpoint_file {
        must_take_checkpoints(file)?;
    }
    Ok((store, scribe))
}

async fn run_on(
    context: &Context,
    request: &RunRequest,
    store: &Store,
    scribe: &Scribe,
    started_at: Timestamp,
) -> Finished {
    let mut progressed = Progressed::default();
    let mut traffic = None;
    let begun = store
        .begin_run(
            scribe,
            &request.id,
            request.mode,
            &request.kinds.to_string(),
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
                    scribe,
                    clients: &clients,
                };
                let result = run.steps(&mut progressed).await;
                progressed.opa.requests = clients.opa.requests();
                progressed.opsera.requests = clients.opsera.requests();
                traffic = Some(clients.transport.request_metrics().snapshot());
                result
            }
        },
    };
    request.progress.done();
    let mut failed_on = result.as_ref().err().map(RunError::failed_on);
    let ended = Ended {
        started_at,
        finished_at: context.clock.now(),
        outcome: outcome_of(request.mode, &progressed, result.as_ref().err()),
        error: result.as_ref().err().map(|error| error_chain(error)),
    };
    let mut report = build_report(request, progressed, ended);
    match finish(context, store, scribe, &report).await {
        Ok(head) => report.audit_head = Some(head),
        Err(error) => {
            let words = format!(
                "the end of the run could not be recorded: {}",
                error_chain(&error)
            );
            tracing::error!("{words}");
            report.outcome = crate::domain::Outcome::Failed;
            failed_on = Some(error.failed_on());
            report.error = Some(match report.error.take() {
                Some(earlier) => format!("{earlier}; {words}"),
                None => words,
            });
        }
    }
    Finished {
        report,
        traffic,
        failed_on,
    }
}

/// Closes the run's row, prunes, and leaves the checkpoint (§8).
async fn finish(
    context: &Context,
    store: &Store,
    scribe: &Scribe,
    report: &crate::domain::Report,
) -> Result<String, RunError> {
    let settings = &context.settings;
    let now = context.clock.now();
    store.prune(settings.store.retain, now).await?;
    let head = store.finish_run(scribe, FinishedRun { report }).await?;
    let checkpoint = Checkpoint::new(now, head.clone());
    tracing::info!(
        checkpoint = checkpoint.line().trim_end(),
        outcome = report.outcome.as_str(),
        "run finished"
    );
    if let Some(file) = &settings.audit.checkpoint_file {
        checkpoint.append_to(file)?;
    }
    Ok(head.hash)
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

/// One run on an open store.
struct Run<'r> {
    context: &'r Context,
    request: &'r RunRequest,
    store: &'r Store,
    scribe: &'r Scribe,
    clients: &'r Clients,
}

impl Run<'_> {
    async fn steps(&self, progressed: &mut Progressed) -> Result<(), RunError> {
        // Everything up to the plan only reads, so a signal may end it anywhere (A10).
        let pull = tokio::select! {
            biased;
            () = self.request.stop.cancelled() => return Err(RunError::Interrupted),
            pull = self.read_and_plan(progressed) => pull?,
        };
        let Some(planned) = &progressed.planned else {
            return Ok(());
        };
        let approval = self.guard(planned, &mut progressed.guards).await?;
        progressed.held = progressed.guards.iter().any(|guard| guard.held);
        self.remember(pull, planned, &progressed.guards, approval.as_ref())
            .await?;
        if progressed.held {
            self.hold(planned, &progressed.guards).await
        } else {
            self.carry_out(pull, planned, approval.as_ref(), &mut progressed.applied)
                .await?;
            match &progressed.applied.stopped {
                Some(StopReason::Unauthorized(words)) => Err(RunError::Unauthorized(words.clone())),
                Some(StopReason::Interrupted) => Err(RunError::Interrupted),
                Some(StopReason::Breaker(_)) | None => Ok(()),
            }
        }
    }

    async fn read_and_plan(&self, progressed: &mut Progressed) -> Result<Pull, RunError> {
        self.request.progress.stage("settling earlier requests");
        settle(
            self.store,
            self.scribe,
            &self.request.id,
            &self.clients.opsera,
        )
        .await?
        .map_err(RunError::Settle)?;
        let policy = &self.context.settings.policy;
        // A run that was killed or failed after its pull has left this undone (I8).
        self.store.remember_latest_pull().await?;
        let snapshot = Snapshot::begin(self.store, policy, &self.request.id).await?;
        let group_findings = match self.read(&snapshot, progressed).await {
            Ok(findings) => findings,
            Err(error) => {
                let error = error.located(&self.context.settings);
                let entry = self.entry(Event::PullFailed).because(error_chain(&error));
                if let Err(second) = self.store.note(self.scribe, entry).await {
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
        let entry = self
            .entry(Event::PullCompleted)
            .evidence(serde_json::json!({
                "opa": progressed.opa,
                "opsera": progressed.opsera,
            }));
        self.store.note(self.scribe, entry).await?;
        // Read after the entry above: no clock of §4 starts before the end of the audit log, and
        // without a grace an absent person is due in the very run that misses them.
        let now = self.context.clock.now();
        self.store.move_absence_clocks(snapshot.pull(), now).await?;
        self.request.progress.stage("planning");
        let in_flight = usize::try_from(self.context.settings.opsera.max_in_flight).unwrap_or(1);
        let mut planned = plan_from_store(
            self.store,
            snapshot.pull(),
            policy,
            &self.request.kinds,
            now,
            Some((&self.clients.opsera, in_flight)),
            group_findings,
        )
        .await?;
        planned.sums.opa_active = progressed.opa.active;
        planned.sums.managed = progressed.opsera.managed;
        planned.sums.opa_active_before = self.store.accepted_active().await?;
        planned.sums.deactivated_7d = self.store.count_deactivated_since(now - SEVEN_DAYS).await?;
        let entry = self.entry(Event::PlanCreated).evidence(serde_json::json!({
            "plan_id": planned.plan.id(),
            "summary": planned.summary,
        }));
        self.store.note(self.scribe, entry).await?;
        progressed.planned = Some(planned);
        Ok(snapshot.pull())
    }

    /// Both listings and the memberships; counts what arrived, also when not all of it did.
    async fn read(
        &self,
        snapshot: &Snapshot<'_>,
        progressed: &mut Progressed,
    ) -> Result<Vec<crate::domain::Finding>, RunError> {
        let Clients { opa, opsera, .. } = self.clients;
        let policy = &self.context.settings.policy;
        let progress = &self.request.progress;
        let sides = Sides::default();
        let mut result = pull(snapshot, opa, opsera, &sides, progress)
            .await
            .map(|()| Vec::new());
        if result.is_ok() {
            let joiners = policy.provision && self.request.kinds.contains(ActionKind::Create);
            result =
                memberships::pull_memberships(self.store, snapshot, policy, joiners, opa, progress)
                    .await;
        }
        progressed.opa = snapshot.count_people().await?;
        progressed.opsera = snapshot.count_accounts().await?;
        progressed.opa.complete =
            sides.opa_is_complete() && !(memberships::matter(policy) && result.is_err());
        progressed.opsera.complete = sides.opsera_is_complete();
        result
    }

    /// Evaluates the guards. An approval that covers the plan lets it pass them.
    async fn guard(
        &self,
        planned: &Planned,
        guards: &mut Vec<GuardReport>,
    ) -> Result<Option<HeldPlan>, RunError> {
        let limits = &self.context.settings.policy.guards;
        *guards = evaluate(limits, &planned.sums, &planned.plan);
        if !guards.iter().any(|guard| guard.held) {
            return Ok(None);
        }
        let approval = self
            .store
            .find_covering_approval(&planned.plan, limits.approval_ttl, self.context.clock.now())
            .await?;
        if let Some(approved) = &approval {
            for guard in guards.iter_mut().filter(|guard| guard.held) {
                guard.held = false;
                guard.approved_by_plan = Some(approved.id.clone());
            }
        }
        Ok(approval)
    }

    /// What the store learns from this plan, whatever becomes of it.
    async fn remember(
        &self,
        pull: Pull,
        planned: &Planned,
        guards: &[GuardReport],
        approval: Option<&HeldPlan>,
    ) -> Result<(), RunError> {
        // The source is accepted as the new baseline of G2 if its own guards are quiet, or if
        // what was approved had been held by them.
        let source_is_accepted = guards
            .iter()
            .filter(|guard| SOURCE_GUARDS.contains(&guard.guard.as_str()))
            .all(|guard| {
                !guard.held
                    && (guard.approved_by_plan.is_none()
                        || approval.is_some_and(|approved| {
                            approved
                                .guards
                                .iter()
                                .any(|seen| seen.guard == guard.guard && seen.held)
                        }))
            });
        if source_is_accepted {
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
        let held = guards.iter().any(|guard| guard.held);
        self.store
            .supersede_plans(
                &self.request.kinds.to_string(),
                held.then(|| planned.plan.id()),
            )
            .await?;
        Ok(())
    }

    async fn hold(&self, planned: &Planned, guards: &[GuardReport]) -> Result<(), RunError> {
        let ttl = self.context.settings.policy.guards.approval_ttl;
        self.store
            .hold_plan(
                self.scribe,
                &self.request.id,
                &self.request.kinds.to_string(),
                &planned.plan,
                guards,
                ttl,
            )
            .await?;
        Ok(())
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
                self.request.progress.stage("applying the plan");
                let settings = &self.context.settings;
                let Some(opsera) = OpseraWriter::new(&self.clients.opsera, self.request.mode)
                else {
                    return Ok(());
                };
                let worker = Worker {
                    store: self.store,
                    scribe: self.scribe,
                    run: &self.request.id,
                    pull,
                    policy: &settings.policy,
                    opa: &self.clients.opa,
                    opsera: &opsera,
                    retry: &settings.retry,
                    backoff: &Backoff::new(&settings.retry),
                    stop: &self.request.stop,
                };
                Ok(worker.apply(plan, &refused, applied).await?)
            }
        }
    }

    fn entry(&self, event: Event) -> NewEntry {
        NewEntry::new(event).in_run(&self.request.id)
    }
}
