//! When a request may go out: the steady rate of one directory, its quota, and the pause of the
//! whole client that a server asks for (A3).
//!
//! Requests pass one queue in the order in which they came. When a pause ends, the burst that the
//! rate limiter saved up meanwhile is discarded: a server that just asked for less gets the
//! steady rate, not everybody at once.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::Quota;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use super::quota::QuotaPacer;
use super::request_metrics::RequestMetrics;
use crate::domain::time::SharedClock;

/// Longest wait without a heartbeat: a monitor must see that the run only waits.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(20);

/// Longest time that one listing may spend in pauses. Without this bound, a server that keeps
/// asking for pauses would hold the run for ever.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// The end of all waiting for one call or one listing, in the clock's monotonic time. Time that
/// the client waits because the server asked for it, or for the quota, does not count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    started: Duration,
    limit: Duration,
    paused_at_start: Duration,
    setting: &'static str,
}

/// The time limit of a whole listing was used up.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the time limit {0} is used up")]
pub(super) struct DeadlinePassed(&'static str);

impl Deadline {
    /// What is left of it.
    pub(super) fn remaining(&self, limiter: &RateLimiter) -> Result<Duration, DeadlinePassed> {
        let elapsed = limiter.clock.monotonic().saturating_sub(self.started);
        let paused = limiter
            .paused_time()
            .saturating_sub(self.paused_at_start)
            .min(LONGEST_PAUSE);
        self.limit
            .checked_sub(elapsed.saturating_sub(paused))
            .filter(|left| !left.is_zero())
            .ok_or(DeadlinePassed(self.setting))
    }

    /// Whether a pause of this length is one that a listing waits for.
    pub(super) fn allows_pause(&self, pause: Duration) -> bool {
        pause.saturating_add(Duration::from_secs(1)) < self.limit
    }
}

/// Our clock, in the shape the rate limiter wants.
#[derive(Clone, Debug)]
struct LimiterClock(SharedClock);

impl GovernorClock for LimiterClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type SteadyRate =
    governor::RateLimiter<NotKeyed, InMemoryState, LimiterClock, NoOpMiddleware<Duration>>;

/// The rate limit of one client.
#[derive(Debug)]
pub(super) struct RateLimiter {
    clock: SharedClock,
    steady: SteadyRate,
    burst: u32,
    quota: Option<QuotaPacer>,
    queue: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    watched_by: Option<Arc<RequestMetrics>>,
}

#[derive(Debug)]
struct State {
    paused_until: Duration,
    saved_burst: SavedBurst,
    /// Time spent waiting because the server asked for it or for the quota.
    paused: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum SavedBurst {
    Keep,
    Discard,
}

impl RateLimiter {
    /// A limit of `requests_per_second`, with `burst` requests at once after a lull. `None` when
    /// the rate is not a positive number.
    pub(super) fn new(clock: SharedClock, requests_per_second: f64, burst: u32) -> Option<Self> {
        let period = Duration::try_from_secs_f64(requests_per_second.recip()).ok()?;
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))?
            .allow_burst(NonZeroU32::new(burst)?);
        Some(Self {
            steady: governor::RateLimiter::direct_with_clock(quota, LimiterClock(clock.clone())),
            clock,
            burst,
            quota: None,
            queue: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                paused_until: Duration::ZERO,
                saved_burst: SavedBurst::Keep,
                paused: Duration::ZERO,
            }),
            watched_by: None,
        })
    }

    /// Obeys the quota that answers tell, and leaves `reserve_percent` of it to others.
    pub(super) fn with_quota(mut self, reserve_percent: u8) -> Self {
        self.quota = Some(QuotaPacer::new(self.clock.clone(), reserve_percent));
        self
    }

    /// The quota, where this client obeys one.
    pub(super) fn quota(&self) -> Option<&QuotaPacer> {
        self.quota.as_ref()
    }

    /// Lets long waits give the sign of life that requests give.
    pub(super) fn with_heartbeat(mut self, metrics: Arc<RequestMetrics>) -> Self {
        self.watched_by = Some(metrics);
        self
    }

    /// `limit` from now, as the setting `setting` asks.
    pub(super) fn deadline(&self, limit: Duration, setting: &'static str) -> Deadline {
        Deadline {
            started: self.clock.monotonic(),
            limit,
            paused_at_start: self.paused_time(),
            setting,
        }
    }

    /// Waits for a permit; returns how long that took. Fails at the deadline instead of after it.
    pub(super) async fn wait(
        &self,
        deadline: Option<Deadline>,
    ) -> Result<Duration, DeadlinePassed> {
        let came = self.clock.monotonic();
        let _in_order = self.queue.lock().await;
        loop {
            let pause = self
                .pause_left()
                .max(self.quota.as_ref().map_or(Duration::ZERO, QuotaPacer::wait));
            if !pause.is_zero() {
                if let Some(deadline) = deadline {
                    deadline.remaining(self)?;
                    if !deadline.allows_pause(self.pause_left()) {
                        return Err(DeadlinePassed(deadline.setting));
                    }
                }
                self.pause(pause).await;
                continue;
            }
            self.discard_burst();
            match self.steady.check() {
                Ok(()) => break,
                Err(refusal) => {
                    let wait = refusal.wait_time_from(self.clock.monotonic());
                    if let Some(deadline) = deadline
                        && deadline.remaining(self)? < wait
                    {
                        return Err(DeadlinePassed(deadline.setting));
                    }
                    self.clock.sleep(wait.max(Duration::from_nanos(1))).await;
                }
            }
        }
        if let Some(quota) = &self.quota {
            quota.note_sent();
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
            self.clock.sleep(pause.min(HEARTBEAT_INTERVAL)).await;
            self.beat();
        }
    }

    /// Stops every request of this client for `duration`. A longer pause in force stays.
    pub(super) fn pause_for(&self, duration: Duration) {
        let until = self.clock.monotonic().saturating_add(duration);
        let mut state = self.lock();
        if until > state.paused_until && !duration.is_zero() {
            state.paused_until = until;
            state.saved_burst = SavedBurst::Discard;
        }
    }

    /// What is left of the pause in force; zero when there is none.
    pub(super) fn pause_left(&self) -> Duration {
        let until = self.lock().paused_until;
        until.saturating_sub(self.clock.monotonic())
    }

    /// Waits a part of `wait`, and counts what passed as a pause.
    async fn pause(&self, wait: Duration) {
        let before = self.clock.monotonic();
        let part = wait.clamp(Duration::from_nanos(1), HEARTBEAT_INTERVAL);
        self.clock.sleep(part).await;
        let passed = self.clock.monotonic().saturating_sub(before);
        let mut state = self.lock();
        state.paused = state.paused.saturating_add(passed);
        drop(state);
        self.beat();
    }

    fn paused_time(&self) -> Duration {
        self.lock().paused
    }

    fn beat(&self) {
        if let Some(metrics) = &self.watched_by {
            metrics.beat();
        }
    }

    fn discard_burst(&self) {
        let mut state = self.lock();
        if state.saved_burst == SavedBurst::Discard {
            state.saved_burst = SavedBurst::Keep;
            for _ in 1..self.burst {
                if self.steady.check().is_err() {
                    break;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Heartbeat;
    use crate::domain::time::{Clock as _, ManualClock, Timestamp};

    fn limiter(rate: f64, burst: u32) -> (Arc<ManualClock>, RateLimiter) {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let limiter = RateLimiter::new(clock.clone(), rate, burst).unwrap();
        (clock, limiter)
    }

    #[tokio::test]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let (clock, limiter) = limiter(10.0, 3);
        for _ in 0..3 {
            assert_eq!(limiter.wait(None).await, Ok(Duration::ZERO));
        }
        for _ in 0..10 {
            limiter.wait(None).await.unwrap();
        }
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn after_a_pause_requests_come_at_the_rate_and_not_as_a_burst() {
        let (clock, limiter) = limiter(1.0, 5);
        limiter.pause_for(Duration::from_mins(1));
        limiter.wait(None).await.unwrap();
        assert_eq!(clock.monotonic(), Duration::from_mins(1));
        limiter.wait(None).await.unwrap();
        limiter.wait(None).await.unwrap();
        assert_eq!(clock.monotonic(), Duration::from_secs(62));
    }

    #[tokio::test]
    async fn a_shorter_pause_does_not_cut_a_longer_one() {
        let (clock, limiter) = limiter(1.0, 1);
        limiter.pause_for(Duration::from_mins(1));
        limiter.pause_for(Duration::from_secs(5));
        limiter.wait_until_unpaused().await;
        assert_eq!(clock.monotonic(), Duration::from_mins(1));
    }

    #[tokio::test]
    async fn a_wait_that_outlasts_the_deadline_fails_at_once() {
        let (clock, limiter) = limiter(0.01, 1);
        let deadline = limiter.deadline(Duration::from_secs(10), "opa.pull_timeout");
        limiter.wait(Some(deadline)).await.unwrap();
        let passed = limiter.wait(Some(deadline)).await.unwrap_err();
        assert!(passed.to_string().contains("opa.pull_timeout"));
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }

    #[tokio::test]
    async fn time_spent_on_a_servers_wish_does_not_count_against_the_deadline() {
        let (clock, limiter) = limiter(1.0, 1);
        let deadline = limiter.deadline(Duration::from_mins(6), "opa.pull_timeout");
        let (heartbeat, metrics) = (Heartbeat::default(), Arc::<RequestMetrics>::default());
        metrics.beat_with(heartbeat.clone());
        let limiter = limiter.with_heartbeat(metrics);
        for _ in 0..5 {
            limiter.pause_for(Duration::from_mins(5));
            limiter.wait(Some(deadline)).await.unwrap();
        }
        assert!(clock.monotonic() >= Duration::from_mins(25));
        assert!(deadline.remaining(&limiter).is_ok());
        assert!(heartbeat.beats() >= 75, "a sign of life while it waits");
        clock.advance(Duration::from_mins(6));
        assert!(deadline.remaining(&limiter).is_err());
    }

    #[tokio::test]
    async fn pauses_have_an_end() {
        let (_, limiter) = limiter(1.0, 1);
        let deadline = limiter.deadline(Duration::from_secs(10), "opa.pull_timeout");
        for _ in 0..26 {
            limiter.pause_for(Duration::from_hours(1));
            let _ = limiter.wait(None).await;
        }
        assert!(deadline.remaining(&limiter).is_err());
    }

    #[test]
    fn an_impossible_rate_is_refused() {
        for rate in [0.0, -1.0, f64::NAN] {
            let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
            assert!(RateLimiter::new(clock, rate, 1).is_none(), "{rate}");
        }
    }
}
