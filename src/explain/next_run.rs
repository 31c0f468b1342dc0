//! The run that is foretold: the next one, if both directories stay as they are.

use crate::domain::time::Timestamp;
use crate::rules::clock_trust::wait_for_proof;
use crate::rules::decision::DecisionWithFindings;
use crate::rules::facts::Absence;
use crate::rules::{AccountFacts, Policy, decide_account};

/// What the next run decides by.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextRun<'r> {
    /// The rules.
    pub(super) policy: &'r Policy,
    /// Its time.
    pub(super) now: Timestamp,
    /// Whether the last run trusted the clock (§4 step 6).
    pub(super) clock_is_trusted: bool,
}

impl NextRun<'_> {
    /// What it decides for an account: its own pull misses an absent person once more.
    pub(super) fn decide(&self, facts: &AccountFacts) -> DecisionWithFindings {
        let mut decided = decide_account(facts, self.policy, self.now);
        let absence = facts.absence.map(Absence::once_more);
        decided.decision = wait_for_proof(
            decided.decision,
            absence,
            self.clock_is_trusted,
            self.policy,
            self.now,
        );
        decided
    }
}
