//! A person whose name can be no path segment (`.`, `..`) is doubt for that person alone.

use rolecall::domain::{ActionStatus, Outcome};
use rolecall::rules::Lookup;

use crate::model::{Human, Org, Rules};
use crate::world::{World, findings, person, with_status};

const NAMES: [&str; 2] = [".", ".."];

/// ada and bob are in step; bob's record has the odd name. Both should become power users.
fn team(odd: &str) -> (Org, Rules) {
    let mut org = Org::in_step(["ada", "bob"]);
    for name in ["ada", "bob"] {
        org.join(name, "dev");
    }
    org.person("bob").name = odd.to_owned();
    let rules = Rules {
        patterns: vec![("dev".to_owned(), "PowerUsers".to_owned())],
        grace: 0,
        ..Rules::default()
    };
    (org, rules)
}

async fn start(org: &Org, rules: &Rules, lookup: Lookup) -> World {
    let mut world = World::start(org, rules).await;
    world.context.settings.policy.roles.lookup = lookup;
    world
}

#[tokio::test]
async fn whose_groups_cannot_be_asked_for_keeps_account_and_role_and_everybody_else_goes_on() {
    for odd in NAMES {
        let (org, mut rules) = team(odd);
        for required in [false, true] {
            rules.required = required.then(|| "dev".to_owned()).into_iter().collect();
            let world = start(&org, &rules, Lookup::User).await;
            let report = world.sync().await;
            assert_eq!(report.outcome, Outcome::Applied, "{:?}", report.error);
            assert_eq!(
                findings(&report, "unreadable_memberships"),
                ["bob@example.com"]
            );
            let done = with_status(&report, ActionStatus::Succeeded);
            assert_eq!(done, ["ada@example.com"], "{odd} {required}");
            let role = |id: &str| world.sandbox.opsera().get(id).unwrap().site_role;
            assert_eq!(role("acct-ada"), "PowerUsers");
            assert_eq!(role("acct-bob"), "Users");
            assert_eq!(world.deactivated(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn read_group_by_group_the_name_does_not_matter() {
    for odd in NAMES {
        let (org, rules) = team(odd);
        let world = start(&org, &rules, Lookup::Group).await;
        let report = world.sync().await;
        assert_eq!(report.findings, []);
        let done = with_status(&report, ActionStatus::Succeeded);
        assert_eq!(done, ["ada@example.com", "bob@example.com"], "{odd}");
    }
}

#[tokio::test]
async fn a_leaver_whose_record_cannot_be_looked_at_is_skipped_and_the_others_go() {
    for odd in NAMES {
        for lookup in [Lookup::User, Lookup::Group] {
            let (mut org, rules) = team(odd);
            org.people.push(Human {
                status: "DISABLED".to_owned(),
                ..person("cleo")
            });
            org.accounts.push(crate::world::account("cleo"));
            org.person(odd).status = "DISABLED".to_owned();
            let world = start(&org, &rules, lookup).await;
            let report = world.sync().await;
            assert_eq!(report.error, None);
            assert_eq!(
                with_status(&report, ActionStatus::Skipped),
                ["bob@example.com"]
            );
            assert_eq!(world.deactivated(), ["cleo"], "{odd} {lookup:?}");
        }
    }
}

#[tokio::test]
async fn a_joiner_whose_groups_cannot_be_asked_for_gets_no_account() {
    for odd in NAMES {
        let (mut org, mut rules) = team(odd);
        org.accounts.retain(|account| account.id != "acct-bob");
        rules.provision = true;
        let world = start(&org, &rules, Lookup::User).await;
        let report = world.sync().await;
        assert_eq!(report.error, None);
        assert_eq!(report.summary.create, 0, "{odd}");
        assert_eq!(
            findings(&report, "unreadable_memberships"),
            ["bob@example.com"]
        );
        let world = start(&org, &rules, Lookup::Group).await;
        assert_eq!(world.sync().await.summary.create, 1, "{odd}");
    }
}

/// The rule's group has the odd name, and so can be no part of a path either.
#[tokio::test]
async fn a_group_that_cannot_be_asked_for_is_read_through_its_members() {
    for odd in NAMES {
        let mut org = Org::in_step(["ada", "bob"]);
        org.join("bob", odd);
        for required in [false, true] {
            let rules = Rules {
                patterns: vec![(odd.to_owned(), "PowerUsers".to_owned())],
                default: "Users".to_owned(),
                required: required.then(|| odd.to_owned()).into_iter().collect(),
                grace: 0,
                ..Rules::default()
            };
            let mut plans = Vec::new();
            for lookup in [Lookup::User, Lookup::Group, Lookup::Auto] {
                let world = start(&org, &rules, lookup).await;
                let report = world.dry_run().await;
                assert_eq!(report.error, None, "{odd} {lookup:?}");
                let mut actions = report.actions.iter();
                assert!(
                    actions
                        .any(|a| a.email == "bob@example.com"
                            && a.to.as_deref() == Some("PowerUsers"))
                );
                assert_eq!(report.summary.deactivate, u64::from(required), "ada");
                plans.push(report.plan_id);
            }
            assert_eq!((&plans[0], &plans[0]), (&plans[1], &plans[2]));
        }
    }
}

#[tokio::test]
async fn without_an_address_the_record_is_unidentified_and_shields() {
    for odd in NAMES {
        let (mut org, rules) = team(odd);
        let bob = org.person(odd);
        bob.email = None;
        (bob.first, bob.last) = (Some("Bob".to_owned()), Some("Ng".to_owned()));
        let account = org.account("bob");
        (account.first, account.last) = ("Bob".to_owned(), "Ng".to_owned());
        let world = start(&org, &rules, Lookup::User).await;
        let report = world.sync().await;
        assert_eq!(report.error, None);
        assert_eq!(findings(&report, "unidentified_opa_user"), [odd]);
        assert_eq!(findings(&report, "possible_match"), ["bob@example.com"]);
        assert_eq!(world.deactivated(), [""; 0]);
    }
}
