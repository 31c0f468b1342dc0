//! Doubt keeps the account: duplicates, people without an address, renames, look-alikes, protection.

use rolecall::domain::{Outcome, Report};

use crate::model::{Human, Org, Rules};
use crate::world::{World, account, findings, person};

/// Rules under which whoever is missing goes at once.
fn at_once() -> Rules {
    Rules {
        grace: 0,
        ..Rules::default()
    }
}

/// bob's record has another address, so his account belongs to nobody.
async fn missing_bob(change: impl FnOnce(&mut Org)) -> (World, Report) {
    let mut org = Org::in_step(["ada", "bob"]);
    org.people.retain(|p| p.name != "bob");
    change(&mut org);
    let world = World::start(&org, &at_once()).await;
    let report = world.sync().await;
    (world, report)
}

fn nameless(name: &str) -> Human {
    Human {
        email: None,
        ..person(name)
    }
}

#[tokio::test]
async fn i7_without_a_shield_the_account_goes() {
    let (world, _) = missing_bob(|org| org.people.push(nameless("someone"))).await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn i7_a_person_without_an_address_shields_by_name_address_and_full_name() {
    for name in [
        "bob",
        "B.o-B",
        "_bob_",
        "bob@example.com",
        "BOB@Example.com ",
    ] {
        let (world, report) = missing_bob(|org| org.people.push(nameless(name))).await;
        assert_eq!(world.deactivated(), [""; 0], "{name:?}");
        assert_eq!(
            findings(&report, "possible_match"),
            ["bob@example.com"],
            "{name:?}"
        );
        assert_eq!(findings(&report, "unidentified_opa_user"), [name]);
    }
    let (world, report) = missing_bob(|org| {
        let bob = org.account("bob");
        (bob.first, bob.last) = ("ROBERT".to_owned(), "Ng".to_owned());
        org.people.push(Human {
            first: Some("Robert".to_owned()),
            last: Some(" ng".to_owned()),
            ..nameless("u17")
        });
    })
    .await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(findings(&report, "possible_match"), ["bob@example.com"]);
}

#[tokio::test]
async fn i7_half_a_name_shields_nobody() {
    let (world, _) = missing_bob(|org| {
        org.account("bob").last = "Ng".to_owned();
        org.people.push(Human {
            first: Some(String::new()),
            last: Some("Ng".to_owned()),
            ..nameless("u17")
        });
    })
    .await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn i7_an_unusable_address_is_no_address() {
    let (world, report) = missing_bob(|org| {
        org.people.push(Human {
            email: Some("bob at example.com".to_owned()),
            ..person("bob")
        });
    })
    .await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(findings(&report, "unidentified_opa_user"), ["bob"]);
}

/// The account's address goes through a domain alias and an alias, and is the OPA name to the letter.
#[tokio::test]
async fn i7_a_name_that_is_the_whole_address_shields_whatever_the_key_is() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.people.retain(|p| p.name != "bob");
    org.account("bob").email = Some("bob@old.example".to_owned());
    org.people.push(nameless("bob@old.example"));
    let rules = Rules {
        domain_aliases: vec![("old.example".to_owned(), "example.com".to_owned())],
        aliases: vec![(
            "bob@example.com".to_owned(),
            "robert@example.com".to_owned(),
        )],
        ..at_once()
    };
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(findings(&report, "possible_match"), ["bob@old.example"]);
}

#[tokio::test]
async fn i7_an_address_that_only_the_look_up_by_name_shows_is_used() {
    use rolecall::sandbox::{Answer, Fault, FaultKind};
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("bob").email = None;
    let world = World::start(&org, &at_once()).await;
    let whole = serde_json::json!({
        "id": "id-bob", "name": "bob", "status": "ACTIVE", "user_type": "human",
        "details": { "email": "bob@example.com" },
    });
    let answer = FaultKind::Answer(Answer::status(200).json(&whole));
    world
        .sandbox
        .inject(Fault::opa(answer).on("GET", "/users/bob"));
    let report = world.sync().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.outcome, Outcome::InSync);
}

#[tokio::test]
async fn i8_a_renamed_person_keeps_the_old_account() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &at_once()).await;
    world.sync().await;
    let team = world.sandbox.opa();
    for email in [Some("robert@example.com"), None] {
        team.rename_address("bob", email).unwrap();
        let report = world.sync().await;
        assert_eq!(world.deactivated(), [""; 0]);
        assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
    }
    team.disable("bob").unwrap();
    world.sync().await;
    assert_eq!(
        world.deactivated(),
        ["bob"],
        "gone is gone, under whatever address"
    );
}

#[tokio::test]
async fn i8_an_address_that_went_to_somebody_else_gets_no_new_role() {
    let mut org = Org::in_step(["ada", "desk"]);
    org.groups.push("dev".to_owned());
    let rules = Rules {
        patterns: vec![("dev".to_owned(), "PowerUsers".to_owned())],
        ..at_once()
    };
    let world = World::start(&org, &rules).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.rename_address("desk", Some("dora@example.com"))
        .unwrap();
    world.hire(&Human {
        email: Some("desk@example.com".to_owned()),
        groups: vec!["dev".to_owned()],
        ..person("emil")
    });
    let report = world.sync().await;
    assert_eq!(
        report.actions,
        [],
        "whose account this is, nobody knows yet"
    );
    assert_eq!(
        world.sync().await.actions.len(),
        1,
        "the new owner has carried it since"
    );
}

#[tokio::test]
async fn i9_a_look_alike_shields_until_it_has_an_account_of_its_own() {
    let twin = "b\u{43e}b";
    let look_alike = || Human {
        email: Some(format!("{twin}@example.com")),
        ..person("u17")
    };
    let (world, report) = missing_bob(|org| org.people.push(look_alike())).await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(findings(&report, "possible_match"), ["bob@example.com"]);
    let (world, _) = missing_bob(|org| {
        org.people.push(look_alike());
        org.accounts.push(account(twin));
    })
    .await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn i5_neither_of_two_accounts_with_one_key_is_touched() {
    let (world, report) = missing_bob(|org| {
        let mut twin = account("bob2");
        twin.email = Some("BOB@EXAMPLE.COM".to_owned());
        org.accounts.push(twin);
    })
    .await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(
        findings(&report, "duplicate_opsera_email"),
        ["bob@example.com"]
    );
    for id in ["acct-bob", "acct-bob2"] {
        assert!(
            report.findings[0].detail.contains(id),
            "both records are named"
        );
    }
}

#[tokio::test]
async fn i6_an_account_without_a_usable_address_is_not_touched() {
    let (world, report) = missing_bob(|org| {
        org.account("bob").email = Some("bob@bob@example.com".to_owned());
        let mut empty = account("nobody");
        empty.email = None;
        org.accounts.push(empty);
    })
    .await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(
        findings(&report, "invalid_email"),
        ["acct-nobody", "bob@bob@example.com"]
    );
}

#[tokio::test]
async fn i3_an_unknown_status_keeps_account_and_role() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("bob").status = "SUSPENDED".to_owned();
    let rules = Rules {
        default: "Users".to_owned(),
        ..at_once()
    };
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(findings(&report, "unknown_status"), ["bob@example.com"]);
    assert!(report.actions.iter().all(|a| a.email == "ada@example.com"));
}

#[tokio::test]
async fn s4_protected_accounts_and_the_tokens_owner_stay() {
    let mut org = Org::in_step(["ada"]);
    for name in ["root.one", "ROOT.two", "bot", "plain"] {
        org.accounts.push(account(name));
    }
    let rules = Rules {
        protect: vec!["Root.???@*".to_owned()],
        token_owner: " BOT@example.com".to_owned(),
        ..at_once()
    };
    let world = World::start(&org, &rules).await;
    let report = world.sync().await;
    assert_eq!(world.deactivated(), ["plain"]);
    assert_eq!(report.summary.protected, 3);
}
