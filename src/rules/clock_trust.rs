//! Whether this machine's clock can end a grace period (§4 step 6).
//!
//! A wall clock that is set forward makes every absence look long. So a run compares it with the
//! `Date` of the servers' answers, and with what the machine itself says about the time that has
//! passed since the last run.

use std::time::Duration;

use chrono::TimeDelta;

use super::facts::Absence;
use super::{Decision, Policy};
use crate::domain::time::{SinceBoot, Timestamp, after};
use crate::domain::{Change, Evidence, WaitingReport};

/// How far two clocks may be apart.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The machine's clocks, read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The time of day.
    pub wall: Timestamp,
    /// The time since the machine started, where the machine tells it.
    pub since_boot: Option<SinceBoot>,
}

/// Whether the wall clock is to be trusted in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockTrust {
    /// It is.
    Trusted,
    /// It is not: nobody goes as `absent`.
    NotTrusted {
        /// Why, in words.
        reason: String,
    },
}

impl ClockTrust {
    /// Whether it is trusted.
    pub fn is_trusted(&self) -> bool {
        *self == Self::Trusted
    }
}

/// Judges the clock of this run by the servers' answers (`server_offset`: their clock minus ours,
/// the median of the answers; `None`: no answer had a `Date`) and by the last run's reading.
pub fn judge_clock(
    last: Option<&ClockReading>,
    now: &ClockReading,
    server_offset: Option<TimeDelta>,
) -> ClockTrust {
    let reason = server_offset
        .and_then(off_from_servers)
        .or_else(|| last.and_then(|last| jumped(last, now, server_offset.is_some())));
    match reason {
        None => ClockTrust::Trusted,
        Some(reason) => ClockTrust::NotTrusted { reason },
    }
}

/// Complete pulls that must have missed a person before the time counts: three runs in a row see
/// more than one that comes late.
pub const LEAST_PULLS: u32 = 3;

/// What becomes of a decision whose time has come: an `absent` deactivation waits while the clock
/// is not trusted, and until enough complete pulls have missed the person (§4 step 6). With no
/// grace neither is asked.
pub fn wait_for_proof(
    decision: Decision,
    absence: Option<Absence>,
    clock_is_trusted: bool,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let missed_enough = absence.is_some_and(|absence| absence.pulls >= LEAST_PULLS);
    if clock_is_trusted && missed_enough {
        return decision;
    }
    let Decision::Act(action) = &decision else {
        return decision;
    };
    let Change::Deactivate {
        opsera_id,
        evidence: Evidence::Absent,
        ..
    } = &action.change
    else {
        return decision;
    };
    if policy.absent_grace.is_zero() {
        return decision;
    }
    let since = absence.map_or(now, |absence| absence.since);
    Decision::Waiting(WaitingReport {
        email: action.email.clone(),
        opsera_id: opsera_id.clone(),
        reason: Evidence::Absent,
        since,
        due: after(since, policy.absent_grace),
    })
}

fn off_from_servers(offset: TimeDelta) -> Option<String> {
    (offset.abs() > TOLERANCE).then(|| {
        let side = if offset > TimeDelta::zero() {
            "behind"
        } else {
            "ahead of"
        };
        format!(
            "this machine's clock is {} {side} the Date of the servers' answers",
            in_words(offset)
        )
    })
}

fn jumped(last: &ClockReading, now: &ClockReading, has_date: bool) -> Option<String> {
    let by_wall = now.wall.signed_duration_since(last.wall);
    match passed_by_machine(last, now) {
        Some(passed) => {
            let jump = by_wall - passed;
            (jump.abs() > TOLERANCE).then(|| {
                format!(
                    "since the last run this machine's clock has moved {} further than the time \
                     that has passed",
                    in_words(jump)
                )
            })
        }
        None if by_wall < -TOLERANCE => Some(format!(
            "this machine's clock is {} behind the last run",
            in_words(by_wall)
        )),
        None if !has_date && by_wall > TOLERANCE => Some(format!(
            "{} have passed since the last run by this machine's clock alone: the machine has \
             started anew, and no answer of the servers has a Date",
            in_words(by_wall)
        )),
        None => None,
    }
}

/// The time between two readings of one boot; `None` where the machine cannot tell.
fn passed_by_machine(last: &ClockReading, now: &ClockReading) -> Option<TimeDelta> {
    let (last, now) = (last.since_boot.as_ref()?, now.since_boot.as_ref()?);
    if last.boot_id != now.boot_id {
        return None;
    }
    let passed = now.passed.checked_sub(last.passed)?;
    TimeDelta::from_std(passed).ok()
}

fn in_words(offset: TimeDelta) -> String {
    let seconds = offset.num_seconds().unsigned_abs();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-03-01T12:00:00Z";

    fn reading(wall: &str, boot: Option<(&str, u64)>) -> ClockReading {
        ClockReading {
            wall: wall.parse().unwrap(),
            since_boot: boot.map(|(id, seconds)| SinceBoot {
                boot_id: id.to_owned(),
                passed: Duration::from_secs(seconds),
            }),
        }
    }

    fn trusted(last: Option<&ClockReading>, now: &ClockReading, offset: Option<i64>) -> bool {
        judge_clock(last, now, offset.map(TimeDelta::seconds)).is_trusted()
    }

    #[test]
    fn the_servers_are_believed_within_five_minutes() {
        let now = reading(NOON, Some(("a", 100)));
        for (offset, expected) in [
            (0, true),
            (300, true),
            (-300, true),
            (301, false),
            (-301, false),
            (31_536_000, false),
            (-1_772_366_400, false),
        ] {
            assert_eq!(trusted(None, &now, Some(offset)), expected, "{offset}");
        }
        assert!(trusted(None, &now, None));
    }

    #[test]
    fn a_jump_is_seen_by_the_time_since_the_machine_started() {
        let last = reading("2026-03-01T11:00:00Z", Some(("a", 1000)));
        for (passed, expected) in [
            (3600, true),
            (3300, true),
            (3900, true),
            (3299, false),
            (3901, false),
            (1, false),
        ] {
            let now = reading(NOON, Some(("a", 1000 + passed)));
            assert_eq!(trusted(Some(&last), &now, Some(0)), expected, "{passed}");
            assert_eq!(trusted(Some(&last), &now, None), expected, "{passed}");
        }
        let year_back = reading("2025-03-01T11:00:00Z", Some(("a", 1000)));
        let a_second_later = reading(NOON, Some(("a", 1001)));
        assert!(!trusted(Some(&year_back), &a_second_later, Some(0)));
    }

    #[test]
    fn after_a_restart_the_servers_bear_the_clock_out_or_nobody_does() {
        let last = reading("2026-03-01T11:00:00Z", Some(("a", 1000)));
        for boot in [Some(("b", 5)), None, Some(("a", 5))] {
            let now = reading(NOON, boot);
            assert!(trusted(Some(&last), &now, Some(0)), "{boot:?}");
            assert!(!trusted(Some(&last), &now, None), "{boot:?}");
            let earlier = reading("2026-03-01T10:00:00Z", boot);
            assert!(!trusted(Some(&last), &earlier, Some(0)), "{boot:?}");
            let soon = reading("2026-03-01T11:04:00Z", boot);
            assert!(trusted(Some(&last), &soon, None), "{boot:?}");
        }
    }
}
