//! The states of an action in the queue (§7), and what is written down when one ends.

use serde::Serialize;
use strum::VariantArray as _;

use crate::domain::{ActionStatus, OpseraId, time::Timestamp};

/// Where an action stands. The store knows exactly these names.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ActionState {
    /// To be done.
    Planned,
    /// A request was announced, and its outcome is not recorded (A1).
    InFlight,
    /// Done, and confirmed.
    Succeeded,
    /// There was nothing left to do (A5).
    Already,
    /// Not done; the next run plans it afresh.
    Failed,
    /// Refused by Opsera (A5).
    Rejected,
    /// The preflight found a reason not to (A2).
    Skipped,
    /// A later run does not want it any more (A7).
    Superseded,
    /// An operator cancelled it.
    Cancelled,
    /// An operator let a refused or cancelled one be tried again.
    Released,
}

impl ActionState {
    /// Every state.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The name in a sentence.
    pub fn in_words(self) -> String {
        self.as_str().replace('_', " ")
    }

    /// Whether the queue still has work with it; at most one row per piece of work is open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Planned | Self::InFlight)
    }

    /// Whether the same work is not tried again before its time has come.
    pub fn is_resting(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled)
    }

    /// Whether the account is now as the plan wanted it.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Succeeded | Self::Already)
    }

    /// Whether an action may go from this state to `next`. The store refuses every other move.
    pub fn can_become(self, next: Self) -> bool {
        match self {
            // Nothing has succeeded for which no request was announced.
            Self::Planned => next != Self::Released && next != Self::Succeeded,
            Self::InFlight => !matches!(next, Self::Superseded | Self::Cancelled | Self::Released),
            Self::Rejected | Self::Cancelled => next == Self::Released,
            Self::Succeeded
            | Self::Already
            | Self::Failed
            | Self::Skipped
            | Self::Superseded
            | Self::Released => false,
        }
    }

    /// The status in the report.
    pub fn status(self) -> ActionStatus {
        match self {
            Self::Planned => ActionStatus::Planned,
            Self::Succeeded => ActionStatus::Succeeded,
            Self::Already => ActionStatus::Already,
            // Nobody knows what came of it, which is no success.
            Self::InFlight | Self::Failed => ActionStatus::Failed,
            Self::Rejected => ActionStatus::Rejected,
            Self::Skipped => ActionStatus::Skipped,
            Self::Superseded | Self::Cancelled | Self::Released => ActionStatus::NotTried,
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

/// Everything that is written down when an action ends.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionOutcome {
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

impl ActionOutcome {
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
            let outcome = ActionOutcome::new(state, Effect::Unknown, "words");
            assert_eq!(outcome.still_due, still_due);
        }
    }

    #[test]
    fn the_store_knows_the_same_states() {
        let table = include_str!("../../migrations/0004_plans_and_queue.sql");
        let (_, actions) = table.split_once("CREATE TABLE actions").unwrap();
        let (_, check) = actions.split_once("CHECK (state IN (").unwrap();
        let (names, _) = check.split_once("))").unwrap();
        let names: Vec<&str> = names
            .split(',')
            .map(|name| name.trim().trim_matches('\''))
            .collect();
        let known: Vec<&str> = ActionState::ALL
            .iter()
            .map(|state| state.as_str())
            .collect();
        assert_eq!(names, known);
        for state in ActionState::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
            assert_eq!(serde_json::json!(state), state.as_str());
            assert_eq!(state.to_string(), state.as_str());
        }
        "done".parse::<ActionState>().unwrap_err();
        assert_eq!(ActionState::InFlight.in_words(), "in flight");
    }

    #[test]
    fn an_action_moves_only_as_the_queue_allows() {
        use ActionState::{
            Already, Cancelled, Failed, InFlight, Planned, Rejected, Released, Skipped, Succeeded,
            Superseded,
        };
        let moves: [(ActionState, &[ActionState]); 10] = [
            (
                Planned,
                &[
                    Planned, InFlight, Already, Failed, Rejected, Skipped, Superseded, Cancelled,
                ],
            ),
            (
                InFlight,
                &[
                    Planned, InFlight, Succeeded, Already, Failed, Rejected, Skipped,
                ],
            ),
            (Succeeded, &[]),
            (Already, &[]),
            (Failed, &[]),
            (Rejected, &[Released]),
            (Skipped, &[]),
            (Superseded, &[]),
            (Cancelled, &[Released]),
            (Released, &[]),
        ];
        for (from, allowed) in moves {
            for to in ActionState::ALL {
                assert_eq!(from.can_become(*to), allowed.contains(to), "{from} → {to}");
            }
            assert_eq!(from.is_open(), from.can_become(InFlight), "{from}");
            assert_eq!(from.is_resting(), from.can_become(Released), "{from}");
        }
    }
}
