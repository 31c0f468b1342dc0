//! What was noticed and left alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

/// The kinds of finding of §10.
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
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FindingKind {
    /// I6: an Opsera account without a usable address.
    InvalidEmail,
    /// I5: several Opsera accounts with one key.
    DuplicateOpseraEmail,
    /// I4: several ACTIVE people with one key.
    DuplicateOpaEmail,
    /// I7, I9: an account that may belong to somebody who is ACTIVE.
    PossibleMatch,
    /// I8: the account's former owner is ACTIVE under another address.
    Renamed,
    /// I7: an ACTIVE person whose address cannot be learnt.
    UnidentifiedOpaUser,
    /// I3: a record with a status this program does not know.
    UnknownStatus,
    /// §5: an entitled person has an account, but it is not active.
    InactiveOpseraAccount,
    /// §5: a rule names a group that does not exist.
    UnknownGroup,
    /// A2: a person the listing had lost turned out to be ACTIVE.
    InconsistentListing,
    /// §4: a leaver has an account that waits for its first sign-in, which the listing hides.
    PendingLeaver,
    /// §6 G0: Opsera has more accounts than it listed, or listed exactly as many as lists stop at.
    ShortOpseraListing,
    /// §4: this machine's clock cannot end anybody's grace period.
    ClockNotTrusted,
    /// OPA cannot be asked for the groups of this person (§5).
    UnreadableMemberships,
}

impl FindingKind {
    /// Every kind of finding.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// What a person can do about it, in one sentence; docs/findings.md has more.
    pub fn cure(self) -> &'static str {
        match self {
            Self::InvalidEmail => {
                "Left alone. Correct the address in Opsera, or leave the account: it is never \
                 touched."
            }
            Self::DuplicateOpseraEmail => {
                "Left alone. Remove the surplus accounts in Opsera, or undo the alias that joins \
                 them."
            }
            Self::DuplicateOpaEmail => "Correct the addresses in OPA.",
            Self::PossibleMatch => {
                "Left alone. Correct the address where it is wrong, name the pair in \
                 matching.aliases, or release the account with deactivation.release."
            }
            Self::Renamed => {
                "Left alone. Change the address in Opsera, name the pair in matching.aliases, or \
                 release the account with deactivation.release."
            }
            Self::UnidentifiedOpaUser => "Correct the person's address in OPA.",
            Self::UnknownStatus => {
                "Left alone, because a status that is not known may mean anything. Set the person \
                 to ACTIVE or DISABLED in OPA."
            }
            Self::InactiveOpseraAccount => {
                "Nothing is written. An account that waits for its first sign-in needs nothing; an \
                 inactive one can be reactivated in Opsera."
            }
            Self::UnknownGroup => "Correct the name in roles.rules, or create the group in OPA.",
            Self::InconsistentListing => {
                "Left alone. OPA's listing lost somebody who is ACTIVE: report it to Okta if it \
                 comes back."
            }
            Self::PendingLeaver => {
                "Opsera's listing hides accounts that wait for a first sign-in: remove the \
                 invitation in Opsera."
            }
            Self::ShortOpseraListing => "Ask Opsera how many accounts there are.",
            Self::ClockNotTrusted => "Let the machine synchronize its clock.",
            Self::UnreadableMemberships => {
                "The account and its role are left alone. Have Okta free the name, because no \
                 request can name this person."
            }
        }
    }

    /// The name used in reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Finding {
    /// Whether it is about an account that may only wait for its owner's first sign-in, rather than
    /// one that is inactive.
    pub fn may_await_first_sign_in(&self) -> bool {
        self.kind == FindingKind::InactiveOpseraAccount
            && self.detail.contains("waits for its first sign-in")
    }
}

/// One finding: what was found, whom it protects, what the operator can do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What kind it is.
    pub kind: FindingKind,
    /// The address it is about, as its directory has it; the OPA name or the group's name where
    /// there is no address.
    pub email: String,
    /// Every record concerned, in words.
    pub detail: String,
}
