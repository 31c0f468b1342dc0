//! The decision for one account and for one joiner: the ordered list of §4, and §5.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;

use super::facts::{AccountFacts, JoinerFacts, PersonFacts};
use super::roles::{RoleDecision, decide_role, desired_role};
use super::shields::shields;
use crate::domain::{
    Address, Change, Evidence, Finding, FindingKind, GroupName, Key, PersonStatus, PlannedAction,
    SiteRole, WaitingReport, time::Timestamp,
};
use crate::rules::{AddressPattern, Policy, Protection};

/// What is to happen to one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not managed: inactive, out of scope, or without a valid address.
    NotManaged,
    /// Nothing to do.
    Unchanged,
    /// Nothing to write, but take this role for the current one (§5 `adopt`).
    Adopt(SiteRole),
    /// Doubt keeps the account; the finding beside this decision says which.
    Doubt,
    /// A leaver whose evidence `deactivation.on` does not name.
    Unmanaged,
    /// A change is due, but the account is protected.
    Protected,
    /// A leaver whose `absent_grace` has not passed.
    Waiting(WaitingReport),
    /// Do this.
    Act(Box<PlannedAction>),
}

/// A decision with what was noticed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// The findings of this account.
    pub findings: Vec<Finding>,
}

impl From<Decision> for Decided {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            findings: Vec::new(),
        }
    }
}

/// Whether a person is entitled to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entitlement {
    /// Exactly who it is does not matter beyond this: ACTIVE, and in a required group if there
    /// are any.
    Entitled,
    /// A status nobody knows (I3): keeps the account and the role.
    Doubtful,
    /// Not, on this evidence.
    Not(Evidence),
}

/// Decides one account (§4, §5). `now` is the time of the run.
pub fn decide_account(facts: &AccountFacts, policy: &Policy, now: Timestamp) -> Decided {
    let email = facts.email.clone().unwrap_or_default();
    let Some((address, key)) = &facts.identity else {
        return Decided {
            decision: Decision::NotManaged,
            findings: vec![invalid_email(facts)],
        };
    };
    if !facts.managed {
        return Decision::NotManaged.into();
    }
    if facts.sharing.len() > 1 {
        return conflict(facts, key);
    }
    let mut findings: Vec<Finding> = duplicate_people(&facts.people, key).into_iter().collect();
    let decision = match entitlement(&facts.people, &facts.groups, &policy.required_groups) {
        Entitlement::Entitled => decide_entitled(facts, policy, address, key),
        Entitlement::Doubtful => Decision::Unchanged,
        Entitlement::Not(evidence) => {
            let doubts = shields(facts, &email);
            if !policy.deactivate_on.contains(&evidence) {
                Decision::Unmanaged
            } else if !doubts.is_empty() {
                findings.extend(doubts);
                Decision::Doubt
            } else if is_protected(&policy.protection, address, key, policy) {
                Decision::Protected
            } else {
                decide_leaver(facts, policy, address, key, evidence, now)
            }
        }
    };
    Decided { decision, findings }
}

/// Whether the people with one key are entitled to an account (§4), by their records and the live
/// groups of the ACTIVE ones among them.
pub fn entitlement(
    people: &[PersonFacts],
    groups: &[GroupName],
    required: &BTreeSet<GroupName>,
) -> Entitlement {
    let any = |wanted: fn(&PersonStatus) -> bool| people.iter().any(|p| wanted(&p.status));
    if any(|status| matches!(status, PersonStatus::Active)) {
        if required.is_empty() || groups.iter().any(|group| required.contains(group)) {
            Entitlement::Entitled
        } else if any(|status| matches!(status, PersonStatus::Unrecognised(_))) {
            // One record is out of the required groups, another is doubt: doubt wins.
            Entitlement::Doubtful
        } else {
            Entitlement::Not(Evidence::NotInRequiredGroup)
        }
    } else if any(|status| matches!(status, PersonStatus::Unrecognised(_))) {
        Entitlement::Doubtful
    } else if any(|status| matches!(status, PersonStatus::Disabled)) {
        Entitlement::Not(Evidence::Disabled)
    } else if any(|status| matches!(status, PersonStatus::Deleted)) {
        Entitlement::Not(Evidence::Deleted)
    } else {
        Entitlement::Not(Evidence::Absent)
    }
}

fn decide_entitled(
    facts: &AccountFacts,
    policy: &Policy,
    address: &Address,
    key: &Key,
) -> Decision {
    let protected = is_protected(&policy.protection, address, key, policy);
    match decide_role(&policy.roles, &facts.role, &facts.groups) {
        RoleDecision::Keep => Decision::Unchanged,
        // I8: the address now belongs to somebody else while its former owner is still here, so
        // whose account this is is doubt.
        RoleDecision::Adopt(_) | RoleDecision::Set(_) if !facts.renamed.is_empty() => {
            Decision::Unchanged
        }
        RoleDecision::Adopt(_) if protected => Decision::Unchanged,
        RoleDecision::Adopt(role) => Decision::Adopt(role),
        RoleDecision::Set(_) if protected => Decision::Protected,
        RoleDecision::Set(desired) => Decision::Act(Box::new(PlannedAction {
            change: Change::SetRole {
                opsera_id: facts.id.clone(),
                from: facts.role.name().map(str::to_owned),
                to: desired.role,
            },
            email: facts.email.clone().unwrap_or_default(),
            address: address.as_str().to_owned(),
            key: key.clone(),
            evidence: json!({ "opa_records": records(&facts.people), "groups": facts.groups }),
            reason: desired.because,
        })),
    }
}

fn decide_leaver(
    facts: &AccountFacts,
    policy: &Policy,
    address: &Address,
    key: &Key,
    evidence: Evidence,
    now: Timestamp,
) -> Decision {
    let email = facts.email.clone().unwrap_or_default();
    if evidence == Evidence::Absent {
        let since = facts.absent_since.unwrap_or(now);
        let grace = TimeDelta::from_std(policy.absent_grace).unwrap_or(TimeDelta::MAX);
        let due = since
            .checked_add_signed(grace)
            .unwrap_or(Timestamp::MAX_UTC);
        // A clock that was set back makes `now` earlier than `since`: that waits, too.
        if now < due {
            return Decision::Waiting(WaitingReport {
                email,
                opsera_id: facts.id.clone(),
                reason: evidence,
                since,
                due,
            });
        }
    }
    let mut details = json!({ "opa_records": records(&facts.people) });
    if let Some(map) = details.as_object_mut() {
        match evidence {
            Evidence::Absent => {
                map.insert("absent_since".into(), json!(facts.absent_since));
                map.insert("names_once_known".into(), json!(facts.known_names));
            }
            Evidence::NotInRequiredGroup => {
                map.insert("groups".into(), json!(facts.groups));
                map.insert("required_groups".into(), json!(policy.required_groups));
            }
            Evidence::Disabled | Evidence::Deleted => {}
        }
    }
    Decision::Act(Box::new(PlannedAction {
        change: Change::Deactivate {
            opsera_id: facts.id.clone(),
            evidence,
            known_names: facts.known_names.clone(),
            earlier_names: facts.earlier_names.clone(),
        },
        email,
        address: address.as_str().to_owned(),
        key: key.clone(),
        reason: evidence.as_str().to_owned(),
        evidence: details,
    }))
}

/// Decides one ACTIVE person without an account (§5): the creation, unless Opsera turns out to
/// know the address, or nothing.
pub fn decide_joiner(facts: &JoinerFacts, policy: &Policy) -> Decided {
    let in_scope =
        policy.scope_domains.is_empty() || policy.scope_domains.contains(&facts.key.domain());
    let entitled = matches!(
        entitlement(&facts.people, &facts.groups, &policy.required_groups),
        Entitlement::Entitled
    );
    let person = facts
        .people
        .iter()
        .find(|person| person.status == PersonStatus::Active);
    let Some(person) = person.filter(|_| policy.provision && in_scope && entitled) else {
        return Decision::Unchanged.into();
    };
    let desired = desired_role(&policy.roles, &facts.groups);
    let (first_name, last_name) = names(person);
    Decided {
        findings: duplicate_people(&facts.people, &facts.key)
            .into_iter()
            .collect(),
        decision: Decision::Act(Box::new(PlannedAction {
            change: Change::Create {
                first_name,
                last_name,
                to: desired.as_ref().map_or(SiteRole::Users, |d| d.role),
            },
            email: person.address.as_str().to_owned(),
            address: person.address.as_str().to_owned(),
            key: facts.key.clone(),
            reason: desired.map_or_else(
                || "entitled and without an account".to_owned(),
                |desired| format!("entitled and without an account; {}", desired.because),
            ),
            evidence: json!({ "opa_records": records(&facts.people), "groups": facts.groups }),
        })),
    }
}

/// First and last name for a new account, from `details`, else from the name's parts: `_`, `.`
/// and `-` separate them. Neither is ever empty, because Opsera requires both.
fn names(person: &PersonFacts) -> (String, String) {
    let mut parts = person
        .name
        .as_str()
        .split(|c: char| matches!(c, '.' | '_' | '-') || c.is_whitespace())
        .filter(|part| !part.is_empty());
    let first_part = parts.next().unwrap_or(person.name.as_str());
    let rest = parts.collect::<Vec<_>>().join(" ");
    let last_part = if rest.is_empty() { first_part } else { &rest };
    let given = |detail: &Option<String>, fallback: &str| {
        detail
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .unwrap_or(fallback)
            .to_owned()
    };
    (
        given(&person.first_name, first_part),
        given(&person.last_name, last_part),
    )
}

/// Whether `protect.emails` or `opsera.token_owner` names the account.
pub fn is_protected(
    protection: &Protection,
    address: &Address,
    key: &Key,
    policy: &Policy,
) -> bool {
    protected_by(protection, address, key, policy).is_some()
}

/// What protects an account.
#[derive(Clone, Copy, Debug)]
pub enum ProtectedBy<'p> {
    /// This glob of `protect.emails`.
    Pattern(&'p AddressPattern),
    /// It owns the token (`opsera.token_owner`).
    TokenOwner,
}

/// What protects the account, the first glob that does before the token's ownership.
pub fn protected_by<'p>(
    protection: &'p Protection,
    address: &Address,
    key: &Key,
    policy: &Policy,
) -> Option<ProtectedBy<'p>> {
    let pattern = protection
        .patterns
        .iter()
        .find(|pattern| pattern.glob.matches(address.as_str()));
    let owns_the_token = || {
        protection
            .token_owner
            .as_ref()
            .is_some_and(|owner| policy.matching.opsera_key(owner) == *key)
    };
    match pattern {
        Some(pattern) => Some(ProtectedBy::Pattern(pattern)),
        None => owns_the_token().then_some(ProtectedBy::TokenOwner),
    }
}

fn conflict(facts: &AccountFacts, key: &Key) -> Decided {
    let first_managed = facts.sharing.iter().find(|account| account.managed);
    let reports = first_managed.is_some_and(|account| account.id == facts.id);
    let accounts = facts
        .sharing
        .iter()
        .map(|account| format!("{} (id {})", account.email, account.id))
        .collect::<Vec<_>>()
        .join(", ");
    Decided {
        decision: Decision::Doubt,
        findings: reports
            .then(|| Finding {
                kind: FindingKind::DuplicateOpseraEmail,
                email: key.as_str().to_owned(),
                detail: format!(
                    "several Opsera accounts have this address: {accounts} — none of them is \
                     touched; deactivate the ones that are not in use by hand"
                ),
            })
            .into_iter()
            .collect(),
    }
}

fn invalid_email(facts: &AccountFacts) -> Finding {
    let (email, why) = match &facts.email {
        None => (facts.id.as_str().to_owned(), "it has no address".to_owned()),
        Some(email) => (
            email.clone(),
            Address::parse(email).err().map_or_else(
                || "Opsera lists its id with two addresses".to_owned(),
                |why| why.to_string(),
            ),
        ),
    };
    Finding {
        kind: FindingKind::InvalidEmail,
        email,
        detail: format!(
            "Opsera account id {} cannot be matched with anybody ({why}), so it is not touched; \
             correct its address in Opsera",
            facts.id
        ),
    }
}

fn duplicate_people(people: &[PersonFacts], key: &Key) -> Option<Finding> {
    let active: Vec<&PersonFacts> = people
        .iter()
        .filter(|person| person.status == PersonStatus::Active)
        .collect();
    (active.len() > 1).then(|| Finding {
        kind: FindingKind::DuplicateOpaEmail,
        email: key.as_str().to_owned(),
        detail: format!(
            "several ACTIVE people of the Team have this address: {} — the account stays while one \
             of them is entitled, with the groups of all; give each their own address in OPA",
            active
                .iter()
                .map(|person| format!("{} ({}, id {})", person.name, person.email, person.id))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    })
}

fn records(people: &[PersonFacts]) -> serde_json::Value {
    people
        .iter()
        .map(|person| {
            json!({
                "id": person.id,
                "name": person.name,
                "status": person.status.as_str(),
                "email": person.email,
            })
        })
        .collect()
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
