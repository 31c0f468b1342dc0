//! Why a person is not entitled to an account.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The evidence that an account's person has left (§4).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// An OPA record with the key is DISABLED, and none is ACTIVE.
    Disabled,
    /// Every OPA record with the key is DELETED.
    Deleted,
    /// No OPA human record has the key at all.
    Absent,
    /// ACTIVE, but in none of `scope.required_groups`.
    NotInRequiredGroup,
}

impl Evidence {
    /// Every kind of evidence.
    pub const ALL: [Self; 4] = [
        Self::Disabled,
        Self::Deleted,
        Self::Absent,
        Self::NotInRequiredGroup,
    ];

    /// The name used in `deactivation.on` and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::NotInRequiredGroup => "not_in_required_group",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Evidence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|evidence| evidence.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "“{text}” is no evidence (disabled, deleted, absent, not_in_required_group)"
                )
            })
    }
}
