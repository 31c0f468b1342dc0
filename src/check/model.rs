//! What `check` says, as a value. The names of items and fields are public interface.

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

/// The `schema` of a check report.
pub const SCHEMA: &str = "rolecall.check/1";

/// How an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// Fine.
    Ok,
    /// Works, and is probably not meant.
    Warning,
    /// A run would fail, or do what is not meant.
    Failure,
}

impl Status {
    /// The name in the output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What, such as `opa.token`.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// What was found, and what it means.
    pub message: String,
    /// What to do; `None` where nothing is to be done.
    pub hint: Option<String>,
}

/// Everything that was looked at, in order.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    items: Vec<Item>,
}

impl CheckReport {
    /// The items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether nothing failed; warnings do not count.
    pub fn is_ok(&self) -> bool {
        self.items.iter().all(|item| item.status != Status::Failure)
    }

    /// How many items have `status`.
    pub fn count(&self, status: Status) -> u64 {
        let items = self.items.iter();
        let found = items.filter(|item| item.status == status).count();
        u64::try_from(found).unwrap_or(u64::MAX)
    }

    /// Adds everything of another check report.
    pub fn append(&mut self, mut other: Self) {
        self.items.append(&mut other.items);
    }

    /// Notes that an item is fine.
    pub fn ok(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.add(name, Status::Ok, message, None);
    }

    /// Notes that an item is probably not meant.
    pub fn warning(
        &mut self,
        name: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(name, Status::Warning, message, Some(hint.into()));
    }

    /// Notes that an item is wrong.
    pub fn failure(
        &mut self,
        name: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(name, Status::Failure, message, Some(hint.into()));
    }

    /// Notes that an item could not be looked at. That is a warning: what kept it from being
    /// looked at is told as an item of its own.
    pub fn not_checked(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.add(name, Status::Warning, reason, None);
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        status: Status,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.items.push(Item {
            name: name.into(),
            status,
            message: message.into(),
            hint,
        });
    }
}

impl Serialize for CheckReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("CheckReport", 3)?;
        document.serialize_field("schema", SCHEMA)?;
        document.serialize_field("ok", &self.is_ok())?;
        document.serialize_field("items", &self.items)?;
        document.end()
    }
}
