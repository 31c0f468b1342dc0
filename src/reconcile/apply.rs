//! Applying a plan: takes its actions from the queue one by one, in the order of the plan.
//!
//! It decides nothing about people. It only finds reasons to stop: the preflight (A2), an answer
//! (A3 to A5), too many failures (A6), a signal (A10). What happens to one action is in `carry_out`.

use std::collections::BTreeMap;

use tracing::Instrument as _;

use super::apply_state::{ActionResult, Applied, ApplyState, Next, StopReason, Worker};
use super::attempt::Attempt;
use super::preflight::{PersonLook, look_at_person};
use crate::domain::{ActionKind, ActionStatus, Change, Counter, Evidence, Plan};
use crate::store::{QueuedAction, Refusal, StoreError};

impl Worker<'_> {
    /// Carries out what [`Store::enqueue`](crate::store::Store::enqueue) put into the queue for this run. `applied` tells how
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
