//! What both APIs send, and how it becomes the models of the domain.
//!
//! Fields that are not used are not looked at. Fields that are used must have the right type, and
//! those that name a record must be there (G0). A record is a JSON object: an array in its place
//! is refused although serde would take it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};
use serde::{Deserialize, Deserializer};

use super::redaction::is_html;
use crate::domain::{
    AccountRecord, GroupName, GroupRecord, OpaId, OpaName, OpseraId, PersonRecord, PersonStatus,
    UserType, time::Timestamp,
};

/// Reads `body` as one object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    // One look at the whole is faster than one at each text in it.
    let text = std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    serde_json::from_str::<Object<T>>(text)
        .map(|object| object.0)
        .map_err(|error| describe(body, &error))
}

fn describe(body: &[u8], error: &serde_json::Error) -> String {
    if is_html(body) {
        "it is an HTML page".to_owned()
    } else {
        format!("it is not the expected JSON: {error}")
    }
}

/// A `T` that only a JSON object can become.
#[derive(Debug)]
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

/// A record of an API that becomes a `Self::Model` of the domain.
pub trait ApiRecord: DeserializeOwned {
    /// What it becomes.
    type Model;

    /// Checks what must be there; fails with what is not.
    fn into_model(self) -> Result<Self::Model, String>;
}

/// Reads one record.
pub(super) fn record<R: ApiRecord>(body: &[u8]) -> Result<R::Model, String> {
    object::<R>(body)?.into_model()
}

/// Reads one page of an OPA listing.
pub(super) fn page<R: ApiRecord>(body: &[u8]) -> Result<Vec<R::Model>, String> {
    object::<Page<R>>(body).map(|page| page.list.0)
}

#[derive(Deserialize)]
#[serde(bound = "R: ApiRecord")]
struct Page<R: ApiRecord> {
    list: Models<R>,
}

/// A list of records, each made a model as it is read: the records are never all in memory.
struct Models<R: ApiRecord>(Vec<R::Model>);

impl<'de, R: ApiRecord> Deserialize<'de> for Models<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<R>(PhantomData<R>);

        impl<'de, R: ApiRecord> Visitor<'de> for List<R> {
            type Value = Models<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Models<R>, A::Error> {
                let mut models = Vec::new();
                while let Some(record) = list.next_element::<Object<R>>()? {
                    models.push(record.0.into_model().map_err(A::Error::custom)?);
                }
                Ok(Models(models))
            }
        }

        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// A user of OPA.
#[derive(Debug, Deserialize)]
pub struct OpaUserRecord {
    id: String,
    name: String,
    status: String,
    #[serde(default)]
    user_type: Option<String>,
    #[serde(default)]
    details: Option<Object<Details>>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
}

impl ApiRecord for OpaUserRecord {
    type Model = PersonRecord;

    fn into_model(self) -> Result<PersonRecord, String> {
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
#[derive(Debug, Deserialize)]
pub struct OpaGroupRecord {
    id: String,
    name: String,
    #[serde(default)]
    deleted_at: Option<String>,
}

impl ApiRecord for OpaGroupRecord {
    type Model = GroupRecord;

    fn into_model(self) -> Result<GroupRecord, String> {
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

impl ApiRecord for CurrentUser {
    type Model = Self;

    fn into_model(self) -> Result<Self, String> {
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
pub(super) struct OpseraUserRecord {
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

impl ApiRecord for OpseraUserRecord {
    type Model = AccountRecord;

    fn into_model(self) -> Result<AccountRecord, String> {
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
#[path = "records_tests.rs"]
mod tests;
