//! One person: everything the snapshot and the memory hold about one address.
//!
//! Nothing here decides: `explain` shows these rows beside what the rules make of them. Every
//! query is bounded, because one hostile address can stand on any number of records.

use sqlx::sqlite::SqliteRow;

use super::fields::Fields;
use super::snapshot::{Pull, count};
use super::{Store, StoreError};
use crate::domain::{
    Address, GroupName, Key, OpaId, OpaName, OpseraId, PersonStatus, UserType, time::Timestamp,
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

/// A record that an address which nobody has may be meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// `opa` or `opsera`.
    pub directory: String,
    /// Its key.
    pub key: Key,
    /// The address as the directory has it.
    pub email: String,
    /// In what way it is near.
    pub similarity: Similarity,
}

/// In what way two addresses are near each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// They look the same (UTS 39).
    Skeleton,
    /// The same local part in another domain, but for `.`, `-` and `_`.
    LocalPart,
    /// Few letters differ.
    Spelling,
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

    /// The OPA records of `pull` whose id, name or address is exactly `text`.
    pub async fn list_opa_entries_named(
        &self,
        pull: Pull,
        text: &str,
    ) -> Result<Vec<OpaEntry>, StoreError> {
        self.opa_entries("(u.id = ?2 OR u.name = ?2 OR u.email = ?2)", pull, text)
            .await
    }

    async fn opa_entries(
        &self,
        wanted: &'static str,
        pull: Pull,
        text: &str,
    ) -> Result<Vec<OpaEntry>, StoreError> {
        let statement = format!(
            "SELECT u.id, u.name, u.status, u.service, u.email, u.key, u.first_name, u.last_name,
                    (SELECT json_group_array(m.group_name ORDER BY m.group_name) FROM memberships m
                     WHERE m.pull = u.pull AND m.opa_id = u.id) AS groups
             FROM opa_users u WHERE u.pull = ?1 AND {wanted} ORDER BY u.id LIMIT ?3"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(pull.0)
            .bind(text)
            .bind(MOST)
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(opa_entry)
            .collect()
    }

    /// The ids of the accounts of `pull` with `key`.
    pub async fn list_account_ids(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Vec<OpseraId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM opsera_accounts WHERE pull = ?1 AND key = ?2 ORDER BY id LIMIT ?3",
        )
        .bind(pull.0)
        .bind(key.as_str())
        .bind(MOST)
        .fetch_all(self.reader())
        .await?;
        Ok(ids.into_iter().map(OpseraId::new).collect())
    }

    /// The ids of the accounts of `pull` whose id or address is exactly `text`.
    pub async fn list_account_ids_named(
        &self,
        pull: Pull,
        text: &str,
    ) -> Result<Vec<OpseraId>, StoreError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM opsera_accounts WHERE pull = ?1 AND (id = ?2 OR email = ?2)
             ORDER BY id LIMIT ?3",
        )
        .bind(pull.0)
        .bind(text)
        .bind(MOST)
        .fetch_all(self.reader())
        .await?;
        Ok(ids.into_iter().map(OpseraId::new).collect())
    }

    /// One account of `pull`, with what is remembered of its role.
    pub async fn find_account_entry(
        &self,
        pull: Pull,
        id: &OpseraId,
    ) -> Result<Option<AccountEntry>, StoreError> {
        let row = sqlx::query(
            "SELECT a.id, a.email, a.first_name, a.last_name, a.site_role,
                    iif(k.opsera_id IS NULL, c.role, k.role) AS role,
                    iif(k.opsera_id IS NULL, iif(c.key IS NULL, NULL, 'created'), k.source) AS source,
                    coalesce(k.at, c.at) AS at
             FROM opsera_accounts a
             LEFT JOIN known_roles k ON k.opsera_id = a.id
             LEFT JOIN created_roles c ON c.key = a.key
             WHERE a.pull = ?1 AND a.id = ?2",
        )
        .bind(pull.0)
        .bind(id.as_str())
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            let memory = Fields::of(&row, "known_roles", "id");
            let at = memory.maybe_time("at")?;
            let source: Option<String> = memory.get("source")?;
            let role = memory.get("role")?;
            let fields = Fields::of(&row, "opsera_accounts", "id");
            Ok(AccountEntry {
                id: id.clone(),
                email: fields.get("email")?,
                first_name: fields.get("first_name")?,
                last_name: fields.get("last_name")?,
                site_role: fields.get("site_role")?,
                memory: source
                    .zip(at)
                    .map(|(source, at)| RoleMemory { source, role, at }),
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
                let fields = Fields::of(row, "carriers", "opa_id");
                Ok(KeyMemory {
                    id: OpaId::new(fields.get::<String>("opa_id")?),
                    name: OpaName::new(fields.get::<String>("name")?),
                    carries_now: fields.get("carries_now")?,
                    was_active: fields.get("was_active")?,
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
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM opa_users
                     WHERE pull = ?1 AND service = 0 AND status_rank = 0),
                    (SELECT count(*) FROM opsera_accounts WHERE pull = ?1 AND managed = 1)",
        )
        .bind(pull.0)
        .fetch_one(self.reader())
        .await?;
        Ok((count(&row, 0), count(&row, 1)))
    }

    /// Keys of `pull` that may be meant by `asked`: those that look the same, those with the same
    /// local part in another domain, and those of `asked`'s own domain whose spelling `is_near`
    /// accepts. At most `limit` of each kind; the snapshot is streamed.
    pub async fn list_suggestions(
        &self,
        pull: Pull,
        asked: &Address,
        key: &Key,
        limit: usize,
        is_near: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<Suggestion>, StoreError> {
        use futures::TryStreamExt as _;

        let skeleton = key.skeleton();
        let folded = crate::rules::shields::fold_name(asked.local_part());
        let domain = format!("@{}", key.domain());
        let mut rows = sqlx::query(NEAR)
            .bind(pull.0)
            .bind(key.as_str())
            .fetch(self.reader());
        let mut found: Vec<Suggestion> = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let fields = Fields::of(&row, "opa_users", "key");
            let other: String = fields.get("key")?;
            let looks: Option<String> = fields.get("skeleton")?;
            let local = other
                .split_once('@')
                .map_or(other.as_str(), |(local, _)| local);
            let similarity = if looks.as_deref() == Some(skeleton.as_str()) {
                Similarity::Skeleton
            } else if crate::rules::shields::fold_name(local) == folded {
                Similarity::LocalPart
            } else if other.ends_with(&domain) && is_near(&other) {
                Similarity::Spelling
            } else {
                continue;
            };
            let alike = found
                .iter()
                .filter(|other| other.similarity == similarity)
                .count();
            if alike < limit {
                found.push(Suggestion {
                    directory: fields.get("directory")?,
                    email: fields.get::<Option<String>>("email")?.unwrap_or_default(),
                    key: Key::from_store(other),
                    similarity,
                });
            }
        }
        Ok(found)
    }
}

fn opa_entry(row: &SqliteRow) -> Result<OpaEntry, StoreError> {
    let fields = Fields::of(row, "opa_users", "id");
    Ok(OpaEntry {
        groups: Fields::of(row, "memberships", "id").json("groups")?,
        name: OpaName::new(fields.get::<String>("name")?),
        status: PersonStatus::parse(&fields.get::<String>("status")?),
        user_type: if fields.get("service")? {
            UserType::Service
        } else {
            UserType::Human
        },
        email: fields.get("email")?,
        key: fields.get::<Option<String>>("key")?.map(Key::from_store),
        first_name: fields.get("first_name")?,
        last_name: fields.get("last_name")?,
        id: OpaId::new(fields.get::<String>("id")?),
    })
}

/// With the key, or DISABLED or DELETED without a usable address where the id carried it last.
const WITH_KEY: &str = "(u.key = ?2 OR (u.key IS NULL AND u.service = 0 AND u.status_rank >= 2
    AND u.id IN (SELECT c.opa_id FROM carriers c WHERE c.key = ?2
        AND NOT EXISTS (SELECT 1 FROM carriers d WHERE d.opa_id = c.opa_id
            AND coalesce(d.carried_until, 9223372036854775806)
                > coalesce(c.carried_until, 9223372036854775806)))))";

const NEAR: &str = "
SELECT 'opsera' AS directory, key, skeleton, email FROM opsera_accounts
WHERE pull = ?1 AND key IS NOT NULL AND key <> ?2
UNION ALL
SELECT 'opa', key, skeleton, email FROM opa_users
WHERE pull = ?1 AND key IS NOT NULL AND key <> ?2 AND service = 0";
