//! The decision for one account and for one joiner: the ordered list of §4, and §5.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;

use super::facts::{
    AccountFacts, JoinerFacts, KeySource, MOST_LISTED, Memberships, People, PersonFacts,
};
use super::roles::{RoleDecision, decide_role, desired_role};
use super::shields::{self, Shield, shields};
use crate::domain::{
    Address, Change, Evidence, Finding, FindingKind, GroupName, Key, PersonStatus, PlannedAction,
    SiteRole, WaitingReport, time::Timestamp,
};
use crate::rules::Policy;
use crate::rules::protection::{self, is_protected};

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
pub struct DecisionWithFindings {
    /// The decision.
    pub decision: Decision,
    /// The findings of this account.
    pub findings: Vec<Finding>,
}

impl From<Decision> for DecisionWithFindings {
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
pub fn decide_account(
    facts: &AccountFacts,
    policy: &Policy,
    now: Timestamp,
) -> DecisionWithFindings {
    let email = facts.email.clone().unwrap_or_default();
    let Some((address, key)) = &facts.identity else {
        return DecisionWithFindings {
            decision: Decision::NotManaged,
            findings: vec![invalid_email(facts)],
        };
    };
    if !facts.managed {
        return Decision::NotManaged.into();
    }
    if facts.same_key.is_conflict() {
        return conflict(facts, key);
    }
    let mut findings: Vec<Finding> = duplicate_people(&facts.people, key).into_iter().collect();
    let released = policy.release.contains(key);
    let decision = match entitlement_of(facts, policy) {
        Entitlement::Entitled => decide_entitled(facts, policy, address, key, now),
        Entitlement::Doubtful => Decision::Unchanged,
        Entitlement::Not(evidence) => {
            let doubts = shields(facts, evidence);
            if !policy.deactivate_on.contains(&evidence) {
                Decision::Unmanaged
            } else if !doubts.is_empty() && !released {
                findings.extend(shields::findings(facts, &email, &doubts));
                Decision::Doubt
            } else if is_protected(address, key, policy, now) {
                Decision::Protected
            } else {
                let leaver = Leaver {
                    address,
                    key,
                    evidence,
                    overridden: &doubts,
                };
                decide_leaver(facts, policy, &leaver, now)
            }
        }
    };
    if matches!(decision, Decision::Act(_) | Decision::Waiting(_))
        && let Some(ended) = protection::ended_protection(address, policy, now)
    {
        findings.push(protection::touched(&email, ended));
    }
    DecisionWithFindings { decision, findings }
}

/// Whether an account's people are entitled to it (§4). Whose groups could not be read is doubt
/// wherever groups decide something.
pub fn entitlement_of(facts: &AccountFacts, policy: &Policy) -> Entitlement {
    if groups_are_doubtful(&facts.people, facts.memberships, policy) {
        return Entitlement::Doubtful;
    }
    entitlement(&facts.people.listed, &facts.groups, &policy.required_groups)
}

fn groups_are_doubtful(people: &People, memberships: Memberships, policy: &Policy) -> bool {
    memberships == Memberships::Unreadable
        && people.active > 0
        && (policy.roles.managed || !policy.required_groups.is_empty())
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
    now: Timestamp,
) -> Decision {
    let protected = is_protected(address, key, policy, now);
    match decide_role(&policy.roles, &facts.role, &facts.groups) {
        RoleDecision::Keep => Decision::Unchanged,
        // I8: the address now belongs to somebody else while its former owner is still here, so
        // whose account this is is doubt.
        RoleDecision::Adopt(_) | RoleDecision::Set(_)
            if facts.is_renamed() && !policy.release.contains(key) =>
        {
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
            evidence: json!({ "opa_records": records(&facts.people), "groups": facts.groups })
                .into(),
            reason: desired.reason,
        })),
    }
}

/// An account whose person is gone.
struct Leaver<'l> {
    address: &'l Address,
    key: &'l Key,
    evidence: Evidence,
    /// The shields that `deactivation.release` overrides.
    overridden: &'l [Shield],
}

fn decide_leaver(
    facts: &AccountFacts,
    policy: &Policy,
    leaver: &Leaver<'_>,
    now: Timestamp,
) -> Decision {
    let email = facts.email.clone().unwrap_or_default();
    let evidence = leaver.evidence;
    let absent_since = facts.absence.map(|absence| absence.since);
    if evidence == Evidence::Absent {
        let since = absent_since.unwrap_or(now);
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
                map.insert("absent_since".into(), json!(absent_since));
                map.insert("names_once_known".into(), json!(facts.known_names));
            }
            Evidence::NotInRequiredGroup => {
                map.insert("groups".into(), json!(facts.groups));
                map.insert("required_groups".into(), json!(policy.required_groups));
            }
            Evidence::Disabled | Evidence::Deleted => {}
        }
        if facts.people.total > count(&facts.people.listed) {
            map.insert("opa_records_total".into(), json!(facts.people.total));
        }
        if !leaver.overridden.is_empty() {
            map.insert("released_by".into(), json!("deactivation.release"));
            map.insert("overridden_shields".into(), overridden(facts, leaver));
        }
    }
    let reason = if leaver.overridden.is_empty() {
        evidence.as_str().to_owned()
    } else {
        format!(
            "{evidence}; released by deactivation.release, which overrides {}",
            shields::in_words(leaver.overridden)
        )
    };
    Decision::Act(Box::new(PlannedAction {
        change: Change::Deactivate {
            opsera_id: facts.id.clone(),
            evidence,
            known_names: facts.known_names.clone(),
            earlier_names: facts.earlier_names.clone(),
        },
        email,
        address: leaver.address.as_str().to_owned(),
        key: leaver.key.clone(),
        reason,
        evidence: details.into(),
    }))
}

/// The shields that would have kept the account, for the audit entry.
fn overridden(facts: &AccountFacts, leaver: &Leaver<'_>) -> serde_json::Value {
    leaver
        .overridden
        .iter()
        .map(|shield| {
            let steps: Vec<String> = if shield.rule == "I8" {
                facts.renamed.iter().map(shields::describe_path).collect()
            } else {
                Vec::new()
            };
            json!({ "rule": shield.rule, "people": shield.people, "steps": steps })
        })
        .collect()
}

/// Decides one ACTIVE person without an account (§5): the creation, unless Opsera turns out to
/// know the address, or nothing.
pub fn decide_joiner(facts: &JoinerFacts, policy: &Policy) -> DecisionWithFindings {
    let in_scope =
        policy.scope_domains.is_empty() || policy.scope_domains.contains(&facts.key.domain());
    let entitled = !groups_are_doubtful(&facts.people, facts.memberships, policy)
        && matches!(
            entitlement(&facts.people.listed, &facts.groups, &policy.required_groups),
            Entitlement::Entitled
        );
    let person = facts
        .people
        .listed
        .iter()
        .find(|person| person.status == PersonStatus::Active);
    let Some(person) = person.filter(|_| policy.provision && in_scope && entitled) else {
        return Decision::Unchanged.into();
    };
    let desired = desired_role(&policy.roles, &facts.groups);
    let (first_name, last_name) = names(person);
    DecisionWithFindings {
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
                |desired| format!("entitled and without an account; {}", desired.reason),
            ),
            evidence: json!({ "opa_records": records(&facts.people), "groups": facts.groups })
                .into(),
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

fn conflict(facts: &AccountFacts, key: &Key) -> DecisionWithFindings {
    let same_key = &facts.same_key;
    let reports = same_key.first_managed.as_ref() == Some(&facts.id);
    let accounts = same_key
        .first
        .iter()
        .map(|account| format!("{} (id {})", account.email, account.id));
    DecisionWithFindings {
        decision: Decision::Doubt,
        findings: reports
            .then(|| Finding {
                kind: FindingKind::DuplicateOpseraEmail,
                email: key.as_str().to_owned(),
                detail: format!(
                    "several Opsera accounts have this address: {} — none of them is touched; \
                     deactivate the ones that are not in use by hand",
                    first_and_number(accounts, same_key.total)
                ),
            })
            .into_iter()
            .collect(),
    }
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// The first records and, where there are more, how many there are in all.
fn first_and_number(listed: impl Iterator<Item = String>, total: u64) -> String {
    let listed: Vec<String> = listed.take(MOST_LISTED).collect();
    let text = listed.join(", ");
    if total > count(&listed) {
        format!("{text} and more, {total} in all")
    } else {
        text
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

fn duplicate_people(people: &People, key: &Key) -> Option<Finding> {
    let active = people
        .listed
        .iter()
        .filter(|person| person.status == PersonStatus::Active)
        .map(|person| format!("{} ({}, id {})", person.name, person.email, person.id));
    (people.active > 1).then(|| Finding {
        kind: FindingKind::DuplicateOpaEmail,
        email: key.as_str().to_owned(),
        detail: format!(
            "several ACTIVE people of the Team have this address: {} — the account stays while one \
             of them is entitled, with the groups of all; give each their own address in OPA",
            first_and_number(active, people.active)
        ),
    })
}

fn records(people: &People) -> serde_json::Value {
    people
        .listed
        .iter()
        .map(|person| {
            let mut record = json!({
                "id": person.id,
                "name": person.name,
                "status": person.status.as_str(),
                "email": person.email,
            });
            if person.key_source == KeySource::Memory
                && let Some(map) = record.as_object_mut()
            {
                map.insert("address_last_carried".into(), json!(person.address));
            }
            record
        })
        .collect()
}

#[cfg(test)]
#[path = "decision_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "shield_decision_tests.rs"]
mod shield_tests;
