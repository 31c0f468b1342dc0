//! When runs are due: a cron expression in a time zone.
//!
//! The calendar search is croner's, but only ever within one constant offset from UTC: what
//! happens where the offset changes is decided here, as cron users know it. (croner's own rules
//! end a schedule whose time falls into a day that a zone skips.)
//!
//! * A schedule with **fixed hours** (`0 30 2 * * *`) follows the wall clock: an occurrence that
//!   falls into the hour that is skipped in spring comes at the end of the gap; in the hour that
//!   is repeated in autumn it comes once, in the first pass.
//! * A schedule whose hour field begins with `*` (`0 */15 * * * *`) follows elapsed time: nothing
//!   is made up for in spring, and both passes of the autumn's hour have their occurrences.

use chrono::{
    DateTime, FixedOffset, LocalResult, Offset as _, SubsecRound as _, TimeDelta, TimeZone as _,
};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

use super::time::Timestamp;

/// Zones change their offset at most twice within this.
const OFFSET_STEP: TimeDelta = TimeDelta::hours(1);

/// A schedule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schedule.cron = {cron:?} is not a cron expression with six fields, seconds first")]
pub struct InvalidCron {
    cron: String,
}

/// A cron expression in its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
    hours: Hours,
}

/// What the hours of a schedule refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hours {
    /// The wall clock's.
    Fixed,
    /// Elapsed ones.
    Any,
}

impl Schedule {
    /// Reads a cron expression with six fields, seconds first.
    pub fn parse(cron: &str, zone: Tz) -> Result<Self, InvalidCron> {
        let parsed = CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(cron)
            .map_err(|_| InvalidCron {
                cron: cron.to_owned(),
            })?;
        let any_hour = cron
            .split_whitespace()
            .nth(2)
            .is_some_and(|hours| hours.starts_with(['*', '?']));
        Ok(Self {
            cron: parsed,
            zone,
            hours: if any_hour { Hours::Any } else { Hours::Fixed },
        })
    }

    /// The first occurrence after `after`; `None` if there is none any more.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        // The search keeps fractions of a second, and occurrences have none.
        let after = after.trunc_subsecs(0);
        match self.hours {
            Hours::Fixed => self.next_by_wall_clock(after),
            Hours::Any => self.next_by_elapsed_time(after),
        }
    }

    /// The occurrence that follows `after` as the `n`th; the first is [`Self::next_after`].
    pub fn nth_after(&self, after: Timestamp, n: u32) -> Option<Timestamp> {
        (0..n).try_fold(after, |time, _| self.next_after(time))
    }

    /// The zone's distance from UTC at `time`, in seconds.
    pub fn offset_at(&self, time: Timestamp) -> FixedOffset {
        self.zone.offset_from_utc_datetime(&time.naive_utc()).fix()
    }

    fn next_by_wall_clock(&self, after: Timestamp) -> Option<Timestamp> {
        // Wall-clock times, dressed up as UTC so that no offset comes into the search.
        let mut wall = after.with_timezone(&self.zone).naive_local().and_utc();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let time = match self.zone.from_local_datetime(&wall.naive_utc()) {
                LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.to_utc(),
                LocalResult::None => self.end_of_gap(wall)?,
            };
            if time > after {
                return Some(time);
            }
        }
    }

    /// The instant at which the wall clock leaps over `wall`.
    fn end_of_gap(&self, wall: Timestamp) -> Option<Timestamp> {
        // Whatever the offsets are, the instant is within a day and a bit of that reading.
        let from = wall - TimeDelta::hours(26);
        self.change_between(from, wall + TimeDelta::hours(26))
    }

    fn next_by_elapsed_time(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = after;
        let mut inclusive = false;
        loop {
            let offset = self.offset_at(from);
            let local: DateTime<FixedOffset> = from.with_timezone(&offset);
            let found = self
                .cron
                .find_next_occurrence(&local, inclusive)
                .ok()?
                .to_utc();
            match self.change_between(from, found) {
                None => return Some(found),
                // The search was right up to the change; it goes on in the new offset.
                Some(change) => {
                    from = change;
                    inclusive = true;
                }
            }
        }
    }

    /// The first instant in `(from, to]` whose offset is not that of the instant before.
    fn change_between(&self, from: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let offset = self.offset_at(from);
        let mut same = from;
        while same < to {
            let step = (same + OFFSET_STEP).min(to);
            if self.offset_at(step) != offset {
                return Some(self.narrow(same, step, offset));
            }
            same = step;
        }
        None
    }

    fn narrow(&self, mut same: Timestamp, mut other: Timestamp, offset: FixedOffset) -> Timestamp {
        while other - same > TimeDelta::seconds(1) {
            let middle = same + TimeDelta::seconds((other - same).num_seconds() / 2);
            if self.offset_at(middle) == offset {
                same = middle;
            } else {
                other = middle;
            }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The next `n` occurrences after `after`, in UTC.
    fn next(cron: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
        let schedule = Schedule::parse(cron, zone.parse().unwrap()).unwrap();
        let mut time = at(after);
        (0..n)
            .map(|_| {
                time = schedule.next_after(time).unwrap();
                time.format("%m-%d %H:%M:%S").to_string()
            })
            .collect()
    }

    #[test]
    fn a_fixed_time_that_spring_skips_comes_at_the_end_of_the_gap() {
        // Berlin leaps from 02:00 CET to 03:00 CEST on 2026-03-29, which is 01:00 UTC.
        assert_eq!(
            next("0 30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
            ["03-28 01:30:00", "03-29 01:00:00", "03-30 00:30:00"]
        );
        assert_eq!(
            next("0 0,30 2 * * *", "Europe/Berlin", "2026-03-29T00:59:59Z", 2),
            ["03-29 01:00:00", "03-30 00:00:00"],
            "two that fall into the gap are one"
        );
    }

    #[test]
    fn a_fixed_time_that_autumn_repeats_comes_once() {
        // Berlin goes from 03:00 CEST back to 02:00 CET on 2026-10-25, which is 01:00 UTC.
        assert_eq!(
            next("0 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
            ["10-25 00:30:00", "10-26 01:30:00"]
        );
        assert_eq!(
            next("0 30 2 * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", 1),
            ["10-26 01:30:00"],
            "asked in the second pass, the first is over"
        );
    }

    #[test]
    fn every_quarter_of_an_hour_is_a_quarter_of_an_hour_in_spring_and_autumn() {
        for start in [
            "2026-03-29T00:20:00Z",
            "2026-10-24T23:20:00Z",
            "2026-10-25T00:50:00Z",
        ] {
            let mut expected = at(start);
            let schedule = Schedule::parse("0 */15 * * * *", chrono_tz::Europe::Berlin).unwrap();
            let mut time = at(start);
            expected -=
                TimeDelta::minutes(expected.format("%M").to_string().parse::<i64>().unwrap() % 15);
            for _ in 0..20 {
                time = schedule.next_after(time).unwrap();
                expected += TimeDelta::minutes(15);
                assert_eq!(time, expected);
            }
        }
    }

    #[test]
    fn zones_with_odd_changes_lose_and_repeat_nothing() {
        // Lord Howe moves by half an hour.
        assert_eq!(
            next(
                "0 0 * * * *",
                "Australia/Lord_Howe",
                "2026-04-04T13:30:00Z",
                3
            ),
            ["04-04 14:00:00", "04-04 15:30:00", "04-04 16:30:00"]
        );
        assert_eq!(
            next(
                "0 15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T00:00:00Z",
                2
            ),
            ["10-03 15:30:00", "10-04 15:15:00"]
        );
        // Apia skipped a whole day.
        assert_eq!(
            next("0 0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
            ["12-29 22:00:00", "12-30 10:00:00", "12-30 22:00:00"]
        );
    }

    #[test]
    fn a_rare_date_is_found_across_many_changes() {
        assert_eq!(
            next("0 0 * 29 2 *", "Europe/Berlin", "2026-03-01T00:00:00Z", 2),
            ["02-28 23:00:00", "02-29 00:00:00"]
        );
    }

    #[test]
    fn occurrences_have_no_fractions_of_a_second() {
        assert_eq!(
            next("* * * * * *", "UTC", "2026-01-01T00:00:00.999Z", 1),
            ["01-01 00:00:01"]
        );
        let schedule = Schedule::parse("* * * * * *", chrono_tz::UTC).unwrap();
        assert_eq!(
            schedule.next_after(at("2026-01-01T00:00:00.999Z")),
            Some(at("2026-01-01T00:00:01Z"))
        );
    }
}
