//! `deactivation.release` to the letter, and the shields where a directory is at its strangest.

use std::time::Duration;

use rolecall::domain::{Mode, Outcome};
use rolecall::sandbox::{Answer, Fault, FaultKind};
use rolecall::settings::{ConfigSources, Settings};

use crate::model::{Human, Org, Rules};
use crate::world::{World, account, findings, person};

fn at_once() -> Rules {
    Rules {
        grace: 0,
        ..Rules::default()
    }
}

/// bob was renamed before the first run, so that I10 keeps his account.
fn bob_is_robert() -> Org {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("bob").email = Some("robert@example.com".to_owned());
    org
}

#[tokio::test]
async fn a_release_is_no_way_past_protection() {
    for owner in [false, true] {
        let mut rules = Rules {
            release: vec!["bob@example.com".to_owned()],
            ..at_once()
        };
        if owner {
            rules.token_owner = "Bob@Example.com".to_owned();
        } else {
            rules.protect.push("bob@*".to_owned());
        }
        let world = World::start(&bob_is_robert(), &rules).await;
        let report = world.sync().await;
        assert_eq!(report.summary.protected, 1, "{:?}", report.error);
        assert_eq!(world.deactivated(), [""; 0], "owner: {owner}");
    }
}

#[test]
fn a_release_that_is_no_address_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rolecall.toml");
    for wrong in ["bob", "bob@", "@example.com", ""] {
        std::fs::write(&file, format!("[deactivation]\nrelease = [{wrong:?}]\n")).unwrap();
        let errors = Settings::load(&ConfigSources {
            files: vec![file.clone()],
            environment: Vec::new(),
            candidates: Vec::new(),
        })
        .unwrap_err()
        .to_string();
        let mut lines = errors
            .lines()
            .filter(|line| line.contains("deactivation.release"));
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("{wrong:?}: {errors}"));
        assert!(line.contains("rolecall.toml"), "{line}");
    }
}

#[tokio::test]
async fn a_release_ends_no_grace_and_passes_no_guard() {
    let mut rules = Rules {
        release: vec!["bob@example.com".to_owned()],
        grace: 3600,
        ..Rules::default()
    };
    let mut world = World::start(&bob_is_robert(), &rules).await;
    for _ in 0..3 {
        assert_eq!(world.sync().await.summary.waiting, 1);
        world.pass(Duration::from_mins(5));
    }
    world.pass(Duration::from_hours(1));
    rules.limits.max_deactivations = 0;
    world.set_rules(&rules, "");
    assert_eq!(world.sync().await.outcome, Outcome::Held);
    rules.limits.max_deactivations = 1;
    world.set_rules(&rules, "");
    world.sync().await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn addresses_that_go_round_three_people_cost_nobody_the_account() {
    let world = World::start(&Org::in_step(["ada", "bob", "cleo"]), &at_once()).await;
    world.sync().await;
    let mut addresses = ["ada", "bob", "cleo"].map(|name| format!("{name}@example.com"));
    for _ in 0..7 {
        addresses.rotate_left(1);
        for (name, address) in ["ada", "bob", "cleo"].iter().zip(&addresses) {
            let team = world.sandbox.opa();
            team.rename_address(name, Some(address)).unwrap();
        }
        assert_eq!(world.sync().await.error, None);
    }
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn two_hundred_renames_later_the_first_account_is_still_theirs() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &at_once()).await;
    let team = world.sandbox.opa();
    for number in 0..200 {
        world.run(Mode::DryRun).await;
        let address = format!("bob{number}@example.com");
        team.rename_address("bob", Some(&address)).unwrap();
    }
    let report = world.sync().await;
    assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
    assert_eq!(world.deactivated(), [""; 0]);
    team.disable("bob").unwrap();
    let report = world.sync().await;
    assert_eq!(report.error, None);
    assert_eq!(
        world.deactivated(),
        ["bob"],
        "nobody is on the way any more"
    );
}

#[tokio::test]
async fn a_team_in_which_everybody_has_one_name_is_doubt_and_a_short_finding() {
    let mut org = Org::in_step(["ada"]);
    let mut gone = account("gone");
    (gone.first, gone.last) = ("Jan".to_owned(), "Novak".to_owned());
    org.accounts.push(gone);
    for number in 0..300 {
        org.people.push(Human {
            first: Some("Jan".to_owned()),
            last: Some("Novak".to_owned()),
            ..person(&format!("n{number}"))
        });
    }
    let world = World::start(&org, &at_once()).await;
    let report = world.sync().await;
    assert_eq!(findings(&report, "possible_match"), ["gone@example.com"]);
    let mut details = report.findings.iter().map(|finding| &finding.detail);
    let named = |detail: &String| detail.matches("@example.com, id ").count();
    assert!(details.all(|detail| {
        detail.len() < 2_000 && named(detail) == 10 && detail.contains("at least 300 people")
    }));
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn a5_a_401_while_applying_stops_the_run_keeps_the_rest_planned_and_says_what_to_do() {
    let mut org = Org::in_step(["ada", "bob", "cleo", "dan"]);
    for name in ["bob", "cleo", "dan"] {
        org.person(name).status = "DISABLED".to_owned();
    }
    let world = World::start(&org, &at_once()).await;
    let no = FaultKind::Answer(Answer::status(401).body("no"));
    let fault = Fault::opsera(no).on("DELETE", "/user").after(1).times(10);
    world.sandbox.inject(fault);
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(world.deactivated(), ["bob"]);
    assert_eq!(world.sandbox.journal().writes().len(), 2, "not one more");
    let error = report.error.unwrap();
    for words in ["401", "the run stopped at once", "set opsera.token_file"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    let store = world.store().await;
    let planned: i64 = sqlx::query_scalar("SELECT count(*) FROM actions WHERE state = 'planned'")
        .fetch_one(store.reader())
        .await
        .unwrap();
    store.close().await;
    assert_eq!(planned, 2);
    world.sandbox.clear_faults();
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    assert_eq!(world.deactivated(), ["bob", "cleo", "dan"]);
}

/// The run fails in the plan or is cut off while it writes: what its pull showed is remembered.
#[tokio::test]
async fn a_run_that_ends_after_its_pull_still_teaches_the_memory() {
    let mut org = Org::in_step(["ada", "bob", "cleo"]);
    org.person("cleo").status = "DISABLED".to_owned();
    let world = World::start(&org, &at_once()).await;
    let team = world.sandbox.opa();
    world.dry_run().await;
    team.rename_address("bob", Some("robert@example.com"))
        .unwrap();
    // 401 stops the run at once, in the middle of its writes.
    let no = FaultKind::Answer(Answer::status(401).body("no"));
    world
        .sandbox
        .inject(Fault::opsera(no).on("DELETE", "/user").times(10));
    assert_eq!(world.sync().await.outcome, Outcome::Failed);
    world.sandbox.clear_faults();
    team.purge("bob").unwrap();
    world.hire(&Human {
        email: Some("robert@example.com".to_owned()),
        ..person("u17")
    });
    let report = world.sync().await;
    assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
    assert_eq!(world.deactivated(), ["cleo"]);
}
