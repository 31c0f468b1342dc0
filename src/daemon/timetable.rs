//! The next occurrence of the schedule, and the clock as it was last seen.
//!
//! However late it is looked at, after a long run, a laptop's sleep or a jump of the clock, what
//! was missed counts as one: there is no burst.

use std::time::Duration;

use chrono::TimeDelta;

use crate::domain::time::{Clock, Timestamp};
use crate::domain::{InvalidCron, Schedule};
use crate::settings::ScheduleSettings;

/// The clock was set when wall time and elapsed time differ by more than this; less is drift.
const CLOCK_WAS_SET: TimeDelta = TimeDelta::seconds(2);

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
    schedule: Schedule,
    next: Option<Timestamp>,
    seen: (Timestamp, Duration),
}

impl Timetable {
    /// The timetable as it stands now.
    pub fn new(settings: &ScheduleSettings, clock: &dyn Clock) -> Result<Self, InvalidCron> {
        let schedule = Schedule::parse(&settings.cron, settings.time_zone)?;
        let now = clock.now();
        Ok(Self {
            next: schedule.next_after(now),
            schedule,
            seen: (now, clock.monotonic()),
        })
    }

    /// The schedule itself.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
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
            self.next = self.schedule.next_after(now);
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
            self.next = self.schedule.next_after(now);
            ClockMove::Back
        } else {
            ClockMove::Steady
        }
    }
}

#[cfg(test)]
mod tests;
