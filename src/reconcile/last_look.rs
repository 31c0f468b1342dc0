//! The last look (A2): right before a deactivation, is everything still as the plan saw it?
//!
//! The answer is only ever a reason *not* to act. Whatever cannot be read is doubt.

use std::collections::BTreeSet;

use serde_json::json;

use crate::clients::{CallError, Opa, OpseraReader};
use crate::domain::{
    AccountRecord, Address, Change, Evidence, GroupName, Key, Matching, OpaId, OpaName, OpseraId,
    PersonRecord, PersonStatus, PlannedAction,
};
use crate::domain::{ActionState, Closing, Effect};
use crate::rules::Policy;

/// What the last look at an Opsera account showed.
#[derive(Debug)]
pub(super) enum AccountLook {
    /// Active, under the same key.
    AsPlanned,
    /// Inactive or gone.
    Inactive(&'static str),
    /// Active, but it is somebody else's now.
    Moved(Closing),
    /// It could not be read.
    Unreadable(CallError),
}

/// What the last look at the person showed.
#[derive(Debug)]
pub(super) enum PersonLook {
    /// Nobody who carried the key is entitled.
    Gone,
    /// Somebody who carried the key is ACTIVE again, or still.
    Entitled {
        /// Their OPA record.
        id: OpaId,
        /// Its name.
        name: OpaName,
    },
    /// A record could not be read, or says what this program does not know.
    Doubt(String),
    /// OPA does not accept the credential any more.
    Unauthorized(CallError),
}

/// Looks at the account: still active, and still under the key that was planned for?
pub(super) async fn look_at_account(
    opsera: &OpseraReader,
    matching: &Matching,
    id: &OpseraId,
    key: &Key,
) -> AccountLook {
    match opsera.find_user(id.as_str()).await {
        Err(error) => AccountLook::Unreadable(error),
        Ok(None) => AccountLook::Inactive("the account is gone"),
        Ok(Some(account)) if !account.active => {
            AccountLook::Inactive("the account is inactive already")
        }
        Ok(Some(account)) if key_of(matching, &account).as_ref() != Some(key) => {
            let email = account.email.unwrap_or_default();
            let mut closing = Closing::new(
                ActionState::Skipped,
                Effect::DidNotHappen,
                format!("the account's address is now {email:?}: planned afresh by the next run"),
            );
            closing.seen = Some(json!({ "email": email }));
            AccountLook::Moved(closing)
        }
        Ok(Some(_)) => AccountLook::AsPlanned,
    }
}

fn key_of(matching: &Matching, account: &AccountRecord) -> Option<Key> {
    let address = Address::parse(account.email.as_deref()?).ok()?;
    Some(matching.opsera_key(&address))
}

/// Looks at every OPA record that carries the key, carried it last, or ever did.
pub(super) async fn look_at_person(
    opa: &Opa,
    policy: &Policy,
    action: &PlannedAction,
) -> PersonLook {
    let Change::Deactivate {
        evidence,
        known_names,
        earlier_names,
        ..
    } = &action.change
    else {
        return PersonLook::Gone;
    };
    let mut doubt = None;
    // A record in doubt does not end the look: the next one may show that the listing lost it.
    for name in known_names.iter().chain(earlier_names) {
        let person = match opa.find_user(name).await {
            Ok(None) => continue,
            Ok(Some(person)) => person,
            Err(error @ CallError::Unauthorized { .. }) => return PersonLook::Unauthorized(error),
            Err(error) => {
                doubt.get_or_insert(format!("the OPA record {name} cannot be read: {error}"));
                continue;
            }
        };
        // Whoever had the key before somebody else did and has another one now is another person.
        if earlier_names.contains(name) && moved_on(&policy.matching, &person, &action.key) {
            continue;
        }
        match &person.status {
            PersonStatus::Disabled | PersonStatus::Deleted => {}
            PersonStatus::Unrecognised(status) => {
                doubt.get_or_insert(format!(
                    "the OPA record {name} has the unknown status {status:?}"
                ));
            }
            PersonStatus::Active if *evidence == Evidence::NotInRequiredGroup => {
                // Being ACTIVE is what this evidence says; the membership is what may be back.
                match is_member(opa, name, &policy.required_groups).await {
                    Ok(false) => {}
                    Ok(true) => return entitled(person),
                    Err(error @ CallError::Unauthorized { .. }) => {
                        return PersonLook::Unauthorized(error);
                    }
                    Err(error) => {
                        doubt.get_or_insert(format!(
                            "the groups of the OPA record {name} cannot be read: {error}"
                        ));
                    }
                }
            }
            PersonStatus::Active => return entitled(person),
        }
    }
    doubt.map_or(PersonLook::Gone, PersonLook::Doubt)
}

fn entitled(person: PersonRecord) -> PersonLook {
    PersonLook::Entitled {
        id: person.id,
        name: person.name,
    }
}

/// Whether the record has an address of its own that is not this key's.
fn moved_on(matching: &Matching, person: &PersonRecord, key: &Key) -> bool {
    person
        .email
        .as_deref()
        .and_then(|email| Address::parse(email).ok())
        .is_some_and(|address| matching.opa_key(&address) != *key)
}

async fn is_member(
    opa: &Opa,
    name: &OpaName,
    required: &BTreeSet<GroupName>,
) -> Result<bool, CallError> {
    let mut listing = opa.list_user_groups(name);
    while let Some(page) = listing.next_page().await? {
        if page
            .iter()
            .any(|group| group.live && required.contains(&group.name))
        {
            return Ok(true);
        }
    }
    Ok(false)
}
