//! Doubt keeps the account: duplicates, people without an address, renames, look-alikes, protection.

use rolecall::domain::{Finding, FindingKind, Outcome, Report};

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
        "b.o_b@ex-ample.com",
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

/// I3: such a person keeps the account, and it is theirs under the old address still.
#[tokio::test]
async fn i8_a_renamed_person_with_an_unknown_status_keeps_the_old_account() {
    for email in [Some("robert@example.com"), None] {
        let world = World::start(&Org::in_step(["ada", "bob"]), &at_once()).await;
        world.sync().await;
        let team = world.sandbox.opa();
        team.rename_address("bob", email).unwrap();
        team.set_status("bob", "SUSPENDED").unwrap();
        for _ in 0..3 {
            let report = world.sync().await;
            assert_eq!(report.outcome, Outcome::InSync, "nothing is even tried");
            assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
            let renamed = |f: &&Finding| f.kind == FindingKind::Renamed;
            let detail = &report.findings.iter().find(renamed).unwrap().detail;
            assert!(
                detail.contains("the status \"SUSPENDED\" today"),
                "{detail}"
            );
        }
        team.disable("bob").unwrap();
        world.sync().await;
        assert_eq!(world.deactivated(), ["bob"]);
    }
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

/// bob is renamed, then his record is deleted and he gets another one with the new address.
async fn renamed_and_recreated(between: usize) -> (World, Report) {
    let world = World::start(&Org::in_step(["ada", "bob"]), &at_once()).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.rename_address("bob", Some("robert@example.com"))
        .unwrap();
    for _ in 0..between {
        world.sync().await;
    }
    team.delete("bob").unwrap();
    world.hire(&Human {
        email: Some("robert@example.com".to_owned()),
        ..person("u17")
    });
    let report = world.sync().await;
    (world, report)
}

#[tokio::test]
async fn i8_a_renamed_person_with_a_new_record_keeps_the_account_and_the_finding_names_the_steps() {
    for between in [0, 1, 3] {
        let (world, report) = renamed_and_recreated(between).await;
        assert_eq!(world.deactivated(), [""; 0], "{between} runs between");
        assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
        let detail = &report.findings[0].detail;
        for part in [
            "bob (id id-bob) carried bob@example.com last",
            "then robert@example.com, which went to u17 (id id-u17)",
            "u17 is ACTIVE today under robert@example.com",
        ] {
            assert!(detail.contains(part), "{detail}");
        }
        world.sandbox.opa().disable("u17").unwrap();
        world.sync().await;
        assert_eq!(world.deactivated(), ["bob"], "nobody on the way is ACTIVE");
    }
}

#[tokio::test]
async fn i8_the_entry_in_aliases_that_the_finding_asks_for_gives_the_account_back() {
    let (mut world, _) = renamed_and_recreated(1).await;
    let rules = Rules {
        aliases: vec![(
            "bob@example.com".to_owned(),
            "robert@example.com".to_owned(),
        )],
        ..at_once()
    };
    world.set_rules(&rules, "");
    let report = world.sync().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.outcome, Outcome::InSync);
}

#[tokio::test]
async fn i8_what_a_run_saw_is_remembered_also_if_it_failed_after_its_pull() {
    use rolecall::sandbox::{Answer, Fault, FaultKind};
    let mut org = Org::in_step(["ada", "bob"]);
    org.people.push(person("joiner"));
    let rules = Rules {
        provision: true,
        ..at_once()
    };
    let world = World::start(&org, &rules).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.rename_address("bob", Some("robert@example.com"))
        .unwrap();
    // Whoever has no account is asked for after the pull is complete.
    let no = FaultKind::Answer(Answer::status(403).body("no"));
    world
        .sandbox
        .inject(Fault::opsera(no).on("GET", "/user/robert").times(100));
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(report.opa.complete, "the pull was complete");
    world.sandbox.clear_faults();
    // No record says any more that bob was robert: only the memory can.
    team.purge("bob").unwrap();
    world.hire(&Human {
        email: Some("robert@example.com".to_owned()),
        ..person("u17")
    });
    let report = world.sync().await;
    assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn i8_a_dry_run_and_a_held_run_remember_too() {
    for held in [false, true] {
        let mut rules = at_once();
        if held {
            rules.limits.min_opa_users = 100;
        }
        let mut world = World::start(&Org::in_step(["ada", "bob"]), &at_once()).await;
        world.sync().await;
        let robert = Some("robert@example.com");
        world.sandbox.opa().rename_address("bob", robert).unwrap();
        world.set_rules(&rules, "");
        if held {
            assert_eq!(world.sync().await.outcome, Outcome::Held);
        } else {
            world.dry_run().await;
        }
        world.set_rules(&at_once(), "");
        world.sandbox.opa().purge("bob").unwrap();
        world.hire(&Human {
            email: Some("robert@example.com".to_owned()),
            ..person("u17")
        });
        let report = world.sync().await;
        assert_eq!(findings(&report, "renamed"), ["bob@example.com"], "{held}");
    }
}

/// Nothing is remembered yet; the name still shows the address bob started with.
fn renamed_before_the_first_run() -> Org {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("bob").email = Some("robert@example.com".to_owned());
    org
}

#[tokio::test]
async fn i10_whoever_was_renamed_before_the_first_run_keeps_the_account() {
    let world = World::start(&renamed_before_the_first_run(), &at_once()).await;
    let report = world.sync().await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(findings(&report, "possible_match"), ["bob@example.com"]);
    assert!(report.findings[0].detail.contains("robert@example.com"));
}

#[tokio::test]
async fn i10_first_and_last_name_shield_where_both_are_the_same() {
    for (last, kept) in [("Ng", true), ("No", false)] {
        let mut org = renamed_before_the_first_run();
        let bob = org.person("bob");
        bob.name = "u17".to_owned();
        (bob.first, bob.last) = (Some("Robert".to_owned()), Some("ng".to_owned()));
        let account = org.account("bob");
        (account.first, account.last) = ("ROBERT".to_owned(), last.to_owned());
        let world = World::start(&org, &at_once()).await;
        world.sync().await;
        assert_eq!(world.deactivated().is_empty(), kept, "{last}");
    }
}

#[tokio::test]
async fn i10_a_record_with_the_accounts_own_key_says_whose_it_was() {
    let mut org = renamed_before_the_first_run();
    org.people.push(Human {
        email: Some("bob@example.com".to_owned()),
        status: "DISABLED".to_owned(),
        ..person("other")
    });
    let world = World::start(&org, &at_once()).await;
    world.sync().await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn i10_whoever_has_an_account_of_their_own_shields_nobody() {
    let mut org = renamed_before_the_first_run();
    org.accounts.push(account("robert"));
    let world = World::start(&org, &at_once()).await;
    world.sync().await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn a_released_account_goes_in_spite_of_every_shield_and_plan_and_audit_log_say_so() {
    use rolecall::audit::Event;
    use rolecall::store::audit::AuditFilter;
    let rules = Rules {
        release: vec!["Bob@example.com".to_owned()],
        ..at_once()
    };
    let world = World::start(&renamed_before_the_first_run(), &rules).await;
    let plan = world.dry_run().await;
    assert!(
        plan.actions[0].reason.contains("deactivation.release")
            && plan.actions[0].reason.contains("I10"),
        "{}",
        plan.actions[0].reason
    );
    world.sync().await;
    assert_eq!(world.deactivated(), ["bob"]);
    let store = world.store().await;
    let filter = AuditFilter {
        event: Some(Event::ActionStarted),
        ..AuditFilter::default()
    };
    let entries = store.list_audit(&filter).await.unwrap();
    let evidence = entries[0].evidence.clone().unwrap();
    assert!(
        evidence.contains("overridden_shields") && evidence.contains("id-bob"),
        "{evidence}"
    );
    store.close().await;
}

#[tokio::test]
async fn i11_a_leaver_whose_details_were_cleared_still_counts_and_does_not_wait_as_absent() {
    for status in ["DISABLED", "DELETED"] {
        let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
        world.sync().await;
        let clear = |p: &mut rolecall::sandbox::Person| {
            p.email = None;
            p.status = status.to_owned();
        };
        world.sandbox.opa().edit("bob", clear).unwrap();
        let report = world.sync().await;
        assert_eq!(world.deactivated(), ["bob"]);
        assert_eq!(report.actions[0].reason, status.to_lowercase());
    }
}

#[tokio::test]
async fn i5_any_number_of_accounts_with_one_address_is_one_short_finding() {
    let mut org = Org::in_step(["ada"]);
    for number in 0..3000 {
        let mut twin = account(&format!("t{number:04}"));
        twin.email = Some("desk@example.com".to_owned());
        org.accounts.push(twin);
    }
    let world = World::start(&org, &at_once()).await;
    let report = world.dry_run().await;
    assert_eq!(
        findings(&report, "duplicate_opsera_email"),
        ["desk@example.com"]
    );
    let detail = &report.findings[0].detail;
    assert!(detail.contains("acct-t0009") && !detail.contains("acct-t0010"));
    assert!(detail.contains("3000 in all"), "{detail}");
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
async fn i9_the_odd_letter_is_named_on_the_side_that_has_it() {
    let (_, report) = missing_bob(|org| {
        org.account("bob").email = Some("b\u{43e}b@example.com".to_owned());
        org.people.push(Human {
            email: Some("bob@example.com".to_owned()),
            ..person("u17")
        });
    })
    .await;
    let mut details = report
        .findings
        .iter()
        .map(|finding| finding.detail.as_str());
    let told = details.find(|detail| detail.contains("U+043E")).unwrap();
    assert!(
        told.contains("the account has \u{43e} U+043E CYRILLIC"),
        "{told}"
    );
    assert!(!told.contains("LATIN"), "{told}");
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
