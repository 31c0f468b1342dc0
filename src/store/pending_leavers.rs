//! Leavers whose account the listing hides: candidates to ask Opsera about (§4, last paragraph).

use super::fields::Fields;
use super::{Pull, Store, StoreError};
use crate::domain::{Key, OpaName, time::Timestamp, time::format_time};

/// Somebody who has left and whose key no listed account carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenLeaver {
    /// The key.
    pub key: Key,
    /// The address as OPA has it.
    pub address: String,
    /// The OPA record's name.
    pub name: OpaName,
}

impl Store {
    /// Takes in whom `pull` found DISABLED or DELETED and the pull before it ACTIVE, and lets go of
    /// everybody who is ACTIVE again or has a listed account. To be called before the memory learns
    /// the pull.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn note_hidden_leavers(&self, pull: Pull, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(TAKE_IN)
            .bind(pull.0)
            .bind(format_time(now))
            .execute(&mut *tx)
            .await?;
        sqlx::query(LET_GO).bind(pull.0).execute(&mut *tx).await?;
        self.commit(tx).await
    }

    /// Up to 500 of them, by key, after `after`.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not one that this program writes.
    pub async fn list_hidden_leavers(
        &self,
        pull: Pull,
        after: Option<&Key>,
    ) -> Result<Vec<HiddenLeaver>, StoreError> {
        sqlx::query(LIST)
            .bind(pull.0)
            .bind(after.map_or("", Key::as_str))
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(|row| {
                let row = Fields::of(row, "opa_users", "key");
                Ok(HiddenLeaver {
                    key: Key::from_store(row.get("key")?),
                    address: row.get("address")?,
                    name: OpaName::new(row.get::<String>("name")?),
                })
            })
            .collect()
    }

    /// Opsera has no account of this leaver that is not yet deactivated.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn forget_hidden_leaver(&self, key: &Key) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM pending_leavers WHERE key = ?1")
            .bind(key.as_str())
            .execute(&mut *tx)
            .await?;
        self.commit(tx).await
    }
}

/// `?1` the pull, `?2` the time.
pub(super) const TAKE_IN: &str = "
INSERT INTO pending_leavers (key, since)
SELECT DISTINCT u.key, ?2
FROM opa_users u CROSS JOIN carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.pull = ?1 AND u.key IS NOT NULL AND u.service = 0 AND u.status_rank IN (2, 3)
  AND c.active_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM opsera_accounts a INDEXED BY opsera_accounts_by_key
                  WHERE a.pull = ?1 AND a.key = u.key)
ON CONFLICT DO NOTHING";

/// `?1` the pull.
pub(super) const LET_GO: &str = "
DELETE FROM pending_leavers AS p
WHERE EXISTS (SELECT 1 FROM opsera_accounts a INDEXED BY opsera_accounts_by_key
              WHERE a.pull = ?1 AND a.key = p.key)
   OR EXISTS (SELECT 1 FROM opa_users u INDEXED BY opa_users_by_key
              WHERE u.pull = ?1 AND u.key = p.key AND u.service = 0 AND u.status_rank <= 1)
   OR NOT EXISTS (SELECT 1 FROM opa_users u INDEXED BY opa_users_by_key
                  WHERE u.pull = ?1 AND u.key = p.key AND u.service = 0)";

/// `?1` the pull, `?2` the key to go on after.
pub(super) const LIST: &str = "
SELECT p.key, min(u.address) AS address, min(u.name) AS name
FROM pending_leavers p CROSS JOIN opa_users u INDEXED BY opa_users_by_key
     ON u.pull = ?1 AND u.key = p.key AND u.service = 0
WHERE p.key > ?2
GROUP BY p.key ORDER BY p.key LIMIT 500";
