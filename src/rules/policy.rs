//! What the rules decide by: the part of the settings that says who keeps which account.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use wildmatch::WildMatch;

use crate::domain::time::Timestamp;
use crate::domain::{Address, Domain, Evidence, GroupName, Key, Matching, SiteRole};

/// Everything the rules look at, and nothing else.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `[matching]`
    pub matching: Matching,
    /// `scope.domains`; empty: all.
    pub scope_domains: BTreeSet<Domain>,
    /// `scope.required_groups`; empty: every ACTIVE person is entitled.
    pub required_groups: BTreeSet<GroupName>,
    /// `[protect]` and `opsera.token_owner`.
    pub protection: Protection,
    /// `deactivation.on`; empty when `deactivation.enabled` is false.
    pub deactivate_on: BTreeSet<Evidence>,
    /// `deactivation.release`: the keys, as [`Matching::opsera_key`] gives them, of accounts that no
    /// shield (I7 to I10) keeps.
    pub release: BTreeSet<Key>,
    /// `deactivation.absent_grace`
    pub absent_grace: Duration,
    /// `[roles]`
    pub roles: RolePolicy,
    /// `provision.enabled`
    pub provision: bool,
    /// `[guards]`
    pub guards: GuardLimits,
}

/// Whom nothing may touch.
#[derive(Clone, Debug)]
pub struct Protection {
    /// `protect.emails`, as written.
    pub patterns: Vec<AddressPattern>,
    /// `[[protect.accounts]]`, in their order.
    pub accounts: Vec<ProtectedAccount>,
    /// `opsera.token_owner`
    pub token_owner: Option<Address>,
}

/// One glob of `protect.emails`.
#[derive(Clone, Debug)]
pub struct AddressPattern {
    /// As the operator wrote it.
    pub text: String,
    /// As it is compared: lower case, `*` and `?` only.
    pub glob: WildMatch,
}

/// One of `[[protect.accounts]]`: a protection with a reason, and mostly with an end.
#[derive(Clone, Debug)]
pub struct ProtectedAccount {
    /// Whose account.
    pub pattern: AddressPattern,
    /// Why.
    pub reason: String,
    /// The first moment at which it no longer protects; `None`: it has no end.
    pub until: Option<Timestamp>,
    /// Who answers for it.
    pub owner: Option<String>,
}

/// What a [`ProtectedAccount`] is worth at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It protects.
    Protects,
    /// Its end has passed; a person has to say what is to come.
    Expired,
}

impl ProtectedAccount {
    /// What the protection is worth at `now`.
    pub fn validity(&self, now: Timestamp) -> Validity {
        match self.until {
            Some(until) if until <= now => Validity::Expired,
            _ => Validity::Protects,
        }
    }

    /// Whether the protection names the account with `address`, expired or not.
    pub fn names(&self, address: &Address) -> bool {
        self.pattern.glob.matches(address.as_str())
    }
}

/// `[roles]`
#[derive(Clone, Debug)]
pub struct RolePolicy {
    /// Whether roles are managed at all: enabled, with at least one rule or a default.
    pub managed: bool,
    /// The role of an entitled person whom no rule matches; `None`: leave it alone.
    pub default: Option<SiteRole>,
    /// What to do when the current role is not known.
    pub unknown: UnknownRole,
    /// How memberships are read.
    pub lookup: Lookup,
    /// First match wins.
    pub rules: Vec<RoleRule>,
}

/// `roles.unknown`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownRole {
    /// Set the desired role.
    Assert,
    /// Take the desired role for the current one.
    Adopt,
}

/// `roles.lookup`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lookup {
    /// Whichever needs fewer requests.
    Auto,
    /// The groups of each person.
    User,
    /// The people of each group.
    Group,
}

/// One `[[roles.rules]]`.
#[derive(Clone, Debug)]
pub struct RoleRule {
    /// Which groups it is about.
    pub group: GroupPattern,
    /// The role it gives.
    pub role: SiteRole,
}

/// A group's exact name, or a glob.
#[derive(Clone, Debug)]
pub enum GroupPattern {
    /// No `*` or `?` in it: exactly this group.
    Exact(GroupName),
    /// Every group the glob matches, letter case included.
    Glob(WildMatch),
}

impl GroupPattern {
    /// Reads a rule's `group`.
    pub fn parse(text: &str) -> Self {
        if text.contains(['*', '?']) {
            Self::Glob(WildMatch::new(text))
        } else {
            Self::Exact(GroupName::new(text))
        }
    }

    /// Whether the rule is about `group`.
    pub fn matches(&self, group: &GroupName) -> bool {
        match self {
            Self::Exact(name) => name == group,
            Self::Glob(glob) => glob.matches(group.as_str()),
        }
    }
}

impl std::fmt::Display for GroupPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Glob(glob) => write!(f, "{glob}"),
        }
    }
}

/// `[guards]` (§6). Percentages are whole numbers from 0 to 100.
#[derive(Clone, Debug)]
pub struct GuardLimits {
    /// G1
    pub min_opa_users: u64,
    /// G2
    pub max_opa_drop_percent: u64,
    /// G2, the Opsera side
    pub max_opsera_drop_percent: u64,
    /// G3
    pub max_deactivations: u64,
    /// G3
    pub max_deactivations_percent: u64,
    /// G3
    pub max_deactivations_7d: u64,
    /// G4
    pub max_role_changes: u64,
    /// G4
    pub max_role_changes_percent: u64,
    /// G5
    pub max_creations: u64,
    /// G5
    pub max_administrator_grants: u64,
    /// G6
    pub min_administrators: u64,
    /// Accounts whose protection has ended that one run may touch.
    pub max_expired_protections: u64,
    /// How long an approval, and a plan that waits for one, is good for.
    pub approval_ttl: Duration,
}
