//! The diff: one query streams the accounts of a pull with everything known about their keys,
//! another the ACTIVE people whose key has no account.
//!
//! Rows come one at a time, in the order of the keys, so memory does not grow with the directory.
//! What the shields (I7, I8, I9) need is looked up only where nobody ACTIVE has the key.

use futures::stream::{Stream, StreamExt as _};
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::diff_sql::{ACCOUNTS, COUNT_TO_LOOK_UP, JOINERS, PEOPLE_TO_LOOK_UP};
use super::snapshot::Pull;
use super::{Store, StoreError};
use crate::domain::{
    Address, CurrentRole, GroupName, Key, OpaId, OpaName, OpseraId, PersonStatus, SiteRole,
    time::Timestamp,
};
use crate::rules::facts::{AccountFacts, Carrier, JoinerFacts, PersonFacts};

#[derive(Deserialize)]
struct PersonJson {
    id: OpaId,
    name: OpaName,
    status: String,
    email: Option<String>,
    address: String,
    first: Option<String>,
    last: Option<String>,
}

impl Store {
    /// Every account of `pull` with its facts, by key.
    pub fn stream_accounts(
        &self,
        pull: Pull,
        actives_can_leave: bool,
    ) -> impl Stream<Item = Result<AccountFacts, StoreError>> + Send + '_ {
        sqlx::query(ACCOUNTS)
            .bind(pull.0)
            .bind(None::<String>)
            .bind(actives_can_leave)
            .bind(None::<String>)
            .fetch(self.reader())
            .map(|row| account_facts(&row?))
    }

    /// The accounts of `pull` with one key.
    pub async fn list_accounts_of(
        &self,
        pull: Pull,
        key: &Key,
        actives_can_leave: bool,
    ) -> Result<Vec<AccountFacts>, StoreError> {
        sqlx::query(ACCOUNTS)
            .bind(pull.0)
            .bind(key.as_str())
            .bind(actives_can_leave)
            .bind(None::<String>)
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(account_facts)
            .collect()
    }

    /// One account of `pull` with its facts.
    pub async fn find_account(
        &self,
        pull: Pull,
        id: &OpseraId,
        actives_can_leave: bool,
    ) -> Result<Option<AccountFacts>, StoreError> {
        sqlx::query(ACCOUNTS)
            .bind(pull.0)
            .bind(None::<String>)
            .bind(actives_can_leave)
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?
            .map(|row| account_facts(&row))
            .transpose()
    }

    /// Every key of an ACTIVE person that no account of `pull` has, by key.
    pub fn stream_joiners(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<JoinerFacts, StoreError>> + Send + '_ {
        sqlx::query(JOINERS)
            .bind(pull.0)
            .bind(None::<String>)
            .fetch(self.reader())
            .map(|row| joiner_facts(&row?))
    }

    /// The ACTIVE people with one key that no account of `pull` has.
    pub async fn find_joiner(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Option<JoinerFacts>, StoreError> {
        sqlx::query(JOINERS)
            .bind(pull.0)
            .bind(key.as_str())
            .fetch_optional(self.reader())
            .await?
            .map(|row| joiner_facts(&row))
            .transpose()
    }

    /// ACTIVE humans whose address is missing or invalid, by name (I7).
    pub fn stream_unidentified(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<Carrier, StoreError>> + Send + '_ {
        self.stream_carriers(
            "SELECT id, name, email FROM opa_users
             WHERE pull = ?1 AND key IS NULL AND service = 0 AND status_rank = 0 ORDER BY name",
            pull,
        )
    }

    /// Humans with a status this program does not know, by name, the status in place of the
    /// address (I3).
    pub fn stream_unknown_status(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<(Carrier, String), StoreError>> + Send + '_ {
        sqlx::query(
            "SELECT id, name, email, status FROM opa_users
             WHERE pull = ?1 AND service = 0 AND status_rank = 1 ORDER BY name",
        )
        .bind(pull.0)
        .fetch(self.reader())
        .map(|row| {
            let row = row?;
            Ok((carrier(&row), row.get(3)))
        })
    }

    /// The records of the ACTIVE people whose memberships decide something in `pull`: those with
    /// an account, and with `joiners` those without one too. Keyset paged by id, 500 at a time.
    pub async fn list_people_to_look_up(
        &self,
        pull: Pull,
        joiners: bool,
        after: Option<&OpaId>,
    ) -> Result<Vec<(OpaId, OpaName)>, StoreError> {
        let rows = sqlx::query(PEOPLE_TO_LOOK_UP)
            .bind(pull.0)
            .bind(joiners)
            .bind(after.map_or("", OpaId::as_str))
            .fetch_all(self.reader())
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                (
                    OpaId::new(row.get::<String, _>(0)),
                    OpaName::new(row.get::<String, _>(1)),
                )
            })
            .collect())
    }

    /// How many people [`Store::list_people_to_look_up`] would list.
    pub async fn count_people_to_look_up(
        &self,
        pull: Pull,
        joiners: bool,
    ) -> Result<u64, StoreError> {
        let row = sqlx::query(COUNT_TO_LOOK_UP)
            .bind(pull.0)
            .bind(joiners)
            .fetch_one(self.reader())
            .await?;
        Ok(super::snapshot::count(&row, 0))
    }

    /// Whether a record was in any OPA listing of `pull` (A2).
    pub async fn has_person(&self, pull: Pull, id: &OpaId) -> Result<bool, StoreError> {
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM opa_users WHERE pull = ?1 AND id = ?2)",
        )
        .bind(pull.0)
        .bind(id.as_str())
        .fetch_one(self.reader())
        .await?;
        Ok(found)
    }

    fn stream_carriers(
        &self,
        statement: &'static str,
        pull: Pull,
    ) -> impl Stream<Item = Result<Carrier, StoreError>> + Send + '_ {
        sqlx::query(statement)
            .bind(pull.0)
            .fetch(self.reader())
            .map(|row| Ok(carrier(&row?)))
    }
}

fn account_facts(row: &SqliteRow) -> Result<AccountFacts, StoreError> {
    let address: Option<String> = row.get("address");
    let key: Option<String> = row.get("key");
    let identity = match (address, key) {
        (Some(address), Some(key)) => Some((
            canonical(&address, "opsera_accounts")?,
            Key::from_store(key),
        )),
        _ => None,
    };
    let since: Option<Timestamp> = row
        .get::<Option<String>, _>("since")
        .map(|text| super::time("absences", "since", &text))
        .transpose()?;
    Ok(AccountFacts {
        id: OpseraId::new(row.get::<String, _>("id")),
        email: row.get("email"),
        identity,
        active: row.get("active"),
        managed: row.get("managed"),
        sharing: json(row, "sharing")?,
        role: current_role(row),
        people: people(row)?,
        groups: groups(row)?,
        unidentified: json(row, "unidentified")?,
        renamed: json(row, "renamed")?,
        look_alikes: json(row, "look_alikes")?,
        absent_since: since,
        known_names: json(row, "known_names")?,
        earlier_names: json(row, "earlier_names")?,
    })
}

fn joiner_facts(row: &SqliteRow) -> Result<JoinerFacts, StoreError> {
    Ok(JoinerFacts {
        key: Key::from_store(row.get("key")),
        people: people(row)?,
        groups: groups(row)?,
    })
}

fn people(row: &SqliteRow) -> Result<Vec<PersonFacts>, StoreError> {
    let people: Vec<PersonJson> = json(row, "people")?;
    people
        .into_iter()
        .map(|person| {
            Ok(PersonFacts {
                id: person.id,
                name: person.name,
                status: PersonStatus::parse(&person.status),
                email: person.email.unwrap_or_default(),
                address: canonical(&person.address, "opa_users")?,
                first_name: person.first,
                last_name: person.last,
            })
        })
        .collect()
}

fn groups(row: &SqliteRow) -> Result<Vec<GroupName>, StoreError> {
    let mut groups: Vec<GroupName> = json(row, "groups")?;
    groups.sort();
    Ok(groups)
}

/// A JSON column; null is the empty list.
fn json<T: for<'de> Deserialize<'de>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Vec<T>, StoreError> {
    let text: Option<String> = row.get(column);
    text.map_or_else(
        || Ok(Vec::new()),
        |text| {
            serde_json::from_str(&text).map_err(|error| {
                StoreError::corrupt("snapshot", column, row.get::<String, _>(0), error)
            })
        },
    )
}

fn canonical(text: &str, table: &'static str) -> Result<Address, StoreError> {
    Address::parse(text).map_err(|why| StoreError::corrupt(table, "address", text, why))
}

fn carrier(row: &SqliteRow) -> Carrier {
    Carrier {
        id: OpaId::new(row.get::<String, _>(0)),
        name: OpaName::new(row.get::<String, _>(1)),
        email: row.get(2),
    }
}

/// The server is believed before the store's memory (§5).
fn current_role(row: &SqliteRow) -> CurrentRole {
    let parse = |name: String| match name.parse::<SiteRole>() {
        Ok(role) => CurrentRole::Known(role),
        Err(_) => CurrentRole::Foreign(name),
    };
    if let Some(name) = row.get::<Option<String>, _>("site_role") {
        return parse(name);
    }
    if row.get::<bool, _>("remembered") {
        return row
            .get::<Option<String>, _>("known_role")
            .map_or(CurrentRole::Uncertain, parse);
    }
    row.get::<Option<String>, _>("created_role")
        .map_or(CurrentRole::Unknown, parse)
}
