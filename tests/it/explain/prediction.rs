//! What `explain` foretells is what the next run does.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rolecall::domain::{ActionReport, FindingKind, Mode};
use rolecall::sandbox::{SandboxOptions, SiteRoleField};

use super::World;

type Foretold = (String, Option<String>, Option<String>, Option<String>);

fn of_action(action: &ActionReport) -> Foretold {
    (
        action.kind.as_str().to_owned(),
        action.from.clone(),
        action.to.clone(),
        Some(action.reason.clone()),
    )
}

fn check(seed: u64, users: u32, reported: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut world = World::with("", |options| SandboxOptions {
            users,
            seed,
            site_role: if reported {
                SiteRoleField::Reported
            } else {
                SiteRoleField::Missing
            },
            ..options
        })
        .await;
        world.run(Mode::DryRun).await;
        let mut foretold: BTreeMap<String, Foretold> = BTreeMap::new();
        let accounts = world.sandbox.opsera().accounts();
        let addresses = accounts.iter().map(|account| account.id.clone());
        let people = world.sandbox.opa().people();
        let people = people.into_iter().map(|person| person.name);
        let mut concerned = 0;
        let mut creations: BTreeMap<String, Foretold> = BTreeMap::new();
        for text in addresses.chain(people) {
            let explanation = world.explain(&text).await;
            if let Some(decision) = explanation.without_account
                && decision.kind == "create"
            {
                let key = explanation.identity.key.unwrap();
                creations.insert(
                    key.as_str().to_owned(),
                    (
                        decision.kind.to_owned(),
                        decision.from,
                        decision.to,
                        decision.reason,
                    ),
                );
            }
            for account in explanation.accounts {
                if ["set_role", "deactivate"].contains(&account.decision.kind) {
                    let decision = account.decision;
                    concerned += u32::from(explanation.guards.concerns_this_person);
                    foretold.insert(
                        account.opsera_id.as_str().to_owned(),
                        (
                            decision.kind.to_owned(),
                            decision.from,
                            decision.to,
                            decision.reason,
                        ),
                    );
                }
            }
        }
        let report = world.run(Mode::DryRun).await;
        let done: BTreeMap<String, Foretold> = report
            .actions
            .iter()
            .filter_map(|action| {
                let id = action.opsera_id.as_ref()?;
                Some((id.as_str().to_owned(), of_action(action)))
            })
            .collect();
        assert_eq!(foretold, done);
        assert!(done.is_empty() || concerned > 0);
        // A run asks Opsera first, and leaves those out whose account turns out to exist.
        for action in report
            .actions
            .iter()
            .filter(|action| action.opsera_id.is_none())
        {
            assert!(
                creations
                    .values()
                    .any(|foretold| *foretold == of_action(action)),
                "{action:?} was not foretold"
            );
        }
        let planned = report.actions.len() - done.len();
        let existing = report.findings.iter();
        let existing = existing.filter(|f| f.kind == FindingKind::InactiveOpseraAccount);
        assert_eq!(creations.len(), planned + existing.count());
    });
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each case is a whole organisation; PROPTEST_CASES asks for more.
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_foretold_action_is_in_the_next_plan_and_no_other(
        seed in any::<u64>(),
        users in 2_u32..60,
        reported in any::<bool>(),
    ) {
        check(seed, users, reported);
    }
}
