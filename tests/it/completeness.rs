//! G0 and G2 on the Opsera side: a listing that lost its accounts is no success.

use std::time::Duration;

use rolecall::domain::Outcome;
use rolecall::sandbox::{
    Account, AccountStatus, Answer, Fault, FaultKind, OpaRefusal, Person, StatsAnswer,
};
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
async fn a_second_count_that_is_no_count_is_doubt_and_nothing_is_planned() {
    for (answer, words) in [
        (StatsAnswer::Html, "GET /team_stats"),
        (StatsAnswer::HumanUsers(json!(-1)), "num_human_users is -1"),
        (
            StatsAnswer::HumanUsers(json!("12")),
            "num_human_users is \"12\"",
        ),
        (
            StatsAnswer::HumanUsers(json!(11)),
            "OPA listed 10 people, but counts 11",
        ),
    ] {
        let world = World::start(&Org::of_size(10), &rules()).await;
        world.sandbox.opa().disable("p0000").unwrap();
        world.sandbox.opa().team_stats(answer);
        let report = world.sync().await;
        assert_eq!((report.outcome, report.plan_id), (Outcome::Failed, None));
        assert_eq!((report.opa.complete, report.actions.len()), (false, 0));
        let error = report.error.unwrap();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
        assert_eq!(world.deactivated(), [""; 0]);
    }
}

#[tokio::test]
async fn a_second_count_that_may_not_be_read_or_is_not_there_is_left_out() {
    for answer in [
        StatsAnswer::HumanUsers(json!(null)),
        StatsAnswer::NotFound,
        StatsAnswer::Refused(OpaRefusal::AuthorizationError),
    ] {
        let world = World::start(&Org::of_size(10), &rules()).await;
        world.sandbox.opa().disable("p0000").unwrap();
        world.sandbox.opa().team_stats(answer);
        assert_eq!(world.sync().await.outcome, Outcome::Applied);
    }
}

/// bob never signed in, and leaves the Team in this way.
async fn pending_bob(leave: impl FnOnce(&World)) -> World {
    let mut org = Org::in_step(["ada", "bob"]);
    org.account("bob").life = crate::model::Life::Pending;
    let world = World::start(&org, &rules()).await;
    world.sync().await;
    leave(&world);
    world
}

fn lose_details(world: &World, status: &str) {
    let team = world.sandbox.opa();
    team.set_status("bob", status).unwrap();
    let clear = |bob: &mut Person| (bob.email, bob.first_name, bob.last_name) = (None, None, None);
    team.edit("bob", clear).unwrap();
}

async fn pending_leavers(world: &World) -> Vec<String> {
    findings(&world.sync().await, "pending_leaver")
}

/// Two runs in a row tell of these people and of nobody else.
async fn assert_told_twice(world: &World, expected: &[&str], why: &str) {
    for _ in 0..2 {
        assert_eq!(pending_leavers(world).await, expected, "{why}");
    }
}

#[tokio::test]
async fn i11_a_leaver_who_lost_the_details_is_asked_for_under_the_last_address() {
    for status in ["DISABLED", "DELETED"] {
        let world = pending_bob(|world| lose_details(world, status)).await;
        assert_told_twice(&world, &["bob@example.com"], status).await;
    }
}

#[tokio::test]
async fn a_pending_leaver_is_told_until_the_account_is_gone_whatever_becomes_of_the_record() {
    let world = pending_bob(|world| world.sandbox.opa().disable("bob").unwrap()).await;
    assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
    lose_details(&world, "DELETED");
    assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
    world.sandbox.opa().purge("bob").unwrap();
    for _ in 0..2 {
        assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
    }
    let gone = |bob: &mut Account| bob.status = AccountStatus::Inactive;
    world.sandbox.opsera().edit("acct-bob", gone).unwrap();
    assert_eq!(pending_leavers(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_pending_leaver_is_told_while_opsera_does_not_say_that_the_account_is_gone() {
    let world = pending_bob(|world| world.sandbox.opa().disable("bob").unwrap()).await;
    assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
    let refused = FaultKind::Answer(Answer::status(400).body("{}"));
    world
        .sandbox
        .inject(Fault::opsera(refused).on("GET", "/user/bob"));
    assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
    assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
}

#[tokio::test]
async fn whoever_leaves_without_an_address_or_with_an_unknown_status_is_asked_for_too() {
    type Change = fn(&World);
    let loses_address: Change = |world| world.sandbox.opa().rename_address("bob", None).unwrap();
    let is_suspended: Change = |world| world.sandbox.opa().set_status("bob", "SUSPENDED").unwrap();
    for between in [loses_address, is_suspended] {
        for status in ["DISABLED", "DELETED"] {
            let world = pending_bob(between).await;
            assert_told_twice(&world, &[], "bob is there").await;
            world.sandbox.opa().set_status("bob", status).unwrap();
            assert_told_twice(&world, &["bob@example.com"], status).await;
        }
    }
}

#[tokio::test]
async fn whoever_never_had_an_address_is_asked_for_under_the_one_they_left_with() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.account("bob").life = crate::model::Life::Pending;
    org.person("bob").email = None;
    for (address, told) in [
        (None, vec![]),
        (Some("bob@example.com"), vec!["bob@example.com"]),
    ] {
        let world = World::start(&org, &rules()).await;
        assert_eq!(pending_leavers(&world).await, [""; 0]);
        let team = world.sandbox.opa();
        team.rename_address("bob", address).unwrap();
        team.disable("bob").unwrap();
        world.sandbox.journal().clear();
        assert_eq!(pending_leavers(&world).await, told, "{address:?}");
    }
}

#[tokio::test]
async fn whoever_is_back_under_any_address_is_no_pending_leaver() {
    for address in [Some("bob@example.com"), Some("robert@example.com"), None] {
        let world = pending_bob(|world| world.sandbox.opa().disable("bob").unwrap()).await;
        assert_eq!(pending_leavers(&world).await, ["bob@example.com"]);
        let team = world.sandbox.opa();
        team.enable("bob").unwrap();
        team.rename_address("bob", address).unwrap();
        assert_eq!(pending_leavers(&world).await, [""; 0], "{address:?}");
    }
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
