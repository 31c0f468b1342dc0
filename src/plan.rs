//! A plan: everything that is to be done, as a value.
//!
//! The rules decide the actions, the guards look at their sums, the queue carries them out; none
//! of the later steps chooses anything any more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is done to an account. The order of the variants is the order in which they are applied
/// (A9): nobody loses an account in a run that failed to give somebody else theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Give the account another site role.
    SetRole,
    /// Create an account.
    Create,
    /// Deactivate the account. Cannot be undone.
    Deactivate,
}

impl ActionKind {
    /// Every kind, in the order in which they are applied.
    pub const ALL: [Self; 3] = [Self::SetRole, Self::Create, Self::Deactivate];

    /// The name used in reports and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SetRole => "set_role",
            Self::Create => "create",
            Self::Deactivate => "deactivate",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ActionKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("“{text}” is no kind of action"))
    }
}
