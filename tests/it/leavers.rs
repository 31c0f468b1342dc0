//! Leavers: a person gone from the Team loses the Opsera account, once, and never on doubt.

use std::time::Duration;

use rolecall::domain::{ActionStatus, Outcome};
use rolecall::sandbox::{Answer, Fault, FaultKind, Visibility};

use crate::model::{Human, Org, Rules};
use crate::world::{World, account, findings, person, with_status};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn s4_a_disabled_person_loses_the_account_once_and_a_second_run_finds_nothing() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
    world.sandbox.opa().disable("bob").unwrap();
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    assert_eq!(world.deactivated(), ["bob"]);
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn s4_every_evidence_acts_only_where_deactivation_on_names_it() {
    for on in ["disabled", "deleted", "absent", "not_in_required_group"] {
        let mut org = Org::in_step([
            "ada",
            "disabled",
            "deleted",
            "absent",
            "not_in_required_group",
        ]);
        for name in ["ada", "disabled", "deleted"] {
            org.join(name, "members");
        }
        org.person("disabled").status = "DISABLED".to_owned();
        org.person("deleted").status = "DELETED".to_owned();
        org.people.retain(|p| p.name != "absent");
        let rules = Rules {
            on: vec![on.to_owned()],
            grace: 0,
            required: vec!["members".to_owned()],
            ..Rules::default()
        };
        let world = World::start(&org, &rules).await;
        let report = world.sync().await;
        assert_eq!(world.deactivated(), [on]);
        assert_eq!(report.summary.unmanaged, 3);
    }
}

#[tokio::test]
async fn s4_an_absent_person_goes_when_the_grace_is_over_and_not_a_moment_before() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.people.retain(|p| p.name != "bob");
    let world = World::start(&org, &Rules::default()).await;
    let first = world.sync().await;
    assert_eq!(first.waiting.len(), 1);
    assert_eq!(
        first.waiting[0].due - first.waiting[0].since,
        chrono::TimeDelta::hours(1)
    );
    world.pass(Duration::from_secs(3599));
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.sync().await.outcome, Outcome::Applied);
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn s4_coming_back_resets_the_clock() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.purge("bob").unwrap();
    assert_eq!(world.sync().await.waiting.len(), 1);
    world.pass(HOUR / 2);
    world.hire(&Human {
        email: Some("bob@example.com".to_owned()),
        ..person("bob2")
    });
    assert_eq!(world.sync().await.waiting.len(), 0);
    team.purge("bob2").unwrap();
    world.pass(HOUR / 2);
    assert_eq!(world.sync().await.waiting.len(), 1, "the hour begins anew");
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn s4_a_pull_that_fails_moves_no_clock() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
    world.sandbox.opa().purge("bob").unwrap();
    let broken = Fault::opa(FaultKind::Answer(Answer::status(404))).on("GET", "/users");
    world.sandbox.inject(broken);
    assert_eq!(world.sync().await.outcome, Outcome::Failed);
    world.pass(HOUR * 2);
    assert_eq!(world.sync().await.waiting.len(), 1, "the clock starts now");
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn i4_a_re_hire_keeps_the_account_of_the_deleted_record() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("bob").status = "DELETED".to_owned();
    org.people.push(Human {
        email: Some("Bob@Example.com".to_owned()),
        ..person("bob.2")
    });
    let world = World::start(&org, &Rules::default()).await;
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::InSync);
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn i4_disabled_beats_deleted_as_evidence() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.person("bob").status = "DELETED".to_owned();
    org.people.push(Human {
        email: Some("bob@example.com".to_owned()),
        status: "DISABLED".to_owned(),
        ..person("bob.2")
    });
    let world = World::start(&org, &Rules::default()).await;
    assert_eq!(world.dry_run().await.actions[0].reason, "disabled");
}

#[tokio::test]
async fn i3_a_service_user_entitles_nobody() {
    let mut org = Org::in_step(["ada", "robot"]);
    org.person("robot").service = true;
    let rules = Rules {
        grace: 0,
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    world.sync().await;
    assert_eq!(world.deactivated(), ["robot"]);
}

#[tokio::test]
async fn a2_a_person_whom_the_listing_lost_is_found_by_name_and_nobody_absent_goes() {
    let rules = Rules {
        grace: 0,
        ..Rules::default()
    };
    let world = World::start(&Org::in_step(["ada", "bob", "eve", "max"]), &rules).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.set_visibility("bob", Visibility::Hidden).unwrap();
    team.purge("eve").unwrap();
    team.disable("max").unwrap();
    let report = world.sync().await;
    assert_eq!(world.deactivated(), ["max"], "other evidence still counts");
    assert_eq!(
        findings(&report, "inconsistent_listing"),
        ["bob@example.com"]
    );
    let skipped = with_status(&report, ActionStatus::Skipped);
    assert_eq!(skipped, ["bob@example.com", "eve@example.com"]);
}

/// The listing lost bob while a second record with his address came and went.
#[tokio::test]
async fn a2_a_record_that_had_the_address_before_another_one_did_is_read_as_well() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.set_visibility("bob", Visibility::Hidden).unwrap();
    world.hire(&Human {
        email: Some("bob@example.com".to_owned()),
        ..person("robert")
    });
    world.sync().await;
    team.disable("robert").unwrap();
    let report = world.sync().await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(
        findings(&report, "inconsistent_listing"),
        ["bob@example.com"]
    );
}

/// Whoever handed an address on long ago keeps nobody else's account alive.
#[tokio::test]
async fn a2_a_former_owner_with_another_address_does_not_keep_the_next_ones_account() {
    let world = World::start(&Org::in_step(["ada", "desk"]), &Rules::default()).await;
    world.sync().await;
    let team = world.sandbox.opa();
    team.rename_address("desk", Some("dora@example.com"))
        .unwrap();
    world.hire(&Human {
        email: Some("desk@example.com".to_owned()),
        ..person("emil")
    });
    world.sync().await;
    team.disable("emil").unwrap();
    world.sync().await;
    assert_eq!(world.deactivated(), ["desk"]);
}

#[tokio::test]
async fn a2_doubt_about_one_record_does_not_hide_that_the_listing_lost_another() {
    let rules = Rules {
        grace: 0,
        ..Rules::default()
    };
    let mut org = Org::in_step(["ada", "bob", "eve"]);
    org.people.push(Human {
        email: Some("bob@example.com".to_owned()),
        ..person("abe")
    });
    let world = World::start(&org, &rules).await;
    world.sync().await;
    let team = world.sandbox.opa();
    for name in ["abe", "bob"] {
        team.set_visibility(name, Visibility::Hidden).unwrap();
    }
    team.purge("eve").unwrap();
    let broken = Fault::opa(FaultKind::Answer(Answer::status(418))).on("GET", "/users/abe");
    world.sandbox.inject(broken.always());
    let report = world.sync().await;
    assert_eq!(world.deactivated(), [""; 0]);
    assert_eq!(
        findings(&report, "inconsistent_listing"),
        ["bob@example.com"]
    );
}

#[tokio::test]
async fn a2_an_account_that_changed_hands_since_the_pull_is_left_alone() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
    world.sandbox.opa().disable("bob").unwrap();
    let sandbox = std::sync::Arc::downgrade(&world.sandbox);
    world.sandbox.journal().on_receive(move |received| {
        if received.path == "/user/acct-bob" && received.method == "GET" {
            let sandbox = sandbox.upgrade().unwrap();
            let moved = Some("carl@example.com".to_owned());
            sandbox
                .opsera()
                .edit("acct-bob", |a| a.email = moved)
                .unwrap();
        }
    });
    let report = world.sync().await;
    assert_eq!(report.actions[0].status, ActionStatus::Skipped);
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn a3_a_throttled_deactivation_happens_once() {
    let world = World::start(&Org::in_step(["ada", "bob"]), &Rules::default()).await;
    world.sandbox.opa().disable("bob").unwrap();
    let slow = Answer::status(429).header("retry-after", 90);
    world
        .sandbox
        .inject(Fault::opsera(FaultKind::Answer(slow)).on("DELETE", "/user"));
    let before = world.now();
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Applied);
    assert!(world.now() - before >= chrono::TimeDelta::seconds(90));
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn a5_an_owner_of_pipelines_is_refused_and_left_alone_for_a_day() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.account("bob").owned = 2;
    let world = World::start(&org, &Rules::default()).await;
    world.sandbox.opa().disable("bob").unwrap();
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert!(
        report.actions[0]
            .message
            .as_ref()
            .unwrap()
            .contains("ownership")
    );
    world.sandbox.journal().clear();
    world
        .sandbox
        .opsera()
        .transfer_ownership("acct-bob")
        .unwrap();
    world.sync().await;
    assert_eq!(world.sandbox.journal().writes(), []);
    world.pass(HOUR * 24);
    world.sync().await;
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn s4_accounts_out_of_scope_are_nobodys_business() {
    let mut org = Org::in_step(["ada"]);
    let mut stranger = account("stranger");
    stranger.email = Some("stranger@elsewhere.example".to_owned());
    org.accounts.push(stranger);
    let rules = Rules {
        domains: vec!["example.com".to_owned()],
        grace: 0,
        ..Rules::default()
    };
    let report = World::start(&org, &rules).await.sync().await;
    assert_eq!(report.outcome, Outcome::InSync);
    assert_eq!(report.opsera.managed, 1);
}
