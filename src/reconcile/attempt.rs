//! One request: what comes right before it, the request itself, and what follows from the answer.

use super::last_look::{AccountLook, PersonLook, look_at_account, look_at_person};
use super::settle::read_outcome;
use super::worker::{Applied, CONSECUTIVE_FAILURES, Memory, StopReason, Worker, leave_open};
use crate::clients::{Answer, CallError, RatePermit};
use crate::domain::{ActionState, Closing, Effect};
use crate::domain::{Change, Evidence, NewAccount, PlannedAction};
use crate::store::{QueuedAction, StoreError, retry_at};

/// What the look right before a request says.
pub(super) enum Ready {
    /// Nothing speaks against it, and it may go out at once.
    Send(RatePermit),
    /// There is nothing to send.
    Close(Closing),
    /// An earlier request of this action has no known outcome, and it cannot be read.
    Unreadable(String),
    /// The run must stop.
    Stop(StopReason),
}

/// What follows from an answer that is not a success.
pub(super) enum Verdict {
    /// The action is over.
    Close(Closing),
    /// The run must stop; the request certainly had no effect.
    Stop(StopReason),
    /// No more attempts.
    GiveUp,
    /// Once more, after a while (A3).
    Repeat,
}

impl Worker<'_> {
    /// Everything that comes before a request: pauses, then the look, then the permit, so that a
    /// signal can come between all of them and the announcement (A10).
    pub(super) async fn get_ready(
        &self,
        queued: &QueuedAction,
        unknown: bool,
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<Ready, StoreError> {
        self.opsera.wait_until_unpaused().await;
        Ok(match self.look(queued, unknown, memory, applied).await? {
            Some(reason) => reason,
            None => Ready::Send(self.opsera.wait_for_permit().await),
        })
    }

    /// A reason not to send the request, if there is one.
    async fn look(
        &self,
        queued: &QueuedAction,
        unknown: bool,
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<Option<Ready>, StoreError> {
        match &queued.action.change {
            Change::SetRole { .. } => Ok(None),
            Change::Create { .. } if !unknown => Ok(None),
            Change::Create { .. } => Ok(
                match read_outcome(self.opsera.reader(), &queued.action).await {
                    Ok(closing) if closing.state.is_done() => Some(Ready::Close(closing)),
                    Ok(_) => None,
                    Err(error) => Some(unreadable(&error)),
                },
            ),
            Change::Deactivate {
                opsera_id,
                evidence,
                ..
            } => {
                let matching = &self.policy.matching;
                let key = &queued.action.key;
                match look_at_account(self.opsera.reader(), matching, opsera_id, key).await {
                    AccountLook::AsPlanned => {}
                    AccountLook::Inactive(words) => {
                        return Ok(Some(Ready::Close(if unknown {
                            let words = format!("{words}, after a request without an answer");
                            Closing::new(ActionState::Succeeded, Effect::Happened, words)
                        } else {
                            Closing::new(ActionState::Already, Effect::DidNotHappen, words)
                        })));
                    }
                    AccountLook::Moved(closing) => return Ok(Some(Ready::Close(closing))),
                    AccountLook::Unreadable(error @ CallError::Unauthorized { .. }) => {
                        return Ok(Some(Ready::Stop(StopReason::Unauthorized(
                            error.to_string(),
                        ))));
                    }
                    AccountLook::Unreadable(error) if unknown => {
                        return Ok(Some(unreadable(&error)));
                    }
                    AccountLook::Unreadable(error) => {
                        return Ok(Some(Ready::Close(in_doubt(format!(
                            "the account cannot be read right before the request: {error}"
                        )))));
                    }
                }
                self.look_once_more(queued, *evidence, memory, applied)
                    .await
            }
        }
    }

    async fn look_once_more(
        &self,
        queued: &QueuedAction,
        evidence: Evidence,
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<Option<Ready>, StoreError> {
        Ok(
            match look_at_person(self.opa, self.policy, &queued.action).await {
                PersonLook::Gone => match &memory.distrusted {
                    Some(words) if evidence == Evidence::Absent => {
                        Some(Ready::Close(in_doubt(words.clone())))
                    }
                    _ => None,
                },
                PersonLook::Entitled { id, name } => {
                    self.note_inconsistency(queued, &id, &name, memory, applied)
                        .await?;
                    Some(Ready::Close(Closing::new(
                        ActionState::Skipped,
                        Effect::DidNotHappen,
                        format!(
                            "reentitled: OPA record {name} (id {id}) is ACTIVE and entitled when it is read"
                        ),
                    )))
                }
                PersonLook::Doubt(words) => Some(Ready::Close(in_doubt(words))),
                PersonLook::Unauthorized(error) => {
                    Some(Ready::Stop(StopReason::Unauthorized(error.to_string())))
                }
            },
        )
    }

    pub(super) async fn send(
        &self,
        action: &PlannedAction,
        permit: RatePermit,
    ) -> Result<Answer, CallError> {
        match &action.change {
            Change::SetRole { opsera_id, to, .. } => {
                self.opsera.set_role(permit, opsera_id, *to).await
            }
            Change::Deactivate { opsera_id, .. } => self.opsera.deactivate(permit, opsera_id).await,
            Change::Create {
                first_name,
                last_name,
                to,
            } => {
                let account = NewAccount {
                    email: action.email.clone(),
                    first_name: first_name.clone(),
                    last_name: last_name.clone(),
                    site_role: *to,
                };
                self.opsera.create(permit, &account).await
            }
        }
    }

    /// Reads what came of a request, unless no request may be started any more (A10). The words
    /// of the error side say why nobody knows.
    async fn read(&self, action: &PlannedAction, memory: &mut Memory) -> Result<Closing, String> {
        let read = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err("interrupted before it could be read".to_owned()),
            read = read_outcome(self.opsera.reader(), action) => read,
        };
        read.map_err(|error| {
            if matches!(error, CallError::Unauthorized { .. }) {
                memory.unauthorized = Some(error.to_string());
            }
            error.to_string()
        })
    }

    /// After Opsera said that it is done.
    pub(super) async fn confirm(
        &self,
        action: &PlannedAction,
        answer: &Answer,
        memory: &mut Memory,
    ) -> Closing {
        let status = Some(answer.status.as_u16());
        let done = |words: String| {
            Closing::new(ActionState::Succeeded, Effect::Happened, words).with_status(status)
        };
        if matches!(action.change, Change::SetRole { .. }) {
            return done(answer.message.to_string());
        }
        match (&action.change, self.read(action, memory).await) {
            (Change::Create { .. }, Ok(read)) => {
                let mut closing = done(answer.message.to_string());
                closing.created_id = read.created_id;
                closing
            }
            (_, Ok(read)) if read.state == ActionState::Failed => Closing::new(
                ActionState::Failed,
                Effect::DidNotHappen,
                format!(
                    "Opsera said {}, but the account is still active",
                    answer.message
                ),
            )
            .with_status(status),
            (_, Ok(_)) => done(answer.message.to_string()),
            (_, Err(why)) => done(format!("{}; not confirmed: {why}", answer.message)),
        }
    }

    /// A refusal that follows a request without a known outcome says nothing about that earlier
    /// request: it is read before the refusal is believed.
    pub(super) async fn close_after_lost_answer(
        &self,
        queued: &QueuedAction,
        refusal: Closing,
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let is_role = matches!(queued.action.change, Change::SetRole { .. });
        let closing = match self.read(&queued.action, memory).await {
            Ok(read) if read.state.is_done() => read.with_status(refusal.http_status),
            // Setting a role again does no harm, so the refusal may stand, uncertain.
            Ok(Closing { effect, .. }) if is_role => Closing { effect, ..refusal },
            Err(_) if is_role => Closing {
                effect: Effect::Unknown,
                ..refusal
            },
            Ok(_) => refusal,
            Err(why) => {
                let words = format!(
                    "{}; what came of the request before it cannot be read: {why}",
                    refusal.message.unwrap_or_default()
                );
                self.store
                    .note_attempt(self.scribe, self.run, queued, refusal.http_status, &words)
                    .await?;
                leave_open(queued, &words, applied);
                return Ok(());
            }
        };
        self.close(queued, &closing, applied).await?;
        Ok(())
    }

    /// What follows from an answer that is not a success (A3 to A6).
    pub(super) async fn after_failure(
        &self,
        queued: &QueuedAction,
        error: &CallError,
        memory: &mut Memory,
    ) -> Verdict {
        let status = error.status().map(|status| status.as_u16());
        match error {
            CallError::Unauthorized { .. } => {
                Verdict::Stop(StopReason::Unauthorized(error.to_string()))
            }
            CallError::ClientError { status: code, .. } => match code.as_u16() {
                404 => Verdict::Close(
                    self.not_found(queued, error, memory)
                        .await
                        .with_status(status),
                ),
                400 | 409 | 422 => Verdict::Close(self.rejected(error).with_status(status)),
                403 => {
                    memory.forbidden.insert(
                        queued.action.kind(),
                        format!(
                            "Opsera does not permit {} to this token (403)",
                            queued.action.kind()
                        ),
                    );
                    Verdict::Close(self.rejected(error).with_status(status))
                }
                _ => Verdict::Close(
                    Closing::new(ActionState::Failed, Effect::DidNotHappen, error.to_string())
                        .with_status(status),
                ),
            },
            CallError::UnexpectedStatus { .. } | CallError::InvalidPathSegment { .. } => {
                Verdict::Close(
                    Closing::new(ActionState::Failed, Effect::DidNotHappen, error.to_string())
                        .with_status(status),
                )
            }
            _ if memory.failures_in_a_row >= CONSECUTIVE_FAILURES
                || queued.attempts >= self.retry.max_attempts
                || !error.is_retryable() =>
            {
                Verdict::GiveUp
            }
            _ => Verdict::Repeat,
        }
    }

    fn rejected(&self, error: &CallError) -> Closing {
        let mut closing = Closing::new(
            ActionState::Rejected,
            Effect::DidNotHappen,
            error.to_string(),
        );
        closing.next_attempt_at =
            Some(retry_at(self.scribe.clock.now(), self.retry.rejected_retry));
        closing
    }

    /// 404 on a write: the account is gone, unless it can still be read.
    async fn not_found(
        &self,
        queued: &QueuedAction,
        error: &CallError,
        memory: &mut Memory,
    ) -> Closing {
        let failed = |words: String| Closing::new(ActionState::Failed, Effect::DidNotHappen, words);
        match (
            &queued.action.change,
            self.read(&queued.action, memory).await,
        ) {
            (Change::Create { .. }, _) | (_, Err(_)) => failed(error.to_string()),
            (Change::Deactivate { .. }, Ok(read)) if read.state.is_done() => Closing::new(
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

    /// No more attempts: what is known about the last request is written down.
    pub(super) async fn give_up(
        &self,
        queued: &QueuedAction,
        error: &CallError,
        unknown: bool,
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let status = error.status().map(|status| status.as_u16());
        if !unknown {
            let closing =
                Closing::new(ActionState::Failed, Effect::DidNotHappen, error.to_string())
                    .with_status(status);
            self.close(queued, &closing, applied).await?;
            return Ok(());
        }
        match self.read(&queued.action, memory).await {
            Ok(mut closing) => {
                if !closing.state.is_done() {
                    let read = closing.message.take().unwrap_or_default();
                    closing.message = Some(format!("{error}; {read}"));
                }
                self.close(queued, &closing.with_status(status), applied)
                    .await?;
            }
            Err(reading) => {
                let words = format!("{error}; what came of it cannot be read: {reading}");
                self.store
                    .note_attempt(self.scribe, self.run, queued, status, &words)
                    .await?;
                leave_open(queued, &words, applied);
            }
        }
        Ok(())
    }
}

/// A6: 5xx and transport errors count, an answer of another kind ends the row, and being asked to
/// slow down says nothing either way.
pub(super) fn count_failure(error: &CallError, memory: &mut Memory) {
    match error {
        CallError::Unreachable { .. }
        | CallError::NoResponse { .. }
        | CallError::ServerError { .. } => {
            memory.failures_in_a_row += 1;
        }
        CallError::Throttled { .. } => {}
        CallError::Unauthorized { .. }
        | CallError::ClientError { .. }
        | CallError::UnexpectedStatus { .. }
        | CallError::InvalidPathSegment { .. }
        | CallError::Malformed { .. }
        | CallError::WrongTenant { .. } => memory.failures_in_a_row = 0,
    }
}

fn unreadable(error: &CallError) -> Ready {
    match error {
        CallError::Unauthorized { .. } => Ready::Stop(StopReason::Unauthorized(error.to_string())),
        _ => Ready::Unreadable(format!(
            "what came of the last request cannot be read: {error}"
        )),
    }
}

fn in_doubt(words: String) -> Closing {
    let mut closing = Closing::new(ActionState::Skipped, Effect::DidNotHappen, words);
    closing.still_due = true;
    closing
}
