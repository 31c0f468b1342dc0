//! Whether the daemon is alive (`/healthz`) and whether it is well (`/readyz`).
//!
//! The main loop and the run write here; the HTTP handlers only read. Asking therefore costs
//! nothing, however often somebody asks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use serde::Serialize;

use crate::domain::Schedule;
use crate::domain::time::{SharedClock, Timestamp};

/// A loop that has not turned for so long has stopped.
const STALE: Duration = Duration::from_secs(30);
/// A reconciliation is young for so many intervals of the schedule.
const INTERVALS: u32 = 3;

/// What is known of the daemon's condition.
#[derive(Debug)]
pub(super) struct Health {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_turn_at: Duration,
    stalled: bool,
    settings: Condition,
    secrets: Condition,
    store: Condition,
    credentials: Condition,
    last_complete: Option<Timestamp>,
    /// Until when `last_complete` counts as young.
    young_until: Option<Timestamp>,
}

/// One of the things a run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Healthy,
    Unhealthy,
}

/// Why the daemon is not ready, in words that carry nothing about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// A word for programs.
    pub(super) reason: &'static str,
    /// For people, with what to do.
    pub(super) detail: &'static str,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    pub(super) reasons: Vec<Reason>,
    /// When a reconciliation last came to its end.
    pub(super) last_complete_reconciliation: Option<Timestamp>,
    /// Until when that is young enough.
    pub(super) young_until: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(clock: SharedClock) -> Self {
        let last_turn_at = clock.monotonic();
        Self {
            clock,
            state: Mutex::new(State {
                last_turn_at,
                stalled: false,
                settings: Condition::Healthy,
                secrets: Condition::Healthy,
                store: Condition::Healthy,
                credentials: Condition::Healthy,
                last_complete: None,
                young_until: None,
            }),
        }
    }

    /// The main loop has turned; `stalled` if the run under way does not get on.
    pub(super) fn turned(&self, stalled: bool) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.last_turn_at = now;
        state.stalled = stalled;
    }

    pub(super) fn set_settings(&self, condition: Condition) {
        self.state().settings = condition;
    }

    pub(super) fn set_secrets(&self, condition: Condition) {
        self.state().secrets = condition;
    }

    pub(super) fn set_store(&self, condition: Condition) {
        self.state().store = condition;
    }

    pub(super) fn set_credentials(&self, condition: Condition) {
        self.state().credentials = condition;
    }

    /// Notes when a reconciliation last came to its end, and for how long that is young.
    pub(super) fn completed(&self, at: Option<Timestamp>, schedule: &Schedule, jitter: Duration) {
        let young_until = at.and_then(|at| {
            let third = schedule.nth_after(at, INTERVALS)?;
            third.checked_add_signed(TimeDelta::from_std(jitter).ok()?)
        });
        let mut state = self.state();
        state.last_complete = at;
        state.young_until = young_until;
    }

    pub(super) fn last_complete(&self) -> Option<Timestamp> {
        self.state().last_complete
    }

    /// Whether the main loop turns and the run under way gets on.
    pub(super) fn is_alive(&self) -> bool {
        let now = self.clock.monotonic();
        let state = self.state();
        !state.stalled && now.saturating_sub(state.last_turn_at) <= STALE
    }

    /// Whether everything a run needs is fine and the last one is young.
    pub(super) fn readiness(&self) -> Readiness {
        let now = self.clock.now();
        let state = self.state();
        let conditions = [
            (
                state.settings,
                Reason {
                    reason: "settings",
                    detail: "the settings on disk are not valid and not in use; the log says what is wrong",
                },
            ),
            (
                state.secrets,
                Reason {
                    reason: "secrets",
                    detail: "a secret cannot be read or is not safe; the log says which",
                },
            ),
            (
                state.store,
                Reason {
                    reason: "store",
                    detail: "the store cannot be used; the log says why",
                },
            ),
            (
                state.credentials,
                Reason {
                    reason: "credentials",
                    detail: "a directory refused the credential; replace it",
                },
            ),
        ];
        let mut reasons: Vec<Reason> = conditions
            .into_iter()
            .filter(|(condition, _)| *condition == Condition::Unhealthy)
            .map(|(_, reason)| reason)
            .collect();
        match (state.last_complete, state.young_until) {
            (None, _) => reasons.push(Reason {
                reason: "no_complete_reconciliation",
                detail: "no reconciliation has come to its end yet",
            }),
            // A schedule that has no third occurrence asks for nothing any more.
            (Some(_), Some(until)) if now > until => reasons.push(Reason {
                reason: "reconciliation_too_old",
                detail: "the last complete reconciliation is older than three intervals of the schedule",
            }),
            (Some(_), _) => {}
        }
        Readiness {
            ready: reasons.is_empty(),
            reasons,
            last_complete_reconciliation: state.last_complete,
            young_until: state.young_until,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Clock as _, ManualClock};

    fn quarter_hours() -> Schedule {
        Schedule::parse("0 */15 * * * *", chrono_tz::UTC).unwrap()
    }

    fn reasons(health: &Health) -> Vec<&'static str> {
        let readiness = health.readiness();
        assert_eq!(readiness.ready, readiness.reasons.is_empty());
        readiness
            .reasons
            .iter()
            .map(|reason| reason.reason)
            .collect()
    }

    #[test]
    fn a_reconciliation_is_young_for_three_intervals_and_the_jitter() {
        let clock = ManualClock::at("2026-01-01T00:00:10Z".parse().unwrap());
        let health = Health::new(clock.clone());
        assert_eq!(reasons(&health), ["no_complete_reconciliation"]);
        health.completed(Some(clock.now()), &quarter_hours(), Duration::from_secs(30));
        clock.advance(Duration::from_secs(45 * 60 + 20));
        assert_eq!(reasons(&health), [""; 0]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(reasons(&health), ["reconciliation_too_old"]);
    }

    #[test]
    fn whatever_a_run_needs_is_named_when_it_is_bad() {
        let clock = ManualClock::at("2026-01-01T00:00:10Z".parse().unwrap());
        let health = Health::new(clock.clone());
        health.completed(Some(clock.now()), &quarter_hours(), Duration::ZERO);
        health.set_settings(Condition::Unhealthy);
        health.set_secrets(Condition::Unhealthy);
        health.set_store(Condition::Unhealthy);
        health.set_credentials(Condition::Unhealthy);
        assert_eq!(
            reasons(&health),
            ["settings", "secrets", "store", "credentials"]
        );
        health.set_settings(Condition::Healthy);
        health.set_secrets(Condition::Healthy);
        health.set_store(Condition::Healthy);
        health.set_credentials(Condition::Healthy);
        assert!(health.readiness().ready);
    }

    #[test]
    fn a_loop_that_stands_still_or_a_run_that_does_not_get_on_is_not_alive() {
        let clock = ManualClock::at("2026-01-01T00:00:10Z".parse().unwrap());
        let health = Health::new(clock.clone());
        clock.advance(STALE);
        assert!(health.is_alive());
        clock.advance(Duration::from_millis(1));
        assert!(!health.is_alive());
        health.turned(false);
        assert!(health.is_alive());
        health.turned(true);
        assert!(!health.is_alive());
    }
}
