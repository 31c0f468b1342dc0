//! Joiners: entitled people without an account get one, unless Opsera knows them after all.

use rolecall::domain::{ActionStatus, Outcome};
use rolecall::sandbox::Effect;

use crate::model::{Human, Life, Org, Rules};
use crate::world::{World, account, findings, person};

fn provisioning() -> Rules {
    Rules {
        provision: true,
        ..Rules::default()
    }
}

#[tokio::test]
async fn s5_a_joiner_gets_an_account_with_the_role_of_the_groups_and_the_parts_of_the_name() {
    let mut org = Org::in_step(["ada"]);
    org.people.push(Human {
        first: Some("Zoë".to_owned()),
        ..person("zoe.van_dyk")
    });
    org.join("zoe.van_dyk", "dev");
    let rules = Rules {
        patterns: vec![("d?v".to_owned(), "PowerUsers".to_owned())],
        ..provisioning()
    };
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Applied);
    let writes = world.sandbox.journal().writes();
    let body = writes[0].received.body.as_ref().unwrap();
    assert_eq!(body["email"], "zoe.van_dyk@example.com");
    assert_eq!(
        (&body["firstName"], &body["lastName"]),
        (&"Zoë".into(), &"van dyk".into())
    );
    assert_eq!(body["siteRole"], "PowerUsers");
    // Pending until the first sign-in, so not in the listing: it must not be created again.
    let again = world.sync().await;
    assert_eq!(again.outcome, Outcome::InSync);
    assert_eq!(
        findings(&again, "inactive_opsera_account"),
        ["zoe.van_dyk@example.com"]
    );
    let detail = &again.findings[0].detail;
    assert!(
        detail.contains(&format!("which run {} created", report.run_id))
            && !detail.contains("reactivate"),
        "{detail}"
    );
}

#[tokio::test]
async fn s5_without_a_rule_the_role_is_users() {
    let mut org = Org::in_step(["ada"]);
    org.people.push(person("new"));
    let world = World::start(&org, &provisioning()).await;
    assert_eq!(world.sync().await.actions[0].to.as_deref(), Some("Users"));
}

#[tokio::test]
async fn s5_an_inactive_or_pending_account_is_left_as_it_is() {
    for life in [Life::Inactive, Life::Pending] {
        let mut org = Org::in_step(["ada", "bob"]);
        org.account("bob").life = life;
        let world = World::start(&org, &provisioning()).await;
        let report = world.sync().await;
        assert_eq!(report.outcome, Outcome::InSync);
        assert_eq!(
            findings(&report, "inactive_opsera_account"),
            ["bob@example.com"]
        );
    }
}

#[tokio::test]
async fn s5_nobody_without_entitlement_scope_or_address_is_created() {
    let mut org = Org::in_step(["ada"]);
    org.groups.push("members".to_owned());
    for (name, email, status, member) in [
        ("gone", Some("gone@example.com"), "DISABLED", true),
        ("odd", Some("odd@example.com"), "SUSPENDED", true),
        ("out", Some("out@elsewhere.example"), "ACTIVE", true),
        ("none", None, "ACTIVE", true),
        ("guest", Some("guest@example.com"), "ACTIVE", false),
    ] {
        org.people.push(Human {
            email: email.map(str::to_owned),
            status: status.to_owned(),
            groups: member.then(|| "members".to_owned()).into_iter().collect(),
            ..person(name)
        });
    }
    org.join("ada", "members");
    let rules = Rules {
        domains: vec!["example.com".to_owned()],
        required: vec!["members".to_owned()],
        ..provisioning()
    };
    let world = World::start(&org, &rules).await;
    assert_eq!(world.sync().await.actions, []);
}

#[tokio::test]
async fn s5_two_records_of_one_person_make_one_account() {
    let mut org = Org::in_step(["ada"]);
    org.people.push(person("new"));
    org.people.push(Human {
        email: Some("NEW@example.com".to_owned()),
        ..person("new2")
    });
    let world = World::start(&org, &provisioning()).await;
    let report = world.sync().await;
    assert_eq!(report.actions.len(), 1);
    assert_eq!(
        findings(&report, "duplicate_opa_email"),
        ["new@example.com"]
    );
}

/// Two accounts differ in letter case and belong, by an alias, to somebody else.
#[tokio::test]
async fn s5_an_address_that_opsera_cannot_look_up_keeps_nobody_else_waiting() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("ada").status = "DISABLED".to_owned();
    let mut twin = account("twin");
    twin.email = Some("BOB@example.com".to_owned());
    org.accounts.push(twin);
    let rules = Rules {
        aliases: vec![(
            "bob@example.com".to_owned(),
            "robert@example.com".to_owned(),
        )],
        ..provisioning()
    };
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Applied);
    assert_eq!(world.deactivated(), ["ada"]);
    assert_eq!(
        findings(&report, "inactive_opsera_account"),
        ["bob@example.com"]
    );
}

/// Both of a person's addresses are asked for, not only the first record's.
#[tokio::test]
async fn s5_a_pending_account_under_the_other_records_address_is_found() {
    let mut org = Org::in_step(["ada"]);
    for (name, email) in [("n1", "new+a@example.com"), ("n2", "new+b@example.com")] {
        org.people.push(Human {
            email: Some(email.to_owned()),
            ..person(name)
        });
    }
    let mut pending = account("new");
    (pending.email, pending.life) = (Some("new+b@example.com".to_owned()), Life::Pending);
    org.accounts.push(pending);
    let rules = Rules {
        plus: true,
        ..provisioning()
    };
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(report.actions, []);
    assert_eq!(
        findings(&report, "inactive_opsera_account"),
        ["new@example.com"]
    );
}

#[tokio::test]
async fn a4_a_creation_whose_answer_was_lost_is_read_before_it_is_sent_again() {
    use rolecall::sandbox::{Fault, FaultKind};
    let mut org = Org::in_step(["ada"]);
    org.people.push(person("new"));
    let world = World::start(&org, &provisioning()).await;
    world
        .sandbox
        .inject(Fault::opsera(FaultKind::CutAfterEffect).on("POST", "/user"));
    let report = world.sync().await;
    assert_eq!(report.actions[0].status, ActionStatus::Succeeded);
    assert_eq!(world.sandbox.journal().writes().len(), 1);
    let effects = world.take_effects();
    assert!(
        matches!(effects.as_slice(), [Effect::Created { .. }]),
        "{effects:?}"
    );
}
