//! An account, as Opsera records it.

use super::{SiteRole, opaque_name};

opaque_name! {
    /// The `_id` of an Opsera account.
    OpseraId
}

/// One user record of Opsera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// The record's `_id`.
    pub id: OpseraId,
    /// The address as Opsera has it.
    pub email: Option<String>,
    /// `firstName`.
    pub first_name: Option<String>,
    /// `lastName`.
    pub last_name: Option<String>,
    /// `active`. A record that does not say is taken for active, as the listing promises.
    pub active: bool,
    /// `siteRole`, if the server sends it (§5: then it is to be believed).
    pub site_role: Option<String>,
}

/// What is sent to create an account (§5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// The address of the new account.
    pub email: String,
    /// Never empty.
    pub first_name: String,
    /// Never empty.
    pub last_name: String,
    /// The role it starts with.
    pub site_role: SiteRole,
}
