//! When a read is sent again (A3): exponential backoff with full jitter, at most `max_attempts`
//! requests for one call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
