//! One account: the facts the rules see, what they make of them, and how each came about.

use chrono::TimeDelta;

use super::model::{
    AbsenceView, AccountView, BackOff, EntitlementView, ProtectionView, RoleView, RuleView,
    ShieldView,
};
use super::next_run::NextRun;
use super::{what_if, words};
use crate::domain::{ActionState, CurrentRole, Evidence, PlannedAction, time::Timestamp};
use crate::reconcile::Restores;
use crate::rules::decision::{Entitlement, entitlement_of};
use crate::rules::facts::Absence;
use crate::rules::protection::{ProtectedBy, protected_by};
use crate::rules::roles::{desired_role, matching_rules};
use crate::rules::shields::{describe_look_alikes, describe_path, shields};
use crate::rules::{AccountFacts, Decision, Policy};
use crate::store::{AccountEntry, OpaEntry, Refusal};

/// The account, and the action that the rules want for it, or that an approved undo wants in their
/// place.
pub(super) fn view(
    facts: &AccountFacts,
    entry: &AccountEntry,
    records: &[OpaEntry],
    next_run: NextRun<'_>,
    restores: &mut Restores,
) -> (AccountView, Option<PlannedAction>) {
    let policy = next_run.policy;
    let mut decided = next_run.decide(facts);
    (decided.decision, _) = restores.instead(facts, decided.decision);
    let action = match &decided.decision {
        Decision::Act(action) => Some((**action).clone()),
        _ => None,
    };
    let decision = words::decision(facts, next_run, &decided);
    let view = AccountView {
        opsera_id: facts.id.clone(),
        email: facts.email.clone(),
        name: full_name(entry.first_name.as_deref(), entry.last_name.as_deref()),
        key: facts.identity.as_ref().map(|(_, key)| key.clone()),
        managed: facts.managed,
        not_managed_because: words::why_not_managed(facts, policy),
        shares_key_with: facts
            .same_key
            .first
            .iter()
            .filter(|other| other.id != facts.id)
            .map(|other| other.id.clone())
            .collect(),
        entitlement: entitlement_view(facts, policy),
        role: role_view(facts, entry, policy),
        absence: facts.absence.map(|Absence { since, pulls }| AbsenceView {
            since,
            pulls,
            due: TimeDelta::from_std(policy.absent_grace)
                .ok()
                .and_then(|grace| since.checked_add_signed(grace))
                .unwrap_or(Timestamp::MAX_UTC),
        }),
        shields: shield_views(facts, policy),
        released: is_released(facts, policy),
        protection: protection(facts, policy, next_run.now),
        what_if: what_if::list(facts, records, next_run, &decision),
        decision,
        back_off: None,
    };
    (view, action)
}

/// First and last name in one, where there is any.
pub(super) fn full_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    let parts: Vec<&str> = [first, last]
        .into_iter()
        .flatten()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Why the queue would leave an action alone.
pub(super) fn back_off(refusal: Refusal) -> BackOff {
    match refusal {
        Refusal::Rejected { words, until } => BackOff {
            state: ActionState::Rejected.as_str(),
            until: Some(until),
            words,
        },
        Refusal::Cancelled { words, until } => BackOff {
            state: ActionState::Cancelled.as_str(),
            until: Some(until),
            words,
        },
        Refusal::Unsettled => BackOff {
            state: "unsettled",
            until: None,
            words: "an earlier request has no known outcome yet; the next run reads it first"
                .to_owned(),
        },
    }
}

fn entitlement_view(facts: &AccountFacts, policy: &Policy) -> EntitlementView {
    let state = match entitlement_of(facts, policy) {
        Entitlement::Entitled => "entitled",
        Entitlement::Doubtful => "doubtful",
        Entitlement::Not(evidence) => evidence.as_str(),
    };
    EntitlementView {
        state: if facts.managed {
            state
        } else {
            "not_looked_at"
        }
        .to_owned(),
        required_groups: policy.required_groups.iter().cloned().collect(),
        in_required_groups: facts
            .groups
            .iter()
            .filter(|group| policy.required_groups.contains(*group))
            .cloned()
            .collect(),
    }
}

fn role_view(facts: &AccountFacts, entry: &AccountEntry, policy: &Policy) -> RoleView {
    let entitled = words::evidence(facts, policy).is_none();
    let desired = desired_role(&policy.roles, &facts.groups).filter(|_| entitled);
    let known_by = match (&facts.role, &entry.site_role, &entry.memory) {
        (_, Some(_), _) => "server",
        (CurrentRole::Uncertain, ..) => "uncertain",
        (CurrentRole::Unknown, ..) | (_, None, None) => "unknown",
        (_, None, Some(memory)) => memory.source.as_str(),
    };
    let reason = match &desired {
        Some(desired) => desired.reason.clone(),
        None if !entitled => "whoever is not entitled keeps the role as it is".to_owned(),
        None if !policy.roles.managed => {
            "roles are not managed (no rules and no default, or roles.enabled = false)".to_owned()
        }
        None => "no rule matches, and there is no roles.default".to_owned(),
    };
    RoleView {
        current: facts.role.name().map(str::to_owned),
        known_by: known_by.to_owned(),
        known_since: entry
            .memory
            .as_ref()
            .filter(|_| entry.site_role.is_none())
            .map(|memory| memory.at),
        desired: desired.map(|desired| desired.role.as_str().to_owned()),
        reason,
        groups: facts.groups.clone(),
        rules: matching_rules(&policy.roles, &facts.groups)
            .enumerate()
            .map(|(place, found)| RuleView {
                number: found.number,
                pattern: found.rule.group.to_string(),
                role: found.rule.role.as_str().to_owned(),
                group: found.group.clone(),
                wins: place == 0 && entitled && policy.roles.managed,
            })
            .collect(),
    }
}

/// The shields as they are, or as they would be if the person left.
fn shield_views(facts: &AccountFacts, policy: &Policy) -> Vec<ShieldView> {
    let evidence = words::evidence(facts, policy).unwrap_or(Evidence::Disabled);
    shields(facts, evidence)
        .into_iter()
        .map(|shield| ShieldView {
            rule: shield.rule,
            why: shield.why,
            steps: match shield.rule {
                "I8" => facts.renamed.iter().map(describe_path).collect(),
                "I9" => describe_look_alikes(facts, &shield.people),
                _ => Vec::new(),
            },
            people: shield.people,
        })
        .collect()
}

fn is_released(facts: &AccountFacts, policy: &Policy) -> bool {
    facts
        .identity
        .as_ref()
        .is_some_and(|(_, key)| policy.release.contains(key))
}

fn protection(facts: &AccountFacts, policy: &Policy, now: Timestamp) -> Option<ProtectionView> {
    let (address, key) = facts.identity.as_ref()?;
    let view = match protected_by(address, key, policy, now)? {
        ProtectedBy::Pattern(pattern) => ProtectionView {
            setting: "protect.emails",
            value: pattern.text.clone(),
        },
        ProtectedBy::Account(account) => ProtectionView {
            setting: "protect.accounts",
            value: account.pattern.text.clone(),
        },
        ProtectedBy::TokenOwner => ProtectionView {
            setting: "opsera.token_owner",
            value: policy
                .protection
                .token_owner
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        },
    };
    Some(view)
}
