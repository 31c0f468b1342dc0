//! Which accounts need thought.
//!
//! An account is settled where its key has one account, one ACTIVE person, and the role that the
//! person is to have. Whose key is not one to one stands in the snapshot; the database compares the
//! roles once. Settled accounts are counted and never read. The keys of the others come out 500 at
//! a time, in order.

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, FromRow, Sqlite};

use super::diff::account_facts;
use super::diff_sql::{ACCOUNTS_AT, KEYLESS_PAGE};
use super::lookups::{Known, Wanted};
use super::settled_roles::{code_of, load_rules};
use super::snapshot::{Pull, json, role_code, unsigned};
use super::{Store, StoreError};
use crate::domain::SiteRole;
use crate::rules::{AccountFacts, Policy};

/// Keys of one page.
const PAGE: usize = 500;

/// The accounts of a snapshot that need thought, page by page.
pub struct NeedThought<'s> {
    store: &'s Store,
    pull: Pull,
    connection: PoolConnection<Sqlite>,
    actives_can_leave: bool,
    known: Known,
    cursor: Cursor,
}

enum Cursor {
    /// Accounts without a valid address, after this id (I6).
    WithoutKey(String),
    /// Keys after this one.
    Key(String),
    Ended,
}

/// Some of the accounts that need thought.
#[derive(Debug)]
pub struct ThoughtPage {
    /// The accounts. Of several accounts with one key (I5) there is one, the first managed one.
    pub accounts: Vec<AccountFacts>,
    /// Managed accounts with the keys of this page.
    pub managed: u64,
}

/// A key that needs thought.
#[derive(FromRow)]
struct KeyRow {
    key: String,
    accounts: i64,
    managed: i64,
    place: i64,
}

impl Store {
    /// Begins to list the accounts of `pull` that need thought.
    ///
    /// # Errors
    /// The snapshot is lost, or cannot be read.
    pub async fn list_accounts_that_need_thought(
        &self,
        pull: Pull,
        policy: &Policy,
    ) -> Result<NeedThought<'_>, StoreError> {
        let mut connection = self.snapshot(pull).await?.acquire().await?;
        load_rules(&mut connection, policy).await?;
        sqlx::query(NOT_ONE_TO_ONE)
            .execute(&mut *connection)
            .await?;
        let actives_can_leave = !policy.required_groups.is_empty();
        if actives_can_leave || policy.roles.managed {
            sqlx::query(AssertSqlSafe(not_entitled()))
                .bind(actives_can_leave)
                .bind(policy.roles.managed)
                .bind(policy.roles.default.map(role_code))
                .execute(&mut *connection)
                .await?;
        }
        Ok(NeedThought {
            store: self,
            pull,
            connection,
            actives_can_leave,
            known: Known::default(),
            cursor: Cursor::WithoutKey(String::new()),
        })
    }

    /// The managed accounts of `pull`.
    ///
    /// # Errors
    /// The snapshot is lost, or cannot be read.
    pub async fn count_managed_accounts(&self, pull: Pull) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM opsera.accounts INDEXED BY accounts_by_key WHERE kind & 2",
        )
        .fetch_one(&self.snapshot(pull).await?)
        .await?;
        Ok(unsigned(count))
    }

    /// The active accounts of `pull` that are known to be Administrators, managed or not (G6).
    ///
    /// # Errors
    /// The snapshot is lost, or the store cannot be read.
    pub async fn count_administrators(&self, pull: Pull) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(ADMINISTRATORS)
            .bind(role_code(SiteRole::Administrators))
            .bind(SiteRole::Administrators.as_str())
            .fetch_one(&self.snapshot(pull).await?)
            .await?;
        Ok(unsigned(count))
    }
}

impl NeedThought<'_> {
    /// The next accounts, or `None` past the last one.
    ///
    /// # Errors
    /// The snapshot cannot be read.
    pub async fn next_page(&mut self) -> Result<Option<ThoughtPage>, StoreError> {
        loop {
            match &self.cursor {
                Cursor::Ended => return Ok(None),
                Cursor::WithoutKey(after) => {
                    let rows = sqlx::query(KEYLESS_PAGE)
                        .bind(after)
                        .fetch_all(&mut *self.connection)
                        .await?;
                    let accounts = rows
                        .iter()
                        .map(account_facts)
                        .collect::<Result<Vec<_>, _>>()?;
                    let Some(last) = accounts.last() else {
                        self.cursor = Cursor::Key(String::new());
                        continue;
                    };
                    self.cursor = Cursor::WithoutKey(last.id.as_str().to_owned());
                    return Ok(Some(ThoughtPage {
                        accounts,
                        managed: 0,
                    }));
                }
                Cursor::Key(after) => {
                    let keys: Vec<KeyRow> = sqlx::query_as(KEY_PAGE)
                        .bind(after)
                        .fetch_all(&mut *self.connection)
                        .await?;
                    self.cursor = match keys.last() {
                        Some(last) if keys.len() == PAGE => Cursor::Key(last.key.clone()),
                        _ => Cursor::Ended,
                    };
                    if keys.is_empty() {
                        continue;
                    }
                    return self.page(keys).await.map(Some);
                }
            }
        }
    }

    async fn page(&mut self, keys: Vec<KeyRow>) -> Result<ThoughtPage, StoreError> {
        let mut places = Vec::new();
        let mut managed = 0;
        for row in keys {
            managed += unsigned(row.managed);
            if row.accounts == 1 {
                places.push(row.place);
            } else {
                places.push(
                    sqlx::query_scalar(FIRST_MANAGED)
                        .bind(&row.key)
                        .fetch_one(&mut *self.connection)
                        .await?,
                );
            }
        }
        Ok(ThoughtPage {
            accounts: self.facts(places).await?,
            managed,
        })
    }

    async fn facts(&mut self, places: Vec<i64>) -> Result<Vec<AccountFacts>, StoreError> {
        let rows = sqlx::query(ACCOUNTS_AT)
            .bind(json(&places)?)
            .fetch_all(&mut *self.connection)
            .await?;
        let mut accounts = rows
            .iter()
            .map(account_facts)
            .collect::<Result<Vec<_>, _>>()?;
        self.store
            .look_up(
                self.pull,
                &mut accounts,
                &rows,
                Wanted {
                    actives_can_leave: self.actives_can_leave,
                    conflicts: false,
                },
                &mut self.known,
            )
            .await?;
        Ok(accounts)
    }
}

const FIRST_MANAGED: &str = "
SELECT rowid FROM opsera.accounts INDEXED BY accounts_by_key
WHERE key = ?1 AND kind & 2 ORDER BY id LIMIT 1";

/// `?1` the code of the role, `?2` its name. What the server sent is believed first, then what
/// was set or adopted, then what an account was created with (§5).
const ADMINISTRATORS: &str = "
SELECT (SELECT count(*) FROM opsera.accounts INDEXED BY accounts_by_key WHERE kind & 1 AND kind >> 2 = ?1)
     + (SELECT count(*) FROM ledger.known_roles k CROSS JOIN opsera.accounts a INDEXED BY accounts_by_id
            ON a.id = k.opsera_id
        WHERE k.role = ?2 AND a.kind & 1 AND a.kind >> 2 = 0)
     + (SELECT count(*) FROM ledger.created_roles c CROSS JOIN opsera.accounts a INDEXED BY accounts_by_key
            ON a.key = c.key
        WHERE c.role = ?2 AND a.kind & 1 AND a.kind >> 2 = 0
          AND NOT EXISTS (SELECT 1 FROM ledger.known_roles k WHERE k.opsera_id = a.id))";

/// `?1` the key to go on after.
pub(super) const KEY_PAGE: &str = "
SELECT t.key, count(*) AS accounts, sum(a.kind & 2) / 2 AS managed, max(a.rowid) AS place
FROM (SELECT key FROM temp.thought WHERE key > ?1 ORDER BY key LIMIT 500) t
CROSS JOIN opsera.accounts a INDEXED BY accounts_by_key ON a.key = t.key
GROUP BY t.key ORDER BY t.key";

/// Keys of managed accounts that have several accounts, several people, or nobody ACTIVE.
pub(super) const NOT_ONE_TO_ONE: &str = "
INSERT INTO temp.thought (key)
SELECT u.key FROM opsera.unsettled u
WHERE EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key
              WHERE a.key = u.key AND a.kind & 2)";

/// Keys of managed accounts whose person is in no required group, or whose role is not the desired
/// one. `?1` whether an ACTIVE person can be a leaver (`scope.required_groups`), `?2` whether roles
/// are managed, `?3` the code of the default role.
pub(super) fn not_entitled() -> String {
    let remembered = code_of("k.role");
    let created = code_of("c.role");
    format!(
        "
INSERT OR IGNORE INTO temp.thought (key)
SELECT a.key FROM opsera.accounts a INDEXED BY accounts_by_key
LEFT JOIN temp.entitled e ON e.key = a.key
WHERE a.key IS NOT NULL AND a.kind & 2
  AND ((?1 AND NOT coalesce(e.required, 0))
    OR (?2 AND coalesce(e.role, ?3) IS NOT NULL
        AND coalesce(e.role, ?3) <> iif(a.kind >> 2, a.kind >> 2, (
            SELECT coalesce((SELECT {remembered} FROM ledger.known_roles k WHERE k.opsera_id = i.id),
                            (SELECT {created} FROM ledger.created_roles c WHERE c.key = a.key), 0)
            FROM opsera.accounts i WHERE i.rowid = a.rowid))))"
    )
}
