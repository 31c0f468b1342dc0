//! The last look (A2): right before a deactivation, is everything still as the plan saw it?
//!
//! The answer is only ever a reason *not* to act. Whatever cannot be read is doubt.

use std::collections::BTreeSet;

use serde_json::json;

use super::state::{ActionState, Closing, Effect};
use crate::directory::{CallError, Opa, OpseraReader};
use crate::domain::{
    AccountRecord, Address, Evidence, GroupName, Key, Matching, OpaId, OpaName, OpseraId,
    PersonStatus,
};

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

/// Looks at every OPA record that carries the key or carried it last.
pub(super) async fn look_at_person(
    opa: &Opa,
    evidence: Evidence,
    names: &[OpaName],
    required_groups: &BTreeSet<GroupName>,
) -> PersonLook {
    for name in names {
        let person = match opa.find_user(name).await {
            Ok(None) => continue,
            Ok(Some(person)) => person,
            Err(error @ CallError::Unauthorized { .. }) => return PersonLook::Unauthorized(error),
            Err(error) => {
                return PersonLook::Doubt(format!("the OPA record {name} cannot be read: {error}"));
            }
        };
        match &person.status {
            PersonStatus::Disabled | PersonStatus::Deleted => {}
            PersonStatus::Unrecognised(status) => {
                return PersonLook::Doubt(format!(
                    "the OPA record {name} has the unknown status {status:?}"
                ));
            }
            PersonStatus::Active if evidence == Evidence::NotInRequiredGroup => {
                // Being ACTIVE is what this evidence says; the membership is what may be back.
                match is_member(opa, name, required_groups).await {
                    Ok(false) => {}
                    Ok(true) => {
                        return PersonLook::Entitled {
                            id: person.id,
                            name: person.name,
                        };
                    }
                    Err(error @ CallError::Unauthorized { .. }) => {
                        return PersonLook::Unauthorized(error);
                    }
                    Err(error) => {
                        return PersonLook::Doubt(format!(
                            "the groups of the OPA record {name} cannot be read: {error}"
                        ));
                    }
                }
            }
            PersonStatus::Active => {
                return PersonLook::Entitled {
                    id: person.id,
                    name: person.name,
                };
            }
        }
    }
    PersonLook::Gone
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
