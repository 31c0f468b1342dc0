//! The work on one action in one run: what it has, and how the action leaves the run.

use super::apply_state::{ActionResult, Applied, ApplyState, Next, Worker};
use crate::domain::{ActionOutcome, ActionStatus};
use crate::store::{QueuedAction, StoreError};

/// The work on one action in one run.
pub(super) struct Attempt<'a> {
    pub(super) worker: &'a Worker<'a>,
    pub(super) queued: QueuedAction,
    pub(super) state: &'a mut ApplyState,
    pub(super) applied: &'a mut Applied,
    /// A request of this action was sent, and nobody knows what came of it.
    pub(super) outcome_is_unknown: bool,
}

/// How an action leaves the run.
pub(super) enum End {
    /// With an outcome, which is written down.
    Closed(ActionOutcome),
    /// Still in flight: what came of a request cannot be read. The next run reads it before
    /// anything else (A7).
    KeptInFlight {
        /// Why.
        words: String,
        /// Whether the audit log has the answer to the last request.
        answer: LastAnswer,
    },
    /// Planned again: what was sent certainly had no effect.
    Requeued {
        /// The last status the server answered with.
        http_status: Option<u16>,
        /// Why.
        words: String,
    },
    /// As it came: nothing was sent.
    NotTried,
}

/// What the audit log has of the last request.
pub(super) enum LastAnswer {
    /// Its answer, or there was no request since.
    Recorded,
    /// Only the announcement; the answer had this status.
    Unrecorded(Option<u16>),
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        worker: &'a Worker<'a>,
        queued: QueuedAction,
        state: &'a mut ApplyState,
        applied: &'a mut Applied,
    ) -> Self {
        Self {
            worker,
            queued,
            state,
            applied,
            outcome_is_unknown: false,
        }
    }

    /// Writes down how the action leaves the run.
    pub(super) async fn leave(self, end: End, next: Next) -> Result<Next, StoreError> {
        let Worker {
            store,
            audit_writer,
            run,
            ..
        } = *self.worker;
        let queued = &self.queued;
        let result = match end {
            End::NotTried => return Ok(next),
            End::Closed(outcome) => {
                store
                    .close_action(audit_writer, run, queued, &outcome)
                    .await?;
                log_end(queued, &outcome);
                let status = outcome.state.status();
                ActionResult::of(queued, status, outcome.message, outcome.still_due)
            }
            End::KeptInFlight { words, answer } => {
                if let LastAnswer::Unrecorded(http_status) = answer {
                    store
                        .note_attempt(audit_writer, run, queued, http_status, &words)
                        .await?;
                }
                tracing::warn!(action = queued.id, "the outcome of a request is not known");
                let words = format!("{words}; the next run finds out before it does anything");
                ActionResult::of(queued, ActionStatus::Failed, Some(words), true)
            }
            End::Requeued { http_status, words } => {
                store
                    .requeue(audit_writer, run, queued, http_status, &words)
                    .await?;
                ActionResult::of(queued, ActionStatus::Failed, Some(words), true)
            }
        };
        self.applied.progress.insert(queued.position, result);
        Ok(next)
    }
}

fn log_end(queued: &QueuedAction, outcome: &ActionOutcome) {
    tracing::info!(
        action = queued.id,
        kind = %queued.action.kind(),
        email = queued.action.email,
        reason = queued.action.reason,
        state = outcome.state.as_str(),
        message = outcome.message,
        "action finished"
    );
}
