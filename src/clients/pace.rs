//! When a request may go out: the steady rate of one directory, and the pause of the whole client
//! that a server asks for (A3).
//!
//! Requests pass one gate in the order in which they came. When a pause ends, the burst that the
//! rate limiter saved up meanwhile is thrown away: a server that just asked for less gets the
//! steady rate, not everybody at once.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::domain::time::SharedClock;

/// The end of all waiting for one call or one listing, in the clock's monotonic time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Duration,
    setting: &'static str,
}

/// The time limit of a whole listing was used up.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the time limit {0} is used up")]
pub(super) struct DeadlinePassed(&'static str);

impl Deadline {
    /// `limit` from now, as the setting `setting` asks.
    pub(super) fn after(clock: &SharedClock, limit: Duration, setting: &'static str) -> Self {
        Self {
            at: clock.monotonic().saturating_add(limit),
            setting,
        }
    }

    /// What is left of it.
    pub(super) fn remaining(&self, clock: &SharedClock) -> Result<Duration, DeadlinePassed> {
        self.at
            .checked_sub(clock.monotonic())
            .filter(|left| !left.is_zero())
            .ok_or(DeadlinePassed(self.setting))
    }
}

/// Our clock, in the shape the rate limiter wants.
#[derive(Clone, Debug)]
struct PaceClock(SharedClock);

impl GovernorClock for PaceClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, PaceClock, NoOpMiddleware<Duration>>;

/// The pace of one client.
#[derive(Debug)]
pub(super) struct Pace {
    clock: SharedClock,
    limiter: Limiter,
    burst: u32,
    gate: tokio::sync::Mutex<()>,
    pause: Mutex<Pause>,
}

#[derive(Debug)]
struct Pause {
    until: Duration,
    saved_burst: SavedBurst,
}

#[derive(Debug, PartialEq, Eq)]
enum SavedBurst {
    Keep,
    ThrowAway,
}

impl Pace {
    /// A pace of `requests_per_second`, with `burst` requests at once after a lull. `None` when
    /// the rate is not a positive number.
    pub(super) fn new(clock: SharedClock, requests_per_second: f64, burst: u32) -> Option<Self> {
        let period = Duration::try_from_secs_f64(requests_per_second.recip()).ok()?;
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))?
            .allow_burst(NonZeroU32::new(burst)?);
        Some(Self {
            limiter: RateLimiter::direct_with_clock(quota, PaceClock(clock.clone())),
            clock,
            burst,
            gate: tokio::sync::Mutex::new(()),
            pause: Mutex::new(Pause {
                until: Duration::ZERO,
                saved_burst: SavedBurst::Keep,
            }),
        })
    }

    /// Waits for a place; returns how long that took. Fails at the deadline instead of after it.
    pub(super) async fn wait(
        &self,
        deadline: Option<Deadline>,
    ) -> Result<Duration, DeadlinePassed> {
        let came = self.clock.monotonic();
        let _in_order = self.gate.lock().await;
        loop {
            let pause = self.pause_left();
            let wait = if pause.is_zero() {
                self.throw_away_saved_burst();
                match self.limiter.check() {
                    Ok(()) => break,
                    Err(refusal) => refusal.wait_time_from(self.clock.monotonic()),
                }
            } else {
                pause
            };
            self.sleep(wait, deadline).await?;
        }
        Ok(self.clock.monotonic().saturating_sub(came))
    }

    /// Waits until no pause is in force.
    pub(super) async fn wait_until_unpaused(&self) {
        loop {
            let pause = self.pause_left();
            if pause.is_zero() {
                return;
            }
            self.clock.sleep(pause).await;
        }
    }

    /// Stops every request of this client for `duration`. A longer pause in force stays.
    pub(super) fn pause_for(&self, duration: Duration) {
        let until = self.clock.monotonic().saturating_add(duration);
        let mut pause = self.lock();
        if until > pause.until && !duration.is_zero() {
            pause.until = until;
            pause.saved_burst = SavedBurst::ThrowAway;
        }
    }

    /// What is left of the pause in force; zero when there is none.
    pub(super) fn pause_left(&self) -> Duration {
        let until = self.lock().until;
        until.saturating_sub(self.clock.monotonic())
    }

    async fn sleep(
        &self,
        wait: Duration,
        deadline: Option<Deadline>,
    ) -> Result<(), DeadlinePassed> {
        if let Some(deadline) = deadline
            && deadline.remaining(&self.clock)? < wait
        {
            return Err(DeadlinePassed(deadline.setting));
        }
        self.clock.sleep(wait.max(Duration::from_nanos(1))).await;
        Ok(())
    }

    fn throw_away_saved_burst(&self) {
        let mut pause = self.lock();
        if pause.saved_burst == SavedBurst::ThrowAway {
            pause.saved_burst = SavedBurst::Keep;
            for _ in 1..self.burst {
                if self.limiter.check().is_err() {
                    break;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Clock as _, ManualClock, Timestamp};
    use std::sync::Arc;

    fn pace(rate: f64, burst: u32) -> (Arc<ManualClock>, Pace) {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let pace = Pace::new(clock.clone(), rate, burst).unwrap();
        (clock, pace)
    }

    #[tokio::test]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (clock, pace) = pace(10.0, 3);
        for _ in 0..3 {
            assert_eq!(pace.wait(None).await, Ok(Duration::ZERO));
        }
        for _ in 0..10 {
            pace.wait(None).await.unwrap();
        }
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn after_a_pause_requests_come_at_the_rate_and_not_as_a_burst() {
        let (clock, pace) = pace(1.0, 5);
        pace.pause_for(Duration::from_mins(1));
        pace.wait(None).await.unwrap();
        assert_eq!(clock.monotonic(), Duration::from_mins(1));
        pace.wait(None).await.unwrap();
        pace.wait(None).await.unwrap();
        assert_eq!(clock.monotonic(), Duration::from_secs(62));
    }

    #[tokio::test]
    async fn a_shorter_pause_does_not_cut_a_longer_one() {
        let (clock, pace) = pace(1.0, 1);
        pace.pause_for(Duration::from_mins(1));
        pace.pause_for(Duration::from_secs(5));
        pace.wait_until_unpaused().await;
        assert_eq!(clock.monotonic(), Duration::from_mins(1));
    }

    #[tokio::test]
    async fn a_wait_that_outlasts_the_deadline_fails_at_once() {
        let (clock, pace) = pace(1.0, 1);
        pace.pause_for(Duration::from_mins(1));
        let shared: SharedClock = clock.clone();
        let deadline = Deadline::after(&shared, Duration::from_secs(10), "opa.pull_timeout");
        let passed = pace.wait(Some(deadline)).await.unwrap_err();
        assert!(passed.to_string().contains("opa.pull_timeout"));
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }

    #[test]
    fn an_impossible_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN] {
            let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
            assert!(Pace::new(clock, rate, 1).is_none(), "{rate}");
        }
    }
}
