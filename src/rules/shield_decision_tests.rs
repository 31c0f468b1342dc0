//! The doubt shields in a decision (I7 to I10): what they keep, what they say, what releases.

use super::tests::*;
use super::*;
use crate::domain::OpaId;
use crate::rules::facts::{KeyHolder, WalkEnd};

type Doubt = fn(&mut AccountFacts);

#[test]
fn each_shield_keeps_the_account_and_names_whom_it_protects() {
    let shields: [(Doubt, FindingKind); 4] = [
        (
            |facts| facts.unidentified = candidates([holder()]),
            FindingKind::PossibleMatch,
        ),
        (
            |facts| facts.renamed = vec![renamed()],
            FindingKind::Renamed,
        ),
        (
            |facts| facts.look_alikes = candidates([holder()]),
            FindingKind::PossibleMatch,
        ),
        (
            |facts| facts.unclaimed = candidates([holder()]),
            FindingKind::PossibleMatch,
        ),
    ];
    for (shield, kind) in shields {
        let mut facts = account(vec![]);
        shield(&mut facts);
        let decided = decide_account(&facts, &policy(), noon());
        assert_eq!(decided.decision, Decision::Doubt);
        assert_eq!(kinds(&decided), [kind]);
        assert!(decided.findings[0].detail.contains("jane.new"));
        // Only where it would otherwise be deactivated.
        let mut unmanaged = policy();
        unmanaged.deactivate_on.clear();
        let decided = decide_account(&facts, &unmanaged, noon());
        assert_eq!(decided.decision, Decision::Unmanaged);
        assert!(decided.findings.is_empty());
    }
}

#[test]
fn every_doubt_about_an_account_is_told_each_with_its_own_cure() {
    let mut facts = account(vec![]);
    facts.renamed = vec![renamed()];
    facts.unidentified = candidates([holder()]);
    facts.look_alikes = candidates([holder()]);
    facts.unclaimed = candidates([holder()]);
    let decided = decide_account(&facts, &policy(), noon());
    assert_eq!(decided.decision, Decision::Doubt);
    assert_eq!(
        kinds(&decided),
        [FindingKind::Renamed, FindingKind::PossibleMatch]
    );
    let detail = &decided.findings[1].detail;
    assert!(
        detail.starts_with(
            "may belong to jane.new (jane.new@example.com, id 7), who is ACTIVE in OPA without a \
             usable address and has the same name, and also the two addresses look the same ("
        ),
        "{detail}"
    );
}

#[test]
fn whoever_may_own_an_account_for_two_reasons_is_named_once_with_both() {
    let other = KeyHolder {
        id: OpaId::new("8"),
        ..holder()
    };
    let mut facts = account(vec![]);
    facts.look_alikes = candidates([holder()]);
    facts.unclaimed = candidates([holder(), other]);
    facts.unclaimed.total = 300;
    let decided = decide_account(&facts, &policy(), noon());
    let detail = &decided.findings[0].detail;
    assert_eq!(detail.matches("id 7)").count(), 1, "{detail}");
    assert_eq!(detail.matches("id 8)").count(), 1, "{detail}");
    assert!(
        detail.contains(
            ", and also has the same name (at least 300 people), or to jane.new \
             (jane.new@example.com, id 8), who is ACTIVE in OPA, has no Opsera account, and has \
             the same name (at least 300 people) — account"
        ),
        "{detail}"
    );
}

#[test]
fn i10_speaks_only_where_no_record_has_the_accounts_own_key() {
    for (status, kept) in [
        (None, true),
        (Some("DISABLED"), false),
        (Some("DELETED"), false),
    ] {
        let people = status
            .map(|status| person("1", status))
            .into_iter()
            .collect();
        let mut facts = account(people);
        facts.unclaimed = candidates([holder()]);
        let decided = decide_account(&facts, &policy(), noon());
        assert_eq!(decided.decision == Decision::Doubt, kept, "{status:?}");
    }
}

#[test]
fn a_walk_without_an_end_is_doubt_and_says_so() {
    let mut facts = account(vec![]);
    facts.renamed_walk = WalkEnd::TooLong;
    let decided = decide_account(&facts, &policy(), noon());
    assert_eq!(kinds(&decided), [FindingKind::Renamed]);
    assert!(decided.findings[0].detail.contains("can be looked at"));
}

#[test]
fn a_released_account_is_kept_by_no_shield_and_plan_and_evidence_say_what_was_overridden() {
    let mut facts = account(vec![]);
    facts.renamed = vec![renamed()];
    facts.unidentified = candidates([holder()]);
    facts.look_alikes = candidates([holder()]);
    facts.unclaimed = candidates([holder()]);
    let mut policy = policy();
    let key = facts.identity.clone().unwrap().1;
    policy.release.insert(key);
    let decided = decide_account(&facts, &policy, noon());
    assert!(decided.findings.is_empty());
    let Decision::Act(action) = &decided.decision else {
        panic!("{decided:?}");
    };
    assert!(
        action
            .reason
            .starts_with("absent; released by deactivation.release"),
        "{}",
        action.reason
    );
    let evidence = action.evidence.to_value();
    let rules: Vec<&str> = evidence["overridden_shields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shield| shield["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["I8", "I7", "I9", "I10"]);
    policy.protection.token_owner = Address::parse("jane@example.com").ok();
    assert_eq!(
        decide_account(&facts, &policy, noon()).decision,
        Decision::Protected,
        "protection is no shield of doubt"
    );
}

#[test]
fn a_release_without_a_shield_changes_no_word_of_the_plan() {
    let facts = account(vec![]);
    let mut policy = policy();
    let before = decide_account(&facts, &policy, noon());
    policy.release.insert(facts.identity.clone().unwrap().1);
    assert_eq!(decide_account(&facts, &policy, noon()), before);
}
