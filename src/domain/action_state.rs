//! The states of an action, and what is written down when it leaves the queue.

use crate::domain::{ActionStatus, OpseraId, time::Timestamp};

/// How an action leaves the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// Done, and confirmed.
    Succeeded,
    /// There was nothing left to do (A5).
    Already,
    /// Not done; the next run plans it afresh.
    Failed,
    /// Refused by Opsera (A5).
    Rejected,
    /// The last look found a reason not to (A2).
    Skipped,
}

impl ActionState {
    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Already => "already",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the account is now as the plan wanted it.
    pub fn is_done(self) -> bool {
        match self {
            Self::Succeeded | Self::Already => true,
            Self::Failed | Self::Rejected | Self::Skipped => false,
        }
    }

    /// The status in the report.
    pub fn status(self) -> ActionStatus {
        match self {
            Self::Succeeded => ActionStatus::Succeeded,
            Self::Already => ActionStatus::Already,
            Self::Failed => ActionStatus::Failed,
            Self::Rejected => ActionStatus::Rejected,
            Self::Skipped => ActionStatus::Skipped,
        }
    }
}

/// Whether the change took place, as far as anybody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It did.
    Happened,
    /// It certainly did not.
    DidNotHappen,
    /// Nobody knows.
    Unknown,
}

/// Everything that is written down when an action leaves the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    /// The state it ends in.
    pub state: ActionState,
    /// Whether the change took place.
    pub effect: Effect,
    /// The last status the server answered with.
    pub http_status: Option<u16>,
    /// Why, or the server's words.
    pub message: Option<String>,
    /// When it may be tried again; only for refusals.
    pub next_attempt_at: Option<Timestamp>,
    /// The account a creation made, where it is known.
    pub created_id: Option<OpseraId>,
    /// What a look at the records showed, for the audit log.
    pub seen: Option<serde_json::Value>,
    /// The work is still due and somebody should look: a failure, a refusal, or doubt. A person
    /// who turned out to be entitled leaves nothing to do.
    pub still_due: bool,
}

impl Closing {
    /// Ends in `state`, with these words.
    pub fn new(state: ActionState, effect: Effect, message: impl Into<String>) -> Self {
        Self {
            state,
            effect,
            http_status: None,
            message: Some(message.into()),
            next_attempt_at: None,
            created_id: None,
            seen: None,
            still_due: matches!(state, ActionState::Failed | ActionState::Rejected),
        }
    }

    /// Adds the status the server answered with.
    pub fn with_status(mut self, http_status: Option<u16>) -> Self {
        self.http_status = http_status;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_name_and_its_say_about_what_is_done() {
        let ends = [
            (ActionState::Succeeded, "succeeded", true, false),
            (ActionState::Already, "already", true, false),
            (ActionState::Failed, "failed", false, true),
            (ActionState::Rejected, "rejected", false, true),
            (ActionState::Skipped, "skipped", false, false),
        ];
        for (state, name, is_done, still_due) in ends {
            assert_eq!(state.as_str(), name);
            assert_eq!(state.status().as_str(), name);
            assert_eq!(state.is_done(), is_done);
            let closing = Closing::new(state, Effect::Unknown, "words");
            assert_eq!(closing.still_due, still_due);
        }
    }
}
