//! Which role changes are taken back, and which are left and why.

use super::*;
use crate::domain::{Address, OpseraId};
use crate::rules::decision::tests::{account, noon, person, policy, renamed, same_key};

fn run() -> RunId {
    RunId::new("run-7")
}

/// What the run did: Jane became an administrator.
fn change(from: Option<&str>) -> PlannedAction {
    let address = Address::parse("jane@example.com").unwrap();
    PlannedAction {
        change: Change::SetRole {
            opsera_id: OpseraId::new("a1"),
            from: from.map(str::to_owned),
            to: SiteRole::Administrators,
        },
        email: "Jane@Example.com".to_owned(),
        key: policy().matching.opsera_key(&address),
        address: address.as_str().to_owned(),
        reason: "in group admins (rule 1: admins)".to_owned(),
        evidence: json!({}).into(),
    }
}

fn with_role(role: CurrentRole) -> AccountFacts {
    AccountFacts {
        role,
        ..account(vec![person("1", "ACTIVE")])
    }
}

fn administrator() -> AccountFacts {
    with_role(CurrentRole::Known(SiteRole::Administrators))
}

fn restore(from: Option<&str>, facts: Option<&AccountFacts>) -> Result<PlannedAction, LeftOut> {
    restore_of(&change(from), &run(), facts, &policy(), noon())
}

#[test]
fn the_role_before_the_run_is_given_back_with_the_run_as_the_reason() {
    let restored = restore(Some("Auditors"), Some(&administrator())).unwrap();
    assert_eq!(restored.to(), Some(SiteRole::Auditors));
    assert_eq!(restored.from(), Some("Administrators"));
    assert_eq!(restored.reason, "undo of run run-7");
    assert_eq!(
        restored.evidence.to_value(),
        json!({ "undoes": "run-7", "because_then": "in group admins (rule 1: admins)" })
    );
}

#[test]
fn what_nobody_knew_or_nobody_can_set_is_left() {
    let facts = administrator();
    assert_eq!(restore(None, Some(&facts)), Err(LeftOut::NotKnown));
    let foreign = Err(LeftOut::Foreign("Emperor".to_owned()));
    assert_eq!(restore(Some("Emperor"), Some(&facts)), foreign);
    assert_eq!(restore(Some("Users"), None), Err(LeftOut::NotListed));
}

#[test]
fn an_account_that_has_another_role_by_now_is_left() {
    for (role, name) in [
        (CurrentRole::Known(SiteRole::Users), "Users"),
        (CurrentRole::Foreign("Emperor".to_owned()), "Emperor"),
        (CurrentRole::Unknown, "unknown"),
        (CurrentRole::Uncertain, "unknown"),
    ] {
        let left = Err(LeftOut::ChangedSince {
            role: name.to_owned(),
            set: "Administrators".to_owned(),
        });
        assert_eq!(restore(Some("Auditors"), Some(&with_role(role))), left);
    }
}

#[test]
fn an_account_that_no_rule_may_touch_is_left() {
    let unmanaged = AccountFacts {
        managed: false,
        ..administrator()
    };
    let nobodys = AccountFacts {
        identity: None,
        ..administrator()
    };
    let shared = AccountFacts {
        same_key: same_key(&["a1", "a2"], "a1"),
        ..administrator()
    };
    for facts in [unmanaged, nobodys, shared] {
        let left = restore(Some("Auditors"), Some(&facts));
        assert_eq!(left, Err(LeftOut::NotManaged));
    }
}

#[test]
fn an_account_whose_person_is_gone_or_in_doubt_is_left_unless_it_is_released() {
    let gone = AccountFacts {
        people: [person("1", "DISABLED")].into_iter().collect(),
        ..administrator()
    };
    let moved = AccountFacts {
        renamed: vec![renamed()],
        ..administrator()
    };
    for facts in [&gone, &moved] {
        let left = restore(Some("Auditors"), Some(facts));
        assert_eq!(left, Err(LeftOut::NotEntitled));
    }
    let mut released = policy();
    released.release.insert(change(None).key);
    let change = change(Some("Auditors"));
    let restored = |facts| restore_of(&change, &run(), Some(facts), &released, noon());
    assert!(restored(&moved).is_ok());
    assert_eq!(restored(&gone), Err(LeftOut::NotEntitled));
}

#[test]
fn a_protected_account_is_left() {
    let mut policy = policy();
    policy.protection.token_owner = Some(Address::parse("jane@example.com").unwrap());
    let change = change(Some("Auditors"));
    let left = restore_of(&change, &run(), Some(&administrator()), &policy, noon());
    assert_eq!(left, Err(LeftOut::Protected));
}

#[test]
fn an_approved_restore_is_carried_out_only_on_what_was_looked_at() {
    let approved = restore(Some("Auditors"), Some(&administrator())).unwrap();
    let now = |facts: Option<&AccountFacts>, was_tried| {
        restore_now(&approved, was_tried, facts, &policy(), noon())
    };
    assert_eq!(now(Some(&administrator()), false), Ok(approved.clone()));
    assert_eq!(now(None, false), Err(LeftOut::NotListed));
    for role in [CurrentRole::Known(SiteRole::Users), CurrentRole::Unknown] {
        let left = now(Some(&with_role(role)), true);
        assert!(
            matches!(left, Err(LeftOut::ChangedSince { .. })),
            "{left:?}"
        );
    }
}

#[test]
fn a_restore_whose_request_may_have_been_lost_is_sent_again_from_an_unknown_role() {
    let approved = restore(Some("Auditors"), Some(&administrator())).unwrap();
    let uncertain = with_role(CurrentRole::Uncertain);
    let now = |was_tried| restore_now(&approved, was_tried, Some(&uncertain), &policy(), noon());
    assert!(matches!(now(false), Err(LeftOut::ChangedSince { .. })));
    let again = now(true).unwrap();
    assert_eq!((again.from(), again.to()), (None, Some(SiteRole::Auditors)));
}
