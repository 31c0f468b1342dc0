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

/// The next `n` occurrences after `after`, in UTC.
fn next(cron: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
    let occurrences = Occurrences::new(&schedule(cron, zone)).unwrap();
    let mut time = at(after);
    (0..n)
        .map(|_| {
            time = occurrences.next_after(time).unwrap();
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
        let occurrences = Occurrences::new(&schedule("0 */15 * * * *", "Europe/Berlin")).unwrap();
        let mut time = at(start);
        expected -=
            TimeDelta::minutes(expected.format("%M").to_string().parse::<i64>().unwrap() % 15);
        for _ in 0..20 {
            time = occurrences.next_after(time).unwrap();
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

#[test]
fn occurrences_have_no_fractions_of_a_second() {
    assert_eq!(
        next("* * * * * *", "UTC", "2026-01-01T00:00:00.999Z", 1),
        ["01-01 00:00:01"]
    );
    let occurrences = Occurrences::new(&schedule("* * * * * *", "UTC")).unwrap();
    assert_eq!(
        occurrences.next_after(at("2026-01-01T00:00:00.999Z")),
        Some(at("2026-01-01T00:00:01Z"))
    );
}
