//! What `check` keeps of Opsera's accounts while they stream by: sums, never the accounts.

use std::collections::HashSet;

use crate::domain::{AccountRecord, Address, OpseraId, time::Timestamp};
use crate::rules::{Policy, protection::is_protected};

/// The sums of a whole listing.
#[derive(Debug)]
pub struct AccountStats {
    /// Active accounts.
    pub(super) accounts: u64,
    /// Those whose role is known.
    pub(super) known_roles: u64,
    /// Those known to be Administrators.
    pub(super) administrators: u64,
    /// Those of them that are protected.
    pub(super) protected_administrators: u64,
    /// Protected accounts.
    pub(super) protected: u64,
    /// For each glob of `protect.emails`, how many accounts it protects.
    pub(super) by_pattern: Vec<u64>,
    /// For each of `[[protect.accounts]]`, how many accounts it names.
    pub(super) by_account: Vec<u64>,
    /// Whether the token's owner is among them.
    pub(super) owner: bool,
}

impl AccountStats {
    pub(super) fn nothing(policy: &Policy) -> Self {
        Self {
            accounts: 0,
            known_roles: 0,
            administrators: 0,
            protected_administrators: 0,
            protected: 0,
            by_pattern: policy.protection.patterns.iter().map(|_| 0).collect(),
            by_account: policy.protection.accounts.iter().map(|_| 0).collect(),
            owner: false,
        }
    }

    pub(super) fn add(
        &mut self,
        account: &AccountRecord,
        policy: &Policy,
        known: &HashSet<OpseraId>,
        now: Timestamp,
    ) {
        if !account.active {
            return;
        }
        self.accounts += 1;
        let remembered = known.contains(&account.id);
        let administrator = match &account.site_role {
            Some(role) => role == "Administrators",
            None => remembered,
        };
        self.known_roles += u64::from(account.site_role.is_some() || remembered);
        self.administrators += u64::from(administrator);
        let Some(address) = account
            .email
            .as_deref()
            .and_then(|email| Address::parse(email).ok())
        else {
            return;
        };
        let key = policy.matching.opsera_key(&address);
        let protection = &policy.protection;
        for (count, pattern) in self.by_pattern.iter_mut().zip(&protection.patterns) {
            *count += u64::from(pattern.glob.matches(address.as_str()));
        }
        for (count, named) in self.by_account.iter_mut().zip(&protection.accounts) {
            *count += u64::from(named.names(&address));
        }
        self.owner |= protection
            .token_owner
            .as_ref()
            .is_some_and(|owner| *owner == address || policy.matching.opsera_key(owner) == key);
        let protected = is_protected(&address, &key, policy, now);
        self.protected += u64::from(protected);
        self.protected_administrators += u64::from(protected && administrator);
    }
}
