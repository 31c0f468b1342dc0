use chrono::TimeDelta;

use super::*;
use crate::domain::time::ManualClock;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(cron: &str, zone: &str) -> ScheduleSettings {
    ScheduleSettings {
        cron: cron.to_owned(),
        time_zone: zone.parse().unwrap(),
        jitter: Duration::ZERO,
        run_on_start: false,
    }
}

#[test]
fn whatever_was_missed_in_a_sleep_is_one_run() {
    let clock = ManualClock::at(at("2026-01-01T00:00:30Z"));
    let mut timetable = Timetable::new(&schedule("0 * * * * *", "UTC"), &*clock).unwrap();
    assert!(!timetable.take_due(clock.now()));
    // The machine sleeps for eight hours: wall time passes, elapsed time does not.
    clock.jump_to(at("2026-01-01T08:00:10Z"));
    assert_eq!(timetable.observe(&*clock), ClockMove::Forward);
    assert!(timetable.take_due(clock.now()));
    assert!(!timetable.take_due(clock.now()), "no burst");
    assert_eq!(timetable.next(), Some(at("2026-01-01T08:01:00Z")));
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_the_schedule() {
    let clock = ManualClock::at(at("2026-06-01T00:00:30Z"));
    let mut timetable = Timetable::new(&schedule("0 * * * * *", "UTC"), &*clock).unwrap();
    clock.jump_to(at("2026-01-01T00:00:10Z"));
    assert_eq!(timetable.observe(&*clock), ClockMove::Back);
    assert_eq!(timetable.next(), Some(at("2026-01-01T00:01:00Z")));
    clock.advance(Duration::from_secs(50));
    assert_eq!(timetable.observe(&*clock), ClockMove::Steady);
    assert!(timetable.take_due(clock.now()));
}

#[test]
fn ordinary_drift_moves_nothing() {
    let clock = ManualClock::at(at("2026-01-01T00:00:30Z"));
    let mut timetable = Timetable::new(&schedule("0 * * * * *", "UTC"), &*clock).unwrap();
    clock.advance(Duration::from_secs(10));
    clock.jump_to(clock.now() - TimeDelta::milliseconds(1500));
    assert_eq!(timetable.observe(&*clock), ClockMove::Steady);
    assert_eq!(timetable.next(), Some(at("2026-01-01T00:01:00Z")));
}
