//! Whom nothing may touch, and whose protection has ended.
//!
//! The end of a protection deactivates nobody by itself: a plan that would touch the account is held
//! (`guards.max_expired_protections`), and the finding `protection_expired` says so.

use chrono::SecondsFormat;

use crate::domain::{Address, Finding, FindingKind, Key, time::Timestamp};
use crate::rules::{AddressPattern, Policy, ProtectedAccount, Validity};

/// What protects an account.
#[derive(Clone, Copy, Debug)]
pub enum ProtectedBy<'p> {
    /// This glob of `protect.emails`.
    Pattern(&'p AddressPattern),
    /// This entry of `[[protect.accounts]]`, whose end has not come.
    Account(&'p ProtectedAccount),
    /// It owns the token (`opsera.token_owner`).
    TokenOwner,
}

/// Whether anything protects the account at `now`.
pub fn is_protected(address: &Address, key: &Key, policy: &Policy, now: Timestamp) -> bool {
    protected_by(address, key, policy, now).is_some()
}

/// What protects the account at `now`: the first glob that does, then the first entry with an end,
/// then the token's ownership.
pub fn protected_by<'p>(
    address: &Address,
    key: &Key,
    policy: &'p Policy,
    now: Timestamp,
) -> Option<ProtectedBy<'p>> {
    let protection = &policy.protection;
    let pattern = protection
        .patterns
        .iter()
        .find(|pattern| pattern.glob.matches(address.as_str()));
    let account = || {
        let mut accounts = protection.accounts.iter();
        accounts
            .find(|account| account.names(address) && account.validity(now) == Validity::Protects)
    };
    let owns_the_token = || {
        protection
            .token_owner
            .as_ref()
            .is_some_and(|owner| policy.matching.opsera_key(owner) == *key)
    };
    pattern
        .map(ProtectedBy::Pattern)
        .or_else(|| account().map(ProtectedBy::Account))
        .or_else(|| owns_the_token().then_some(ProtectedBy::TokenOwner))
}

/// The first entry of `[[protect.accounts]]` that names the account and has ended. It counts where
/// nothing else protects the account.
pub fn ended_protection<'p>(
    address: &Address,
    policy: &'p Policy,
    now: Timestamp,
) -> Option<&'p ProtectedAccount> {
    let mut accounts = policy.protection.accounts.iter();
    accounts.find(|account| account.names(address) && account.validity(now) == Validity::Expired)
}

/// The finding about an account whose protection has ended while a change is due.
pub fn touched(email: &str, ended: &ProtectedAccount) -> Finding {
    Finding {
        kind: FindingKind::ProtectionExpired,
        email: email.to_owned(),
        detail: format!(
            "{}, and a change of the account is due: a plan that touches it is held until somebody \
             approves it; give the protection a new end, or remove it",
            in_words(ended)
        ),
    }
}

/// The findings about the entries that have ended and that `found` does not tell of yet.
pub fn ended_entries(policy: &Policy, now: Timestamp, found: &[Finding]) -> Vec<Finding> {
    let told: Vec<Address> = found
        .iter()
        .filter(|finding| finding.kind == FindingKind::ProtectionExpired)
        .filter_map(|finding| Address::parse(&finding.email).ok())
        .collect();
    let accounts = policy.protection.accounts.iter();
    accounts
        .filter(|account| account.validity(now) == Validity::Expired)
        .filter(|account| !told.iter().any(|address| account.names(address)))
        .map(|ended| Finding {
            kind: FindingKind::ProtectionExpired,
            email: ended.pattern.text.clone(),
            detail: format!(
                "{}; no change is due, and a plan that touches the account would be held; give the \
                 protection a new end, or remove it",
                in_words(ended)
            ),
        })
        .collect()
}

fn in_words(ended: &ProtectedAccount) -> String {
    let until = ended
        .until
        .map(|until| until.to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default();
    let owner = ended
        .owner
        .as_ref()
        .map(|owner| format!(", owner: {owner}"))
        .unwrap_or_default();
    format!(
        "the protection of {} ended at {until} (reason: {}{owner})",
        ended.pattern.text, ended.reason
    )
}

#[cfg(test)]
#[path = "protection_tests.rs"]
mod tests;
