//! One person: everything the snapshot and the memory hold about one address.
//!
//! Nothing here decides: `explain` shows these rows beside what the rules make of them. Every
//! query is bounded, because one hostile address can stand on any number of records.

use sqlx::FromRow;

use super::fields::Fields;
use super::snapshot::{AccountKind, COUNT_ACTIVE, Pull, read_kind, role_of, unsigned};
use super::{Store, StoreError};
use crate::domain::{
    GroupName, Key, OpaId, OpaName, OpseraId, PersonStatus, UserType, time::Timestamp,
};

/// Records of one kind that are shown for one address.
const MOST: i64 = 50;

/// An OPA record as the snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaEntry {
    /// The record's id.
    pub id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// Its status.
    pub status: PersonStatus,
    /// Human or service (I3).
    pub user_type: UserType,
    /// The address as OPA has it.
    pub email: Option<String>,
    /// The key (I1, I2); `None` where the address is missing or invalid.
    pub key: Option<Key>,
    /// `details.first_name`
    pub first_name: Option<String>,
    /// `details.last_name`
    pub last_name: Option<String>,
    /// Its live groups, as far as the settings made them be read.
    pub groups: Vec<GroupName>,
}

/// An Opsera account as the snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// The account.
    pub id: OpseraId,
    /// The address as Opsera has it.
    pub email: Option<String>,
    /// `firstName`
    pub first_name: Option<String>,
    /// `lastName`
    pub last_name: Option<String>,
    /// The role the server sent.
    pub site_role: Option<String>,
    /// The role this program remembers.
    pub memory: Option<RoleMemory>,
}

/// What is remembered of an account's role (§5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMemory {
    /// `set`, `adopted` or `created`.
    pub source: String,
    /// The role; `None`: a change was sent and its outcome is not known.
    pub role: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// An OPA record that carries or carried a key (I8, A2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMemory {
    /// The record's id.
    pub id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// Whether it carries the key in the latest snapshot.
    pub carries_now: bool,
    /// Whether it was ever ACTIVE with the key.
    pub was_active: bool,
}

impl Store {
    /// Every OPA record of `pull` with `key`, service users and those of I11 included, by id.
    pub async fn list_opa_entries(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Vec<OpaEntry>, StoreError> {
        self.opa_entries(WITH_KEY, pull, key.as_str()).await
    }

    /// The OPA records of `pull` whose id, name or address is exactly `text`. A name that is no
    /// address is mostly the local part of one; only where it is not, everybody is looked at.
    pub async fn list_opa_entries_named(
        &self,
        pull: Pull,
        text: &str,
    ) -> Result<Vec<OpaEntry>, StoreError> {
        let mut found = self.opa_entries(NAMED, pull, text).await?;
        let is_named = found.iter().any(|entry| entry.name.as_str() == text);
        if !is_named && !text.contains('@') {
            found.extend(self.opa_entries("p.name = ?1", pull, text).await?);
        }
        Ok(found)
    }

    async fn opa_entries(
        &self,
        wanted: &'static str,
        pull: Pull,
        text: &str,
    ) -> Result<Vec<OpaEntry>, StoreError> {
        let rows: Vec<OpaRow> = sqlx::query_as(sqlx::AssertSqlSafe(entries_where(wanted)))
            .bind(text)
            .bind(MOST)
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        rows.into_iter().map(opa_entry).collect()
    }

    /// The ids of the accounts of `pull` with `key`.
    pub async fn list_account_ids(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Vec<OpseraId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM opsera.accounts WHERE key = ?1 ORDER BY id LIMIT ?2",
        )
        .bind(key.as_str())
        .bind(MOST)
        .fetch_all(&self.snapshot(pull).await?)
        .await?;
        Ok(ids.into_iter().map(OpseraId::new).collect())
    }

    /// The ids of the accounts of `pull` whose id or address is exactly `text`.
    pub async fn list_account_ids_named(
        &self,
        pull: Pull,
        text: &str,
    ) -> Result<Vec<OpseraId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(ACCOUNTS_NAMED)
            .bind(text)
            .bind(MOST)
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        Ok(ids.into_iter().map(OpseraId::new).collect())
    }

    /// One account of `pull`, with what is remembered of its role.
    pub async fn find_account_entry(
        &self,
        pull: Pull,
        id: &OpseraId,
    ) -> Result<Option<AccountEntry>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT coalesce(a.email, a.key) AS email, a.first_name, a.last_name, a.kind, a.site_role,
                    iif(k.opsera_id IS NULL, c.role, k.role) AS role,
                    iif(k.opsera_id IS NULL, iif(c.key IS NULL, NULL, 'created'), k.source) AS source,
                    coalesce(k.at, c.at) AS at
             FROM opsera.accounts a
             LEFT JOIN ledger.known_roles k ON k.opsera_id = a.id
             LEFT JOIN ledger.created_roles c ON c.key = a.key
             WHERE a.id = ?1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.snapshot(pull).await?)
        .await?;
        row.map(|row| {
            let at = row
                .at
                .map(|text| super::time("known_roles", "at", &text))
                .transpose()?;
            let memory = row.source.zip(at).map(|(source, at)| RoleMemory {
                source,
                role: row.role,
                at,
            });
            let sent = role_of(AccountKind::read(row.kind).role);
            Ok(AccountEntry {
                id: id.clone(),
                email: row.email,
                first_name: row.first_name,
                last_name: row.last_name,
                site_role: sent.map(|role| role.as_str().to_owned()).or(row.site_role),
                memory,
            })
        })
        .transpose()
    }

    /// The OPA records that carry or ever carried `key`, by id.
    pub async fn list_key_holders(&self, key: &Key) -> Result<Vec<KeyMemory>, StoreError> {
        let rows = sqlx::query(
            "SELECT opa_id, name, carried_until IS NULL AS carries_now,
                    active_until IS NOT 0 AS was_active
             FROM carriers WHERE key = ?1 ORDER BY opa_id LIMIT ?2",
        )
        .bind(key.as_str())
        .bind(MOST)
        .fetch_all(self.reader())
        .await?;
        rows.iter()
            .map(|row| {
                let row = Fields::of(row, "carriers", "opa_id");
                Ok(KeyMemory {
                    id: OpaId::new(row.get::<String>("opa_id")?),
                    name: OpaName::new(row.get::<String>("name")?),
                    carries_now: row.get("carries_now")?,
                    was_active: row.get("was_active")?,
                })
            })
            .collect()
    }

    /// Accounts that this program remembers to be Administrators.
    pub async fn list_known_administrators(&self) -> Result<Vec<OpseraId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT opsera_id FROM known_roles WHERE role = 'Administrators'
             ORDER BY opsera_id LIMIT 1000",
        )
        .fetch_all(self.reader())
        .await?;
        Ok(ids.into_iter().map(OpseraId::new).collect())
    }

    /// ACTIVE humans and managed accounts of `pull`: what percentages are taken of.
    pub async fn count_sides(&self, pull: Pull) -> Result<(u64, u64), StoreError> {
        let people: i64 = sqlx::query_scalar(COUNT_ACTIVE)
            .fetch_one(&self.snapshot(pull).await?)
            .await?;
        let accounts = self.count_managed_accounts(pull).await?;
        Ok((unsigned(people), accounts))
    }
}

#[derive(FromRow)]
struct OpaRow {
    id: String,
    name: String,
    kind: i64,
    status: Option<String>,
    email: Option<String>,
    key: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    groups: String,
}

#[derive(FromRow)]
struct AccountRow {
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    kind: i64,
    site_role: Option<String>,
    role: Option<String>,
    source: Option<String>,
    at: Option<String>,
}

fn opa_entry(row: OpaRow) -> Result<OpaEntry, StoreError> {
    let mut groups: Vec<GroupName> = serde_json::from_str(&row.groups)
        .map_err(|error| StoreError::corrupt("memberships", "grp", &row.id, error))?;
    groups.sort();
    let (status, user_type) = read_kind(row.kind, row.status.as_deref());
    Ok(OpaEntry {
        id: OpaId::new(row.id),
        name: OpaName::new(row.name),
        status,
        user_type,
        email: row.email,
        key: row.key.map(Key::from_store),
        first_name: row.first_name,
        last_name: row.last_name,
        groups,
    })
}

/// With the key, or DISABLED or DELETED without a usable address where the id carried it last.
pub(super) const WITH_KEY: &str = "(p.key = ?1 OR (p.key IS NULL AND p.kind IN (2, 3)
    AND p.id IN (SELECT c.opa_id FROM ledger.carriers c WHERE c.key = ?1
        AND NOT EXISTS (SELECT 1 FROM ledger.carriers d WHERE d.opa_id = c.opa_id
            AND coalesce(d.carried_until, 9223372036854775806)
                > coalesce(c.carried_until, 9223372036854775806)))))";

/// `?1` an id, an address, or a name that is an address or its local part.
pub(super) const NAMED: &str = "p.rowid IN (
    SELECT rowid FROM main.people WHERE id = ?1
    UNION ALL SELECT rowid FROM main.people WHERE email = ?1 AND email IS NOT NULL
    UNION ALL SELECT rowid FROM main.people WHERE key = ?1 AND email IS NULL
    UNION ALL SELECT rowid FROM main.people WHERE name = ?1 AND instr(name, '@') > 0
    UNION ALL SELECT rowid FROM main.people
        WHERE key >= lower(?1) || '@' AND key < lower(?1) || 'A' AND name = ?1)";

/// `?1` an id or an address.
pub(super) const ACCOUNTS_NAMED: &str = "
SELECT id FROM opsera.accounts WHERE rowid IN (
    SELECT rowid FROM opsera.accounts WHERE id = ?1
    UNION ALL SELECT rowid FROM opsera.accounts WHERE email = ?1 AND email IS NOT NULL
    UNION ALL SELECT rowid FROM opsera.accounts WHERE key = ?1 AND email IS NULL)
ORDER BY +id LIMIT ?2";

/// `?1` what `wanted` compares, `?2` how many at most.
pub(super) fn entries_where(wanted: &str) -> String {
    format!(
        "SELECT p.id, p.name, p.kind, p.status, coalesce(p.email, p.key) AS email, p.key,
                p.first_name, p.last_name,
                (SELECT json_group_array(DISTINCT g.name)
                 FROM main.memberships m INDEXED BY memberships_by_person
                 CROSS JOIN main.groups g ON g.id = m.grp WHERE m.person = p.rowid) AS groups
         FROM main.people p WHERE {wanted} ORDER BY +p.id LIMIT ?2"
    )
}
