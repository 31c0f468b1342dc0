//! Decisions in words: what would happen, and why nothing would.

use super::model::DecisionView;
use super::next_run::NextRun;
use crate::domain::{Address, Change, Evidence, Finding, PersonStatus, PlannedAction};
use crate::rules::clock_trust::LEAST_PULLS;
use crate::rules::decision::{DecisionWithFindings, Entitlement, entitlement, entitlement_of};
use crate::rules::facts::Memberships;
use crate::rules::{AccountFacts, Decision, JoinerFacts, Policy, roles::desired_role};

/// A time as the report writes it.
pub(super) use crate::domain::time::format_time as time;

/// The decision for an account.
pub(super) fn decision(
    facts: &AccountFacts,
    next_run: NextRun<'_>,
    decided: &DecisionWithFindings,
) -> DecisionView {
    let policy = next_run.policy;
    let view = |kind, words: String| DecisionView {
        kind,
        words,
        from: None,
        to: None,
        reason: None,
        findings: decided.findings.clone(),
    };
    match &decided.decision {
        Decision::NotManaged => view(
            "not_managed",
            format!(
                "do nothing: the account is not managed, because {}",
                why_not_managed(facts, policy).unwrap_or_default()
            ),
        ),
        Decision::Unchanged => view(
            "unchanged",
            format!("do nothing: {}", why_unchanged(facts, policy)),
        ),
        Decision::Adopt(role) => DecisionView {
            to: Some(role.as_str().to_owned()),
            ..view(
                "adopt",
                format!(
                    "write nothing, and take {role} for the current role (roles.unknown = \"adopt\")"
                ),
            )
        },
        Decision::Doubt => view("doubt", format!("do nothing: {}", why_doubt(facts))),
        Decision::Unmanaged => view(
            "unmanaged",
            format!(
                "do nothing: the person is not entitled ({}), and deactivation.on does not name that \
                 (or deactivation.enabled is false)",
                evidence(facts, policy).map_or("", Evidence::as_str)
            ),
        ),
        Decision::Protected => view(
            "protected",
            "do nothing: a change is due, but the account is protected".to_owned(),
        ),
        Decision::Waiting(waiting) => DecisionView {
            reason: Some(waiting.reason.as_str().to_owned()),
            ..view(
                "waiting",
                format!(
                    "wait: nobody in the Team has had this address since {}; the account is \
                     deactivated by the first run from {} on{}",
                    time(waiting.since),
                    time(waiting.due),
                    proof_to_come(facts, next_run)
                        .map_or_else(String::new, |more| format!(", once {more}"))
                ),
            )
        },
        Decision::Act(action) => acting(action, decided.findings.clone()),
    }
}

/// What must come beside the time before an absent person's account goes (§4 step 6); `None`:
/// nothing.
pub(super) fn proof_to_come(facts: &AccountFacts, next_run: NextRun<'_>) -> Option<String> {
    let missed = facts.absence.map_or(0, |absence| absence.pulls);
    let pulls = (missed < LEAST_PULLS.saturating_sub(1))
        .then(|| format!("{LEAST_PULLS} complete pulls have missed the person ({missed} so far)"));
    let clock =
        (!next_run.clock_is_trusted).then(|| "a run trusts this machine's clock again".to_owned());
    let all: Vec<String> = pulls.into_iter().chain(clock).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

fn acting(action: &PlannedAction, findings: Vec<Finding>) -> DecisionView {
    let reason = &action.reason;
    let words = match &action.change {
        Change::SetRole { from, to, .. } => format!(
            "set the site role from {} to {to}: {reason}",
            from.as_deref().unwrap_or("an unknown one")
        ),
        Change::Create { to, .. } => {
            format!("create an account with the site role {to}: {reason}")
        }
        Change::Deactivate { evidence, .. } => {
            let released = reason
                .strip_prefix(evidence.as_str())
                .filter(|more| !more.is_empty())
                .unwrap_or_default();
            format!(
                "deactivate the account, which cannot be undone: {}{released}",
                meaning(*evidence)
            )
        }
    };
    DecisionView {
        kind: action.kind().as_str(),
        words,
        from: action.from().map(str::to_owned),
        to: action.to().map(|role| role.as_str().to_owned()),
        reason: Some(reason.clone()),
        findings,
    }
}

/// The decision for a person without an account.
pub(super) fn joiner(
    facts: &JoinerFacts,
    policy: &Policy,
    decided: DecisionWithFindings,
) -> DecisionView {
    match &decided.decision {
        Decision::Act(action) => {
            let mut view = acting(action, decided.findings);
            view.words
                .push_str("; unless Opsera turns out to know the address already");
            view
        }
        _ => DecisionView {
            kind: "unchanged",
            words: format!("do nothing: {}", why_no_account(facts, policy)),
            from: None,
            to: None,
            reason: None,
            findings: decided.findings,
        },
    }
}

/// The decision for a person whose account Opsera's listing does not show.
pub(super) fn not_created(finding: Finding) -> DecisionView {
    DecisionView {
        kind: "unchanged",
        words: format!("do nothing: {}", finding.detail),
        from: None,
        to: None,
        reason: None,
        findings: vec![finding],
    }
}

fn why_no_account(facts: &JoinerFacts, policy: &Policy) -> String {
    let domain = facts.key.domain();
    match entitlement(&facts.people.listed, &facts.groups, &policy.required_groups) {
        Entitlement::Not(evidence) => {
            format!("there is no account, and {}", meaning(evidence))
        }
        Entitlement::Doubtful => {
            "there is no account, and the person's status is not known to this version".to_owned()
        }
        Entitlement::Entitled if !policy.provision => {
            "the person is entitled and has no account, and provision.enabled is false".to_owned()
        }
        Entitlement::Entitled
            if !policy.scope_domains.is_empty() && !policy.scope_domains.contains(&domain) =>
        {
            format!("the person has no account, and scope.domains does not name {domain}")
        }
        Entitlement::Entitled => "the person has no account".to_owned(),
    }
}

/// Why an account is not managed (§4); `None`: it is.
pub(super) fn why_not_managed(facts: &AccountFacts, policy: &Policy) -> Option<String> {
    if facts.managed {
        return None;
    }
    let Some((address, _)) = &facts.identity else {
        let why = facts.email.as_deref().map_or_else(
            || "it has no address".to_owned(),
            |email| match Address::parse(email) {
                Err(why) => format!("its address cannot be used: {why}"),
                Ok(_) => "Opsera lists its id with two addresses".to_owned(),
            },
        );
        return Some(why);
    };
    if !facts.active {
        return Some("it is inactive".to_owned());
    }
    let domain = policy.matching.scope_domain(address);
    Some(format!("scope.domains does not name {domain}"))
}

fn why_doubt(facts: &AccountFacts) -> &'static str {
    if facts.same_key.is_conflict() {
        "several accounts share its address, so nobody knows which one is the person's (I5)"
    } else {
        "the account may belong to somebody who is ACTIVE, as the finding says"
    }
}

fn why_unchanged(facts: &AccountFacts, policy: &Policy) -> String {
    match entitlement_of(facts, policy) {
        Entitlement::Doubtful if facts.memberships == Memberships::Unreadable => {
            "OPA cannot be asked for the groups of this person, so account and role stay".to_owned()
        }
        Entitlement::Doubtful => {
            let statuses: Vec<&str> = facts
                .people
                .listed
                .iter()
                .filter(|person| matches!(person.status, PersonStatus::Unrecognised(_)))
                .map(|person| person.status.as_str())
                .collect();
            format!(
                "the status {} is not known to this version, so the person keeps account and role",
                statuses.join(", ")
            )
        }
        _ => match desired_role(&policy.roles, &facts.groups) {
            None => "the person is entitled, and the rules leave the role alone".to_owned(),
            Some(desired) if facts.role.is(desired.role) => format!(
                "the person is entitled, and the role is {} as it should be",
                desired.role
            ),
            Some(_) if facts.is_renamed() => {
                "the person is entitled, but the address last belonged to somebody who is ACTIVE \
                 under another one, so the role is left alone (I8)"
                    .to_owned()
            }
            // A role that is known and not the desired one is left for nothing else.
            Some(_) if facts.role.name().is_some() => {
                "the role was taken back by an approved undo, the rest of which is still to be \
                 done; after that the rules count again"
                    .to_owned()
            }
            Some(_) => {
                "the person is entitled, and a protected account's role is not adopted".to_owned()
            }
        },
    }
}

/// The evidence against the person, if there is any.
pub(super) fn evidence(facts: &AccountFacts, policy: &Policy) -> Option<Evidence> {
    match entitlement_of(facts, policy) {
        Entitlement::Not(evidence) => Some(evidence),
        Entitlement::Entitled | Entitlement::Doubtful => None,
    }
}

/// What an evidence says.
pub(super) fn meaning(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Disabled => "the person is DISABLED in OPA",
        Evidence::Deleted => "the person is DELETED in OPA",
        Evidence::Absent => "nobody in the Team has this address",
        Evidence::NotInRequiredGroup => {
            "the person is ACTIVE, but in none of scope.required_groups"
        }
    }
}
