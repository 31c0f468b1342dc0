//! What the rules look at: one account with everything both directories and the store's memory
//! say about its key.

use serde::{Deserialize, Serialize};

use crate::domain::{
    Address, CurrentRole, GroupName, Key, OpaId, OpaName, OpseraId, PersonStatus, time::Timestamp,
};

/// How a record came to count under a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Its own address has the key.
    #[default]
    Address,
    /// It has no usable address any more, and its id carried the key last (I11).
    Memory,
}

/// Whether the groups of a person could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memberships {
    /// They were read, as far as the settings make them matter.
    #[default]
    Read,
    /// OPA cannot be asked about this person (a name that is no path segment): doubt, so account
    /// and role stay.
    Unreadable,
}

/// One OPA human record with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// The record's id.
    pub id: OpaId,
    /// The record's name.
    pub name: OpaName,
    /// Its status.
    pub status: PersonStatus,
    /// The address as OPA has it; empty where it has none (I11).
    pub email: String,
    /// The canonical address: the record's own, or the one its id carried last (I11).
    pub address: Address,
    /// Why the record counts under the key.
    pub key_source: KeySource,
    /// `details.first_name`
    pub first_name: Option<String>,
    /// `details.last_name`
    pub last_name: Option<String>,
}

/// The OPA human records with one key. A directory can give one address to any number of records,
/// so only some of them are listed; every status that occurs has a record in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// At most [`MOST_LISTED`] of each status, by id.
    pub listed: Vec<PersonFacts>,
    /// How many there are.
    pub total: u64,
    /// How many of them are ACTIVE.
    pub active: u64,
}

/// Records of one kind that are listed for one key.
pub const MOST_LISTED: usize = 10;

impl FromIterator<PersonFacts> for People {
    fn from_iter<I: IntoIterator<Item = PersonFacts>>(people: I) -> Self {
        let mut all = Self::default();
        for person in people {
            all.add(person);
        }
        all.listed.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

impl People {
    /// Counts one more record, and lists it if few of its status are listed yet.
    pub fn add(&mut self, person: PersonFacts) {
        self.total = self.total.saturating_add(1);
        if person.status == PersonStatus::Active {
            self.active = self.active.saturating_add(1);
        }
        let rank = std::mem::discriminant(&person.status);
        let alike = self
            .listed
            .iter()
            .filter(|other| std::mem::discriminant(&other.status) == rank)
            .count();
        if alike < MOST_LISTED {
            self.listed.push(person);
        }
    }
}

/// An OPA record that carries, carried or may carry a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyHolder {
    /// The OPA record's id.
    pub id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// Its address today, as OPA has it; `None`: it has none.
    pub email: Option<String>,
}

/// ACTIVE people to whom an account may belong (I7, I9, I10). Any number of people can have one name,
/// so only the first of them are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The first, a few more than [`MOST_LISTED`] for each text that is compared.
    pub listed: Vec<KeyHolder>,
    /// How many there are, or more.
    pub total: u64,
}

/// One step of the way of I8: an id that carried a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RenameStep {
    /// The key.
    pub key: Key,
    /// The record's id.
    pub id: OpaId,
    /// The record's name.
    pub name: OpaName,
}

/// A way from an account's key to somebody who is ACTIVE today (I8): the first step is the
/// account's own key, and each later one a key that the id of the step before carried later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenamedPath {
    /// Who is ACTIVE today, under another key or under none: the id of the last step.
    pub holder: KeyHolder,
    /// The record's status today: ACTIVE, or one that is doubt (I3).
    pub status: PersonStatus,
    /// The steps, at least one.
    pub steps: Vec<RenameStep>,
}

/// Whether the way of I8 was followed to all its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalkEnd {
    /// Every record on the way was looked at.
    #[default]
    Complete,
    /// There are more than [`MOST_NODES`](super::renames::MOST_NODES) records and keys on the
    /// way: doubt, which shields.
    TooLong,
}

/// One of the accounts with one key (I5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountWithKey {
    /// The account.
    pub id: OpseraId,
    /// Its address as Opsera has it.
    pub email: String,
}

/// The accounts with one key (I5), the one they are told of included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SameKey {
    /// How many there are.
    pub total: u64,
    /// The first of them, by id, at most [`MOST_LISTED`].
    pub first: Vec<AccountWithKey>,
    /// The first managed one, which carries the finding of all of them.
    pub first_managed: Option<OpseraId>,
}

impl SameKey {
    /// Whether other accounts have the key too.
    pub fn is_conflict(&self) -> bool {
        self.total > 1
    }
}

/// Since when complete pulls have missed a person (§4 step 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The first complete pull that missed the person.
    pub since: Timestamp,
    /// How many complete pulls in a row missed them.
    pub pulls: u32,
}

impl Absence {
    /// The same after one more complete pull that misses the person.
    #[must_use]
    pub fn once_more(self) -> Self {
        Self {
            pulls: self.pulls.saturating_add(1),
            ..self
        }
    }
}

/// One Opsera account and everything known about its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// The account.
    pub id: OpseraId,
    /// The address as Opsera has it.
    pub email: Option<String>,
    /// The canonical address and the key; `None` where the address is invalid (I6).
    pub identity: Option<(Address, Key)>,
    /// Active, with a valid address, in scope (§4).
    pub managed: bool,
    /// Active, whether managed or not.
    pub active: bool,
    /// The accounts with the key (I5). Empty without a key.
    pub same_key: SameKey,
    /// What is known of its role.
    pub role: CurrentRole,
    /// The OPA human records with the key, those of I11 included.
    pub people: People,
    /// The live groups of the ACTIVE ones among them, as far as they were read.
    pub groups: Vec<GroupName>,
    /// Whether the groups of every ACTIVE one among them could be read.
    pub memberships: Memberships,
    /// I7: unidentified ACTIVE people this account may belong to.
    pub unidentified: Candidates,
    /// I8: ways to people who are ACTIVE today under another key or none, or whose status is doubt.
    pub renamed: Vec<RenamedPath>,
    /// I8: whether all ways were followed to their ends.
    pub renamed_walk: WalkEnd,
    /// I9: ACTIVE people without an account whose key looks the same.
    pub look_alikes: Candidates,
    /// I10: ACTIVE people without an account whose name is this account's.
    pub unclaimed: Candidates,
    /// Since when complete pulls have missed the person.
    pub absence: Option<Absence>,
    /// Names of the OPA records that carry the key or carried it last, and of those further on
    /// the way of I8, for the last look (A2).
    pub known_names: Vec<OpaName>,
    /// Names of OPA records that carried the key before those.
    pub earlier_names: Vec<OpaName>,
}

impl AccountFacts {
    /// Whether I8 keeps account and role: the way leads to somebody ACTIVE or to doubt, or has no
    /// end.
    pub fn is_renamed(&self) -> bool {
        !self.renamed.is_empty() || self.renamed_walk == WalkEnd::TooLong
    }
}

/// An ACTIVE person whose key no Opsera account of the listing has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinerFacts {
    /// The key.
    pub key: Key,
    /// The OPA human records with the key.
    pub people: People,
    /// The live groups of the ACTIVE ones among them.
    pub groups: Vec<GroupName>,
    /// Whether the groups of every ACTIVE one among them could be read.
    pub memberships: Memberships,
}
