//! Which directory is called, how a call is named in messages, and which credential it carries.

use std::fmt;

/// One of the two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Okta Privileged Access.
    Opa,
    /// Opsera.
    Opsera,
}

impl Api {
    /// The section of the settings that describes it.
    pub fn section(self) -> &'static str {
        match self {
            Self::Opa => "opa",
            Self::Opsera => "opsera",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opa => "OPA",
            Self::Opsera => "Opsera",
        })
    }
}

/// A call, as it is named in messages: `GET /users`, without host and without a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call(pub String);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which credential a request carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `opa.key_id` and `opa.key_secret`, sent to get a token.
    OpaKey,
    /// A token that was made for `opa.key_id`.
    OpaKeyToken,
    /// `opa.token`, which is not renewed.
    OpaToken,
    /// `opsera.token`.
    OpseraToken,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpaKey => "the key (opa.key_id and opa.key_secret)",
            Self::OpaKeyToken => "a new token made with opa.key_id",
            Self::OpaToken => "opa.token",
            Self::OpseraToken => "opsera.token",
        })
    }
}
