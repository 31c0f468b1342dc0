//! Site roles: what an Opsera account may do.

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

/// The five site roles of Opsera.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(parse_err_ty = UnknownSiteRole, parse_err_fn = UnknownSiteRole::new)]
pub enum SiteRole {
    /// Full access and control.
    Administrators,
    /// Extended rights to manage resources.
    PowerUsers,
    /// Standard access.
    Users,
    /// Read-only access for audits.
    Auditors,
    /// Access to security functions.
    SecurityManagers,
}

/// A text that names none of the five site roles.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("“{0}” is not a site role (Administrators, PowerUsers, Users, Auditors, SecurityManagers)")]
pub struct UnknownSiteRole(pub String);

impl SiteRole {
    /// Every role there is.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name as Opsera writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl UnknownSiteRole {
    fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What is known of an account's present role (§5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CurrentRole {
    /// The server says so, or this program set or adopted it.
    Known(SiteRole),
    /// The server says something that is none of the five roles. It is believed, and it differs
    /// from every desired role.
    Foreign(String),
    /// Nobody ever said.
    Unknown,
    /// A request to change it was sent and its outcome is not known: never taken for any role,
    /// and never adopted away.
    Uncertain,
}

impl CurrentRole {
    /// The role's name for a report; `None` where it is not known.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Known(role) => Some(role.as_str()),
            Self::Foreign(name) => Some(name),
            Self::Unknown | Self::Uncertain => None,
        }
    }

    /// Whether this is known to be `role`.
    pub fn is(&self, role: SiteRole) -> bool {
        matches!(self, Self::Known(known) if *known == role)
    }
}
