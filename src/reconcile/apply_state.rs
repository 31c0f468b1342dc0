//! What the application of a plan works with, knows so far and leaves behind.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use crate::audit::AuditWriter;
use crate::clients::{Backoff, CallError, Opa, OpseraWriter};
use crate::domain::{ActionKind, ActionStatus, Finding, Progress, RunId};
use crate::rules::Policy;
use crate::settings::RetrySettings;
use crate::store::{Pull, QueuedAction, Store};

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

impl ActionResult {
    pub(super) fn of(
        queued: &QueuedAction,
        status: ActionStatus,
        message: Option<String>,
        unfinished: bool,
    ) -> Self {
        Self {
            status,
            attempts: queued.attempts,
            message,
            unfinished,
        }
    }
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
    /// The people of the deactivations were read before the first of them (A2).
    pub(super) listing_is_checked: bool,
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
