//! A person, as OPA records them, and the groups that give them roles.

use super::opaque_name;

opaque_name! {
    /// The id of an OPA record. One person per id (I3).
    OpaId
}
opaque_name! {
    /// The name of an OPA user, by which a record is read. Never reused by OPA.
    OpaName
}
opaque_name! {
    /// The name of an OPA group. Compared exactly, letter case included.
    GroupName
}

/// The life cycle of an OPA record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonStatus {
    /// In the Team.
    Active,
    /// Blocked by an administrator.
    Disabled,
    /// Removed; the record stays.
    Deleted,
    /// A status this program does not know: doubt, so the person keeps everything (I3).
    Unrecognised(String),
}

impl PersonStatus {
    /// Reads the status as OPA writes it. Letter case counts: anything else is doubt.
    pub fn parse(text: &str) -> Self {
        match text {
            "ACTIVE" => Self::Active,
            "DISABLED" => Self::Disabled,
            "DELETED" => Self::Deleted,
            other => Self::Unrecognised(other.to_owned()),
        }
    }

    /// The status as OPA writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Active => "ACTIVE",
            Self::Disabled => "DISABLED",
            Self::Deleted => "DELETED",
            Self::Unrecognised(other) => other,
        }
    }
}

/// Whether a record stands for a human or for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserType {
    /// A person. A record that does not say is taken for one: that keeps accounts.
    Human,
    /// A service user, which never counts (I3).
    Service,
}

impl UserType {
    /// Reads the `user_type` field.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("service") => Self::Service,
            _ => Self::Human,
        }
    }

    /// The value as OPA writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
        }
    }
}

/// One user record of the OPA Team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRecord {
    /// The record's id.
    pub id: OpaId,
    /// The record's name.
    pub name: OpaName,
    /// Where in its life cycle the record is.
    pub status: PersonStatus,
    /// Human or service.
    pub user_type: UserType,
    /// `details.email`, as OPA sent it.
    pub email: Option<String>,
    /// `details.first_name`.
    pub first_name: Option<String>,
    /// `details.last_name`.
    pub last_name: Option<String>,
}

/// One group of the OPA Team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// The group's name.
    pub name: GroupName,
    /// `false` once the group was deleted (`deleted_at` neither null nor the zero time).
    pub live: bool,
}
