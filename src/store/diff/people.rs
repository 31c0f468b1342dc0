//! People of a sealed snapshot: by key, without an account, in doubt.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::stream::{self, Stream, TryStreamExt as _};
use sqlx::FromRow;
use sqlx::sqlite::SqliteConnection;

use super::super::snapshot::{Pull, json, read_kind};
use super::super::{Store, StoreError};
use crate::domain::{Address, GroupName, Key, OpaId, OpaName, PersonStatus};
use crate::rules::facts::{Carrier, JoinerFacts, PersonFacts};

#[derive(FromRow)]
struct PersonRow {
    place: i64,
    id: String,
    name: String,
    kind: i64,
    key: String,
    email: Option<String>,
    address: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    status: Option<String>,
}

/// The human records of some keys, with the groups of the ACTIVE ones.
#[derive(Default)]
pub(super) struct PeopleOfKeys(HashMap<String, Entry>);

#[derive(Default)]
struct Entry {
    people: Vec<PersonFacts>,
    groups: BTreeSet<GroupName>,
}

impl PeopleOfKeys {
    pub(super) fn people(&self, key: &str) -> Vec<PersonFacts> {
        self.0
            .get(key)
            .map(|entry| entry.people.clone())
            .unwrap_or_default()
    }

    pub(super) fn groups(&self, key: &str) -> Vec<GroupName> {
        self.0
            .get(key)
            .map(|entry| entry.groups.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether somebody has the key who is ACTIVE or has a status that nobody knows.
    pub(super) fn has_active_or_doubtful(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|entry| {
            entry.people.iter().any(|person| {
                matches!(
                    person.status,
                    PersonStatus::Active | PersonStatus::Unrecognised(_)
                )
            })
        })
    }
}

/// The human records with these keys.
pub(super) async fn list_people_of(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<&str>,
) -> Result<PeopleOfKeys, StoreError> {
    let mut found = PeopleOfKeys::default();
    if keys.is_empty() {
        return Ok(found);
    }
    let rows: Vec<PersonRow> = sqlx::query_as(
        "SELECT p.rowid AS place, p.id, p.name, p.kind, p.key, p.email, p.address, p.first_name,
                p.last_name, p.status
         FROM json_each(?1) w CROSS JOIN main.people p INDEXED BY people_by_key ON p.key = w.value
         WHERE p.kind < 4 ORDER BY p.id",
    )
    .bind(json(keys)?)
    .fetch_all(&mut *connection)
    .await?;
    let active: BTreeMap<i64, String> = rows
        .iter()
        .filter(|row| row.kind == 0)
        .map(|row| (row.place, row.key.clone()))
        .collect();
    for row in rows {
        let (key, facts) = person_facts(row)?;
        found.0.entry(key).or_default().people.push(facts);
    }
    let places: Vec<i64> = active.keys().copied().collect();
    let groups: Vec<(i64, String)> = sqlx::query_as(
        "SELECT m.person, g.name
         FROM json_each(?1) w CROSS JOIN main.memberships m INDEXED BY memberships_by_person
              ON m.person = w.value
         CROSS JOIN main.groups g ON g.id = m.grp",
    )
    .bind(json(&places)?)
    .fetch_all(connection)
    .await?;
    for (place, group) in groups {
        if let Some(entry) = active.get(&place).and_then(|key| found.0.get_mut(key)) {
            entry.groups.insert(GroupName::new(group));
        }
    }
    Ok(found)
}

fn person_facts(row: PersonRow) -> Result<(String, PersonFacts), StoreError> {
    // What equals the key is null.
    let address = row.address.as_deref().unwrap_or(&row.key);
    let address = Address::parse(address)
        .map_err(|why| StoreError::corrupt("people", "address", &row.id, why))?;
    let facts = PersonFacts {
        status: read_kind(row.kind, row.status.as_deref()).0,
        email: row.email.unwrap_or_else(|| row.key.clone()),
        id: OpaId::new(row.id),
        name: OpaName::new(row.name),
        address,
        first_name: row.first_name,
        last_name: row.last_name,
    };
    Ok((row.key, facts))
}

impl Store {
    /// Up to 500 keys of ACTIVE people that no account of `pull` has, in order, after `after`.
    ///
    /// # Errors
    /// The snapshot is lost, or a row is not one that this program writes.
    pub async fn list_joiners(
        &self,
        pull: Pull,
        after: Option<&Key>,
    ) -> Result<Vec<JoinerFacts>, StoreError> {
        let mut connection = self.snapshot(pull).await?.acquire().await?;
        let keys: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT p.key FROM main.people p INDEXED BY people_by_key
             WHERE p.key > ?1 AND p.kind = 0
               AND NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key
                               WHERE a.key = p.key)
             ORDER BY p.key LIMIT 500",
        )
        .bind(after.map_or("", Key::as_str))
        .fetch_all(&mut *connection)
        .await?;
        let wanted: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        let people = list_people_of(&mut connection, &wanted).await?;
        Ok(keys
            .into_iter()
            .map(|key| JoinerFacts {
                people: people.people(&key),
                groups: people.groups(&key),
                key: Key::from_store(key),
            })
            .collect())
    }

    /// The ACTIVE people with one key that no account of `pull` has.
    ///
    /// # Errors
    /// The snapshot is lost, or a row is not one that this program writes.
    pub async fn find_joiner(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Option<JoinerFacts>, StoreError> {
        let mut connection = self.snapshot(pull).await?.acquire().await?;
        let is_joiner: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM main.people INDEXED BY people_by_key
                            WHERE key = ?1 AND kind = 0)
                AND NOT EXISTS (SELECT 1 FROM opsera.accounts INDEXED BY accounts_by_key
                                WHERE key = ?1)",
        )
        .bind(key.as_str())
        .fetch_one(&mut *connection)
        .await?;
        if !is_joiner {
            return Ok(None);
        }
        let people = list_people_of(&mut connection, &BTreeSet::from([key.as_str()])).await?;
        Ok(Some(JoinerFacts {
            key: key.clone(),
            people: people.people(key.as_str()),
            groups: people.groups(key.as_str()),
        }))
    }

    /// ACTIVE humans whose address is missing or invalid, by name (I7).
    pub fn stream_unidentified(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<Carrier, StoreError>> + Send + '_ {
        self.stream_doubtful(pull, UNIDENTIFIED)
            .map_ok(|(person, _)| person)
    }

    /// Humans with a status that this program does not know, by name, with the status (I3).
    pub fn stream_unknown_status(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<(Carrier, String), StoreError>> + Send + '_ {
        self.stream_doubtful(pull, UNKNOWN_STATUS)
            .map_ok(|(person, status)| (person, status.unwrap_or_default()))
    }

    fn stream_doubtful(
        &self,
        pull: Pull,
        statement: &'static str,
    ) -> impl Stream<Item = Result<(Carrier, Option<String>), StoreError>> + Send + '_ {
        let beginning = Some((String::new(), String::new()));
        stream::try_unfold(beginning, move |after| async move {
            let Some((name, id)) = after else {
                return Ok::<_, StoreError>(None);
            };
            let rows: Vec<DoubtfulRow> = sqlx::query_as(statement)
                .bind(name)
                .bind(id)
                .fetch_all(&self.snapshot(pull).await?)
                .await?;
            let next = rows.last().map(|row| (row.name.clone(), row.id.clone()));
            let people: Vec<Result<_, StoreError>> = rows
                .into_iter()
                .map(|row| {
                    let person = Carrier {
                        id: OpaId::new(row.id),
                        name: OpaName::new(row.name),
                        email: row.email,
                    };
                    Ok((person, row.status))
                })
                .collect();
            Ok(next.map(|next| (stream::iter(people), Some(next))))
        })
        .try_flatten()
    }

    /// Whether a record was in any OPA listing of `pull` (A2).
    ///
    /// # Errors
    /// The snapshot is lost, or cannot be read.
    pub async fn has_person(&self, pull: Pull, id: &OpaId) -> Result<bool, StoreError> {
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM main.people INDEXED BY people_by_id WHERE id = ?1)",
        )
        .bind(id.as_str())
        .fetch_one(&self.snapshot(pull).await?)
        .await?;
        Ok(found)
    }
}

#[derive(FromRow)]
struct DoubtfulRow {
    id: String,
    name: String,
    email: Option<String>,
    status: Option<String>,
}

/// `?1` and `?2` the name and the id to go on after.
const UNIDENTIFIED: &str = "
SELECT id, name, email, status FROM main.people INDEXED BY people_unidentified
WHERE key IS NULL AND kind = 0 AND name >= ?1 AND (name, id) > (?1, ?2) ORDER BY name, id LIMIT 500";

const UNKNOWN_STATUS: &str = "
SELECT id, name, coalesce(email, key) AS email, status FROM main.people INDEXED BY people_unknown_status
WHERE kind = 1 AND name >= ?1 AND (name, id) > (?1, ?2) ORDER BY name, id LIMIT 500";
