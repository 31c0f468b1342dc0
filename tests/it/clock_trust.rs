//! A clock that jumps ends nobody's grace (§4 step 6), and no approval lasts longer for it.

use std::time::Duration;

use rolecall::domain::Outcome;
use rolecall::sandbox::{Api, DateHeader};

use crate::model::{Limits, Org, Rules};
use crate::world::{World, account, findings};

const HOUR: Duration = Duration::from_hours(1);
const YEAR: chrono::TimeDelta = chrono::TimeDelta::days(365);

/// Two people in step, and an account whose person is not in the Team.
async fn somebody_is_missing() -> World {
    let mut org = Org::in_step(["ada", "bob"]);
    org.accounts.push(account("gone"));
    let rules = Rules {
        limits: Limits::wide(),
        grace: 3600,
        ..Rules::default()
    };
    World::start(&org, &rules).await
}

#[tokio::test]
async fn a_clock_that_was_a_year_back_and_is_right_a_second_later_ends_no_grace() {
    let world = somebody_is_missing().await;
    let right = world.now();
    world.sync().await;
    world.clock.jump_to(right - YEAR);
    let behind = world.sync().await;
    assert_eq!(findings(&behind, "clock_not_trusted"), ["clock"]);
    world.pass(Duration::from_secs(1));
    world.clock.jump_to(right);
    let right_again = world.sync().await;
    assert_eq!(findings(&right_again, "clock_not_trusted"), ["clock"]);
    assert_eq!(right_again.outcome, Outcome::InSync);
    assert_eq!(right_again.summary.waiting, 1);
    // The next run trusts it, and the absence counts from there.
    world.pass(HOUR / 2);
    let soon = world.sync().await;
    assert_eq!(findings(&soon, "clock_not_trusted"), [""; 0]);
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_puts_nobody_off_for_longer_than_the_grace() {
    let world = somebody_is_missing().await;
    let right = world.now();
    world.clock.jump_to(right + YEAR);
    world.sync().await;
    world.clock.jump_to(right);
    let back = world.sync().await;
    assert_eq!(findings(&back, "clock_not_trusted"), ["clock"]);
    // The grace begins with the first pull of a trusted clock, and the third one ends it.
    world.sync().await;
    world.pass(HOUR / 2);
    world.sync().await;
    assert_eq!(world.deactivated(), [""; 0]);
    world.pass(HOUR / 2);
    world.sync().await;
    assert_eq!(world.deactivated(), ["gone"]);
}

#[tokio::test]
async fn a_start_anew_with_the_right_clock_does_not_believe_what_a_wrong_one_noted() {
    let world = somebody_is_missing().await;
    let right = world.now();
    world.clock.jump_to(right - YEAR);
    // The servers know the time; the sandbox's own clock is the machine's.
    for api in [Api::Opa, Api::Opsera] {
        world.sandbox.date_header(api, DateHeader::Offset(YEAR));
    }
    let behind = world.sync().await;
    assert_eq!(findings(&behind, "clock_not_trusted"), ["clock"]);
    for api in [Api::Opa, Api::Opsera] {
        world.sandbox.date_header(api, DateHeader::Clock);
    }
    // Nothing but the servers' time is left to compare with.
    world.clock.restart();
    world.clock.jump_to(right);
    for _ in 0..4 {
        let report = world.sync().await;
        assert_eq!(findings(&report, "clock_not_trusted"), [""; 0]);
        assert_eq!(report.summary.waiting, 1);
    }
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn a_clock_that_jumps_each_minute_never_lets_anybody_go() {
    let world = somebody_is_missing().await;
    for _ in 0..6 {
        world.sync().await;
        world.pass(Duration::from_mins(1));
        world
            .clock
            .jump_to(world.now() + chrono::TimeDelta::hours(5));
    }
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn where_no_answer_has_a_date_that_can_be_read_the_machine_is_asked_alone() {
    for header in [
        DateHeader::Absent,
        DateHeader::Fixed("yesterday".to_owned()),
        DateHeader::Fixed("Thu, 31 Feb 2026 25:61:00 GMT".to_owned()),
    ] {
        let world = somebody_is_missing().await;
        for api in [Api::Opa, Api::Opsera] {
            world.sandbox.date_header(api, header.clone());
        }
        world.sync().await;
        world.pass(HOUR / 2);
        world.sync().await;
        // Set forward by more than the machine says has passed.
        world.clock.jump_to(world.now() + YEAR);
        let ahead = world.sync().await;
        assert_eq!(
            findings(&ahead, "clock_not_trusted"),
            ["clock"],
            "{header:?}"
        );
        assert_eq!(world.deactivated(), [""; 0], "{header:?}");
        // From here on it runs as it should, and the grace ends by it.
        for _ in 0..3 {
            world.pass(HOUR / 2);
            world.sync().await;
        }
        assert_eq!(world.deactivated(), ["gone"], "{header:?}");
    }
}

#[tokio::test]
async fn without_a_grace_the_clock_is_not_asked() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.accounts.push(account("gone"));
    let rules = Rules {
        limits: Limits::wide(),
        grace: 0,
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    world.dry_run().await;
    world.clock.jump_to(world.now() + YEAR);
    let report = world.sync().await;
    assert_eq!(findings(&report, "clock_not_trusted"), [""; 0]);
    assert_eq!(world.deactivated(), ["gone"]);
}

#[tokio::test]
async fn an_approval_given_with_a_clock_ahead_ends_by_the_true_time() {
    let mut limits = Limits::wide();
    limits.max_deactivations = 0;
    let rules = Rules {
        limits,
        grace: 0,
        ..Rules::default()
    };
    let world = World::start(&Org::in_step(["ada", "bob"]), &rules).await;
    world.sandbox.opa().disable("bob").unwrap();
    let right = world.now();
    world.clock.jump_to(right + YEAR);
    let held = world.sync().await;
    assert_eq!(held.outcome, Outcome::Held);
    world.approve(&held).await;
    world.clock.jump_to(right);
    // The first run with the right clock may not believe a decision from the future; the next one
    // measures it from here.
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    world.pass(HOUR);
    world.dry_run().await;
    world.pass(HOUR * 25);
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    assert_eq!(world.deactivated(), [""; 0]);
}
