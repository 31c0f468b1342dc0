//! What is remembered from run to run: who carried a key (I8, A2), since when a person has been
//! missing (§4), which role an account was given (§5).

use sqlx::SqliteConnection;

use super::snapshot::Pull;
use super::{Store, StoreError};
use crate::domain::{Key, OpseraId, SiteRole, time::Timestamp, time::format_time};

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
    /// missed, and clears those of people who are there and of accounts that are gone. No clock
    /// starts before the end of the audit log: a machine that boots with its clock far behind
    /// must not make the grace look long past once it has learnt the time.
    pub async fn move_absence_clocks(&self, pull: Pull, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "DELETE FROM absences AS n
             WHERE EXISTS (SELECT 1 FROM opa_users u WHERE u.pull = ?1 AND u.key = n.key AND u.service = 0)
                OR NOT EXISTS (SELECT 1 FROM opsera_accounts a WHERE a.pull = ?1 AND a.key = n.key)",
        )
        .bind(pull.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO absences (key, since)
             SELECT DISTINCT a.key, max(?2, coalesce((SELECT at FROM audit ORDER BY seq DESC LIMIT 1), ''))
             FROM opsera_accounts a
             WHERE a.pull = ?1 AND a.key IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM opa_users u WHERE u.pull = ?1 AND u.key = a.key AND u.service = 0)
             ON CONFLICT DO NOTHING",
        )
        .bind(pull.0)
        .bind(format_time(now))
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await
    }

    /// Remembers who carries which key in `pull`, once its plan is made: the plan itself looks at
    /// what was true before (I8). Only what changed is written.
    pub async fn remember_carriers(&self, pull: Pull) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let before: i64 = sqlx::query_scalar(
            "SELECT coalesce(max(seq), 0) FROM runs WHERE pulled_at IS NOT NULL AND seq < ?1",
        )
        .bind(pull.0)
        .fetch_one(&mut *tx)
        .await?;
        for statement in [STOPPED_BEING_ACTIVE, STOPPED_CARRYING] {
            sqlx::query(statement)
                .bind(pull.0)
                .bind(before)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(CARRIES).bind(pull.0).execute(&mut *tx).await?;
        // An account this program created is known by its id once a listing shows it.
        sqlx::query(
            "INSERT INTO known_roles (opsera_id, role, source, at)
             SELECT a.id, c.role, 'created', c.at
             FROM created_roles c JOIN opsera_accounts a ON a.pull = ?1 AND a.key = c.key
             WHERE true ON CONFLICT DO NOTHING",
        )
        .bind(pull.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM created_roles AS c
             WHERE EXISTS (SELECT 1 FROM opsera_accounts a WHERE a.pull = ?1 AND a.key = c.key)",
        )
        .bind(pull.0)
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await
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

const STOPPED_BEING_ACTIVE: &str = "
UPDATE carriers AS c SET active_until = ?2
WHERE c.active_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM opa_users u WHERE u.pull = ?1 AND u.id = c.opa_id AND u.key = c.key
                  AND u.service = 0 AND u.status_rank = 0)";

const STOPPED_CARRYING: &str = "
UPDATE carriers AS c SET carried_until = ?2
WHERE c.carried_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM opa_users u WHERE u.pull = ?1 AND u.id = c.opa_id AND u.key = c.key
                  AND u.service = 0)";

const CARRIES: &str = "
INSERT INTO carriers (key, opa_id, name, carried_until, active_until)
SELECT u.key, u.id, u.name, NULL, iif(u.status_rank = 0, NULL, 0)
FROM opa_users u
LEFT JOIN carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.pull = ?1 AND u.key IS NOT NULL AND u.service = 0
  AND (c.key IS NULL OR c.carried_until IS NOT NULL OR c.name <> u.name
       OR (u.status_rank = 0 AND c.active_until IS NOT NULL))
ON CONFLICT (key, opa_id) DO UPDATE SET
    name = excluded.name,
    carried_until = NULL,
    active_until = iif(excluded.active_until IS NULL, NULL, active_until)";
