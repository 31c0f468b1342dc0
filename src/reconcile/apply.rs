//! Applying a plan: takes its actions from the queue one by one, in the order of the plan.
//!
//! It decides nothing about people. It only finds reasons to stop: the preflight (A2), an answer
//! (A3 to A5), too many failures (A6), a signal (A10). What happens to one action is in `attempt`.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::attempt::Attempt;
use super::preflight::{PersonLook, look_at_person};
use crate::audit::AuditWriter;
use crate::clients::{Backoff, CallError, Opa, OpseraWriter};
use crate::domain::{
    ActionKind, ActionStatus, Change, Counter, Evidence, Finding, FindingKind, OpaId, OpaName,
    Plan, Progress, RunId,
};
use crate::rules::Policy;
use crate::settings::RetrySettings;
use crate::store::{Pull, QueuedAction, Refusal, Store, StoreError};

/// Writes that may fail in a row before the worker gives up on Opsera for this run (A6).
pub(super) const CONSECUTIVE_FAILURES: u32 = 5;

/// Why the worker stopped before the end of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A credential is not accepted any more (A5).
    Unauthorized(CredentialRefusal),
    /// Too many writes failed in a row (A6).
    Breaker(String),
    /// Somebody asked the program to stop (A10).
    Interrupted,
}

/// A credential that stopped being accepted, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct CredentialRefusal {
    /// What was asked, and the answer.
    pub words: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl From<&CallError> for CredentialRefusal {
    fn from(error: &CallError) -> Self {
        Self {
            words: error.to_string(),
            remedy: error.remedy(),
        }
    }
}

/// How far one action came in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// Its status.
    pub status: ActionStatus,
    /// Write requests sent for it.
    pub attempts: u32,
    /// Why, or the server's words.
    pub message: Option<String>,
    /// The action is still due and somebody should look: a failure, a refusal, or doubt.
    pub unfinished: bool,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// By position in the plan; a position that is missing was not tried.
    pub progress: BTreeMap<usize, ActionResult>,
    /// What the preflights found.
    pub findings: Vec<Finding>,
    /// Why it ended early, if it did.
    pub stopped: Option<StopReason>,
}

/// Carries out the plan of one run.
#[derive(Debug)]
pub struct Worker<'r> {
    /// The queue's store.
    pub store: &'r Store,
    /// Who writes the audit log.
    pub audit_writer: &'r AuditWriter,
    /// The run.
    pub run: &'r RunId,
    /// The pull the plan was made from.
    pub pull: Pull,
    /// The policy the plan was made with.
    pub policy: &'r Policy,
    /// For the preflight.
    pub opa: &'r Opa,
    /// The only thing that can write.
    pub opsera: &'r OpseraWriter,
    /// A3, and `rejected_retry`.
    pub retry: &'r RetrySettings,
    /// How long to wait between attempts.
    pub backoff: &'r Backoff,
    /// Cancelled when no new request may be started (A10).
    pub stop: &'r CancellationToken,
    /// Told of every action that is over.
    pub progress: &'r Progress,
}

/// What the requests of this run have shown so far.
#[derive(Default)]
pub(super) struct ApplyState {
    /// Writes that failed since the last one that did not (A6).
    pub(super) failures_in_a_row: u32,
    /// Kinds of action that a 403 ended (A5).
    pub(super) forbidden: BTreeMap<ActionKind, String>,
    /// A listing that lost somebody who is ACTIVE (A2).
    pub(super) distrusted: Option<String>,
    /// Opsera refused the credential while an outcome was read (A5).
    pub(super) unauthorized: Option<CredentialRefusal>,
    listing_is_checked: bool,
}

impl ApplyState {
    /// What to do after an action that is over.
    pub(super) fn next(&mut self) -> Next {
        match self.unauthorized.take() {
            Some(refusal) => Next::Stop(StopReason::Unauthorized(refusal)),
            None => Next::Continue,
        }
    }

    /// A6: 5xx and transport errors count, an answer of another kind ends the row, and being asked
    /// to slow down says nothing either way.
    pub(super) fn count_failure(&mut self, error: &CallError) {
        match error {
            CallError::Unreachable { .. }
            | CallError::NoResponse { .. }
            | CallError::ServerError { .. } => {
                self.failures_in_a_row += 1;
            }
            CallError::Throttled { .. } => {}
            CallError::Unauthorized { .. }
            | CallError::ClientError { .. }
            | CallError::UnexpectedStatus { .. }
            | CallError::InvalidPathSegment { .. }
            | CallError::Malformed { .. }
            | CallError::WrongTenant { .. } => self.failures_in_a_row = 0,
        }
    }
}

/// What to do after one action.
pub(super) enum Next {
    /// Go on with the next.
    Continue,
    /// Stop.
    Stop(StopReason),
}

impl Worker<'_> {
    /// Carries out what [`Store::enqueue`] put into the queue for this run. `applied` tells how
    /// far it came, also when it fails.
    ///
    /// # Errors
    /// The store. What was sent by then is in the audit log, and the next run settles the rest.
    pub async fn apply(
        &self,
        plan: &Plan,
        refused: &BTreeMap<usize, Refusal>,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        for (position, refusal) in refused {
            applied
                .progress
                .insert(*position, refusal_progress(refusal));
        }
        let mut state = ApplyState::default();
        let mut after = None;
        loop {
            if self.stop.is_cancelled() {
                applied.stopped = Some(StopReason::Interrupted);
                break;
            }
            let left_out: Vec<ActionKind> = state.forbidden.keys().copied().collect();
            let Some(queued) = self.store.next_planned(self.run, after, &left_out).await? else {
                break;
            };
            after = Some(queued.position);
            if queued.action.kind() == ActionKind::Deactivate && !state.listing_is_checked {
                state.listing_is_checked = true;
                if let Next::Stop(reason) = self.check_listing(&mut state, applied).await? {
                    applied.stopped = Some(reason);
                    break;
                }
            }
            let span = tracing::info_span!("action", action_id = queued.id);
            let position = queued.position;
            let attempt = Attempt::new(self, queued, &mut state, applied);
            let next = attempt.carry_out().instrument(span).await?;
            self.progress.count(Counter::Actions, 1);
            let result = applied.progress.get(&position);
            if result.is_some_and(|result| result.unfinished) {
                self.progress.count(Counter::ActionsNotDone, 1);
            }
            if let Next::Stop(reason) = next {
                applied.stopped = Some(reason);
                break;
            }
        }
        for (position, action) in plan.actions().iter().enumerate() {
            let Some(words) = state.forbidden.get(&action.kind()) else {
                continue;
            };
            applied
                .progress
                .entry(position)
                .or_insert_with(|| not_tried(format!("not tried: {words}")));
        }
        Ok(())
    }

    /// Reads the people of every deactivation before the first one goes out: if the listing lost
    /// one who is ACTIVE, no `absent` deactivation may (A2). The others are read as well, because
    /// any of them can show that the listing is short; each is read again right before its own
    /// request. Without an `absent` deactivation nothing hangs on the listing.
    async fn check_listing(
        &self,
        state: &mut ApplyState,
        applied: &mut Applied,
    ) -> Result<Next, StoreError> {
        let planned = self.store.list_planned_deactivations(self.run).await?;
        if !planned.iter().any(is_absent) {
            return Ok(Next::Continue);
        }
        for queued in planned {
            let look = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Next::Stop(StopReason::Interrupted)),
                look = look_at_person(self.opa, self.policy, &queued.action) => look,
            };
            match look {
                PersonLook::Gone | PersonLook::Doubt(_) => {}
                PersonLook::Entitled { id, name } => {
                    self.note_inconsistency(&queued, &id, &name, state, applied)
                        .await?;
                }
                PersonLook::Unauthorized(error) => {
                    return Ok(Next::Stop(StopReason::Unauthorized((&error).into())));
                }
            }
        }
        Ok(Next::Continue)
    }

    /// Distrusts the listing if somebody who is ACTIVE was missing from it.
    pub(super) async fn note_inconsistency(
        &self,
        queued: &QueuedAction,
        id: &OpaId,
        name: &OpaName,
        state: &mut ApplyState,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        if self.store.has_person(self.pull, id).await? {
            return Ok(());
        }
        state.distrusted.get_or_insert_with(|| {
            format!("the OPA listing lost {name}, who is ACTIVE, so it is not trusted about who is absent")
        });
        let finding = Finding {
            kind: FindingKind::InconsistentListing,
            email: queued.action.email.clone(),
            detail: format!(
                "OPA record {name} (id {id}) is ACTIVE when it is read, but the listing did not have \
                 it: no absent account is deactivated in this run; if it happens again, report the \
                 listing to Okta"
            ),
        };
        if !applied.findings.contains(&finding) {
            applied.findings.push(finding);
        }
        Ok(())
    }
}

fn is_absent(queued: &QueuedAction) -> bool {
    matches!(
        &queued.action.change,
        Change::Deactivate {
            evidence: Evidence::Absent,
            ..
        }
    )
}

pub(super) fn progress(
    status: ActionStatus,
    queued: &QueuedAction,
    message: Option<String>,
    unfinished: bool,
) -> ActionResult {
    ActionResult {
        status,
        attempts: queued.attempts,
        message,
        unfinished,
    }
}

fn not_tried(message: String) -> ActionResult {
    ActionResult {
        status: ActionStatus::NotTried,
        attempts: 0,
        message: Some(message),
        unfinished: true,
    }
}

/// What a report says about an action that is not tried now.
pub fn refusal_progress(refusal: &Refusal) -> ActionResult {
    let until = |until: &crate::domain::time::Timestamp| crate::domain::time::format_time(*until);
    match refusal {
        Refusal::Rejected { words, until: at } => ActionResult {
            status: ActionStatus::Rejected,
            unfinished: false,
            ..not_tried(format!(
                "{words}; not tried again before {} or `rolecall queue retry`",
                until(at)
            ))
        },
        Refusal::Cancelled { words, until: at } => not_tried(format!(
            "{words}; not tried again before {} or `rolecall queue retry`",
            until(at)
        )),
        Refusal::Unsettled => not_tried(
            "an earlier request for it has no known outcome, and the account cannot be read"
                .to_owned(),
        ),
    }
}
