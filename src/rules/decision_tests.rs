//! The decision for one account, rule by rule (§4, §5).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeZone as _;
use wildmatch::WildMatch;

use super::*;
use crate::domain::{CurrentRole, Matching, OpaId, OpaName, OpseraId};
use crate::rules::facts::{
    Absence, AccountWithKey, Candidates, KeyHolder, RenameStep, RenamedPath, SameKey, WalkEnd,
};
use crate::rules::{
    AddressPattern, GroupPattern, GuardLimits, Lookup, Protection, RolePolicy, RoleRule,
    UnknownRole,
};

pub(in crate::rules) fn noon() -> Timestamp {
    chrono::Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
}

pub(in crate::rules) fn policy() -> Policy {
    Policy {
        matching: Matching::new(false, BTreeMap::new()),
        scope_domains: BTreeSet::new(),
        required_groups: BTreeSet::new(),
        protection: Protection {
            patterns: Vec::new(),
            accounts: Vec::new(),
            token_owner: None,
        },
        deactivate_on: Evidence::ALL.iter().copied().collect(),
        release: BTreeSet::new(),
        absent_grace: Duration::from_hours(1),
        roles: RolePolicy {
            managed: false,
            default: None,
            unknown: UnknownRole::Assert,
            lookup: Lookup::Auto,
            rules: Vec::new(),
        },
        provision: true,
        guards: GuardLimits {
            min_opa_users: 1,
            max_opa_drop_percent: 20,
            max_opsera_drop_percent: 20,
            max_deactivations: 25,
            max_deactivations_percent: 10,
            max_deactivations_7d: 75,
            max_role_changes: 100,
            max_role_changes_percent: 25,
            max_creations: 50,
            max_administrator_grants: 3,
            max_expired_protections: 0,
            min_administrators: 1,
            approval_ttl: Duration::from_hours(24),
        },
    }
}

pub(in crate::rules) fn person(id: &str, status: &str) -> PersonFacts {
    PersonFacts {
        id: OpaId::new(id),
        name: OpaName::new(format!("name-{id}")),
        status: PersonStatus::parse(status),
        email: "Jane@Example.com".to_owned(),
        address: Address::parse("jane@example.com").unwrap(),
        key_source: KeySource::Address,
        first_name: Some("Jane".to_owned()),
        last_name: None,
    }
}

pub(in crate::rules) fn account(people: Vec<PersonFacts>) -> AccountFacts {
    let address = Address::parse("jane@example.com").unwrap();
    let key = Matching::default().opsera_key(&address);
    AccountFacts {
        id: OpseraId::new("a1"),
        email: Some("Jane@Example.com".to_owned()),
        identity: Some((address, key)),
        active: true,
        managed: true,
        same_key: same_key(&["a1"], "a1"),
        role: CurrentRole::Unknown,
        people: people.into_iter().collect(),
        groups: Vec::new(),
        memberships: Memberships::Read,
        unidentified: Candidates::default(),
        renamed: Vec::new(),
        renamed_walk: WalkEnd::Complete,
        look_alikes: Candidates::default(),
        unclaimed: Candidates::default(),
        absence: Some(absent_since(noon() - TimeDelta::hours(2))),
        known_names: Vec::new(),
        earlier_names: Vec::new(),
    }
}

fn absent_since(since: Timestamp) -> Absence {
    Absence { since, pulls: 3 }
}

pub(in crate::rules) fn same_key(ids: &[&str], first_managed: &str) -> SameKey {
    SameKey {
        total: u64::try_from(ids.len()).unwrap(),
        first: ids
            .iter()
            .map(|id| AccountWithKey {
                id: OpseraId::new(*id),
                email: "jane@example.com".to_owned(),
            })
            .collect(),
        first_managed: Some(OpseraId::new(first_managed)),
    }
}

pub(in crate::rules) fn holder() -> KeyHolder {
    KeyHolder {
        id: OpaId::new("7"),
        name: OpaName::new("jane.new"),
        email: Some("jane.new@example.com".to_owned()),
    }
}

pub(in crate::rules) fn candidates<const N: usize>(people: [KeyHolder; N]) -> Candidates {
    Candidates {
        listed: people.into(),
        total: u64::try_from(N).unwrap(),
    }
}

pub(in crate::rules) fn renamed() -> RenamedPath {
    let step = |address: &str, id: &str, name: &str| RenameStep {
        key: Matching::default().opa_key(&Address::parse(address).unwrap()),
        id: OpaId::new(id),
        name: OpaName::new(name),
    };
    RenamedPath {
        holder: holder(),
        status: PersonStatus::Active,
        steps: vec![
            step("jane@example.com", "1", "jane"),
            step("jane.new@example.com", "7", "jane.new"),
        ],
    }
}

pub(in crate::rules) fn reason(decided: &DecisionWithFindings) -> Option<&str> {
    match &decided.decision {
        Decision::Act(action) => Some(&action.reason),
        _ => None,
    }
}

pub(in crate::rules) fn kinds(decided: &DecisionWithFindings) -> Vec<FindingKind> {
    decided
        .findings
        .iter()
        .map(|finding| finding.kind)
        .collect()
}

#[test]
fn i4_one_active_record_entitles_whatever_the_others_say() {
    for others in [
        vec![],
        vec!["DISABLED"],
        vec!["DELETED", "DISABLED", "SUSPENDED"],
    ] {
        let mut people = vec![person("1", "ACTIVE")];
        people.extend(others.iter().map(|status| person("2", status)));
        let decided = decide_account(&account(people), &policy(), noon());
        assert_eq!(decided.decision, Decision::Unchanged, "{others:?}");
        assert!(decided.findings.is_empty());
    }
}

#[test]
fn i4_without_an_active_record_disabled_is_stronger_evidence_than_deleted() {
    let decide = |statuses: &[&str]| {
        let people = statuses.iter().map(|status| person("1", status)).collect();
        decide_account(&account(people), &policy(), noon())
    };
    let disabled = decide(&["DELETED", "DISABLED"]);
    assert_eq!(reason(&disabled), Some("disabled"));
    let Decision::Act(action) = &disabled.decision else {
        panic!("{disabled:?}");
    };
    // A reviewer sees every record behind the decision.
    let evidence = action.evidence.to_value();
    let records = &evidence["opa_records"];
    assert_eq!(records[0]["status"], "DELETED");
    assert_eq!(records[1]["name"], "name-1");
    assert_eq!(reason(&decide(&["DELETED", "DELETED"])), Some("deleted"));
    assert_eq!(reason(&decide(&[])), Some("absent"));
}

#[test]
fn i3_a_status_nobody_knows_keeps_account_and_role() {
    let mut policy = policy();
    policy.roles.managed = true;
    policy.roles.default = Some(SiteRole::Users);
    for status in ["SUSPENDED", "active", ""] {
        let people = vec![person("1", status), person("2", "DISABLED")];
        let decided = decide_account(&account(people), &policy, noon());
        assert_eq!(decided.decision, Decision::Unchanged, "{status:?}");
    }
}

#[test]
fn i4_two_active_people_are_entitled_together_and_a_finding() {
    let mut facts = account(vec![person("1", "ACTIVE"), person("2", "ACTIVE")]);
    facts.groups = vec![GroupName::new("opsera-admins")];
    let mut policy = policy();
    policy.required_groups = [GroupName::new("opsera-admins")].into();
    let decided = decide_account(&facts, &policy, noon());
    assert_eq!(decided.decision, Decision::Unchanged);
    assert_eq!(kinds(&decided), [FindingKind::DuplicateOpaEmail]);
}

#[test]
fn i5_accounts_that_share_a_key_are_left_alone_and_reported_once() {
    let mut facts = account(vec![]);
    facts.same_key = same_key(&["a0", "a1", "a2"], "a1");
    let first = decide_account(&facts, &policy(), noon());
    assert_eq!(first.decision, Decision::Doubt);
    assert_eq!(kinds(&first), [FindingKind::DuplicateOpseraEmail]);
    assert!(first.findings[0].detail.contains("a0") && first.findings[0].detail.contains("a2"));
    facts.id = OpseraId::new("a2");
    let second = decide_account(&facts, &policy(), noon());
    assert_eq!(second.decision, Decision::Doubt);
    assert!(second.findings.is_empty());
}

#[test]
fn i6_an_account_without_a_valid_address_is_not_touched() {
    let mut facts = account(vec![]);
    facts.identity = None;
    facts.managed = false;
    for email in [None, Some("no address".to_owned())] {
        facts.email = email;
        let decided = decide_account(&facts, &policy(), noon());
        assert_eq!(decided.decision, Decision::NotManaged);
        assert_eq!(kinds(&decided), [FindingKind::InvalidEmail]);
        assert!(decided.findings[0].detail.contains("a1"));
    }
}

#[test]
fn whose_groups_cannot_be_read_keeps_account_and_role() {
    let mut policy = policy();
    policy.required_groups = [GroupName::new("staff")].into();
    policy.roles.managed = true;
    policy.roles.default = Some(SiteRole::Users);
    let mut facts = account(vec![person("1", "ACTIVE")]);
    facts.memberships = Memberships::Unreadable;
    assert_eq!(
        decide_account(&facts, &policy, noon()).decision,
        Decision::Unchanged
    );
    let joiner = JoinerFacts {
        key: facts.identity.unwrap().1,
        people: facts.people,
        groups: vec![GroupName::new("staff")],
        memberships: Memberships::Unreadable,
    };
    assert_eq!(
        decide_joiner(&joiner, &policy).decision,
        Decision::Unchanged
    );
}

#[test]
fn findings_name_the_first_ten_records_and_how_many_there_are() {
    let ids: Vec<String> = (10..35).map(|number| format!("a{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut facts = account(vec![]);
    facts.same_key = same_key(&ids, "a1");
    let decided = decide_account(&facts, &policy(), noon());
    let detail = &decided.findings[0].detail;
    assert!(
        detail.contains("a19") && !detail.contains("a20"),
        "{detail}"
    );
    assert!(detail.contains("25 in all"), "{detail}");
    let people = (10..35)
        .map(|id| person(&id.to_string(), "ACTIVE"))
        .collect();
    let decided = decide_account(&account(people), &policy(), noon());
    let detail = &decided.findings[0].detail;
    assert!(detail.contains("25 in all"), "{detail}");
}

#[test]
fn i8_the_role_of_an_account_whose_former_owner_is_still_here_is_left_alone() {
    let mut policy = policy();
    policy.roles.managed = true;
    policy.roles.default = Some(SiteRole::Users);
    let mut facts = account(vec![person("1", "ACTIVE")]);
    assert!(reason(&decide_account(&facts, &policy, noon())).is_some());
    facts.renamed = vec![renamed()];
    assert_eq!(
        decide_account(&facts, &policy, noon()).decision,
        Decision::Unchanged
    );
    policy.release.insert(facts.identity.clone().unwrap().1);
    assert!(
        reason(&decide_account(&facts, &policy, noon())).is_some(),
        "a released account belongs to whoever has its address"
    );
}

#[test]
fn a_protected_account_is_not_touched_and_counted_only_where_a_change_is_due() {
    let mut policy = policy();
    policy.roles.managed = true;
    policy.roles.default = Some(SiteRole::Users);
    let protections: [fn(&mut Policy); 2] = [
        |policy| {
            policy.protection.patterns.push(AddressPattern {
                text: "jane@*".to_owned(),
                glob: WildMatch::new("jane@*"),
            });
        },
        |policy| policy.protection.token_owner = Address::parse("JANE@example.com").ok(),
    ];
    for protect in protections {
        let mut policy = policy.clone();
        protect(&mut policy);
        let leaver = account(vec![person("1", "DISABLED")]);
        assert_eq!(
            decide_account(&leaver, &policy, noon()).decision,
            Decision::Protected
        );
        let mut mover = account(vec![person("1", "ACTIVE")]);
        assert_eq!(
            decide_account(&mover, &policy, noon()).decision,
            Decision::Protected
        );
        mover.role = CurrentRole::Known(SiteRole::Users);
        assert_eq!(
            decide_account(&mover, &policy, noon()).decision,
            Decision::Unchanged
        );
    }
}

#[test]
fn an_absent_person_waits_out_the_grace_and_a_disabled_one_does_not() {
    let mut facts = account(vec![]);
    let grace = TimeDelta::hours(1);
    for (missing_for, due) in [
        (TimeDelta::zero(), false),
        (grace - TimeDelta::milliseconds(1), false),
        (grace, true),
        // The clock was set back: that proves nothing, so it waits.
        (-grace, false),
    ] {
        facts.absence = Some(absent_since(noon() - missing_for));
        let decided = decide_account(&facts, &policy(), noon());
        assert_eq!(reason(&decided).is_some(), due, "{missing_for}");
        if let Decision::Waiting(waiting) = decided.decision {
            assert_eq!(waiting.due, noon() - missing_for + grace);
        }
    }
    let mut at_once = policy();
    at_once.absent_grace = Duration::ZERO;
    facts.absence = Some(absent_since(noon()));
    assert!(reason(&decide_account(&facts, &at_once, noon())).is_some());
    let disabled = account(vec![person("1", "DISABLED")]);
    assert!(reason(&decide_account(&disabled, &policy(), noon())).is_some());
}

#[test]
fn a_required_group_decides_who_of_the_active_is_entitled() {
    let mut policy = policy();
    policy.required_groups = [GroupName::new("staff")].into();
    let mut facts = account(vec![person("1", "ACTIVE")]);
    let decided = decide_account(&facts, &policy, noon());
    assert_eq!(reason(&decided), Some("not_in_required_group"));
    facts.groups = vec![GroupName::new("staff")];
    assert_eq!(
        decide_account(&facts, &policy, noon()).decision,
        Decision::Unchanged
    );
}

#[test]
fn an_account_that_is_not_managed_is_left_without_a_word() {
    let mut facts = account(vec![person("1", "DISABLED")]);
    facts.managed = false;
    let decided = decide_account(&facts, &policy(), noon());
    assert_eq!(decided.decision, Decision::NotManaged);
    assert!(decided.findings.is_empty());
}

#[test]
fn a_joiner_gets_the_role_of_the_first_matching_rule_or_users_and_both_names() {
    let key = Matching::default().opa_key(&Address::parse("jane@example.com").unwrap());
    let mut facts = JoinerFacts {
        key,
        people: [person("1", "DELETED"), person("2", "ACTIVE")]
            .into_iter()
            .collect(),
        groups: vec![GroupName::new("audit")],
        memberships: Memberships::Read,
    };
    let create = |facts: &JoinerFacts, policy: &Policy| match decide_joiner(facts, policy).decision
    {
        Decision::Act(action) => Some(action.change),
        _ => None,
    };
    let expected = |to| {
        Some(Change::Create {
            first_name: "Jane".to_owned(),
            last_name: "2".to_owned(),
            to,
        })
    };
    let mut policy = policy();
    assert_eq!(create(&facts, &policy), expected(SiteRole::Users));
    policy.roles.managed = true;
    policy.roles.rules = vec![RoleRule {
        group: GroupPattern::parse("audit"),
        role: SiteRole::Auditors,
    }];
    assert_eq!(create(&facts, &policy), expected(SiteRole::Auditors));
    policy.scope_domains = [crate::domain::Domain::parse("other.example").unwrap()].into();
    assert_eq!(create(&facts, &policy), None);
    policy.scope_domains.clear();
    policy.required_groups = [GroupName::new("staff")].into();
    assert_eq!(create(&facts, &policy), None);
    policy.required_groups.clear();
    facts.people = [person("2", "DISABLED")].into_iter().collect();
    assert_eq!(create(&facts, &policy), None);
    policy.provision = false;
    facts.people = [person("2", "ACTIVE")].into_iter().collect();
    assert_eq!(create(&facts, &policy), None);
}

#[test]
fn a_role_is_adopted_for_everybody_but_the_protected() {
    let mut policy = policy();
    policy.roles.managed = true;
    policy.roles.default = Some(SiteRole::Users);
    policy.roles.unknown = UnknownRole::Adopt;
    let facts = account(vec![person("1", "ACTIVE")]);
    let decide = |policy: &Policy| decide_account(&facts, policy, noon()).decision;
    assert_eq!(decide(&policy), Decision::Adopt(SiteRole::Users));
    policy.protection.token_owner = Address::parse("jane@example.com").ok();
    assert_eq!(decide(&policy), Decision::Unchanged);
}
