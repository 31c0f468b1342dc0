//! Why a person is not entitled to an account.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

/// The evidence that an account's person has left (§4).
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
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(
    serialize_all = "snake_case",
    parse_err_ty = String,
    parse_err_fn = no_evidence
)]
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
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name used in `deactivation.on` and in reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn no_evidence(text: &str) -> String {
    let known: Vec<_> = Evidence::ALL.iter().map(|known| known.as_str()).collect();
    format!("“{text}” is no evidence ({})", known.join(", "))
}
