//! Whom every run leaves alone, and who left a Team with required groups: `explain` says so too.

use rolecall::domain::Mode;
use rolecall::sandbox::{AccountSeed, AccountStatus};

use super::{World, rendered};

#[tokio::test]
async fn a_disabled_person_is_not_said_to_lack_a_required_group_and_the_cure_is_told() {
    for lookup in ["user", "group"] {
        let mut world = World::new(&format!(
            "[scope]\nrequired_groups = [\"opsera-users\"]\n[roles]\nlookup = \"{lookup}\"\n"
        ))
        .await;
        world.person("daniel", &["opsera-users"]);
        world.account("daniel@example.com", "Users");
        world.sandbox.opa().disable("daniel").unwrap();
        world.run(Mode::DryRun).await;
        let explanation = world.explain("daniel@example.com").await;
        assert_eq!(explanation.accounts[0].decision.kind, "deactivate");
        let told = rendered(&explanation);
        assert!(told.contains("not entitled: disabled"), "{told}");
        assert!(!told.contains("of the required groups"), "{told}");
        assert!(told.contains("enable daniel in OPA"), "{told}");
    }
}

#[tokio::test]
async fn nobody_is_told_to_get_an_account_that_every_run_withholds() {
    for status in [AccountStatus::Inactive, AccountStatus::Pending] {
        let mut world = World::new("[provision]\nenabled = true\n").await;
        world.person("ingrid", &[]);
        let mut seed = AccountSeed::active("ingrid@example.com");
        seed.status = status;
        let id = world.sandbox.opsera().add(seed).unwrap();
        world.run(Mode::DryRun).await;
        for explanation in [
            world.explain("ingrid@example.com").await,
            world.explain_live("ingrid@example.com").await,
        ] {
            let decision = explanation.without_account.as_ref().unwrap();
            assert_ne!(decision.kind, "create");
            let told = rendered(&explanation);
            assert!(!told.contains("would create"), "{told}");
            assert!(told.contains(&id), "{told}");
        }
    }
}

/// The account appears after the run, so only `--live` can know.
#[tokio::test]
async fn live_decides_the_headline_where_opsera_knows_the_address_after_all() {
    let mut world = World::new("[provision]\nenabled = true\n").await;
    world.person("ingrid", &[]);
    world.run(Mode::DryRun).await;
    let before = world.explain("ingrid@example.com").await;
    assert!(before.headline.contains("create"), "{}", before.headline);
    let mut seed = AccountSeed::active("ingrid@example.com");
    seed.status = AccountStatus::Inactive;
    world.sandbox.opsera().add(seed).unwrap();
    let after = world.explain_live("ingrid@example.com").await;
    assert!(!after.headline.contains("create"), "{}", after.headline);
}
