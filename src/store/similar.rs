//! Keys that are near an address which nobody has.
//!
//! Every statement takes a bounded number of entries out of an index, however large the
//! directories are: which of them are near enough, the caller says.

use std::collections::BTreeSet;

use sqlx::FromRow;

use super::snapshot::{Comparison, Fingerprints, Pull, json};
use super::{Store, StoreError};
use crate::domain::{Key, Skeleton};

/// Entries of each index that are read on either side of the key.
const NEIGHBOURS: i64 = 200;
/// Keys of each index with one of the local parts.
const SAME_LOCAL_PART: i64 = 100;

/// Where a key that is meant may stand.
#[derive(Clone, Copy, Debug)]
pub struct Near<'n> {
    /// The key that nobody has.
    pub key: &'n Key,
    /// What it looks like (UTS 39).
    pub look: &'n Skeleton,
    /// Keys that it may be a misspelling of.
    pub spellings: &'n BTreeSet<String>,
    /// Local parts that are looked for in every domain.
    pub local_parts: &'n BTreeSet<String>,
}

/// An address of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// `opa` or `opsera`.
    pub directory: String,
    /// Its key.
    pub key: Key,
    /// The address as the directory has it.
    pub email: String,
}

#[derive(FromRow)]
struct OwnerRow {
    directory: String,
    key: String,
    email: String,
}

impl Store {
    /// Keys of `pull` that may be meant: those spelled in one of the ways that are asked for, those
    /// with one of the local parts, those that stand beside the key in its order, and those of
    /// ACTIVE people without an account that look the same.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub async fn list_near_keys(
        &self,
        pull: Pull,
        near: Near<'_>,
    ) -> Result<BTreeSet<Key>, StoreError> {
        let pool = self.snapshot(pull).await?;
        let mut keys: Vec<String> = sqlx::query_scalar(SPELLED)
            .bind(json(near.spellings)?)
            .fetch_all(&pool)
            .await?;
        keys.extend(
            sqlx::query_scalar::<_, String>(WITH_LOCAL_PART)
                .bind(json(near.local_parts)?)
                .bind(SAME_LOCAL_PART)
                .fetch_all(&pool)
                .await?,
        );
        keys.extend(
            sqlx::query_scalar::<_, String>(BESIDE)
                .bind(near.key.as_str())
                .bind(NEIGHBOURS)
                .fetch_all(&pool)
                .await?,
        );
        let fingerprints = Fingerprints::of_store(self).await?;
        keys.extend(
            sqlx::query_scalar::<_, String>(WITH_LOOK)
                .bind(fingerprints.of_unclaimed(Comparison::Look, near.look.as_str()))
                .bind(SAME_LOCAL_PART)
                .fetch_all(&pool)
                .await?,
        );
        Ok(keys.into_iter().map(Key::from_store).collect())
    }

    /// The directories of `pull` that have one of `keys`, with the address of one human record or
    /// account that carries it.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub async fn list_key_owners(
        &self,
        pull: Pull,
        keys: &[&Key],
    ) -> Result<Vec<KeyOwner>, StoreError> {
        let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
        let rows: Vec<OwnerRow> = sqlx::query_as(OWNERS)
            .bind(json(&keys)?)
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| KeyOwner {
                directory: row.directory,
                key: Key::from_store(row.key),
                email: row.email,
            })
            .collect())
    }
}

/// `?1` keys. Those that somebody has.
pub(super) const SPELLED: &str = "
SELECT j.value FROM json_each(?1) j
WHERE EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key WHERE a.key = j.value)
   OR EXISTS (SELECT 1 FROM main.people p INDEXED BY people_by_key WHERE p.key = j.value)";

/// `?1` local parts, `?2` how many keys of each directory at most. `A` comes after `@`.
pub(super) const WITH_LOCAL_PART: &str = "
SELECT key FROM (
    SELECT a.key FROM json_each(?1) j CROSS JOIN opsera.accounts a INDEXED BY accounts_by_key
        ON a.key >= j.value || '@' AND a.key < j.value || 'A' LIMIT ?2)
UNION ALL SELECT key FROM (
    SELECT p.key FROM json_each(?1) j CROSS JOIN main.people p INDEXED BY people_by_key
        ON p.key >= j.value || '@' AND p.key < j.value || 'A' LIMIT ?2)";

/// `?1` a key, `?2` how many entries on either side of it.
pub(super) const BESIDE: &str = "
SELECT key FROM (SELECT key FROM opsera.accounts INDEXED BY accounts_by_key
                 WHERE key > ?1 ORDER BY key LIMIT ?2)
UNION ALL SELECT key FROM (SELECT key FROM opsera.accounts INDEXED BY accounts_by_key
                           WHERE key < ?1 ORDER BY key DESC LIMIT ?2)
UNION ALL SELECT key FROM (SELECT key FROM main.people INDEXED BY people_by_key
                           WHERE key > ?1 ORDER BY key LIMIT ?2)
UNION ALL SELECT key FROM (SELECT key FROM main.people INDEXED BY people_by_key
                           WHERE key < ?1 ORDER BY key DESC LIMIT ?2)";

/// `?1` the fingerprint of a look, `?2` how many at most.
pub(super) const WITH_LOOK: &str = "
SELECT p.key FROM main.shields s INDEXED BY shields_by_fingerprint
CROSS JOIN main.people p ON p.rowid = s.person
WHERE s.fingerprint = ?1 LIMIT ?2";

/// `?1` keys.
pub(super) const OWNERS: &str = "
SELECT directory, key, email FROM (
    SELECT 'opsera' AS directory, j.value AS key,
           (SELECT coalesce(a.email, a.key) FROM opsera.accounts a INDEXED BY accounts_by_key
            WHERE a.key = j.value LIMIT 1) AS email
    FROM json_each(?1) j
    UNION ALL
    SELECT 'opa', j.value,
           (SELECT coalesce(p.email, p.key) FROM main.people p INDEXED BY people_by_key
            WHERE p.key = j.value AND p.kind < 4 LIMIT 1)
    FROM json_each(?1) j)
WHERE email IS NOT NULL";
