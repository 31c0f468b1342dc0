//! Which directory a request is for, and what a request changed.

/// One of the two simulated directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Okta Privileged Access.
    Opa,
    /// Opsera.
    Opsera,
}

/// What a request changed. A handler attaches it to its response as an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// An OPA token was minted.
    TokenMinted,
    /// An account was deactivated.
    Deactivated {
        /// The account's `_id`.
        id: String,
    },
    /// An account's site role was set, possibly to what it was.
    RoleSet {
        /// The account's `_id`.
        id: String,
        /// The role it has now.
        to: String,
    },
    /// An account was created, pending.
    Created {
        /// The account's `_id`.
        id: String,
        /// Its address.
        email: String,
    },
}
