//! When a read is sent again (A3): exponential backoff with full jitter, at most `max_attempts`
//! requests for one call, and a budget that keeps retries from adding to an outage.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::domain::time::SharedClock;
use crate::settings::RetrySettings;

/// Wait for a 429 that names no time: between these many seconds, as Okta's own clients do.
const UNTIMED_PAUSE: std::ops::RangeInclusive<f64> = 5.0..=10.0;

/// How long to wait before the next attempt.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    rng: Mutex<StdRng>,
}

impl Backoff {
    /// Backoff with jitter from the machine's randomness.
    pub fn new(settings: &RetrySettings) -> Self {
        Self::with_rng(settings, StdRng::from_rng(&mut rand::rng()))
    }

    /// Backoff whose jitter is the same every time for the same `seed`.
    pub fn seeded(settings: &RetrySettings, seed: u64) -> Self {
        Self::with_rng(settings, StdRng::seed_from_u64(seed))
    }

    fn with_rng(settings: &RetrySettings, rng: StdRng) -> Self {
        Self {
            base: settings.base_delay,
            max: settings.max_delay,
            rng: Mutex::new(rng),
        }
    }

    /// The wait after `past_attempts` failures: anything from zero to `base_delay` after the
    /// first, the bound doubling with each further one up to `max_delay`.
    pub fn delay(&self, past_attempts: u32) -> Duration {
        let factor = 1_u32
            .checked_shl(past_attempts.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let bound = self.base.saturating_mul(factor).min(self.max);
        bound.mul_f64(self.random(0.0..=1.0)).min(bound)
    }

    /// The wait after a 429 that names no time.
    pub(super) fn untimed_pause(&self) -> Duration {
        Duration::from_secs_f64(self.random(UNTIMED_PAUSE))
    }

    fn random(&self, range: std::ops::RangeInclusive<f64>) -> f64 {
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_range(range)
    }
}

/// The requests of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    made: u32,
    max: u32,
}

impl Attempts {
    pub(super) fn new(max: u32) -> Self {
        Self {
            made: 0,
            max: max.max(1),
        }
    }

    /// Notes a request that is about to go out.
    pub(super) fn count(&mut self) {
        self.made = self.made.saturating_add(1);
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    pub(super) fn are_used_up(&self) -> bool {
        self.made >= self.max
    }
}

/// Share of a retry that every call pays in.
const SHARE: f64 = 0.2;

/// Calls that may fail to their last attempt before the budget is empty.
const FLOOR_CALLS: u32 = 8;

/// Time in which an empty budget is full again without any call.
const REFILL: Duration = Duration::from_mins(1);

/// How many retries the client may still spend. While calls succeed, it never runs dry: a call
/// that succeeds gets back what its retries cost. When everything fails, it runs dry soon, and
/// then retries are a fifth of the calls.
#[derive(Debug)]
pub(super) struct Budget {
    clock: SharedClock,
    capacity: f64,
    state: Mutex<Purse>,
}

#[derive(Debug)]
struct Purse {
    balance: f64,
    filled_at: Duration,
}

impl Budget {
    pub(super) fn new(clock: SharedClock, max_attempts: u32) -> Self {
        let capacity = f64::from(max_attempts.saturating_sub(1).saturating_mul(FLOOR_CALLS));
        Self {
            state: Mutex::new(Purse {
                balance: capacity,
                filled_at: clock.monotonic(),
            }),
            clock,
            capacity,
        }
    }

    /// A call begins and pays its share.
    pub(super) fn pay_in(&self) {
        self.add(SHARE);
    }

    /// A call succeeded after `attempts` requests.
    pub(super) fn refund(&self, attempts: u32) {
        self.add(f64::from(attempts.saturating_sub(1)));
    }

    /// Takes the cost of one retry, if there is enough.
    pub(super) fn try_spend(&self) -> bool {
        self.add(0.0);
        let mut purse = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = purse.balance >= 1.0;
        if enough {
            purse.balance -= 1.0;
        }
        enough
    }

    fn add(&self, amount: f64) {
        let now = self.clock.monotonic();
        let mut purse = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = now.saturating_sub(purse.filled_at);
        let refill = self.capacity * idle.div_duration_f64(REFILL).min(1.0);
        purse.filled_at = now.max(purse.filled_at);
        purse.balance = (purse.balance + amount + refill).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{ManualClock, Timestamp};

    fn settings() -> RetrySettings {
        RetrySettings {
            max_attempts: 5,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_mins(1),
            rejected_retry: Duration::from_hours(24),
        }
    }

    #[test]
    fn delays_stay_under_a_doubling_bound_and_fill_it() {
        let backoff = Backoff::seeded(&settings(), 7);
        for (past, bound_ms) in [(1, 500), (2, 1000), (3, 2000), (8, 60_000), (200, 60_000)] {
            let bound = Duration::from_millis(bound_ms);
            let delays: Vec<_> = (0..400).map(|_| backoff.delay(past)).collect();
            assert!(delays.iter().all(|delay| *delay <= bound));
            assert!(delays.iter().any(|delay| *delay > bound.mul_f64(0.9)));
            assert!(delays.iter().any(|delay| *delay < bound.mul_f64(0.1)));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let (one, two) = (
            Backoff::seeded(&settings(), 3),
            Backoff::seeded(&settings(), 3),
        );
        assert!((1..20).all(|past| one.delay(past) == two.delay(past)));
    }

    #[test]
    fn an_untimed_429_waits_five_to_ten_seconds() {
        let backoff = Backoff::seeded(&settings(), 1);
        for _ in 0..100 {
            let pause = backoff.untimed_pause().as_secs_f64();
            assert!((5.0..=10.0).contains(&pause));
        }
    }

    #[test]
    fn when_everything_fails_retries_shrink_to_a_fifth_of_the_calls() {
        let budget = Budget::new(ManualClock::at(Timestamp::UNIX_EPOCH), 5);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.pay_in();
            retries += (0..4).filter(|_| budget.try_spend()).count();
        }
        assert!((200..=240).contains(&retries), "{retries}");
    }

    #[test]
    fn calls_that_succeed_in_the_end_never_empty_the_budget() {
        let budget = Budget::new(ManualClock::at(Timestamp::UNIX_EPOCH), 5);
        for _ in 0..1000 {
            budget.pay_in();
            assert!((0..4).all(|_| budget.try_spend()));
            budget.refund(5);
        }
    }

    #[test]
    fn an_empty_budget_fills_again_with_time() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let budget = Budget::new(clock.clone(), 5);
        while budget.try_spend() {}
        clock.advance(REFILL);
        assert!((0..4).all(|_| budget.try_spend()));
    }
}
