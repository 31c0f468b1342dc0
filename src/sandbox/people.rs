//! The records of the OPA Team, and what a test says to have one made.

use std::collections::BTreeSet;

use crate::domain::time::Timestamp;

/// What kind of user a record stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    #[default]
    Human,
    /// A machine.
    Service,
}

/// Whether the listings show a record, and whether `team_stats` counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Where it belongs.
    #[default]
    Listed,
    /// No listing shows it and `team_stats` does not count it; reading it by name finds it.
    Hidden,
    /// No listing shows it, although `team_stats` counts it; reading it by name finds it.
    Unlisted,
    /// `GET /users` shows it in its place and once more at the end, as if it had moved between
    /// the pages.
    Twice,
}

/// A person to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonSeed {
    /// The record's id; `None`: a fresh one.
    pub id: Option<String>,
    /// The record's name.
    pub name: String,
    /// `details.email`
    pub email: Option<String>,
    /// `details.first_name`
    pub first_name: Option<String>,
    /// `details.last_name`
    pub last_name: Option<String>,
    /// `ACTIVE`, `DISABLED`, `DELETED`, or anything else.
    pub status: String,
    /// Human or service.
    pub kind: UserKind,
    /// The groups the person is in. Groups that do not exist are made.
    pub groups: Vec<String>,
}

impl PersonSeed {
    /// An ACTIVE human without groups and without first and last name.
    pub fn active(name: &str, email: &str) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            email: Some(email.to_owned()),
            first_name: None,
            last_name: None,
            status: "ACTIVE".to_owned(),
            kind: UserKind::Human,
            groups: Vec::new(),
        }
    }

    /// With these groups.
    pub fn in_groups<const N: usize>(mut self, groups: [&str; N]) -> Self {
        self.groups = groups.map(str::to_owned).to_vec();
        self
    }

    /// With this first and last name.
    pub fn named(mut self, first: &str, last: &str) -> Self {
        self.first_name = Some(first.to_owned());
        self.last_name = Some(last.to_owned());
        self
    }

    /// With this status.
    pub fn status(mut self, status: &str) -> Self {
        status.clone_into(&mut self.status);
        self
    }
}

/// A user record of the Team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The record's id.
    pub id: String,
    /// The record's name.
    pub name: String,
    /// `details.email`
    pub email: Option<String>,
    /// `details.first_name`
    pub first_name: Option<String>,
    /// `details.last_name`
    pub last_name: Option<String>,
    /// The raw status.
    pub status: String,
    /// Human or service.
    pub kind: UserKind,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether listings show it.
    pub visibility: Visibility,
}

/// A group of the Team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group's id.
    pub id: String,
    /// The group's name.
    pub name: String,
    /// When it was deleted; `None` while it lives.
    pub deleted_at: Option<Timestamp>,
    pub(super) members: BTreeSet<usize>,
}
