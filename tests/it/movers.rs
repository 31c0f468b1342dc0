//! Movers: site roles follow the groups (§5).

use rolecall::domain::{Outcome, Report};
use rolecall::rules::Lookup;
use rolecall::sandbox::{Api, Effect, PageLimit};

use crate::model::{Human, Org, Rules};
use crate::world::{World, findings, person};

fn by_group(pairs: &[(&str, &str)]) -> Rules {
    Rules {
        patterns: pairs
            .iter()
            .map(|(group, role)| ((*group).to_owned(), (*role).to_owned()))
            .collect(),
        ..Rules::default()
    }
}

/// Requests for the people of a group and for the groups of a person, in a Team of so many people
/// of whom the first ones have an account.
async fn membership_requests(
    (people, accounts): (usize, usize),
    groups: usize,
    members: usize,
    page: usize,
) -> (usize, usize) {
    let mut org = Org::of_size(people);
    org.accounts.truncate(accounts);
    for group in 0..groups {
        for member in 0..members {
            org.join(&format!("p{member:04}"), &format!("dev-{group}"));
        }
    }
    let world = World::start(&org, &by_group(&[("dev-*", "PowerUsers")])).await;
    world.sandbox.opa().page_limit(PageLimit::clamp(page));
    let report = world.dry_run().await;
    let changes = members.min(accounts);
    assert_eq!(report.actions.len(), changes, "{:?}", report.error);
    let requests = |prefix: &str, end: &str| {
        let all = world.sandbox.journal().requests(Api::Opa, "GET", prefix);
        all.iter()
            .filter(|entry| entry.received.path.ends_with(end))
            .count()
    };
    (
        requests("/groups/", "/users"),
        requests("/users/", "/groups"),
    )
}

#[tokio::test]
async fn s5_auto_counts_requests_with_the_page_size_that_really_came() {
    // Three groups that everybody is in, and five people with an account.
    let few = (60, 5);
    assert_eq!(membership_requests(few, 3, 60, 1000).await, (3, 0));
    assert_eq!(membership_requests(few, 3, 60, 30).await, (6, 0));
    assert_eq!(
        membership_requests(few, 3, 60, 4).await,
        (3, 5),
        "45 pages are more than five people"
    );
    // Small groups end on their first page, whatever it holds.
    assert_eq!(membership_requests(few, 3, 1, 4).await, (3, 0));
    // Everybody has an account.
    assert_eq!(membership_requests((20, 20), 3, 20, 2).await, (30, 0));
    // More groups than people.
    assert_eq!(membership_requests((5, 5), 6, 1, 1000).await, (0, 5));
}

fn roles(report: &Report) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let changes = report.actions.iter();
    changes
        .map(|a| (a.email.as_str(), a.from.as_deref(), a.to.as_deref()))
        .collect()
}

#[tokio::test]
async fn s5_the_first_rule_that_matches_wins_and_a_second_run_finds_nothing() {
    let mut org = Org::in_step(["ada", "bob", "eve"]);
    for (name, group) in [
        ("ada", "x-dev"),
        ("ada", "admins"),
        ("bob", "x-dev"),
        ("eve", "Admins"),
    ] {
        org.join(name, group);
    }
    let rules = by_group(&[("admins", "Administrators"), ("x-*", "PowerUsers")]);
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(
        roles(&report),
        [
            ("ada@example.com", None, Some("Administrators")),
            ("bob@example.com", None, Some("PowerUsers"))
        ]
    );
    assert_eq!(
        world.sync().await.outcome,
        Outcome::InSync,
        "what was set is remembered"
    );
    world.sandbox.opa().leave("ada", "admins").unwrap();
    assert_eq!(
        roles(&world.sync().await),
        [(
            "ada@example.com",
            Some("Administrators"),
            Some("PowerUsers")
        )]
    );
}

#[tokio::test]
async fn s5_a_role_that_the_server_reports_is_believed_also_a_foreign_one() {
    let mut org = Org::in_step(["ada", "bob", "eve"]);
    org.roles_reported = true;
    org.account("bob").role = "PowerUsers".to_owned();
    org.account("eve").role = "Guests".to_owned();
    let rules = Rules {
        default: "Users".to_owned(),
        ..Rules::default()
    };
    let report = World::start(&org, &rules).await.sync().await;
    assert_eq!(
        roles(&report),
        [
            ("bob@example.com", Some("PowerUsers"), Some("Users")),
            ("eve@example.com", Some("Guests"), Some("Users"))
        ]
    );
}

#[tokio::test]
async fn s5_adopting_writes_nothing_and_the_next_change_knows_the_former_role() {
    let mut org = Org::in_step(["ada"]);
    org.groups.push("dev".to_owned());
    let rules = Rules {
        default: "Users".to_owned(),
        adopt: true,
        ..by_group(&[("dev", "PowerUsers")])
    };
    let world = World::start(&org, &rules).await;
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    assert_eq!(world.take_effects(), []);
    world.sandbox.opa().join("ada", "dev").unwrap();
    assert_eq!(
        roles(&world.sync().await),
        [("ada@example.com", Some("Users"), Some("PowerUsers"))]
    );
}

#[tokio::test]
async fn s5_a_dry_run_adopts_nothing() {
    let mut rules = Rules {
        default: "Users".to_owned(),
        adopt: true,
        ..Rules::default()
    };
    let mut world = World::start(&Org::in_step(["ada"]), &rules).await;
    world.dry_run().await;
    rules.adopt = false;
    world.set_rules(&rules, "");
    assert_eq!(
        roles(&world.dry_run().await),
        [("ada@example.com", None, Some("Users"))]
    );
}

#[tokio::test]
async fn s5_a_deleted_group_gives_nothing_and_is_named() {
    let mut org = Org::in_step(["ada"]);
    org.dead_groups
        .push(("dev".to_owned(), vec!["ada".to_owned()]));
    let rules = by_group(&[("dev", "PowerUsers"), ("none-*", "Users")]);
    let report = World::start(&org, &rules).await.sync().await;
    assert_eq!(report.outcome, Outcome::InSync);
    assert_eq!(findings(&report, "unknown_group"), ["dev"]);
}

#[tokio::test]
async fn s5_a_required_group_that_is_gone_makes_the_pull_incomplete() {
    let mut org = Org::in_step(["ada"]);
    org.dead_groups
        .push(("members".to_owned(), vec!["ada".to_owned()]));
    let rules = Rules {
        required: vec!["members".to_owned()],
        ..Rules::default()
    };
    for lookup in [Lookup::Auto, Lookup::User, Lookup::Group] {
        let mut world = World::start(&org, &rules).await;
        world.context.settings.policy.roles.lookup = lookup;
        let report = world.sync().await;
        assert_eq!(report.outcome, Outcome::Failed);
        assert!(report.error.unwrap().contains("members"));
        assert_eq!(world.sandbox.journal().writes(), []);
    }
}

#[tokio::test]
async fn s5_without_rules_no_membership_is_read() {
    let world = World::start(&Org::in_step(["ada"]), &Rules::default()).await;
    world.sync().await;
    let asked = |prefix| {
        let api = rolecall::sandbox::Api::Opa;
        world.sandbox.journal().requests(api, "GET", prefix).len()
    };
    assert_eq!((asked("/groups"), asked("/users/")), (0, 0));
}

#[tokio::test]
async fn i4_two_active_records_have_the_groups_of_both() {
    let mut org = Org::in_step(["ada"]);
    org.people.push(Human {
        email: Some("ada@example.com".to_owned()),
        ..person("ada2")
    });
    org.join("ada2", "dev");
    let world = World::start(&org, &by_group(&[("dev", "PowerUsers")])).await;
    let report = world.sync().await;
    assert_eq!(
        roles(&report),
        [("ada@example.com", None, Some("PowerUsers"))]
    );
    assert_eq!(
        findings(&report, "duplicate_opa_email"),
        ["ada@example.com"]
    );
}

#[tokio::test]
async fn s5_a_protected_account_keeps_its_role_and_counts_only_if_a_change_was_due() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.roles_reported = true;
    org.account("ada").role = "Auditors".to_owned();
    let rules = Rules {
        default: "Users".to_owned(),
        protect: vec!["*@example.com".to_owned()],
        ..Rules::default()
    };
    let report = World::start(&org, &rules).await.sync().await;
    assert_eq!((report.summary.protected, report.summary.unchanged), (1, 1));
    assert_eq!(report.outcome, Outcome::InSync);
}

#[tokio::test]
async fn a9_roles_come_first_and_deactivations_last() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("ada").status = "DISABLED".to_owned();
    org.people.push(person("carl"));
    let rules = Rules {
        default: "Users".to_owned(),
        provision: true,
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    world.sync().await;
    let effects = world.take_effects();
    assert!(
        matches!(
            effects.as_slice(),
            [
                Effect::RoleSet { .. },
                Effect::Created { .. },
                Effect::Deactivated { .. }
            ]
        ),
        "{effects:?}"
    );
}
