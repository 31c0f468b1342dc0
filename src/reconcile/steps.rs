//! The steps of a run in their order, each handing its value to the next.

use super::error::RunError;
use super::guarding::{GuardVerdict, judge};
use super::pending_leavers::find_pending_leavers;
use super::planning::{PlanScope, Planned, PullOfPlan, plan_from_store};
use super::pull::{Pulling, Sides, pull};
use super::{Context, RunRequest, memberships};
use crate::audit::{AuditWriter, Event, NewEntry};
use crate::clients::{Api, Backoff, Opa, OpseraReader, OpseraWriter, Transport};
use crate::domain::approval::{approval_of, rejection_of};
use crate::domain::text::error_chain;
use crate::domain::time::Timestamp;
use crate::domain::{
    ActionKind, Approval, Counter, Finding, FindingKind, GuardReport, HeldPlan, Mode, PlanState,
    Rejection, Stage,
};
use crate::reconcile::{Applied, StopReason, Worker, recover, refusal_progress};
use crate::rules::Policy;
use crate::rules::clock_trust::{ClockReading, ClockTrust, judge_clock};
use crate::store::{Pull, RunLimits, Snapshot, Store};
use tracing::Instrument as _;

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
    pub(super) approval: Option<Approval>,
    pub(super) applied: Applied,
}

/// What of everything a run is limited to.
pub(super) fn limits_of(request: &RunRequest) -> RunLimits<'_> {
    RunLimits {
        kinds: &request.kinds,
        people: request.people.as_ref(),
    }
}

/// The connections of one run.
pub(super) struct Clients {
    pub(super) transport: Transport,
    pub(super) opa: Opa,
    pub(super) opsera: OpseraReader,
}

impl Clients {
    pub(super) fn new(context: &Context) -> Result<Self, RunError> {
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
pub(super) struct Run<'r> {
    pub(super) context: &'r Context,
    pub(super) request: &'r RunRequest,
    pub(super) store: &'r Store,
    pub(super) audit_writer: &'r AuditWriter,
    pub(super) clients: &'r Clients,
}

impl Run<'_> {
    /// All of them.
    ///
    /// # Errors
    /// What ended the run early; `state` tells how far it came.
    pub(super) async fn steps(&self, state: &mut RunState) -> Result<(), RunError> {
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
            &planned.restored,
            self.context.clock.now(),
        )
        .instrument(tracing::info_span!("guard"))
        .await?;
        state.guards.clone_from(&verdict.guards);
        state.held = verdict.is_held();
        state.approval = verdict.approval.as_ref().and_then(approval_of);
        self.remember(pull, planned, &verdict).await?;
        if state.held {
            state.rejection = self.hold(planned, &verdict.guards).await?;
            Ok(())
        } else {
            self.carry_out(pull, planned, verdict.approval.as_ref(), &mut state.applied)
                .await?;
            match &state.applied.stopped {
                Some(StopReason::Unauthorized(refusal)) => {
                    Err(RunError::Unauthorized(refusal.clone()))
                }
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
        tracing::debug!("the absences are counted");
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
            pull: PullOfPlan::InStore,
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
        let mut evidence = serde_json::json!({
            "plan_id": planned.plan.id(),
            "summary": planned.summary,
        });
        if let (Some(map), false) = (evidence.as_object_mut(), planned.restored.is_empty()) {
            map.insert("restored".into(), planned.restored.len().into());
        }
        let entry = self.entry(Event::PlanCreated).evidence(evidence);
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
            match memberships::pull_memberships(snapshot, policy, joiners, opa, progress).await {
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
        tracing::debug!("the memory has learnt the pull");
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
