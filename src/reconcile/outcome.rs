//! How a run ended: its outcome, its report, its exit status.

use super::RunRequest;
use super::error::RunError;
use super::steps::RunState;
use crate::audit::Actor;
use crate::domain::{
    ActionReport, ActionStatus, ExitStatus, FailedOn, Mode, OpaCounts, OpseraCounts, Origin,
    Outcome, PlannedAction, Report, SCHEMA, Summary, time::Timestamp,
};
use crate::reconcile::{ActionResult, Applied, StopReason};

/// The facts of a run's end.
pub(super) struct RunEnd {
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    pub(super) outcome: Outcome,
    pub(super) error: Option<String>,
    pub(super) failed_on: Option<FailedOn>,
}

pub(super) fn outcome_of(mode: Mode, state: &RunState, error: Option<&RunError>) -> Outcome {
    let actions = state
        .planned
        .as_ref()
        .map_or(0, |planned| planned.plan.actions().len());
    let applied = &state.applied;
    // What Opsera refused earlier is nobody's work until `retry.rejected_retry` has passed.
    let resting = applied
        .progress
        .values()
        .filter(|action| action.status == ActionStatus::Rejected && !action.unfinished)
        .count();
    if error.is_some() {
        Outcome::Failed
    } else if state.held {
        Outcome::Held
    } else if actions == resting {
        Outcome::InSync
    } else if mode == Mode::DryRun {
        Outcome::ChangesPending
    } else if applied.stopped.is_some()
        || applied.progress.len() < actions
        || applied.progress.values().any(|action| action.unfinished)
    {
        Outcome::Partial
    } else {
        Outcome::Applied
    }
}

pub(super) fn build_report(request: &RunRequest, state: RunState, ended: RunEnd) -> Report {
    let RunState {
        opa,
        opsera,
        planned,
        guards,
        held,
        rejection,
        approval,
        applied,
    } = state;
    let mut summary = Summary::default();
    let mut waiting = Vec::new();
    let mut findings = applied.findings.clone();
    let mut actions = Vec::new();
    let mut plan_id = None;
    if let Some(planned) = planned {
        summary = planned.summary;
        waiting = planned.waiting;
        findings.extend(planned.findings);
        plan_id = Some(planned.plan.id().clone());
        actions = planned
            .plan
            .into_actions()
            .into_iter()
            .enumerate()
            .map(|(position, action)| {
                let known = applied.progress.get(&position);
                action_report(request.mode, held, action, known, &applied, &ended)
            })
            .collect();
    }
    findings.sort();
    let refused = actions
        .iter()
        .filter(|action: &&ActionReport| action.status == ActionStatus::Rejected);
    summary.refused = u64::try_from(refused.count()).unwrap_or(u64::MAX);
    summary.findings = u64::try_from(findings.len()).unwrap_or(u64::MAX);
    Report {
        schema: SCHEMA.to_owned(),
        run_id: request.id.clone(),
        plan_id,
        mode: request.mode,
        outcome: ended.outcome,
        started_at: ended.started_at,
        finished_at: ended.finished_at,
        audit_head: None,
        origin: Origin::default(),
        rejection,
        approval,
        failed_on: ended.failed_on,
        opa,
        opsera,
        summary,
        guards,
        actions,
        waiting,
        findings,
        error: ended.error,
    }
}

fn action_report(
    mode: Mode,
    held: bool,
    action: PlannedAction,
    known: Option<&ActionResult>,
    applied: &Applied,
    ended: &RunEnd,
) -> ActionReport {
    let (status, attempts, message) = match known {
        Some(progress) => (progress.status, progress.attempts, progress.message.clone()),
        None if held => (ActionStatus::Held, 0, None),
        None if mode == Mode::DryRun => (ActionStatus::Planned, 0, None),
        None => (
            ActionStatus::NotTried,
            0,
            Some(why_not_tried(applied, ended)),
        ),
    };
    action.reported(status, attempts, message)
}

fn why_not_tried(applied: &Applied, ended: &RunEnd) -> String {
    let reason = match &applied.stopped {
        Some(StopReason::Breaker(words)) => words.as_str(),
        Some(StopReason::Unauthorized(refusal)) => refusal.words.as_str(),
        Some(StopReason::Interrupted) => "the run was interrupted",
        None => ended.error.as_deref().unwrap_or("the run ended early"),
    };
    format!("not tried: {reason}; the next run plans it afresh")
}

/// What is known of every run, also of one whose settings could not be read.
pub(super) fn origin_of(actor: &Actor) -> Origin {
    Origin {
        host: Some(actor.host.clone()),
        actor: Some(actor.user.clone()),
        version: Some(actor.version.clone()),
        ..Origin::default()
    }
}

/// The report of a run that could not begin.
pub fn failed_before_start(
    request: &RunRequest,
    started_at: Timestamp,
    finished_at: Timestamp,
    error: String,
) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        run_id: request.id.clone(),
        plan_id: None,
        mode: request.mode,
        outcome: Outcome::Failed,
        started_at,
        finished_at,
        audit_head: None,
        origin: origin_of(&Actor::of_this_process()),
        rejection: None,
        approval: None,
        failed_on: Some(FailedOn::Other),
        opa: OpaCounts::default(),
        opsera: OpseraCounts::default(),
        summary: Summary::default(),
        guards: Vec::new(),
        actions: Vec::new(),
        waiting: Vec::new(),
        findings: Vec::new(),
        error: Some(error),
    }
}

/// The exit status of `sync` (§1). `differences_count` is `--exit-code`.
pub fn exit_status(report: &Report, differences_count: bool) -> ExitStatus {
    match report.outcome {
        Outcome::ChangesPending if differences_count => ExitStatus::Differences,
        Outcome::InSync | Outcome::Applied | Outcome::ChangesPending => ExitStatus::Done,
        Outcome::Held => ExitStatus::Held,
        Outcome::Partial => ExitStatus::Partial,
        Outcome::Failed => ExitStatus::Failed,
    }
}
