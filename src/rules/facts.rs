//! What the rules look at: one account with everything both directories and the store's memory
//! say about its key.

use serde::{Deserialize, Serialize};

use crate::domain::{
    Address, CurrentRole, GroupName, Key, OpaId, OpaName, OpseraId, PersonStatus, time::Timestamp,
};

/// One OPA human record with the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// The record's id.
    pub id: OpaId,
    /// The record's name.
    pub name: OpaName,
    /// Its status.
    pub status: PersonStatus,
    /// The address as OPA has it.
    pub email: String,
    /// The canonical address.
    pub address: Address,
    /// `details.first_name`
    pub first_name: Option<String>,
    /// `details.last_name`
    pub last_name: Option<String>,
}

/// Somebody who is ACTIVE elsewhere and to whom an account may belong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Carrier {
    /// The OPA record's id.
    pub id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// Its address today, as OPA has it; `None`: it has none.
    pub email: Option<String>,
}

/// One of the accounts that share a key (I5).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SharingAccount {
    /// The account.
    pub id: OpseraId,
    /// Its address as Opsera has it.
    pub email: String,
    /// Whether it is managed.
    pub managed: bool,
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
    /// Every account with the key, this one included, by id (I5). Empty without a key.
    pub sharing: Vec<SharingAccount>,
    /// What is known of its role.
    pub role: CurrentRole,
    /// The OPA human records with the key, by id.
    pub people: Vec<PersonFacts>,
    /// The live groups of the ACTIVE ones among them, as far as they were read.
    pub groups: Vec<GroupName>,
    /// I7: unidentified ACTIVE people this account may belong to.
    pub unidentified: Vec<Carrier>,
    /// I8: ids that last carried the key and are ACTIVE today under another address or none.
    pub renamed: Vec<Carrier>,
    /// I9: ACTIVE people without an account whose key looks the same.
    pub look_alikes: Vec<Carrier>,
    /// Since when complete pulls have missed the person.
    pub absent_since: Option<Timestamp>,
    /// Names of the OPA records that carry the key or carried it last, for the last look (A2).
    pub known_names: Vec<OpaName>,
    /// Names of OPA records that carried the key before those.
    pub earlier_names: Vec<OpaName>,
}

/// An ACTIVE person whose key no Opsera account of the listing has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinerFacts {
    /// The key.
    pub key: Key,
    /// The OPA human records with the key, by id.
    pub people: Vec<PersonFacts>,
    /// The live groups of the ACTIVE ones among them.
    pub groups: Vec<GroupName>,
}
