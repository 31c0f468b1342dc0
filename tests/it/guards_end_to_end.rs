//! The guards (§6) in whole runs: one below each limit, at it, one above it, whatever the size.

use std::time::Duration;

use rolecall::domain::{ActionStatus, Outcome, Report};

use crate::model::{Limits, Org, Rules};
use crate::world::{World, account, held_by, person, with_status};

const DAY: Duration = Duration::from_hours(24);

/// So many people in step, with these limits and everything else wide.
async fn world(size: usize, change: impl FnOnce(&mut Limits)) -> World {
    let mut limits = Limits::wide();
    change(&mut limits);
    let rules = Rules {
        limits,
        grace: 0,
        ..Rules::default()
    };
    World::start(&Org::of_size(size), &rules).await
}

fn disable(world: &World, numbers: std::ops::Range<usize>) {
    for number in numbers {
        world
            .sandbox
            .opa()
            .disable(&format!("p{number:04}"))
            .unwrap();
    }
}

fn actual(report: &Report, guard: &str) -> (u64, u64) {
    let guard = report
        .guards
        .iter()
        .find(|g| g.guard.as_str() == guard)
        .unwrap();
    (guard.limit, guard.actual)
}

#[tokio::test]
async fn g0_an_incomplete_pull_is_never_planned_and_cannot_be_approved() {
    use rolecall::sandbox::{Answer, Fault, FaultKind};
    let world = world(3, |_| {}).await;
    disable(&world, 0..1);
    let broken = Fault::opa(FaultKind::Answer(Answer::status(404)))
        .when(|received| received.query_value("status") == Some("DELETED"));
    world.sandbox.inject(broken);
    let report = world.sync().await;
    assert_eq!(
        (report.outcome, report.plan_id, report.opa.complete),
        (Outcome::Failed, None, false)
    );
    assert_eq!(world.sandbox.journal().writes(), []);
}

#[tokio::test]
async fn g1_the_team_must_have_its_least_size() {
    for (people, held) in [(4, true), (5, false), (6, false)] {
        let world = world(people, |l| l.min_opa_users = 5).await;
        let report = world.dry_run().await;
        assert_eq!(report.outcome == Outcome::Held, held, "{people}");
        assert_eq!(
            actual(&report, "min_opa_users"),
            (5, crate::model::whole(people))
        );
    }
}

#[tokio::test]
async fn g2_the_team_may_fall_by_the_percentage_and_by_nobody_more() {
    for (size, percent, fall, held) in [
        (10, 20, 2, false),
        (10, 20, 3, true),
        (10, 0, 1, true),
        (10, 100, 10, false),
        (1, 20, 1, true),
        (2, 50, 1, false),
        (2, 49, 1, true),
        (3, 33, 1, true),
        (3, 34, 1, false),
        (1000, 20, 200, false),
        (1000, 20, 201, true),
    ] {
        let world = world(size, |l| l.max_opa_drop_percent = percent).await;
        assert_eq!(world.sync().await.outcome, Outcome::InSync);
        disable(&world, 0..fall);
        let report = world.dry_run().await;
        assert_eq!(
            held_by(&report) == ["max_opa_drop_percent"],
            held,
            "{fall} of {size} at {percent} %"
        );
    }
}

#[tokio::test]
async fn g2_a_held_pull_is_no_new_baseline() {
    let world = world(10, |l| l.max_opa_drop_percent = 20).await;
    world.sync().await;
    disable(&world, 0..3);
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    assert_eq!(
        world.sync().await.outcome,
        Outcome::Held,
        "asking again changes nothing"
    );
    world.sandbox.opa().enable("p0002").unwrap();
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    assert_eq!(world.deactivated(), ["p0000", "p0001"]);
}

#[tokio::test]
async fn g2_an_empty_team_is_held_and_nobody_goes() {
    let world = world(10, |l| l.max_opa_drop_percent = 20).await;
    world.sync().await;
    world.sandbox.opa().empty();
    let report = world.sync().await;
    assert_eq!(held_by(&report), ["max_opa_drop_percent"]);
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn g3_so_many_deactivations_in_one_run_and_not_one_more() {
    for (leavers, held) in [(2, false), (3, false), (4, true)] {
        let world = world(10, |l| l.max_deactivations = 3).await;
        disable(&world, 0..leavers);
        let report = world.sync().await;
        assert_eq!(report.outcome == Outcome::Held, held, "{leavers}");
        assert_eq!(world.deactivated().len(), if held { 0 } else { leavers });
    }
}

#[tokio::test]
async fn g3_the_percentage_is_rounded_up_for_every_size_of_team() {
    for (size, percent, limit) in [
        (1, 10, 1),
        (2, 10, 1),
        (3, 10, 1),
        (10, 10, 1),
        (11, 10, 2),
        (1000, 10, 100),
        (10, 0, 0),
        (3, 34, 2),
        (10, 99, 10),
    ] {
        let world = world(size, |l| l.max_deactivations_percent = percent).await;
        disable(&world, 0..limit);
        assert!(
            held_by(&world.dry_run().await).is_empty(),
            "{limit} of {size} at {percent} %"
        );
        if limit < size {
            disable(&world, limit..limit + 1);
            let report = world.dry_run().await;
            assert_eq!(
                held_by(&report),
                ["max_deactivations_percent"],
                "{size} at {percent} %"
            );
            let concerned = report.guards.iter().find(|g| g.held).unwrap();
            assert_eq!(concerned.concerned.len(), limit + 1, "the people are named");
        }
    }
}

#[tokio::test]
async fn g3_everybody_may_go_at_a_hundred_percent() {
    for size in [1, 2, 3, 10] {
        let world = world(size, |l| l.max_deactivations_percent = 100).await;
        disable(&world, 0..size);
        assert_eq!(world.sync().await.outcome, Outcome::Applied);
        assert_eq!(world.deactivated().len(), size);
    }
}

#[tokio::test]
async fn g3_a_slow_drip_is_held_when_the_week_is_full() {
    let world = world(10, |l| l.max_deactivations_7d = 3).await;
    for day in 0..3 {
        disable(&world, day..day + 1);
        assert_eq!(world.sync().await.outcome, Outcome::Applied, "day {day}");
        world.pass(DAY);
    }
    disable(&world, 3..4);
    assert_eq!(held_by(&world.sync().await), ["max_deactivations_7d"]);
    // The first of the three leaves the window.
    world.pass(DAY * 4 + Duration::from_mins(1));
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    assert_eq!(world.deactivated().len(), 4);
}

fn joiners(org: &mut Org, count: usize) {
    for number in 0..count {
        org.people.push(person(&format!("new{number}")));
    }
}

#[tokio::test]
async fn g4_role_changes_have_both_limits_and_unknown_roles_count() {
    for (changes, limit, percent, held) in [
        (3, 3, 100, vec![]),
        (4, 3, 100, vec!["max_role_changes"]),
        (5, 100, 50, vec![]),
        (6, 100, 50, vec!["max_role_changes_percent"]),
    ] {
        let mut org = Org::of_size(10);
        for number in 0..changes {
            org.join(&format!("p{number:04}"), "dev");
        }
        let rules = Rules {
            patterns: vec![("dev".to_owned(), "PowerUsers".to_owned())],
            limits: Limits {
                max_role_changes: limit,
                max_role_changes_percent: percent,
                ..Limits::wide()
            },
            ..Rules::default()
        };
        let report = World::start(&org, &rules).await.dry_run().await;
        assert_eq!(held_by(&report), held);
        assert!(report.actions.iter().all(|a| a.from.is_none()));
    }
}

#[tokio::test]
async fn g5_creations_have_a_limit() {
    for (count, held) in [(1, false), (2, false), (3, true)] {
        let mut org = Org::of_size(3);
        joiners(&mut org, count);
        let rules = Rules {
            provision: true,
            limits: Limits {
                max_creations: 2,
                ..Limits::wide()
            },
            ..Rules::default()
        };
        let world = World::start(&org, &rules).await;
        assert_eq!(held_by(&world.sync().await).is_empty(), !held);
        assert_eq!(
            world.sandbox.journal().writes().len(),
            if held { 0 } else { count }
        );
    }
}

#[tokio::test]
async fn g5_administrators_are_counted_over_changes_and_creations() {
    for (limit, held) in [(1, true), (2, false), (3, false)] {
        let mut org = Org::of_size(3);
        joiners(&mut org, 1);
        org.join("new0", "admins");
        org.join("p0000", "admins");
        let rules = Rules {
            provision: true,
            patterns: vec![("admins".to_owned(), "Administrators".to_owned())],
            limits: Limits {
                max_administrator_grants: limit,
                ..Limits::wide()
            },
            ..Rules::default()
        };
        let report = World::start(&org, &rules).await.dry_run().await;
        assert_eq!(actual(&report, "max_administrator_grants"), (limit, 2));
        assert_eq!(held_by(&report) == ["max_administrator_grants"], held);
    }
}

#[tokio::test]
async fn g6_the_last_administrators_stay() {
    for (least, held) in [(0, false), (1, false), (2, true)] {
        let mut org = Org::of_size(4);
        org.roles_reported = true;
        for name in ["p0000", "p0001"] {
            org.account(name).role = "Administrators".to_owned();
        }
        org.person("p0000").status = "DISABLED".to_owned();
        let rules = Rules {
            limits: Limits {
                min_administrators: least,
                ..Limits::wide()
            },
            ..Rules::default()
        };
        let report = World::start(&org, &rules).await.dry_run().await;
        assert_eq!(held_by(&report) == ["min_administrators"], held, "{least}");
    }
}

#[tokio::test]
async fn g6_a_successor_makes_up_for_an_administrator_who_leaves() {
    let mut org = Org::of_size(2);
    org.roles_reported = true;
    org.account("p0000").role = "Administrators".to_owned();
    org.person("p0000").status = "DISABLED".to_owned();
    org.join("p0001", "admins");
    let rules = Rules {
        patterns: vec![("admins".to_owned(), "Administrators".to_owned())],
        limits: Limits {
            min_administrators: 1,
            ..Limits::wide()
        },
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
}

#[tokio::test]
async fn an_approval_covers_what_was_looked_at_and_is_used_up() {
    let world = world(10, |l| l.max_deactivations = 1).await;
    disable(&world, 0..3);
    let held = world.sync().await;
    assert_eq!(with_status(&held, ActionStatus::Held).len(), 3);
    world.approve(&held).await;
    world.sandbox.opa().enable("p0002").unwrap();
    assert_eq!(
        world.sync().await.outcome,
        Outcome::Applied,
        "a part of it is covered"
    );
    assert_eq!(world.deactivated(), ["p0000", "p0001"]);
    disable(&world, 2..5);
    assert_eq!(
        world.sync().await.outcome,
        Outcome::Held,
        "two people more are not"
    );
    assert_eq!(world.deactivated().len(), 2);
}

#[tokio::test]
async fn an_approval_lapses_after_its_time() {
    for (wait, outcome) in [
        (Duration::from_secs(86_300), Outcome::Applied),
        (DAY, Outcome::Held),
    ] {
        let world = world(10, |l| l.max_deactivations = 1).await;
        disable(&world, 0..2);
        let held = world.sync().await;
        world.approve(&held).await;
        world.pass(wait);
        assert_eq!(world.sync().await.outcome, outcome);
    }
}

#[tokio::test]
async fn an_approval_does_not_serve_twice() {
    let world = world(10, |l| l.max_deactivations = 1).await;
    disable(&world, 0..2);
    let held = world.sync().await;
    world.approve(&held).await;
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    for name in ["acct-p0000", "acct-p0001"] {
        let back = |a: &mut rolecall::sandbox::Account| {
            a.status = rolecall::sandbox::AccountStatus::Active;
        };
        world.sandbox.opsera().edit(name, back).unwrap();
    }
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    assert_eq!(world.deactivated().len(), 2);
}

#[tokio::test]
async fn a_dry_run_shows_the_guards_and_holds_as_the_run_would() {
    let mut org = Org::of_size(10);
    org.accounts.push(account("stranger"));
    let rules = Rules {
        grace: 0,
        limits: Limits {
            max_deactivations: 0,
            ..Limits::wide()
        },
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    let (dry, real) = (world.dry_run().await, world.sync().await);
    assert_eq!(dry.outcome, Outcome::Held);
    assert_eq!(dry.guards, real.guards);
    assert_eq!(dry.plan_id, real.plan_id);
    let names: Vec<&str> = dry.guards.iter().map(|g| g.guard.as_str()).collect();
    assert_eq!(
        names,
        [
            "min_opa_users",
            "max_opa_drop_percent",
            "max_opsera_drop_percent",
            "max_deactivations",
            "max_deactivations_percent",
            "max_deactivations_7d",
            "max_role_changes",
            "max_role_changes_percent",
            "max_creations",
            "max_administrator_grants",
            "min_administrators"
        ]
    );
}
