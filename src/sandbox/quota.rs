//! OPA's hourly budget of requests, and the headers that tell how much of it is left.
//!
//! The budget belongs to the service user, not to one client: whatever else works with the same
//! user takes from it too. Periods are whole hours of the injected clock.

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::time::SharedClock;

/// Seconds in a period.
const PERIOD: i64 = 3600;

/// An hourly budget of requests, shared by every client of the service user.
#[derive(Debug)]
pub struct Quota {
    clock: SharedClock,
    state: Mutex<QuotaState>,
}

#[derive(Debug)]
struct QuotaState {
    /// Requests in an hour; `None`: unlimited, and no header speaks of it.
    limit: Option<u64>,
    /// Requests that another client makes in an hour, spread evenly.
    second_client: u64,
    period: i64,
    used: u64,
    refused: u64,
}

/// What the headers of one answer say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuotaHeaders {
    limit: u64,
    remaining: u64,
    reset: i64,
}

impl QuotaHeaders {
    /// Adds the three headers to those of an answer, unless it has them already.
    pub(super) fn add_to(self, headers: &mut HeaderMap) {
        let values = [
            ("x-ratelimit-limit", HeaderValue::from(self.limit)),
            ("x-ratelimit-remaining", HeaderValue::from(self.remaining)),
            ("x-ratelimit-reset", HeaderValue::from(self.reset)),
        ];
        for (name, value) in values {
            headers
                .entry(HeaderName::from_static(name))
                .or_insert(value);
        }
    }
}

impl Quota {
    pub(super) fn new(limit: Option<u64>, clock: SharedClock) -> Self {
        let state = QuotaState {
            limit,
            second_client: 0,
            period: i64::MIN,
            used: 0,
            refused: 0,
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    /// Changes the number of requests in an hour; `None`: unlimited, and without headers.
    pub fn set_limit(&self, limit: Option<u64>) {
        self.with_state(|state, _| state.limit = limit);
    }

    /// Takes `requests` from this hour's budget at once, as another client would.
    pub fn consume(&self, requests: u64) {
        self.with_state(|state, _| state.used = state.used.saturating_add(requests));
    }

    /// Lets another client make `per_hour` requests in each hour, evenly over the hour.
    pub fn second_client(&self, per_hour: u64) {
        self.with_state(|state, _| state.second_client = per_hour);
    }

    /// What is left in this hour; `None` without a limit.
    pub fn remaining(&self) -> Option<u64> {
        self.with_state(|state, into| state.remaining(into))
    }

    /// How many requests were refused with 429 because the budget was used up.
    pub fn refused(&self) -> u64 {
        self.with_state(|state, _| state.refused)
    }

    /// Takes one request from the budget. If nothing is left, gives back the Unix second at which
    /// the next period starts.
    pub(super) fn take(&self) -> Option<i64> {
        self.with_state(|state, into| {
            if state.remaining(into) == Some(0) {
                state.refused += 1;
                return Some(state.reset());
            }
            state.used = state.used.saturating_add(1);
            None
        })
    }

    /// What the headers of an answer say now.
    pub(super) fn headers(&self) -> Option<QuotaHeaders> {
        self.with_state(|state, into| {
            Some(QuotaHeaders {
                limit: state.limit?,
                remaining: state.remaining(into)?,
                reset: state.reset(),
            })
        })
    }

    /// Runs `action` on the state of the current period; it gets the seconds since its start.
    fn with_state<T>(&self, action: impl FnOnce(&mut QuotaState, u64) -> T) -> T {
        let now = self.clock.now().timestamp();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let period = now.div_euclid(PERIOD);
        if period != state.period {
            state.period = period;
            state.used = 0;
        }
        action(&mut state, now.rem_euclid(PERIOD).unsigned_abs())
    }
}

impl QuotaState {
    fn remaining(&self, seconds_into_period: u64) -> Option<u64> {
        let other = self.second_client.saturating_mul(seconds_into_period) / PERIOD.unsigned_abs();
        let used = self.used.saturating_add(other);
        self.limit.map(|limit| limit.saturating_sub(used))
    }

    fn reset(&self) -> i64 {
        self.period.saturating_add(1).saturating_mul(PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::time::ManualClock;

    #[test]
    fn the_budget_is_used_up_within_its_hour_and_whole_again_in_the_next() {
        let clock = ManualClock::at("2026-03-01T12:30:00Z".parse().unwrap());
        let quota = Quota::new(Some(2), clock.clone());
        let next_hour = "2026-03-01T13:00:00Z"
            .parse::<crate::domain::time::Timestamp>()
            .unwrap()
            .timestamp();
        assert_eq!((quota.take(), quota.take()), (None, None));
        assert_eq!(quota.take(), Some(next_hour));
        assert_eq!((quota.remaining(), quota.refused()), (Some(0), 1));
        clock.advance(Duration::from_mins(30));
        assert_eq!((quota.remaining(), quota.take()), (Some(2), None));
    }

    #[test]
    fn a_second_client_eats_its_part_evenly() {
        let clock = ManualClock::at("2026-03-01T12:00:00Z".parse().unwrap());
        let quota = Quota::new(Some(10_000), clock.clone());
        quota.second_client(5_000);
        assert_eq!(quota.remaining(), Some(10_000));
        clock.advance(Duration::from_mins(30));
        assert_eq!(quota.remaining(), Some(7_500));
        quota.consume(500);
        assert_eq!(quota.remaining(), Some(7_000));
    }
}
