//! One request: what comes right before it, the request itself, and what follows from the answer.

use super::last_look::{AccountLook, PersonLook, look_at_account, look_at_person};
use super::settle::read_outcome;
use super::state::{ActionState, Closing, Effect};
use super::worker::{Applied, CONSECUTIVE_FAILURES, Memory, StopReason, Worker, leave_open};
use crate::directory::{Answer, CallError};
use crate::domain::{Evidence, NewAccount, OpaName};
use crate::plan::{Change, PlannedAction};
use crate::store::{QueuedAction, StoreError, retry_at};

/// What the look right before a request says.
pub(super) enum Ready {
    /// Nothing speaks against it.
    Send,
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
    /// Everything that comes before a request: the pace, then the look, so that the look is the
    /// last thing that happens.
    pub(super) async fn get_ready(
        &self,
        queued: &QueuedAction,
        unknown: bool,
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<Ready, StoreError> {
        self.opsera.wait_until_unpaused().await;
        match &queued.action.change {
            Change::SetRole { .. } => Ok(Ready::Send),
            Change::Create { .. } if !unknown => Ok(Ready::Send),
            Change::Create { .. } => Ok(
                match read_outcome(self.opsera.reader(), &queued.action).await {
                    Ok(closing) if closing.state.is_done() => Ready::Close(closing),
                    Ok(_) => Ready::Send,
                    Err(error) => unreadable(&error),
                },
            ),
            Change::Deactivate {
                opsera_id,
                evidence,
                known_names,
            } => {
                let matching = &self.policy.matching;
                let key = &queued.action.key;
                match look_at_account(self.opsera.reader(), matching, opsera_id, key).await {
                    AccountLook::AsPlanned => {}
                    AccountLook::Inactive(words) => {
                        return Ok(Ready::Close(if unknown {
                            let words = format!("{words}, after a request without an answer");
                            Closing::new(ActionState::Succeeded, Effect::Happened, words)
                        } else {
                            Closing::new(ActionState::Already, Effect::DidNotHappen, words)
                        }));
                    }
                    AccountLook::Moved(closing) => return Ok(Ready::Close(closing)),
                    AccountLook::Unreadable(error @ CallError::Unauthorized { .. }) => {
                        return Ok(Ready::Stop(StopReason::Unauthorized(error.to_string())));
                    }
                    AccountLook::Unreadable(error) if unknown => return Ok(unreadable(&error)),
                    AccountLook::Unreadable(error) => {
                        return Ok(Ready::Close(in_doubt(format!(
                            "the account cannot be read right before the request: {error}"
                        ))));
                    }
                }
                self.look_once_more(queued, *evidence, known_names, memory, applied)
                    .await
            }
        }
    }

    async fn look_once_more(
        &self,
        queued: &QueuedAction,
        evidence: Evidence,
        names: &[OpaName],
        memory: &mut Memory,
        applied: &mut Applied,
    ) -> Result<Ready, StoreError> {
        Ok(
            match look_at_person(self.opa, evidence, names, &self.policy.required_groups).await {
                PersonLook::Gone => match &memory.distrusted {
                    Some(words) if evidence == Evidence::Absent => {
                        Ready::Close(in_doubt(words.clone()))
                    }
                    _ => Ready::Send,
                },
                PersonLook::Entitled { id, name } => {
                    self.note_inconsistency(queued, &id, &name, memory, applied)
                        .await?;
                    Ready::Close(Closing::new(
                        ActionState::Skipped,
                        Effect::DidNotHappen,
                        format!(
                            "reentitled: OPA record {name} (id {id}) is ACTIVE and entitled when it is read"
                        ),
                    ))
                }
                PersonLook::Doubt(words) => Ready::Close(in_doubt(words)),
                PersonLook::Unauthorized(error) => {
                    Ready::Stop(StopReason::Unauthorized(error.to_string()))
                }
            },
        )
    }

    pub(super) async fn send(&self, action: &PlannedAction) -> Result<Answer, CallError> {
        match &action.change {
            Change::SetRole { opsera_id, to, .. } => self.opsera.set_role(opsera_id, *to).await,
            Change::Deactivate { opsera_id, .. } => self.opsera.deactivate(opsera_id).await,
            Change::Create {
                first_name,
                last_name,
                to,
            } => {
                self.opsera
                    .create(&NewAccount {
                        email: action.email.clone(),
                        first_name: first_name.clone(),
                        last_name: last_name.clone(),
                        site_role: *to,
                    })
                    .await
            }
        }
    }

    /// After Opsera said that it is done.
    pub(super) async fn confirm(&self, action: &PlannedAction, answer: &Answer) -> Closing {
        let status = Some(answer.status.as_u16());
        let done = |words: String| {
            Closing::new(ActionState::Succeeded, Effect::Happened, words).with_status(status)
        };
        if self.stop.is_cancelled() || matches!(action.change, Change::SetRole { .. }) {
            return done(answer.words.to_string());
        }
        match (
            &action.change,
            read_outcome(self.opsera.reader(), action).await,
        ) {
            (Change::Create { .. }, Ok(read)) => {
                let mut closing = done(answer.words.to_string());
                closing.created_id = read.created_id;
                closing
            }
            (_, Ok(read)) if read.state == ActionState::Failed => Closing::new(
                ActionState::Failed,
                Effect::DidNotHappen,
                format!(
                    "Opsera said {}, but the account is still active",
                    answer.words
                ),
            )
            .with_status(status),
            (_, Ok(_)) => done(answer.words.to_string()),
            (_, Err(error)) => done(format!("{}; not confirmed: {error}", answer.words)),
        }
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
            CallError::Refused { status: code, .. } => match code.as_u16() {
                404 => Verdict::Close(self.not_found(queued, error).await.with_status(status)),
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
    async fn not_found(&self, queued: &QueuedAction, error: &CallError) -> Closing {
        let failed = |words: String| Closing::new(ActionState::Failed, Effect::DidNotHappen, words);
        match (
            &queued.action.change,
            read_outcome(self.opsera.reader(), &queued.action).await,
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
        match read_outcome(self.opsera.reader(), &queued.action).await {
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
        CallError::Unreachable { .. } | CallError::NoAnswer { .. } | CallError::Trouble { .. } => {
            memory.failures_in_a_row += 1;
        }
        CallError::Throttled { .. } => {}
        CallError::Unauthorized { .. }
        | CallError::Refused { .. }
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
