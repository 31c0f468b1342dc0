//! Which occurrences of the schedule are used: backoff after failures, and jitter.
//!
//! After the second failure in a row every second occurrence is left out, after the third three of
//! four, and so on up to seven of eight, as long as the pause stays within an hour. Occurrences
//! are counted rather than time, so that clock changes do not matter here.

use std::time::Duration;

use chrono::TimeDelta;
use rand::{Rng, RngExt as _};

/// At most so many occurrences in a row are left out.
const MOST_SKIPPED: u32 = 7;
/// No pause that backoff makes is longer than this.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// Slows a schedule down while runs fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    to_skip: u32,
}

impl Backoff {
    /// A run failed. Gives how many of the following occurrences are left out, `interval` apart.
    pub(super) fn failed(&mut self, interval: TimeDelta) -> u32 {
        self.failures = self.failures.saturating_add(1);
        let doubled = 1u32
            .checked_shl(self.failures.saturating_sub(1))
            .map_or(MOST_SKIPPED, |times| times.saturating_sub(1));
        let fit = LONGEST_PAUSE.num_seconds() / interval.num_seconds().max(1);
        let fit = u32::try_from(fit).unwrap_or(u32::MAX).saturating_sub(1);
        self.to_skip = doubled.min(MOST_SKIPPED).min(fit);
        self.to_skip
    }

    /// A run did not fail: the schedule holds again. Gives how many had failed before it.
    pub(super) fn went_well(&mut self) -> u32 {
        self.to_skip = 0;
        std::mem::take(&mut self.failures)
    }

    /// Runs that failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the occurrence that has just come is used.
    pub(super) fn admits(&mut self) -> bool {
        match self.to_skip.checked_sub(1) {
            Some(left) => {
                self.to_skip = left;
                false
            }
            None => true,
        }
    }
}

/// A delay between zero and `jitter`, both included, but never beyond the next occurrence.
pub(super) fn jitter(jitter: Duration, until_next: Duration, rng: &mut impl Rng) -> Duration {
    let most = jitter.min(until_next);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(rng.random_range(0..=millis))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn skipped(interval: TimeDelta) -> Vec<u32> {
        let mut backoff = Backoff::default();
        (0..6).map(|_| backoff.failed(interval)).collect()
    }

    #[test]
    fn failures_in_a_row_double_the_interval_up_to_eight_times_or_an_hour() {
        assert_eq!(skipped(TimeDelta::minutes(1)), [0, 1, 3, 7, 7, 7]);
        assert_eq!(skipped(TimeDelta::minutes(15)), [0, 1, 3, 3, 3, 3]);
        assert_eq!(skipped(TimeDelta::hours(2)), [0; 6]);
        assert_eq!(skipped(TimeDelta::zero()), [0, 1, 3, 7, 7, 7]);
    }

    #[test]
    fn one_good_run_brings_the_schedule_back() {
        let mut backoff = Backoff::default();
        for _ in 0..3 {
            backoff.failed(TimeDelta::minutes(1));
        }
        let used: Vec<bool> = (0..4).map(|_| backoff.admits()).collect();
        assert_eq!(used, [false, false, false, true]);
        backoff.failed(TimeDelta::minutes(1));
        assert_eq!(backoff.went_well(), 4);
        assert!(backoff.admits());
        assert_eq!(backoff.failures(), 0);
    }

    #[test]
    fn countless_failures_do_not_overflow() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert!(backoff.failed(TimeDelta::minutes(1)) <= MOST_SKIPPED);
        }
    }

    #[test]
    fn jitter_uses_its_whole_range_and_leaves_the_next_occurrence_alone() {
        let mut rng = StdRng::seed_from_u64(7);
        let drawn: Vec<u128> = (0..500)
            .map(|_| jitter(Duration::from_millis(9), Duration::from_mins(1), &mut rng).as_millis())
            .collect();
        assert_eq!(drawn.iter().min(), Some(&0));
        assert_eq!(drawn.iter().max(), Some(&9));
        let long = Duration::from_mins(10);
        assert!(jitter(long, Duration::from_secs(1), &mut rng) <= Duration::from_secs(1));
        assert_eq!(jitter(Duration::ZERO, long, &mut rng), Duration::ZERO);
    }
}
