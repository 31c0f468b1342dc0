//! What both directories say now, beside what the snapshot says.
//!
//! One record at a time: a call that fails is told and does not hide what the others said.

use super::model::{AccountView, Explanation, LiveView, PersonView};
use super::words;
use crate::clients::{CallError, Opa, OpseraReader};
use crate::domain::text::error_chain;
use crate::domain::{
    AccountRecord, Address, Finding, FindingKind, GroupName, OpaName, PersonRecord,
};
use crate::reconcile::{is_relevant, memberships_matter};
use crate::rules::Policy;

/// Records of one person that are asked for at most.
const MOST: usize = 20;

/// Asks OPA for every record that carries or carried the key, and Opsera for every account and
/// for the address itself, and puts what differs into `explanation.live`.
pub async fn compare(
    explanation: &mut Explanation,
    policy: &Policy,
    opa: &Opa,
    opsera: &OpseraReader,
) {
    let mut view = LiveView::default();
    for name in names(explanation) {
        let known = explanation.people.iter().find(|person| person.name == name);
        match opa.find_user(&name).await {
            Ok(now) => {
                let still = now.is_some();
                person(&mut view, &name, known, now);
                if let Some(known) = known.filter(|known| still && known.status == "ACTIVE") {
                    groups(&mut view, policy, opa, known).await;
                }
            }
            Err(error) => failed(&mut view, &error),
        }
    }
    for known in explanation.accounts.iter().take(MOST) {
        match opsera.find_user(known.opsera_id.as_str()).await {
            Ok(now) => account(&mut view, known, now.as_ref()),
            Err(error) => failed(&mut view, &error),
        }
    }
    if explanation.accounts.is_empty() {
        for address in addresses(explanation, policy) {
            match opsera.find_user(address.as_str()).await {
                Ok(now) => {
                    unlisted(&mut view, &address, now.as_ref());
                    if let Some(account) = now {
                        not_created(explanation, &address, &account);
                    }
                }
                Err(error) => failed(&mut view, &error),
            }
        }
    }
    explanation.live = Some(view);
}

/// The names of the records in the snapshot and in the memory; else what was asked for, which may
/// be a name that the listing did not show.
fn names(explanation: &Explanation) -> Vec<OpaName> {
    let mut names: Vec<OpaName> = explanation
        .people
        .iter()
        .map(|person| person.name.clone())
        .chain(
            explanation
                .key_holders
                .iter()
                .map(|holder| holder.name.clone()),
        )
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        names.push(OpaName::new(explanation.asked.trim()));
    }
    names.truncate(MOST);
    names
}

/// Every address under which Opsera may hold the account of a person who has none in the listing.
fn addresses(explanation: &Explanation, policy: &Policy) -> Vec<Address> {
    let Some(address) = explanation
        .identity
        .address
        .as_deref()
        .and_then(|text| Address::parse(text).ok())
    else {
        return Vec::new();
    };
    let others = policy.matching.other_addresses(&address);
    std::iter::once(address).chain(others).take(MOST).collect()
}

fn failed(view: &mut LiveView, error: &CallError) {
    view.errors.push(error_chain(error));
}

fn person(
    view: &mut LiveView,
    name: &OpaName,
    known: Option<&PersonView>,
    now: Option<PersonRecord>,
) {
    match (known, now) {
        (None, None) => view.unchanged.push(format!("OPA has no record {name}")),
        (Some(known), None) => view.differences.push(format!(
            "OPA record {name} was {} and is gone now",
            known.status
        )),
        (None, Some(now)) => view.differences.push(format!(
            "OPA record {name} did not carry this address in the snapshot; now it is {} with {}",
            now.status.as_str(),
            address(now.email.as_deref())
        )),
        (Some(known), Some(now)) => {
            let before = view.differences.len();
            if known.status != now.status.as_str() {
                view.differences.push(format!(
                    "OPA record {name} was {} and is {} now",
                    known.status,
                    now.status.as_str()
                ));
            }
            if known.email != now.email {
                view.differences.push(format!(
                    "OPA record {name} had {} and has {} now",
                    address(known.email.as_deref()),
                    address(now.email.as_deref())
                ));
            }
            if view.differences.len() == before {
                view.unchanged.push(format!(
                    "OPA record {name} is {} with {}",
                    known.status,
                    address(known.email.as_deref())
                ));
            }
        }
    }
}

async fn groups(view: &mut LiveView, policy: &Policy, opa: &Opa, known: &PersonView) {
    if !memberships_matter(policy) {
        return;
    }
    let mut now: Vec<GroupName> = Vec::new();
    let mut listing = opa.list_user_groups(&known.name);
    loop {
        match listing.next_page().await {
            Ok(Some(page)) => now.extend(
                page.into_iter()
                    .filter(|group| group.live && is_relevant(policy, &group.name))
                    .map(|group| group.name),
            ),
            Ok(None) => break,
            Err(error) => return failed(view, &error),
        }
    }
    now.sort();
    now.dedup();
    let before = view.differences.len();
    let name = &known.name;
    for group in now.iter().filter(|group| !known.groups.contains(group)) {
        view.differences
            .push(format!("OPA record {name} is in the group {group} now"));
    }
    for group in known.groups.iter().filter(|group| !now.contains(group)) {
        view.differences.push(format!(
            "OPA record {name} is not in the group {group} any more"
        ));
    }
    if view.differences.len() == before {
        view.unchanged
            .push(format!("the groups of OPA record {name} that rules name"));
    }
}

fn account(view: &mut LiveView, known: &AccountView, now: Option<&AccountRecord>) {
    let id = &known.opsera_id;
    let Some(now) = now else {
        view.differences
            .push(format!("Opsera account {id} was there and is gone now"));
        return;
    };
    let before = view.differences.len();
    if !now.active {
        view.differences.push(format!(
            "Opsera account {id} was active and is inactive now"
        ));
    }
    if known.email != now.email {
        view.differences.push(format!(
            "Opsera account {id} had {} and has {} now",
            address(known.email.as_deref()),
            address(now.email.as_deref())
        ));
    }
    if let Some(role) = &now.site_role
        && known.role.current.as_ref() != Some(role)
    {
        view.differences.push(format!(
            "Opsera account {id} had the role {} and has {role} now",
            known.role.current.as_deref().unwrap_or("(unknown)")
        ));
    }
    if view.differences.len() == before {
        view.unchanged.push(format!(
            "Opsera account {id} is active with {}",
            address(known.email.as_deref())
        ));
    }
}

/// A run asks Opsera too, finds the account and creates none (§5): so that is what is foretold.
fn not_created(explanation: &mut Explanation, asked: &Address, account: &AccountRecord) {
    let creates = explanation
        .without_account
        .as_ref()
        .is_some_and(|decision| decision.kind == "create");
    if !creates {
        return;
    }
    let finding = Finding {
        kind: FindingKind::InactiveOpseraAccount,
        email: explanation
            .identity
            .key
            .as_ref()
            .map_or_else(|| asked.to_string(), ToString::to_string),
        detail: format!(
            "Opsera account {asked} (id {}) exists already and is not in the list of active \
             accounts",
            account.id
        ),
    };
    let decision = words::not_created(finding);
    explanation.headline = format!("The next run would {}.", decision.words);
    explanation.without_account = Some(decision);
}

fn unlisted(view: &mut LiveView, asked: &Address, now: Option<&AccountRecord>) {
    match now {
        None => view
            .unchanged
            .push(format!("Opsera has no account {asked}")),
        Some(account) => view.differences.push(format!(
            "Opsera account {} has the address {asked} and is {} now; it was not in the listing",
            account.id,
            if account.active {
                "active, or waits for its first sign-in,"
            } else {
                "inactive"
            }
        )),
    }
}

fn address(email: Option<&str>) -> String {
    email.map_or_else(
        || "no address".to_owned(),
        |email| format!("the address {email}"),
    )
}
