//! When runs are due.
//!
//! The calendar search is croner's, but only ever within one constant offset from UTC: what
//! happens where the offset changes is decided here, as cron users know it.
//!
//! * A schedule with **fixed hours** (`0 30 2 * * *`) follows the wall clock: an occurrence that
//!   falls into the hour that is skipped in spring comes at the end of the gap; in the hour that
//!   is repeated in autumn it comes once, in the first pass.
//! * A schedule whose hour field begins with `*` (`0 */15 * * * *`) follows elapsed time: nothing
//!   is made up for in spring, and both passes of the autumn's hour have their occurrences.
//!
//! [`Timetable`] holds the next occurrence. However late it is looked at, after a long run, a
//! laptop's sleep or a jump of the clock, what was missed counts as one: there is no burst.

use chrono::{
    DateTime, FixedOffset, LocalResult, Offset as _, SubsecRound as _, TimeDelta, TimeZone as _,
};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use std::time::Duration;

use crate::domain::time::{Clock, Timestamp};
use crate::settings::ScheduleSettings;

/// The clock was set when wall time and elapsed time differ by more than this; less is drift.
const CLOCK_WAS_SET: TimeDelta = TimeDelta::seconds(2);
/// Zones change their offset at most twice within this.
const OFFSET_STEP: TimeDelta = TimeDelta::hours(1);

/// A schedule that cannot be read; validation refuses it before it comes here.
#[derive(Debug, thiserror::Error)]
#[error("schedule.cron = {cron:?} is not a cron expression with six fields, seconds first")]
pub struct ScheduleError {
    cron: String,
}

/// A cron expression in its time zone.
#[derive(Clone, Debug)]
pub struct Occurrences {
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

impl Occurrences {
    /// Reads `schedule.cron` and `schedule.time_zone`.
    pub fn new(settings: &ScheduleSettings) -> Result<Self, ScheduleError> {
        let cron = &settings.cron;
        let parsed = CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(cron)
            .map_err(|_| ScheduleError { cron: cron.clone() })?;
        let any_hour = cron
            .split_whitespace()
            .nth(2)
            .is_some_and(|hours| hours.starts_with(['*', '?']));
        Ok(Self {
            cron: parsed,
            zone: settings.time_zone,
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

/// What became of the clock since it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMove {
    /// It went on as time does.
    Steady,
    /// Somebody set it forward, or the machine slept.
    Forward,
    /// Somebody set it back.
    Back,
}

/// The next occurrence, and the clock as it was last seen.
#[derive(Clone, Debug)]
pub struct Timetable {
    occurrences: Occurrences,
    next: Option<Timestamp>,
    seen: (Timestamp, Duration),
}

impl Timetable {
    /// The timetable as it stands now.
    pub fn new(settings: &ScheduleSettings, clock: &dyn Clock) -> Result<Self, ScheduleError> {
        let occurrences = Occurrences::new(settings)?;
        let now = clock.now();
        Ok(Self {
            next: occurrences.next_after(now),
            occurrences,
            seen: (now, clock.monotonic()),
        })
    }

    /// The schedule itself.
    pub fn occurrences(&self) -> &Occurrences {
        &self.occurrences
    }

    /// When the next run is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether a run is due. Everything that has come due since the last look is one run, and the
    /// next one is looked for from `now` on.
    pub fn take_due(&mut self, now: Timestamp) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = self.occurrences.next_after(now);
        }
        due
    }

    /// Compares wall time with elapsed time. A clock that was set back makes the next occurrence
    /// be looked for anew: nobody should wait for a time that a wrong clock named.
    pub fn observe(&mut self, clock: &dyn Clock) -> ClockMove {
        let now = clock.now();
        let monotonic = clock.monotonic();
        let (then, elapsed_then) = std::mem::replace(&mut self.seen, (now, monotonic));
        let elapsed =
            TimeDelta::from_std(monotonic.saturating_sub(elapsed_then)).unwrap_or(TimeDelta::MAX);
        let drift = (now - then) - elapsed;
        if drift > CLOCK_WAS_SET {
            ClockMove::Forward
        } else if drift < -CLOCK_WAS_SET {
            self.next = self.occurrences.next_after(now);
            ClockMove::Back
        } else {
            ClockMove::Steady
        }
    }
}

#[cfg(test)]
mod tests;
