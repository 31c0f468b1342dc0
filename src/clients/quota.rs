//! OPA's hourly quota, obeyed before it bites (A3).
//!
//! Every answer says how many requests are left until when. While the requests that are still to
//! come fit into what is left, they go at the configured rate. When they do not fit, or when
//! nobody knows how many there will be and the first tenth is used, what is left is spread evenly
//! until the reset: minus the share that is reserved for others, and minus what the others use at
//! the rate seen so far. So the client meets no 429 of its own making.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;

use super::clock_offsets::date_of;
use crate::domain::time::{SharedClock, Timestamp, after};

const LIMIT: &str = "x-ratelimit-limit";
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";

/// Of the usable quota, this share goes at the configured rate while it is not known how many
/// requests there will be.
const FREE_SHARE: f64 = 0.1;

/// Of an even spread, this share is kept however busy the others are: only an answer shows that
/// they have become quiet.
const LEAST_SHARE: f64 = 0.1;

/// Before this time the rate of the others is a guess.
const OBSERVED: Duration = Duration::from_secs(10);

/// A reset that moves by less belongs to the same period: clocks and rounding differ.
const SAME_PERIOD: Duration = Duration::from_mins(1);

/// No period is longer than this; what names a later reset is not believed.
const LONGEST_PERIOD: Duration = Duration::from_hours(24);

/// The quota as the last answer told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaStatus {
    /// Requests in a period.
    pub limit: u64,
    /// Requests that are left.
    pub remaining: u64,
    /// When the next period begins, by our clock.
    pub resets_at: Timestamp,
}

/// How long a request has to wait for the quota.
#[derive(Debug)]
pub(super) struct QuotaPacer {
    clock: SharedClock,
    reserve: f64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    period: Option<Period>,
    /// Requests that callers announced and that were not sent yet.
    expected: u64,
    last_sent: Option<Duration>,
}

/// What is known of the present period. Times are monotonic.
#[derive(Debug)]
struct Period {
    limit: u64,
    remaining: u64,
    reset_at: Duration,
    first_remaining: u64,
    first_seen: Duration,
    /// Our own requests that were answered after the first answer.
    answered: u64,
    announced: Announced,
}

#[derive(Debug, PartialEq, Eq)]
enum Announced {
    Nothing,
    Spreading,
    UsedUp,
}

#[derive(Debug, PartialEq)]
enum Speed {
    /// The configured rate alone.
    Configured,
    /// One request in so long a time.
    Every(Duration),
    /// None before the reset.
    Stop,
}

impl QuotaPacer {
    /// Leaves `reserve_percent` of the quota to others.
    pub(super) fn new(clock: SharedClock, reserve_percent: u8) -> Self {
        Self {
            clock,
            reserve: f64::from(reserve_percent.min(100)) / 100.0,
            state: Mutex::default(),
        }
    }

    /// A caller is about to send so many requests.
    pub(super) fn expect(&self, requests: u64) {
        let mut state = self.lock();
        state.expected = state.expected.saturating_add(requests);
    }

    /// A better number than what was announced before.
    pub(super) fn expect_instead(&self, requests: u64) {
        self.lock().expected = requests;
    }

    /// The quota as it stands; `None` when no answer told it or its period is over.
    pub(super) fn status(&self) -> Option<QuotaStatus> {
        let now = self.clock.monotonic();
        let state = self.lock();
        let period = state
            .period
            .as_ref()
            .filter(|period| now < period.reset_at)?;
        Some(QuotaStatus {
            limit: period.limit,
            remaining: period.remaining,
            resets_at: after(self.clock.now(), period.reset_at.saturating_sub(now)),
        })
    }

    /// How long the next request has to wait from now on.
    pub(super) fn wait(&self) -> Duration {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let (expected, last_sent) = (state.expected, state.last_sent);
        let Some(period) = &mut state.period else {
            return Duration::ZERO;
        };
        if now >= period.reset_at {
            state.period = None;
            return Duration::ZERO;
        }
        match self.speed(period, expected, now) {
            Speed::Configured => Duration::ZERO,
            Speed::Every(interval) => {
                self.announce_spreading(period, expected, interval);
                let due = last_sent.map_or(now, |sent| sent.saturating_add(interval));
                due.min(period.reset_at).saturating_sub(now)
            }
            Speed::Stop => {
                self.announce_stop(period);
                period.reset_at.saturating_sub(now)
            }
        }
    }

    /// A request goes out now.
    pub(super) fn note_sent(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.last_sent = Some(now);
        state.expected = state.expected.saturating_sub(1);
    }

    /// Hears what an answer says about the quota.
    pub(super) fn note_answer(&self, headers: &HeaderMap) {
        let (Some(limit), Some(remaining), Some(reset)) = (
            number(headers, LIMIT),
            number(headers, REMAINING),
            number(headers, RESET),
        ) else {
            return;
        };
        // By the server's own clock, if it shows it: ours may be wrong.
        let server_now = date_of(headers).unwrap_or_else(|| self.clock.now());
        let left = u64::try_from(server_now.timestamp())
            .ok()
            .and_then(|now| reset.checked_sub(now))
            .map(Duration::from_secs)
            .filter(|left| *left <= LONGEST_PERIOD && !left.is_zero());
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let Some(left) = left else {
            return;
        };
        let reset_at = now.saturating_add(left);
        match &mut state.period {
            Some(period) if reset_at.abs_diff(period.reset_at) < SAME_PERIOD => {
                // Answers may arrive in another order than they were made.
                period.remaining = period.remaining.min(remaining);
                period.limit = limit;
                period.answered = period.answered.saturating_add(1);
            }
            _ => {
                state.period = Some(Period {
                    limit,
                    remaining,
                    reset_at,
                    first_remaining: remaining,
                    first_seen: now,
                    answered: 0,
                    announced: Announced::Nothing,
                });
            }
        }
    }

    fn speed(&self, period: &Period, expected: u64, now: Duration) -> Speed {
        let left = period.reset_at.saturating_sub(now).as_secs_f64();
        let reserved = float(period.limit) * self.reserve;
        let usable = float(period.remaining) - reserved;
        if usable < 1.0 {
            return Speed::Stop;
        }
        let for_us = usable - period.rate_of_others(now) * left;
        let fits = if expected > 0 {
            float(expected) <= for_us
        } else {
            let first_usable = (float(period.first_remaining) - reserved).max(0.0);
            float(period.answered) < first_usable * FREE_SHARE && for_us > usable * LEAST_SHARE
        };
        if fits {
            return Speed::Configured;
        }
        let rate = for_us.max(usable * LEAST_SHARE) / left.max(f64::EPSILON);
        Speed::Every(Duration::try_from_secs_f64(rate.recip()).unwrap_or(LONGEST_PERIOD))
    }

    fn announce_spreading(&self, period: &mut Period, expected: u64, interval: Duration) {
        if period.announced != Announced::Nothing {
            return;
        }
        period.announced = Announced::Spreading;
        let now = self.clock.now();
        let resets_at = after(now, period.reset_at.saturating_sub(self.clock.monotonic()));
        let done_at = u32::try_from(expected)
            .ok()
            .filter(|expected| *expected > 0)
            .map(|expected| after(now, interval.saturating_mul(expected)));
        tracing::info!(
            quota = period.limit,
            left = period.remaining,
            %resets_at,
            expected_requests = expected,
            seconds_between_requests = interval.as_secs_f64(),
            done_at = done_at.map(|at| at.to_rfc3339()),
            "OPA's quota is too small for this pull at full rate: its requests are spread until \
             the quota's reset"
        );
    }

    fn announce_stop(&self, period: &mut Period) {
        if period.announced == Announced::UsedUp {
            return;
        }
        period.announced = Announced::UsedUp;
        let resets_at = after(
            self.clock.now(),
            period.reset_at.saturating_sub(self.clock.monotonic()),
        );
        tracing::info!(
            quota = period.limit,
            left = period.remaining,
            %resets_at,
            "what is left of OPA's quota is reserved for others (opa.quota_reserve_percent): \
             waiting for its reset"
        );
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Period {
    /// Requests a second that somebody else sends with the same service user.
    fn rate_of_others(&self, now: Duration) -> f64 {
        let elapsed = now.saturating_sub(self.first_seen);
        if elapsed < OBSERVED {
            return 0.0;
        }
        let used = self.first_remaining.saturating_sub(self.remaining);
        float(used.saturating_sub(self.answered)) / elapsed.as_secs_f64()
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Quotas are small numbers; a larger one is as good as its largest neighbour.
fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
