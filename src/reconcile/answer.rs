//! What follows from the answer to a request (A3 to A6): an end of the action, or another request.
//!
//! A refusal that follows a request without a known outcome says nothing about that earlier
//! request, so an outcome is read before it is believed (A4).

use super::apply_state::{CONSECUTIVE_FAILURES, Next, StopReason};
use super::attempt::{Attempt, End, LastAnswer};
use super::recover::read_outcome;
use crate::clients::{Answer, CallError};
use crate::domain::{ActionOutcome, ActionState, Change, Effect};
use crate::store::retry_at;

/// What comes after an answer.
pub(super) enum NextStep {
    /// The action leaves the run, and this is what the run does then.
    Leave(End, Next),
    /// The same request once more, after a while (A3).
    Repeat(CallError),
}

/// What an answer that is not a success means.
enum Meaning {
    /// The action is over.
    Over(ActionOutcome),
    /// The run must stop; the request certainly had no effect.
    Stop(StopReason),
    /// No more requests.
    GiveUp,
    /// Once more, after a while (A3).
    Repeat,
}

impl Attempt<'_> {
    /// Opsera says that it is done.
    pub(super) async fn after_success(&mut self, answer: &Answer) -> NextStep {
        self.state.failures_in_a_row = 0;
        let outcome = self.confirm(answer).await;
        NextStep::Leave(End::Closed(outcome), self.state.next())
    }

    /// Opsera refuses, fails or does not answer.
    pub(super) async fn after_failure(&mut self, error: CallError) -> NextStep {
        let earlier_is_unknown = self.outcome_is_unknown;
        self.outcome_is_unknown |= error.outcome_is_unknown();
        self.state.count_failure(&error);
        match self.meaning(&error).await {
            Meaning::Over(refusal) if earlier_is_unknown => {
                let end = self.refused_after_lost_answer(refusal).await;
                NextStep::Leave(end, self.state.next())
            }
            Meaning::Over(outcome) => NextStep::Leave(End::Closed(outcome), self.state.next()),
            Meaning::Stop(reason) => NextStep::Leave(self.stopped_by(&error), Next::Stop(reason)),
            Meaning::GiveUp => {
                let end = self.give_up(&error).await;
                NextStep::Leave(end, self.next_after_giving_up(&error))
            }
            Meaning::Repeat => NextStep::Repeat(error),
        }
    }

    async fn meaning(&mut self, error: &CallError) -> Meaning {
        match error {
            CallError::Unauthorized { .. } => Meaning::Stop(StopReason::Unauthorized(error.into())),
            CallError::ClientError { status, .. } => match status.as_u16() {
                404 => Meaning::Over(self.not_found(error).await.with_status(status_of(error))),
                400 | 409 | 422 => Meaning::Over(self.rejected(error)),
                403 => {
                    let kind = self.queued.action.kind();
                    let words = format!("Opsera does not permit {kind} to this token (403)");
                    self.state.forbidden.insert(kind, words);
                    Meaning::Over(self.rejected(error))
                }
                _ => Meaning::Over(failed(error)),
            },
            CallError::UnexpectedStatus { .. } | CallError::InvalidPathSegment { .. } => {
                Meaning::Over(failed(error))
            }
            _ if self.state.failures_in_a_row >= CONSECUTIVE_FAILURES
                || self.queued.attempts >= self.worker.retry.max_attempts
                || !error.is_retryable() =>
            {
                Meaning::GiveUp
            }
            _ => Meaning::Repeat,
        }
    }

    fn rejected(&self, error: &CallError) -> ActionOutcome {
        let now = self.worker.audit_writer.clock.now();
        let words = error.to_string();
        let mut outcome = ActionOutcome::new(ActionState::Rejected, Effect::DidNotHappen, words)
            .with_status(status_of(error));
        outcome.next_attempt_at = Some(retry_at(now, self.worker.retry.rejected_retry));
        outcome
    }

    /// 404 on a write: the account is gone, unless it can still be read.
    async fn not_found(&mut self, error: &CallError) -> ActionOutcome {
        let failed =
            |words: String| ActionOutcome::new(ActionState::Failed, Effect::DidNotHappen, words);
        let read = self.read().await;
        match (&self.queued.action.change, read) {
            (Change::Create { .. }, _) | (_, Err(_)) => failed(error.to_string()),
            (Change::Deactivate { .. }, Ok(read)) if read.state.is_done() => ActionOutcome::new(
                ActionState::Already,
                Effect::DidNotHappen,
                "the account is gone",
            ),
            (Change::SetRole { .. }, Ok(read)) if read.state == ActionState::Already => read,
            (Change::SetRole { .. }, Ok(_)) => failed(format!(
                "{error}, but the account exists: is opsera.site_role_path right for this tenant?"
            )),
            (_, Ok(_)) => failed(format!("{error}, but the account exists and is active")),
        }
    }

    /// The answer stops the run.
    fn stopped_by(&self, error: &CallError) -> End {
        let words = error.to_string();
        let http_status = status_of(error);
        if self.outcome_is_unknown {
            let answer = LastAnswer::Unrecorded(http_status);
            End::KeptInFlight { words, answer }
        } else {
            End::Requeued { http_status, words }
        }
    }

    /// A refusal after a request without a known outcome.
    async fn refused_after_lost_answer(&mut self, refusal: ActionOutcome) -> End {
        let is_role = matches!(self.queued.action.change, Change::SetRole { .. });
        match self.read().await {
            Ok(read) if read.state.is_done() => End::Closed(read.with_status(refusal.http_status)),
            // Setting a role again does no harm, so the refusal may stand, uncertain.
            Ok(ActionOutcome { effect, .. }) if is_role => {
                End::Closed(ActionOutcome { effect, ..refusal })
            }
            Err(_) if is_role => End::Closed(ActionOutcome {
                effect: Effect::Unknown,
                ..refusal
            }),
            Ok(_) => End::Closed(refusal),
            Err(why) => End::KeptInFlight {
                words: format!(
                    "{}; what came of the request before it cannot be read: {why}",
                    refusal.message.unwrap_or_default()
                ),
                answer: LastAnswer::Unrecorded(refusal.http_status),
            },
        }
    }

    /// No more requests: what is known about the last one is written down.
    async fn give_up(&mut self, error: &CallError) -> End {
        if !self.outcome_is_unknown {
            return End::Closed(failed(error));
        }
        match self.read().await {
            Ok(mut outcome) => {
                if !outcome.state.is_done() {
                    let read = outcome.message.take().unwrap_or_default();
                    outcome.message = Some(format!("{error}; {read}"));
                }
                End::Closed(outcome.with_status(status_of(error)))
            }
            Err(why) => End::KeptInFlight {
                words: format!("{error}; what came of it cannot be read: {why}"),
                answer: LastAnswer::Unrecorded(status_of(error)),
            },
        }
    }

    fn next_after_giving_up(&mut self, error: &CallError) -> Next {
        if self.state.failures_in_a_row < CONSECUTIVE_FAILURES {
            return self.state.next();
        }
        Next::Stop(StopReason::Breaker(format!(
            "{CONSECUTIVE_FAILURES} writes in a row failed, the last one with: {error}"
        )))
    }

    /// The outcome of a request that Opsera says is done.
    async fn confirm(&mut self, answer: &Answer) -> ActionOutcome {
        let status = Some(answer.status.as_u16());
        let done = |words: String| {
            ActionOutcome::new(ActionState::Succeeded, Effect::Happened, words).with_status(status)
        };
        if matches!(self.queued.action.change, Change::SetRole { .. }) {
            return done(answer.message.to_string());
        }
        let read = self.read().await;
        match (&self.queued.action.change, read) {
            (Change::Create { .. }, Ok(read)) => {
                let mut outcome = done(answer.message.to_string());
                outcome.created_id = read.created_id;
                outcome
            }
            (_, Ok(read)) if read.state == ActionState::Failed => {
                let words = format!(
                    "Opsera said {}, but the account is still active",
                    answer.message
                );
                ActionOutcome::new(ActionState::Failed, Effect::DidNotHappen, words)
                    .with_status(status)
            }
            (_, Ok(_)) => done(answer.message.to_string()),
            (_, Err(why)) => done(format!("{}; not confirmed: {why}", answer.message)),
        }
    }

    /// Reads what came of a request, unless no request may be started any more (A10). The words
    /// of the error side say why nobody knows.
    async fn read(&mut self) -> Result<ActionOutcome, String> {
        let read = tokio::select! {
            biased;
            () = self.worker.stop.cancelled() => {
                return Err("interrupted before it could be read".to_owned());
            }
            read = read_outcome(self.worker.opsera.reader(), &self.queued.action) => read,
        };
        read.map_err(|error| {
            if matches!(error, CallError::Unauthorized { .. }) {
                self.state.unauthorized = Some((&error).into());
            }
            error.to_string()
        })
    }
}

fn status_of(error: &CallError) -> Option<u16> {
    error.status().map(|status| status.as_u16())
}

fn failed(error: &CallError) -> ActionOutcome {
    let words = error.to_string();
    ActionOutcome::new(ActionState::Failed, Effect::DidNotHappen, words)
        .with_status(status_of(error))
}
