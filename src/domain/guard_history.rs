//! How near each guard came to its limit in the runs before a report, thinned to one run a day.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;

use super::{Guard, GuardReport, time::Timestamp};

/// How far the history of a run's guards goes back.
pub const GUARD_HISTORY: Duration = Duration::from_hours(90 * 24);

/// The guards of the runs that ended in [`GUARD_HISTORY`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardHistory {
    guards: Vec<GuardDays>,
}

impl GuardHistory {
    /// Of each run when it ended and what its guards said, the oldest run first.
    pub fn of(runs: impl IntoIterator<Item = (Timestamp, Vec<GuardReport>)>) -> Self {
        let mut history = Self::default();
        for (at, guards) in runs {
            for report in guards {
                history.add(report.guard, GuardReading::of(at, &report));
            }
        }
        history
    }

    /// The days of one guard; none where fewer than two runs came to it, as one is no history.
    pub fn days_of(&self, guard: Guard) -> Option<&GuardDays> {
        let mut guards = self.guards.iter();
        guards.find(|days| days.guard == guard && days.runs > 1)
    }

    fn add(&mut self, guard: Guard, reading: GuardReading) {
        match self.guards.iter_mut().find(|days| days.guard == guard) {
            Some(known) => known.add(reading),
            None => self.guards.push(GuardDays {
                guard,
                runs: 1,
                held: u64::from(reading.held),
                first: reading,
                latest: reading,
                worst: reading,
                days: BTreeMap::from([(reading.at.date_naive(), reading)]),
            }),
        }
    }
}

/// What the runs say of one guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardDays {
    /// Which one.
    pub guard: Guard,
    /// How many runs came to it.
    pub runs: u64,
    /// How many of them it held.
    pub held: u64,
    /// The oldest of them.
    pub first: GuardReading,
    /// The newest of them.
    pub latest: GuardReading,
    /// The one nearest to the limit, or farthest beyond it.
    pub worst: GuardReading,
    /// The worst run of each day that had one.
    pub days: BTreeMap<NaiveDate, GuardReading>,
}

impl GuardDays {
    fn add(&mut self, reading: GuardReading) {
        self.runs = self.runs.saturating_add(1);
        self.held = self.held.saturating_add(u64::from(reading.held));
        self.latest = reading;
        self.worst = self.worst.or_worse(reading);
        self.days
            .entry(reading.at.date_naive())
            .and_modify(|worst| *worst = worst.or_worse(reading))
            .or_insert(reading);
    }
}

/// One guard in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardReading {
    /// When the run ended.
    pub at: Timestamp,
    /// What the run had.
    pub actual: u64,
    /// The limit at that time, in the unit of `actual`.
    pub limit: u64,
    /// Whether the guard held the plan.
    pub held: bool,
    /// The actual value as a share of the limit, in millionths; the other way round for a guard
    /// that holds from below, so that more is always nearer to holding.
    pub share: u64,
}

impl GuardReading {
    fn of(at: Timestamp, report: &GuardReport) -> Self {
        let (part, whole) = if report.guard.holds_from_below() {
            (report.limit, report.actual)
        } else {
            (report.actual, report.limit)
        };
        let share = match (part, whole) {
            (0, _) => 0,
            (_, 0) => u64::MAX,
            (part, whole) => part.saturating_mul(1_000_000) / whole,
        };
        Self {
            at,
            actual: report.actual,
            limit: report.limit,
            held: report.held,
            share,
        }
    }

    /// The worse of two. Of equals the one that held, else the later one.
    fn or_worse(self, later: Self) -> Self {
        if (later.share, later.held) >= (self.share, self.held) {
            later
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};

    use super::*;

    fn run(
        day: u32,
        hour: u32,
        guards: &[(Guard, u64, u64, bool)],
    ) -> (Timestamp, Vec<GuardReport>) {
        let report = |&(guard, actual, limit, held)| GuardReport {
            guard,
            limit,
            actual,
            held,
            basis: None,
            approved_by_plan: None,
            concerned: Vec::new(),
        };
        let at = Utc.with_ymd_and_hms(2026, 3, day, hour, 0, 0).unwrap();
        (at, guards.iter().map(report).collect())
    }

    fn actual_of_days(history: &GuardHistory, guard: Guard) -> Vec<u64> {
        let days = history.days_of(guard).unwrap().days.values();
        days.map(|reading| reading.actual).collect()
    }

    #[test]
    fn of_each_day_the_run_nearest_to_its_limit_is_kept() {
        let most = Guard::MaxDeactivations;
        let least = Guard::MinOpaUsers;
        let history = GuardHistory::of([
            run(1, 8, &[(most, 3, 25, false), (least, 240, 200, false)]),
            run(1, 9, &[(most, 9, 25, false), (least, 210, 200, false)]),
            // Fewer, and yet nearer: the limit was another one.
            run(1, 10, &[(most, 8, 10, false), (least, 230, 200, false)]),
            run(3, 8, &[(most, 26, 25, true), (least, 190, 200, true)]),
            // Approved: the same plan, held no more.
            run(3, 9, &[(most, 26, 25, false), (least, 250, 200, false)]),
            // No run with this guard.
            run(4, 8, &[(least, 240, 200, false)]),
        ]);
        assert_eq!(actual_of_days(&history, most), [8, 26]);
        assert_eq!(actual_of_days(&history, least), [210, 190, 240]);
        let days = history.days_of(most).unwrap();
        assert_eq!((days.runs, days.held), (5, 1));
        assert_eq!((days.first.actual, days.latest.actual), (3, 26));
        assert!(days.worst.held && !days.latest.held);
    }

    #[test]
    fn a_limit_of_zero_is_passed_by_anything_and_reached_by_nothing() {
        let guard = Guard::MaxCreations;
        let history = GuardHistory::of([
            run(1, 8, &[(guard, 0, 0, false)]),
            run(2, 8, &[(guard, 1, 0, true)]),
            run(3, 8, &[(guard, u64::MAX, 1, true)]),
        ]);
        let days = history.days_of(guard).unwrap();
        let shares: Vec<u64> = days.days.values().map(|reading| reading.share).collect();
        assert_eq!(shares, [0, u64::MAX, u64::MAX]);
    }

    #[test]
    fn one_run_is_no_history() {
        let guard = Guard::MaxCreations;
        let history = GuardHistory::of([run(1, 8, &[(guard, 5, 10, false)])]);
        assert_eq!(history.days_of(guard), None);
    }
}
