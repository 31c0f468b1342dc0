//! What both APIs send, and how it becomes the words of the domain.
//!
//! Fields that are not used are not looked at. Fields that are used must have the right type, and
//! those that name a record must be there (G0). A record is a JSON object: an array in its place
//! is refused although serde would take it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use super::words::is_markup;
use crate::domain::{
    AccountRecord, GroupName, GroupRecord, OpaId, OpaName, OpseraId, PersonRecord, PersonStatus,
    UserType, time::Timestamp,
};

/// Reads `body` as one object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice::<Object<T>>(body)
        .map(|object| object.0)
        .map_err(|error| describe(body, &error))
}

fn describe(body: &[u8], error: &serde_json::Error) -> String {
    if is_markup(body) {
        "it is an HTML page".to_owned()
    } else {
        format!("it is not the expected JSON: {error}")
    }
}

/// A `T` that only a JSON object can become.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// A record of an API that becomes a `Self::Word` of the domain.
pub(super) trait Wire: DeserializeOwned {
    /// What it becomes.
    type Word;

    /// Checks what must be there; fails with what is not.
    fn into_word(self) -> Result<Self::Word, String>;
}

/// Reads one record.
pub(super) fn record<W: Wire>(body: &[u8]) -> Result<W::Word, String> {
    object::<W>(body)?.into_word()
}

/// Reads one page of an OPA listing.
pub(super) fn page<W: Wire>(body: &[u8]) -> Result<Vec<W::Word>, String> {
    object::<Page<W>>(body)?
        .list
        .into_iter()
        .map(|object| object.0.into_word())
        .collect()
}

#[derive(Deserialize)]
#[serde(bound = "W: DeserializeOwned")]
struct Page<W> {
    list: Vec<Object<W>>,
}

/// A user of OPA.
#[derive(Deserialize)]
pub(super) struct WireUser {
    id: String,
    name: String,
    status: String,
    #[serde(default)]
    user_type: Option<String>,
    #[serde(default)]
    details: Option<Object<Details>>,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
}

impl Wire for WireUser {
    type Word = PersonRecord;

    fn into_word(self) -> Result<PersonRecord, String> {
        let details = self.details.map(|object| object.0).unwrap_or_default();
        Ok(PersonRecord {
            id: OpaId::new(required("user", "id", self.id)?),
            name: OpaName::new(required("user", "name", self.name)?),
            status: PersonStatus::parse(&required("user", "status", self.status)?),
            user_type: UserType::parse(self.user_type.as_deref()),
            email: details.email,
            first_name: details.first_name,
            last_name: details.last_name,
        })
    }
}

/// A group of OPA.
#[derive(Deserialize)]
pub(super) struct WireGroup {
    id: String,
    name: String,
    #[serde(default)]
    deleted_at: Option<String>,
}

impl Wire for WireGroup {
    type Word = GroupRecord;

    fn into_word(self) -> Result<GroupRecord, String> {
        required("group", "id", self.id)?;
        let live = match self.deleted_at {
            None => true,
            Some(text) => {
                let at: Timestamp = text
                    .parse()
                    .map_err(|_| "the deleted_at of a group is no time".to_owned())?;
                is_zero_time(at)
            }
        };
        Ok(GroupRecord {
            name: GroupName::new(required("group", "name", self.name)?),
            live,
        })
    }
}

/// `0001-01-01T00:00:00Z`, which stands for “never”.
fn is_zero_time(at: Timestamp) -> bool {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true) == "0001-01-01T00:00:00Z"
}

/// Whose token it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct CurrentUser {
    /// The user's id.
    pub id: String,
    /// The user's name.
    pub name: String,
    /// The Team the token is good for.
    pub team_name: String,
}

impl Wire for CurrentUser {
    type Word = Self;

    fn into_word(self) -> Result<Self, String> {
        Ok(Self {
            id: required("user", "id", self.id)?,
            name: required("user", "name", self.name)?,
            team_name: required("user", "team_name", self.team_name)?,
        })
    }
}

/// A user of Opsera.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireAccount {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
    #[serde(default)]
    active: Option<bool>,
    #[serde(default)]
    site_role: Option<String>,
}

impl Wire for WireAccount {
    type Word = AccountRecord;

    fn into_word(self) -> Result<AccountRecord, String> {
        Ok(AccountRecord {
            id: OpseraId::new(required("user", "_id", self.id)?),
            email: self.email,
            first_name: self.first_name,
            last_name: self.last_name,
            active: self.active.unwrap_or(true),
            site_role: self.site_role,
        })
    }
}

fn required(what: &str, field: &str, value: String) -> Result<String, String> {
    if value.trim().is_empty() {
        Err(format!("the {field} of a {what} is empty"))
    } else {
        Ok(value)
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
