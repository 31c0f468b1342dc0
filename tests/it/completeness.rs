//! G0 and G2 on the Opsera side: a listing that lost its accounts is no success.

use std::time::Duration;

use rolecall::domain::Outcome;
use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind};
use serde_json::json;

use crate::model::{Limits, Org, Rules};
use crate::world::{World, account, findings, held_by};

fn rules() -> Rules {
    Rules {
        limits: Limits::wide(),
        grace: 0,
        ..Rules::default()
    }
}

/// Opsera lists only these accounts, once.
fn list_only(world: &World, names: &[String]) {
    let records: Vec<_> = names
        .iter()
        .map(|name| {
            json!({
                "_id": format!("acct-{name}"), "email": format!("{name}@example.com"),
                "firstName": "", "lastName": "", "active": true,
            })
        })
        .collect();
    let answer = Answer::status(200).json(&json!(records));
    world
        .sandbox
        .inject(Fault::opsera(FaultKind::Answer(answer)).on("GET", "/users"));
}

fn people(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("p{number:04}")).collect()
}

#[tokio::test]
async fn an_empty_listing_is_incomplete_where_accounts_were_known() {
    let world = World::start(&Org::of_size(10), &rules()).await;
    list_only(&world, &[]);
    let first = world.sync().await;
    assert_eq!(first.outcome, Outcome::InSync, "nobody was known yet");
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    list_only(&world, &[]);
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(!report.opsera.complete);
    let error = report.error.unwrap();
    assert!(error.contains("listed no account, but 10"), "{error}");
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
}

#[tokio::test]
async fn a_listing_without_the_owner_of_the_token_is_incomplete() {
    let mut org = Org::of_size(3);
    org.accounts.push(account("bot"));
    let rules = Rules {
        token_owner: "Bot@example.com".to_owned(),
        ..rules()
    };
    let world = World::start(&org, &rules).await;
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    list_only(&world, &people(3));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    let error = report.error.unwrap();
    assert!(
        error.contains("bot@example.com (opsera.token_owner)"),
        "{error}"
    );
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
}

#[tokio::test]
async fn a_listing_that_fell_by_more_than_the_percentage_is_held_and_can_be_approved() {
    for (left, held) in [(81, false), (80, false), (79, true), (40, true), (1, true)] {
        let rules = Rules {
            limits: Limits {
                max_opsera_drop_percent: 20,
                ..Limits::wide()
            },
            ..rules()
        };
        let world = World::start(&Org::of_size(100), &rules).await;
        world.sync().await;
        list_only(&world, &people(left));
        let report = world.sync().await;
        assert_eq!(
            held_by(&report) == ["max_opsera_drop_percent"],
            held,
            "{left} of 100: {report:?}"
        );
        if held {
            world.approve(&report).await;
            list_only(&world, &people(left));
            assert_eq!(world.sync().await.outcome, Outcome::InSync, "{left}");
        }
    }
}

#[tokio::test]
async fn what_rolecall_deactivated_itself_is_no_fall() {
    let rules = Rules {
        limits: Limits {
            max_opsera_drop_percent: 0,
            ..Limits::wide()
        },
        ..rules()
    };
    let world = World::start(&Org::of_size(10), &rules).await;
    world.sync().await;
    for name in ["p0000", "p0001", "p0002", "p0003"] {
        world.sandbox.opa().disable(name).unwrap();
    }
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    list_only(&world, &people(10)[5..]);
    let report = world.sync().await;
    assert_eq!(held_by(&report), ["max_opsera_drop_percent"]);
}

#[tokio::test]
async fn exactly_as_many_accounts_as_lists_stop_at_is_told() {
    for (listed, told) in [(999, false), (1000, true), (1001, false)] {
        let world = World::start(&Org::of_size(listed), &rules()).await;
        let report = world.dry_run().await;
        let found = findings(&report, "short_opsera_listing");
        assert_eq!(found.len(), usize::from(told), "{listed}");
    }
}

#[tokio::test]
async fn a_leaver_who_never_signed_in_is_told_until_the_account_is_gone() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.account("bob").life = crate::model::Life::Pending;
    let world = World::start(&org, &rules()).await;
    assert_eq!(
        findings(&world.sync().await, "pending_leaver"),
        [""; 0],
        "bob is there"
    );
    world.sandbox.opa().disable("bob").unwrap();
    for _ in 0..3 {
        let report = world.sync().await;
        assert_eq!(findings(&report, "pending_leaver"), ["bob@example.com"]);
        assert_eq!(report.outcome, Outcome::InSync);
    }
    world
        .sandbox
        .opsera()
        .edit("acct-bob", |bob| bob.status = AccountStatus::Inactive)
        .unwrap();
    world.sandbox.journal().clear();
    assert_eq!(findings(&world.sync().await, "pending_leaver"), [""; 0]);
    let asked = |world: &World| {
        let entries = world.sandbox.journal().entries();
        let about_bob = |path: &str| path.contains("/user/bob");
        entries
            .iter()
            .filter(|entry| about_bob(&entry.received.path))
            .count()
    };
    assert_eq!(asked(&world), 1);
    world.sync().await;
    assert_eq!(asked(&world), 1, "asked once more than needed");
    assert_eq!(world.sandbox.journal().writes(), []);
}

#[tokio::test]
async fn a_refusal_is_partial_once_and_then_rests() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.account("bob").owned = 2;
    let world = World::start(&org, &rules()).await;
    world.sandbox.opa().disable("bob").unwrap();
    let tried = world.sync().await;
    assert_eq!(
        (tried.outcome, tried.summary.refused),
        (Outcome::Partial, 1)
    );
    for _ in 0..3 {
        world.pass(Duration::from_hours(1));
        let resting = world.sync().await;
        assert_eq!(
            (resting.outcome, resting.summary.refused),
            (Outcome::InSync, 1)
        );
    }
    world.sandbox.opa().disable("ada").unwrap();
    let other = world.sync().await;
    assert_eq!(
        (other.outcome, other.summary.refused),
        (Outcome::Applied, 1)
    );
    world.pass(Duration::from_hours(24));
    let again = world.sync().await;
    assert_eq!(
        (again.outcome, again.summary.refused),
        (Outcome::Partial, 1)
    );
}
