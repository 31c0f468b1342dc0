//! Taking back the role changes of a run (`rolecall undo`): which of them can be taken back, and
//! which of those somebody approved still may be when a run comes to them.

use serde_json::json;

use super::decision::{Entitlement, entitlement_of};
use super::protection::is_protected;
use super::{AccountFacts, Policy};
use crate::domain::{Change, CurrentRole, PlannedAction, RunId, SiteRole, time::Timestamp};

/// Why a role change is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeftOut {
    /// Nobody knew the role that the run replaced.
    #[error("the role before the run was not known")]
    NotKnown,
    /// The role that the run replaced is none that can be set.
    #[error("the role before the run was {0}, which cannot be set")]
    Foreign(String),
    /// Opsera does not list the account any more.
    #[error("Opsera does not list the account any more")]
    NotListed,
    /// The account has another role than the run set.
    #[error("changed since: the role is {role}, and the run set {set}")]
    ChangedSince {
        /// What the account has.
        role: String,
        /// What the run set.
        set: String,
    },
    /// Somebody else decides about the account, or it is doubtful whose it is.
    #[error("the account is not managed, or shares its address with another account")]
    NotManaged,
    /// Its person may not have the account any more.
    #[error("the person is not entitled to the account, or it is doubtful who the person is")]
    NotEntitled,
    /// It is protected.
    #[error("the account is protected")]
    Protected,
}

/// The action that takes back `change`, which `run` made, if the account is still as the run left
/// it. `facts` is the account today, where Opsera lists it.
///
/// # Errors
/// Why it is not taken back.
pub fn restore_of(
    change: &PlannedAction,
    run: &RunId,
    facts: Option<&AccountFacts>,
    policy: &Policy,
    now: Timestamp,
) -> Result<PlannedAction, LeftOut> {
    let set = change.to().map_or("", SiteRole::as_str);
    let before = change.from().ok_or(LeftOut::NotKnown)?;
    let to: SiteRole = before
        .parse()
        .map_err(|_| LeftOut::Foreign(before.to_owned()))?;
    let facts = facts.ok_or(LeftOut::NotListed)?;
    if facts.role.name() != Some(set) {
        return Err(LeftOut::ChangedSince {
            role: facts.role.name().unwrap_or("unknown").to_owned(),
            set: set.to_owned(),
        });
    }
    may_be_set(facts, policy, now)?;
    let mut restore = change.clone();
    restore.change = Change::SetRole {
        opsera_id: facts.id.clone(),
        from: facts.role.name().map(str::to_owned),
        to,
    };
    restore.reason = format!("undo of run {run}");
    restore.evidence = json!({ "undoes": run, "because_then": change.reason }).into();
    Ok(restore)
}

/// The approved `restore` as a run carries it out, if the account is still as it was looked at.
/// `was_tried` is whether a request for it was sent since: then nobody may know the role any more.
///
/// # Errors
/// Why the run leaves it.
pub fn restore_now(
    restore: &PlannedAction,
    was_tried: bool,
    facts: Option<&AccountFacts>,
    policy: &Policy,
    now: Timestamp,
) -> Result<PlannedAction, LeftOut> {
    let facts = facts.ok_or(LeftOut::NotListed)?;
    let is_as_looked_at = match &facts.role {
        CurrentRole::Uncertain => was_tried,
        role => role.name().is_some() && role.name() == restore.from(),
    };
    if !is_as_looked_at {
        return Err(LeftOut::ChangedSince {
            role: facts.role.name().unwrap_or("unknown").to_owned(),
            set: restore.from().unwrap_or("unknown").to_owned(),
        });
    }
    may_be_set(facts, policy, now)?;
    let mut restore = restore.clone();
    if let Change::SetRole { from, .. } = &mut restore.change {
        *from = facts.role.name().map(str::to_owned);
    }
    Ok(restore)
}

/// Whether the account is one whose role this program may set at all (§4, §5).
fn may_be_set(facts: &AccountFacts, policy: &Policy, now: Timestamp) -> Result<(), LeftOut> {
    let Some((address, key)) = &facts.identity else {
        return Err(LeftOut::NotManaged);
    };
    if !facts.managed || facts.same_key.is_conflict() {
        Err(LeftOut::NotManaged)
    } else if entitlement_of(facts, policy) != Entitlement::Entitled
        || (facts.is_renamed() && !policy.release.contains(key))
    {
        Err(LeftOut::NotEntitled)
    } else if is_protected(address, key, policy, now) {
        Err(LeftOut::Protected)
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
