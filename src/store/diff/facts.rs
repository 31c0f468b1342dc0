//! The facts of a page of accounts, each kind of fact looked up for all of them together.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, FromRow};

use super::super::snapshot::{AccountKind, Comparison, Pull, json, role_of};
use super::super::{Store, StoreError};
use super::people::{self, PeopleOfKeys};
use crate::domain::{Address, CurrentRole, Key, OpaName, OpseraId, SiteRole};
use crate::rules::facts::{AccountFacts, Carrier, SharingAccount};
use crate::rules::shields::{fold_full_name, fold_name};

/// Which accounts.
pub(super) enum Wanted<'w> {
    /// Those in these places of the table.
    Places(Vec<i64>),
    /// Those with this key.
    Key(&'w Key),
    /// The one with this id.
    Id(&'w OpseraId),
}

#[derive(FromRow)]
struct AccountRow {
    id: String,
    kind: i64,
    key: Option<String>,
    email: Option<String>,
    address: Option<String>,
    own_key: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    site_role: Option<String>,
    is_remembered: bool,
    known_role: Option<String>,
    created_role: Option<String>,
    since: Option<String>,
}

impl AccountRow {
    fn kind(&self) -> AccountKind {
        AccountKind::read(self.kind)
    }

    /// What equals the key is null.
    fn or_key<'r>(&'r self, column: &'r Option<String>) -> Option<&'r str> {
        column.as_deref().or(self.key.as_deref())
    }
}

impl Store {
    /// The accounts of `pull` with one key.
    ///
    /// # Errors
    /// The snapshot is lost, or a row is not one that this program writes.
    pub async fn list_accounts_of(
        &self,
        pull: Pull,
        key: &Key,
        actives_can_leave: bool,
    ) -> Result<Vec<AccountFacts>, StoreError> {
        let mut connection = self.snapshot(pull).await?.acquire().await?;
        look_up(&mut connection, &Wanted::Key(key), actives_can_leave).await
    }

    /// One account of `pull` with its facts.
    ///
    /// # Errors
    /// The snapshot is lost, or a row is not one that this program writes.
    pub async fn find_account(
        &self,
        pull: Pull,
        id: &OpseraId,
        actives_can_leave: bool,
    ) -> Result<Option<AccountFacts>, StoreError> {
        let mut connection = self.snapshot(pull).await?.acquire().await?;
        let found = look_up(&mut connection, &Wanted::Id(id), actives_can_leave).await?;
        Ok(found.into_iter().next())
    }
}

const ACCOUNTS: &str = "
SELECT a.id, a.kind, a.key, a.email, a.address, a.own_key, a.first_name, a.last_name, a.site_role,
       k.opsera_id IS NOT NULL AS is_remembered, k.role AS known_role, c.role AS created_role, n.since
FROM opsera.accounts a
LEFT JOIN ledger.known_roles k ON k.opsera_id = a.id
LEFT JOIN ledger.created_roles c ON c.key = a.key
LEFT JOIN ledger.absences n ON n.key = a.key
WHERE ";

/// The accounts that are wanted, with their facts, in the order of their keys.
pub(super) async fn look_up(
    connection: &mut SqliteConnection,
    wanted: &Wanted<'_>,
    actives_can_leave: bool,
) -> Result<Vec<AccountFacts>, StoreError> {
    let (which, value) = match wanted {
        Wanted::Places(places) => (
            "a.rowid IN (SELECT value FROM json_each(?1))",
            json(places)?,
        ),
        Wanted::Key(key) => ("a.key = ?1", key.as_str().to_owned()),
        Wanted::Id(id) => ("a.id = ?1", id.as_str().to_owned()),
    };
    let statement = format!("{ACCOUNTS}{which} ORDER BY a.key, a.id");
    let rows: Vec<AccountRow> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(value)
        .fetch_all(&mut *connection)
        .await?;
    let keys: BTreeSet<&str> = rows.iter().filter_map(|row| row.key.as_deref()).collect();
    let sharing = list_sharing(connection, &keys).await?;
    let managed_keys: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.kind().managed)
        .filter_map(|row| row.key.as_deref())
        .collect();
    let people = people::list_people_of(connection, &managed_keys).await?;
    let is_leaver = |row: &AccountRow| {
        row.kind().managed
            && (actives_can_leave
                || row
                    .key
                    .as_deref()
                    .is_none_or(|key| !people.has_active_or_doubtful(key)))
    };
    let leavers: Vec<&AccountRow> = rows.iter().filter(|row| is_leaver(row)).collect();
    let shields = list_shields(connection, &leavers).await?;
    let leaver_keys: BTreeSet<&str> = leavers
        .iter()
        .filter_map(|row| row.key.as_deref())
        .collect();
    let renamed = list_renamed(connection, &managed_keys).await?;
    let names = list_names(connection, &leaver_keys).await?;
    rows.iter()
        .map(|row| {
            let is_leaver = is_leaver(row);
            build(row, is_leaver, &sharing, &people, &shields, &renamed, &names)
        })
        .collect()
}

#[expect(clippy::too_many_arguments, reason = "one kind of fact each")]
fn build(
    row: &AccountRow,
    is_leaver: bool,
    sharing: &HashMap<String, Vec<SharingAccount>>,
    people: &PeopleOfKeys,
    shields: &Shields,
    renamed: &HashMap<String, Vec<Carrier>>,
    names: &HashMap<String, Names>,
) -> Result<AccountFacts, StoreError> {
    let kind = row.kind();
    let identity = match (row.or_key(&row.address), &row.key) {
        (Some(address), Some(key)) => {
            let address = Address::parse(address)
                .map_err(|why| StoreError::corrupt("accounts", "address", &row.id, why))?;
            Some((address, Key::from_store(key.clone())))
        }
        _ => None,
    };
    let key = row.key.as_deref().unwrap_or_default();
    let names = if is_leaver { names.get(key) } else { None };
    Ok(AccountFacts {
        id: OpseraId::new(row.id.clone()),
        email: row.or_key(&row.email).map(str::to_owned),
        identity,
        active: kind.active,
        managed: kind.managed,
        sharing: sharing.get(key).cloned().unwrap_or_default(),
        role: current_role(row),
        people: if kind.managed { people.people(key) } else { Vec::new() },
        groups: if kind.managed { people.groups(key) } else { Vec::new() },
        unidentified: if is_leaver { shields.unidentified(row) } else { Vec::new() },
        renamed: if kind.managed { renamed.get(key).cloned().unwrap_or_default() } else { Vec::new() },
        look_alikes: if is_leaver { shields.look_alikes(row) } else { Vec::new() },
        absent_since: row
            .since
            .as_deref()
            .map(|text| super::super::time("absences", "since", text))
            .transpose()?,
        known_names: names.map(|names| names.known.clone()).unwrap_or_default(),
        earlier_names: names.map(|names| names.earlier.clone()).unwrap_or_default(),
    })
}

/// The server is believed before the store's memory (§5).
fn current_role(row: &AccountRow) -> CurrentRole {
    let parse = |name: &str| match name.parse::<SiteRole>() {
        Ok(role) => CurrentRole::Known(role),
        Err(_) => CurrentRole::Foreign(name.to_owned()),
    };
    if let Some(role) = role_of(row.kind().role) {
        return CurrentRole::Known(role);
    }
    if let Some(name) = &row.site_role {
        return parse(name);
    }
    if row.is_remembered {
        return row
            .known_role
            .as_deref()
            .map_or(CurrentRole::Uncertain, parse);
    }
    row.created_role
        .as_deref()
        .map_or(CurrentRole::Unknown, parse)
}

#[derive(FromRow)]
struct SharingRow {
    key: String,
    id: String,
    email: String,
    is_managed: bool,
}

/// Every account with one of the keys (I5).
async fn list_sharing(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<&str>,
) -> Result<HashMap<String, Vec<SharingAccount>>, StoreError> {
    let rows: Vec<SharingRow> = sqlx::query_as(
        "SELECT key, id, coalesce(email, key) AS email, kind & 2 AS is_managed
         FROM opsera.accounts INDEXED BY accounts_by_key
         WHERE key IN (SELECT value FROM json_each(?1)) ORDER BY key, id",
    )
    .bind(json(keys)?)
    .fetch_all(connection)
    .await?;
    let mut sharing: HashMap<String, Vec<SharingAccount>> = HashMap::new();
    for row in rows {
        sharing.entry(row.key).or_default().push(SharingAccount {
            id: OpseraId::new(row.id),
            email: row.email,
            managed: row.is_managed,
        });
    }
    Ok(sharing)
}

#[derive(FromRow)]
struct ShieldRow {
    text: String,
    what: i64,
    id: String,
    name: String,
    key: Option<String>,
    email: Option<String>,
}

/// ACTIVE people to whom an account may belong, by what was compared.
#[derive(Default)]
struct Shields(HashMap<(i64, String), Vec<ShieldRow>>);

const SHIELDS: &str = "
SELECT s.text, s.what, p.id, p.name, p.key, coalesce(p.email, p.key) AS email
FROM json_each(?1) t CROSS JOIN main.shields s INDEXED BY shields_by_text
     ON s.text = t.value ->> 1 AND s.what = t.value ->> 0
CROSS JOIN main.people p ON p.rowid = s.person
ORDER BY p.id";

async fn list_shields(
    connection: &mut SqliteConnection,
    leavers: &[&AccountRow],
) -> Result<Shields, StoreError> {
    let texts: BTreeSet<(i64, String)> = leavers
        .iter()
        .flat_map(|row| texts_of(row))
        .map(|(what, text)| (what.code(), text))
        .collect();
    let mut shields = Shields::default();
    if texts.is_empty() {
        return Ok(shields);
    }
    let rows: Vec<ShieldRow> = sqlx::query_as(SHIELDS)
        .bind(json(&texts)?)
        .fetch_all(connection)
        .await?;
    for row in rows {
        let compared = (row.what, row.text.clone());
        shields.0.entry(compared).or_default().push(row);
    }
    Ok(shields)
}

/// Everything of an account that a shield compares.
fn texts_of(row: &AccountRow) -> Vec<(Comparison, String)> {
    let mut texts = Vec::new();
    for address in [row.or_key(&row.address), row.key.as_deref()] {
        let local = address.and_then(|address| address.split_once('@'));
        texts.extend(local.map(|(local, _)| (Comparison::Name, fold_name(local))));
    }
    for key in [row.or_key(&row.own_key), row.key.as_deref()] {
        texts.extend(key.map(|key| (Comparison::NameAsKey, key.to_owned())));
    }
    texts.extend(
        fold_full_name(row.first_name.as_deref(), row.last_name.as_deref())
            .map(|full| (Comparison::FullName, full)),
    );
    texts.extend(row.key.as_ref().map(|key| {
        let skeleton = Key::from_store(key.clone()).skeleton();
        (Comparison::Skeleton, skeleton.as_str().to_owned())
    }));
    texts
}

impl Shields {
    /// I7: those without a usable address.
    fn unidentified(&self, row: &AccountRow) -> Vec<Carrier> {
        self.matching(row, |what, person| {
            what != Comparison::Skeleton && person.key.is_none()
        })
    }

    /// I9: those whose key looks the same and is another one.
    fn look_alikes(&self, row: &AccountRow) -> Vec<Carrier> {
        self.matching(row, |what, person| {
            what == Comparison::Skeleton && person.key != row.key
        })
    }

    fn matching(
        &self,
        row: &AccountRow,
        is_wanted: impl Fn(Comparison, &ShieldRow) -> bool,
    ) -> Vec<Carrier> {
        let mut found = BTreeSet::new();
        for (what, text) in texts_of(row) {
            for person in self.0.get(&(what.code(), text)).into_iter().flatten() {
                if is_wanted(what, person) {
                    found.insert(Carrier {
                        id: crate::domain::OpaId::new(person.id.clone()),
                        name: OpaName::new(person.name.clone()),
                        email: person.email.clone(),
                    });
                }
            }
        }
        found.into_iter().collect()
    }
}

#[derive(FromRow)]
struct RenamedRow {
    key: String,
    id: String,
    name: String,
    email: Option<String>,
}

/// I8: ids that last carried a key and are ACTIVE today under another one or none.
async fn list_renamed(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<&str>,
) -> Result<HashMap<String, Vec<Carrier>>, StoreError> {
    let rows: Vec<RenamedRow> = sqlx::query_as(
        "SELECT l.key, p.id, p.name, coalesce(p.email, p.key) AS email
         FROM ledger.last_carriers l CROSS JOIN main.people p INDEXED BY people_by_id ON p.id = l.opa_id
         WHERE l.key IN (SELECT value FROM json_each(?1)) AND p.kind = 0 AND p.key IS NOT l.key
         ORDER BY p.id",
    )
    .bind(json(keys)?)
    .fetch_all(connection)
    .await?;
    let mut renamed: HashMap<String, Vec<Carrier>> = HashMap::new();
    for row in rows {
        renamed.entry(row.key).or_default().push(Carrier {
            id: crate::domain::OpaId::new(row.id),
            name: OpaName::new(row.name),
            email: row.email,
        });
    }
    Ok(renamed)
}

/// Names of OPA records for the last look (A2).
#[derive(Default)]
struct Names {
    known: Vec<OpaName>,
    earlier: Vec<OpaName>,
}

#[derive(FromRow)]
struct NameRow {
    key: String,
    name: String,
    is_known: bool,
}

async fn list_names(
    connection: &mut SqliteConnection,
    keys: &BTreeSet<&str>,
) -> Result<HashMap<String, Names>, StoreError> {
    let mut names: HashMap<String, Names> = HashMap::new();
    if keys.is_empty() {
        return Ok(names);
    }
    let rows: Vec<NameRow> = sqlx::query_as(
        "WITH wanted (key) AS (SELECT value FROM json_each(?1))
         SELECT p.key AS key, p.name AS name, 1 AS is_known
         FROM wanted w CROSS JOIN main.people p INDEXED BY people_by_key ON p.key = w.key
         WHERE p.kind < 4
         UNION SELECT l.key, l.name, 1 FROM ledger.last_carriers l
         WHERE l.key IN (SELECT key FROM wanted)
         UNION SELECT c.key, c.name, 0 FROM ledger.carriers c WHERE c.key IN (SELECT key FROM wanted)
         ORDER BY 1, 3 DESC, 2",
    )
    .bind(json(keys)?)
    .fetch_all(connection)
    .await?;
    let mut known: HashSet<(String, String)> = HashSet::new();
    for row in rows {
        let entry = names.entry(row.key.clone()).or_default();
        if row.is_known {
            entry.known.push(OpaName::new(row.name.clone()));
            known.insert((row.key, row.name));
        } else if !known.contains(&(row.key, row.name.clone())) {
            entry.earlier.push(OpaName::new(row.name));
        }
    }
    Ok(names)
}
