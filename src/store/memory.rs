//! What is remembered from run to run: who carried a key (I8, I11, A2), since when a person has been
//! missing (§4), which role an account was given (§5).

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::open::writer_options;
use super::snapshot::{Pull, Side, path_of, uri};
use super::{BEGIN, Store, StoreError};
use crate::domain::{
    Finding, FindingKind, Key, OpseraId, SiteRole, time::Timestamp, time::format_time,
};
use crate::rules::clock_trust::ClockTrust;

/// SQLite's page cache for each file of a snapshot beside the ledger, in KiB.
const ATTACHED_CACHE_KIB: u32 = 1024;

/// How a role came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleSource {
    /// This program set it.
    Set,
    /// It was taken for the desired one (`adopt`).
    Adopted,
    /// The account was created with it.
    Created,
}

impl RoleSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Adopted => "adopted",
            Self::Created => "created",
        }
    }
}

impl Store {
    /// Moves the clocks of §4 step 6: starts them for accounts whose person a complete pull
    /// missed, counts the pulls that did, and clears those of people who are there and of accounts
    /// that are gone. A person who only lost the address is there (I11). No absence starts at a
    /// time that an untrusted clock tells: a clock that is behind would make the grace look long
    /// past once the machine has learnt the time, and one that is ahead would put its end off by
    /// as much. Such a pull counts for nobody.
    pub async fn move_absence_clocks(
        &self,
        pull: Pull,
        now: Timestamp,
        clock: &ClockTrust,
    ) -> Result<(), StoreError> {
        let mut ledger = self.ledger_beside_snapshot(pull).await?;
        let mut tx = ledger.begin_with(BEGIN).await?;
        sqlx::query(STOP_CLOCKS).execute(&mut *tx).await?;
        if clock.is_trusted() {
            sqlx::query(MOVE_CLOCKS)
                .bind(pull.0)
                .bind(format_time(now))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        self.keep_learning(pull, ledger).await;
        Ok(())
    }

    /// Learns the latest complete pull, if the run that made it was killed or failed before it
    /// could. Call it before the next pull is complete: the earlier snapshot goes then. One that is
    /// lost cannot be learnt from, which is no reason to stop: the next pull is.
    pub async fn remember_latest_pull(&self) -> Result<(), StoreError> {
        let missed: Option<i64> = sqlx::query_scalar(
            "SELECT seq FROM runs WHERE seq = (SELECT max(seq) FROM runs WHERE pulled_at IS NOT NULL)
               AND remembered = 0",
        )
        .fetch_optional(self.reader())
        .await?;
        match missed {
            Some(pull) => match self.remember_key_holders(Pull(pull)).await {
                Err(error @ StoreError::LostSnapshot { .. }) => {
                    tracing::warn!(%error, "the last pull can no longer be learnt from");
                    Ok(())
                }
                learnt => learnt,
            },
            None => Ok(()),
        }
    }

    /// Remembers who carries which key in `pull`, once its plan is made: the plan itself looks at
    /// what was true before (I8). Only what changed is written; a second time changes nothing.
    pub async fn remember_key_holders(&self, pull: Pull) -> Result<(), StoreError> {
        let mut ledger = self.ledger_beside_snapshot(pull).await?;
        let mut tx = ledger.begin_with(BEGIN).await?;
        let before: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(seq), 0) FROM runs WHERE pulled_at IS NOT NULL AND seq < ?1",
        )
        .bind(pull.0)
        .fetch_one(&mut *tx)
        .await?;
        // The mark says who carries which key: one that the memory knows has nothing to teach it.
        let mark: Option<String> = sqlx::query_scalar("SELECT mark FROM snapshots WHERE pull = ?1")
            .bind(pull.0)
            .fetch_optional(&mut *tx)
            .await?
            .flatten();
        let learnt: Option<String> =
            sqlx::query_scalar("SELECT value FROM meta WHERE key = 'learnt_mark'")
                .fetch_optional(&mut *tx)
                .await?;
        if mark.is_none() || mark != learnt {
            for statement in [STOPPED_BEING_ACTIVE, STOPPED_CARRYING] {
                sqlx::query(statement)
                    .bind(before)
                    .execute(&mut *tx)
                    .await?;
            }
            let knows_nobody: bool =
                sqlx::query_scalar("SELECT NOT EXISTS (SELECT 1 FROM carriers)")
                    .fetch_one(&mut *tx)
                    .await?;
            // Everybody of the first pull is new: their ids come in no order, and an index that is
            // kept up meanwhile is written many times over.
            if knows_nobody {
                tx.execute("DROP INDEX carriers_by_id").await?;
            }
            sqlx::query(CARRIES).bind(pull.0).execute(&mut *tx).await?;
            if knows_nobody {
                tx.execute("CREATE INDEX carriers_by_id ON carriers (opa_id)")
                    .await?;
            }
            sqlx::query(LEARNT)
                .bind(mark.unwrap_or_default())
                .execute(&mut *tx)
                .await?;
        }
        // Not of the mark: whoever has no key is not in it.
        for statement in [
            NO_LONGER_PRESENT_OTHERWISE,
            PRESENT_OTHERWISE,
            CREATED_IS_LISTED,
            FORGET_CREATED,
        ] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        sqlx::query(REMEMBERED)
            .bind(pull.0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.keep_learning(pull, ledger).await;
        Ok(())
    }

    /// A connection that may write the ledger, with the two files of the snapshot attached.
    pub(super) async fn ledger_beside_snapshot(
        &self,
        pull: Pull,
    ) -> Result<SqliteConnection, StoreError> {
        // Opened and found good, if that was not done before.
        self.snapshot(pull).await?;
        if let Some(ledger) = self.resume_learning(pull).await {
            return Ok(ledger);
        }
        let mut ledger = writer_options(self.path()).connect().await?;
        for (side, name) in [(Side::Opa, "opa"), (Side::Opsera, "opsera")] {
            let file = uri(&path_of(self.path(), pull, side), "immutable=1")?;
            ledger
                .execute(AssertSqlSafe(format!(
                    "ATTACH {file} AS {name}; PRAGMA {name}.cache_size = -{ATTACHED_CACHE_KIB}"
                )))
                .await?;
        }
        Ok(ledger)
    }

    /// Replaces what is known of accounts that Opsera's listing does not show (§5), by the findings
    /// of a run that asked for them.
    pub async fn remember_unlisted_accounts(&self, findings: &[Finding]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM unlisted_accounts")
            .execute(&mut *tx)
            .await?;
        let unlisted = findings
            .iter()
            .filter(|finding| finding.kind == FindingKind::InactiveOpseraAccount);
        for finding in unlisted {
            sqlx::query("INSERT OR REPLACE INTO unlisted_accounts (key, detail) VALUES (?1, ?2)")
                .bind(&finding.email)
                .bind(&finding.detail)
                .execute(&mut *tx)
                .await?;
        }
        self.commit(tx).await
    }

    /// What the latest run that asked found out about the account of the person with `key`.
    pub async fn find_unlisted_account(&self, key: &Key) -> Result<Option<Finding>, StoreError> {
        let detail: Option<String> =
            sqlx::query_scalar("SELECT detail FROM unlisted_accounts WHERE key = ?1")
                .bind(key.as_str())
                .fetch_optional(self.reader())
                .await?;
        Ok(detail.map(|detail| Finding {
            kind: FindingKind::InactiveOpseraAccount,
            email: key.as_str().to_owned(),
            detail,
        }))
    }

    /// Takes roles for the current ones (§5 `adopt`).
    pub async fn adopt_roles(
        &self,
        roles: &[(OpseraId, SiteRole)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (account, role) in roles {
            remember_role(&mut tx, account, Some(*role), RoleSource::Adopted, now).await?;
        }
        self.commit(tx).await
    }
}

/// Remembers an account's role; `None` while nobody knows what came of a change.
pub(super) async fn remember_role(
    conn: &mut SqliteConnection,
    account: &OpseraId,
    role: Option<SiteRole>,
    source: RoleSource,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO known_roles (opsera_id, role, source, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (opsera_id) DO UPDATE
         SET role = excluded.role, source = excluded.source, at = excluded.at",
    )
    .bind(account.as_str())
    .bind(role.map(SiteRole::as_str))
    .bind(source.as_str())
    .bind(format_time(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Remembers the role a created account starts with, by key until its id is known.
pub(super) async fn remember_created(
    conn: &mut SqliteConnection,
    key: &Key,
    role: SiteRole,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO created_roles (key, role, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET role = excluded.role, at = excluded.at",
    )
    .bind(key.as_str())
    .bind(role.as_str())
    .bind(format_time(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether somebody has the key of `n`: in this pull, or by I11.
macro_rules! is_there {
    ($key:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM opa.people u INDEXED BY people_by_key
                      WHERE u.key = ",
            $key,
            " AND u.kind < 4)
              OR EXISTS (SELECT 1 FROM carriers c CROSS JOIN opa.people u INDEXED BY people_by_id
                              ON u.id = c.opa_id
                         WHERE c.key = ",
            $key,
            " AND u.key IS NULL AND u.kind IN (2, 3)
                           AND NOT EXISTS (
                               SELECT 1 FROM carriers d INDEXED BY carriers_by_id
                               WHERE d.opa_id = c.opa_id
                                 AND coalesce(d.carried_until, 9223372036854775806)
                                     > coalesce(c.carried_until, 9223372036854775806))))"
        )
    };
}

const STOP_CLOCKS: &str = concat!(
    "DELETE FROM absences AS n WHERE ",
    is_there!("n.key"),
    " OR NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key
                     WHERE a.key = n.key)"
);

const MOVE_CLOCKS: &str = concat!(
    "INSERT INTO absences (key, since, pulls, last_pull)
     SELECT a.key, ?2, 1, ?1
     FROM opsera.unsettled a
     WHERE NOT ",
    is_there!("a.key"),
    " ON CONFLICT (key) DO UPDATE SET pulls = absences.pulls + 1, last_pull = excluded.last_pull
      WHERE absences.last_pull < excluded.last_pull"
);

const STOPPED_BEING_ACTIVE: &str = "
UPDATE carriers AS c SET active_until = ?1
WHERE c.active_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM opa.people u INDEXED BY people_by_id
                  WHERE u.id = c.opa_id AND u.key = c.key AND u.kind = 0)";

const STOPPED_CARRYING: &str = "
UPDATE carriers AS c SET carried_until = ?1
WHERE c.carried_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM opa.people u INDEXED BY people_by_id
                  WHERE u.id = c.opa_id AND u.key = c.key AND u.kind < 4)";

const CARRIES: &str = "
INSERT INTO carriers (key, opa_id, name, carried_since, carried_until, active_until)
SELECT u.key, u.id, u.name, ?1, NULL, iif(u.kind = 0, NULL, 0)
FROM opa.people u
LEFT JOIN carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.key IS NOT NULL AND u.kind < 4
  AND (c.key IS NULL OR c.carried_until IS NOT NULL OR c.name <> u.name
       OR (u.kind = 0 AND c.active_until IS NOT NULL))
ORDER BY +u.key
ON CONFLICT (key, opa_id) DO UPDATE SET
    name = excluded.name,
    carried_since = iif(carriers.carried_until IS NULL, carriers.carried_since, excluded.carried_since),
    carried_until = NULL,
    active_until = iif(excluded.active_until IS NULL, NULL, active_until)";

const NO_LONGER_PRESENT_OTHERWISE: &str = "
DELETE FROM present_otherwise AS w
WHERE NOT EXISTS (SELECT 1 FROM opa.people u INDEXED BY people_by_id
                  WHERE u.id = w.opa_id AND (u.kind = 1 OR (u.kind = 0 AND u.key IS NULL)))";

const PRESENT_OTHERWISE: &str = "
INSERT INTO present_otherwise (opa_id)
SELECT u.id FROM opa.people u INDEXED BY people_without_key WHERE u.key IS NULL AND u.kind = 0
UNION ALL
SELECT u.id FROM opa.people u INDEXED BY people_unknown_status WHERE u.kind = 1
ON CONFLICT DO NOTHING";

/// An account this program created is known by its id once a listing shows it.
const CREATED_IS_LISTED: &str = "
INSERT INTO known_roles (opsera_id, role, source, at)
SELECT a.id, c.role, 'created', c.at
FROM created_roles c JOIN opsera.accounts a ON a.key = c.key
WHERE true ON CONFLICT DO NOTHING";

const FORGET_CREATED: &str = "
DELETE FROM created_roles AS c
WHERE EXISTS (SELECT 1 FROM opsera.accounts a WHERE a.key = c.key)";

const LEARNT: &str = "
INSERT INTO meta (key, value) VALUES ('learnt_mark', ?1)
ON CONFLICT (key) DO UPDATE SET value = excluded.value";

const REMEMBERED: &str = "UPDATE runs SET remembered = 1 WHERE seq = ?1";

/// Every statement that takes something from a snapshot.
#[cfg(test)]
pub(super) const LEARNING: [&str; 9] = [
    STOP_CLOCKS,
    MOVE_CLOCKS,
    STOPPED_BEING_ACTIVE,
    STOPPED_CARRYING,
    CARRIES,
    NO_LONGER_PRESENT_OTHERWISE,
    PRESENT_OTHERWISE,
    CREATED_IS_LISTED,
    FORGET_CREATED,
];
