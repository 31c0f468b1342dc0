//! Who is protected, by what, and what an end means.

use chrono::TimeDelta;
use wildmatch::WildMatch;

use super::*;
use crate::rules::decision::tests::{noon, policy};

fn pattern(text: &str) -> AddressPattern {
    AddressPattern {
        text: text.to_owned(),
        glob: WildMatch::new(text),
    }
}

fn entry(text: &str, until: Option<Timestamp>) -> ProtectedAccount {
    ProtectedAccount {
        pattern: pattern(text),
        reason: "parental leave".to_owned(),
        until,
        owner: Some("ruth@example.com".to_owned()),
    }
}

fn jane() -> Address {
    Address::parse("jane@example.com").unwrap()
}

fn by(policy: &Policy) -> Option<&'static str> {
    let key = policy.matching.opsera_key(&jane());
    let by = protected_by(&jane(), &key, policy, noon());
    assert_eq!(by.is_some(), is_protected(&jane(), &key, policy, noon()));
    by.map(|by| match by {
        ProtectedBy::Pattern(_) => "pattern",
        ProtectedBy::Account(_) => "account",
        ProtectedBy::TokenOwner => "token owner",
    })
}

#[test]
fn the_first_thing_that_protects_is_named() {
    let mut policy = policy();
    assert_eq!(by(&policy), None);
    policy.protection.token_owner = Some(jane());
    assert_eq!(by(&policy), Some("token owner"));
    policy.protection.accounts = vec![entry("jane@example.com", None)];
    assert_eq!(by(&policy), Some("account"));
    policy.protection.patterns = vec![pattern("jane@*")];
    assert_eq!(by(&policy), Some("pattern"));
}

#[test]
fn an_entry_protects_until_its_end_and_not_at_it() {
    let mut policy = policy();
    for (seconds, protects) in [(-1, false), (0, false), (1, true)] {
        let until = noon() + TimeDelta::seconds(seconds);
        policy.protection.accounts = vec![entry("jane@example.com", Some(until))];
        assert_eq!(by(&policy).is_some(), protects, "{seconds}");
        let ended = ended_protection(&jane(), &policy, noon());
        assert_eq!(ended.is_some(), !protects, "{seconds}");
    }
}

#[test]
fn an_entry_that_ended_is_told_once_by_the_account_or_by_itself() {
    let mut policy = policy();
    let ended = entry("jane@example.com", Some(noon()));
    let goes_on = entry("bob@example.com", None);
    policy.protection.accounts = vec![ended.clone(), goes_on];
    let by_the_account = touched("Jane@Example.com", &ended);
    for words in [
        "the protection of jane@example.com ended at 2026-03-01T12:00:00Z",
        "reason: parental leave, owner: ruth@example.com",
        "is held until somebody approves it",
    ] {
        assert!(by_the_account.detail.contains(words), "{by_the_account:?}");
    }
    assert_eq!(ended_entries(&policy, noon(), &[by_the_account]), []);
    let by_itself = ended_entries(&policy, noon(), &[]);
    assert_eq!(by_itself.len(), 1);
    assert!(by_itself.iter().all(|finding| {
        finding.email == "jane@example.com" && finding.detail.contains("no change is due")
    }));
}
