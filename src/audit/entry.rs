//! One entry of the log, before it has a place in the chain.

use serde_json::Value;
use strum::VariantArray as _;

use crate::domain::{ActionState, OpseraId, RunId};

/// What happened (§8).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(
    serialize_all = "snake_case",
    parse_err_ty = UnknownEvent,
    parse_err_fn = unknown_event
)]
pub enum Event {
    /// A run began.
    RunStarted,
    /// Both sides were read to their end (G0).
    PullCompleted,
    /// A side could not be read to its end (G0).
    PullFailed,
    /// A plan was made.
    PlanCreated,
    /// A guard holds a plan (§6).
    PlanHeld,
    /// Somebody approved a held plan.
    PlanApproved,
    /// Somebody rejected a held plan.
    PlanRejected,
    /// An action is about to be sent (A1).
    ActionStarted,
    /// An action was done, or was done already.
    ActionSucceeded,
    /// An action was not done.
    ActionFailed,
    /// A preflight found a reason not to act (A2).
    ActionSkipped,
    /// A run ended.
    RunFinished,
}

/// A text that names no event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("“{0}” is no event of the audit log")]
pub struct UnknownEvent(pub String);

impl Event {
    /// Every event there is.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in the log.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn unknown_event(text: &str) -> UnknownEvent {
    UnknownEvent(text.to_owned())
}

impl From<ActionState> for Event {
    /// The event of an action that comes into this state.
    fn from(state: ActionState) -> Self {
        match state {
            ActionState::Succeeded | ActionState::Already => Self::ActionSucceeded,
            // An action that is planned again was tried.
            ActionState::Failed | ActionState::Rejected | ActionState::Planned => {
                Self::ActionFailed
            }
            ActionState::InFlight => Self::ActionStarted,
            // No request: the log's event for all that keeps an action from being tried, or stops
            // keeping it.
            ActionState::Skipped
            | ActionState::Superseded
            | ActionState::Cancelled
            | ActionState::Released => Self::ActionSkipped,
        }
    }
}

/// Whom an entry is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The address as Opsera has it.
    pub email: Option<String>,
    /// The account.
    pub opsera_id: Option<OpseraId>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryOutcome {
    /// The status the server answered with.
    pub http_status: Option<u16>,
    /// The server's words, or this program's about why there was no answer.
    pub words: Option<String>,
}

/// An entry to be appended; number, time, actor and hash are the log's to add.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// The run it belongs to; `None` for what an operator did outside of a run.
    pub run_id: Option<RunId>,
    /// What happened.
    pub event: Event,
    /// Whom it is about.
    pub subject: Option<Subject>,
    /// The state before: the known role, for a role change.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Why, in one word or sentence.
    pub reason: Option<String>,
    /// What the decision rests on. Whole numbers only: a fraction is written as a text.
    pub evidence: Option<Value>,
    /// What came of it.
    pub outcome: Option<EntryOutcome>,
}

impl NewEntry {
    /// An entry that says `event` and nothing else yet.
    pub fn new(event: Event) -> Self {
        Self {
            run_id: None,
            event,
            subject: None,
            before: None,
            after: None,
            reason: None,
            evidence: None,
            outcome: None,
        }
    }

    /// Says which run it belongs to.
    pub fn in_run(mut self, run_id: &RunId) -> Self {
        self.run_id = Some(run_id.clone());
        self
    }

    /// Says whom it is about.
    pub fn about(mut self, email: Option<&str>, opsera_id: Option<&OpseraId>) -> Self {
        self.subject = Some(Subject {
            email: email.map(str::to_owned),
            opsera_id: opsera_id.cloned(),
        });
        self
    }

    /// Says what changes into what.
    pub fn change(mut self, before: Option<Value>, after: Option<Value>) -> Self {
        self.before = before;
        self.after = after;
        self
    }

    /// Says why.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Says what the decision rests on.
    pub fn evidence(mut self, evidence: Value) -> Self {
        self.evidence = Some(evidence);
        self
    }

    /// Says what came of it.
    pub fn outcome(mut self, http_status: Option<u16>, words: Option<String>) -> Self {
        self.outcome = Some(EntryOutcome { http_status, words });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_an_action_has_its_event() {
        for (state, event) in [
            (ActionState::Succeeded, Event::ActionSucceeded),
            (ActionState::Already, Event::ActionSucceeded),
            (ActionState::Failed, Event::ActionFailed),
            (ActionState::Rejected, Event::ActionFailed),
            (ActionState::Skipped, Event::ActionSkipped),
            (ActionState::InFlight, Event::ActionStarted),
            (ActionState::Planned, Event::ActionFailed),
            (ActionState::Superseded, Event::ActionSkipped),
            (ActionState::Cancelled, Event::ActionSkipped),
            (ActionState::Released, Event::ActionSkipped),
        ] {
            assert_eq!(Event::from(state), event);
        }
    }
}
