//! One action, from its preflight to its end: the only place from which a write goes out.
//!
//! The order is always the same: preflight (A2), announcement in the store (A1), request, answer
//! (`answer`), end. Every way out is an [`End`], and [`Attempt::leave`] writes it down.

use super::answer::NextStep;
use super::apply_state::{Next, StopReason, Worker};
use super::attempt::{Attempt, End, LastAnswer};
use super::preflight::Preflight;
use crate::clients::{Answer, CallError, RatePermit};
use crate::domain::{Change, NewAccount};
use crate::store::StoreError;

impl Attempt<'_> {
    /// Carries the action out, with as many requests as A3 allows.
    ///
    /// # Errors
    /// The store. What was sent by then is announced in it, and the next run reads its outcome.
    pub(super) async fn carry_out(mut self) -> Result<Next, StoreError> {
        loop {
            let permit = match self.prepare().await? {
                Preflight::Send(permit) => permit,
                Preflight::Close(outcome) => {
                    return self.leave(End::Closed(outcome), Next::Continue).await;
                }
                Preflight::Unreadable(words) => {
                    let answer = LastAnswer::Recorded;
                    let end = End::KeptInFlight { words, answer };
                    return self.leave(end, Next::Continue).await;
                }
                Preflight::Stop(reason) => return self.leave_unsent(reason).await,
            };
            self.announce().await?;
            // A slow disk gives a signal time to come between the announcement and the request.
            if self.worker.stop.is_cancelled() {
                return self.leave_unsent(StopReason::Interrupted).await;
            }
            let next_step = match self.send(permit).await {
                Ok(answer) => self.after_success(&answer).await,
                Err(error) => self.after_failure(error).await,
            };
            match next_step {
                NextStep::Leave(end, next) => return self.leave(end, next).await,
                NextStep::Repeat(error) => self.wait_before_repeating(&error).await?,
            }
        }
    }

    /// The preflight, unless no request may be started any more (A10).
    async fn prepare(&mut self) -> Result<Preflight, StoreError> {
        let stop = self.worker.stop;
        tokio::select! {
            // Asked first: otherwise the preflight may send its request before the signal is seen.
            biased;
            () = stop.cancelled() => Ok(Preflight::Stop(StopReason::Interrupted)),
            preflight = self.preflight() => preflight,
        }
    }

    /// Announces the request in the store (A1).
    async fn announce(&mut self) -> Result<(), StoreError> {
        let Worker {
            store,
            audit_writer,
            run,
            ..
        } = *self.worker;
        self.queued.attempts = store.reserve(audit_writer, run, &self.queued).await?;
        Ok(())
    }

    async fn send(&self, permit: RatePermit) -> Result<Answer, CallError> {
        let opsera = self.worker.opsera;
        let action = &self.queued.action;
        match &action.change {
            Change::SetRole { opsera_id, to, .. } => opsera.set_role(permit, opsera_id, *to).await,
            Change::Deactivate { opsera_id, .. } => opsera.deactivate(permit, opsera_id).await,
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
                opsera.create(permit, &account).await
            }
        }
    }

    /// Records the answer of a request that is repeated, and waits (A3).
    async fn wait_before_repeating(&self, error: &CallError) -> Result<(), StoreError> {
        let Worker {
            store,
            audit_writer,
            run,
            backoff,
            stop,
            ..
        } = *self.worker;
        let http_status = error.status().map(|status| status.as_u16());
        store
            .note_attempt(
                audit_writer,
                run,
                &self.queued,
                http_status,
                &error.to_string(),
            )
            .await?;
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = audit_writer.clock.sleep(backoff.delay(self.queued.attempts)) => {}
        }
        Ok(())
    }

    /// The run stops before this action's next request.
    async fn leave_unsent(self, reason: StopReason) -> Result<Next, StoreError> {
        let words = match &reason {
            StopReason::Interrupted => "interrupted before the request was sent".to_owned(),
            StopReason::Unauthorized(refusal) => refusal.words.clone(),
            StopReason::Breaker(words) => words.clone(),
        };
        let end = if self.queued.attempts == 0 {
            End::NotTried
        } else if self.outcome_is_unknown {
            let answer = LastAnswer::Recorded;
            End::KeptInFlight { words, answer }
        } else {
            let http_status = None;
            End::Requeued { http_status, words }
        };
        self.leave(end, Next::Stop(reason)).await
    }
}
