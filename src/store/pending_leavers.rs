//! Leavers whose account the listing hides: candidates to ask Opsera about (§4, last paragraph).

use sqlx::Connection as _;

use super::fields::Fields;
use super::{BEGIN, Pull, Store, StoreError};
use crate::domain::{Key, OpaName, OpseraId, time::Timestamp, time::format_time};

/// Somebody who has left and whose key no listed account carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenLeaver {
    /// The key.
    pub key: Key,
    /// The address as OPA has it, or had it last.
    pub address: String,
    /// The OPA record's name.
    pub name: OpaName,
    /// The account that an earlier run saw.
    pub account: Option<OpseraId>,
}

impl Store {
    /// Takes in whom `pull` found DISABLED or DELETED and the pull before it ACTIVE or of an unknown
    /// status, and lets go of every key that somebody ACTIVE or a listed account has, or whose last
    /// owner is back. A record that has no address any more counts under the key it carried last
    /// (I11), and one that is gone altogether changes nothing.
    /// To be called before the memory learns the pull.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn note_hidden_leavers(&self, pull: Pull, now: Timestamp) -> Result<(), StoreError> {
        let mut ledger = self.ledger_beside_snapshot(pull).await?;
        let mut tx = ledger.begin_with(BEGIN).await?;
        for statement in [TAKE_IN, TAKE_IN_OTHERWISE_PRESENT] {
            sqlx::query(statement)
                .bind(format_time(now))
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(LET_GO).execute(&mut *tx).await?;
        tx.commit().await?;
        self.keep_learning(pull, ledger).await;
        Ok(())
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
            .bind(after.map_or("", Key::as_str))
            .fetch_all(&self.snapshot(pull).await?)
            .await?
            .iter()
            .map(|row| {
                let row = Fields::of(row, "people", "key");
                Ok(HiddenLeaver {
                    key: Key::from_store(row.get("key")?),
                    address: row.get("address")?,
                    name: OpaName::new(row.get::<String>("name")?),
                    account: row.get::<Option<String>>("account")?.map(OpseraId::new),
                })
            })
            .collect()
    }

    /// Opsera has this account of the leaver, and it is not yet deactivated.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn note_pending_account(
        &self,
        key: &Key,
        account: &OpseraId,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE pending_leavers SET account = ?2 WHERE key = ?1")
            .bind(key.as_str())
            .bind(account.as_str())
            .execute(&mut *tx)
            .await?;
        self.commit(tx).await
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

/// `?1` the time. Runs on the ledger, with the snapshot attached. A null `active_until`: the record
/// was ACTIVE with this key in the latest pull that the memory has learnt.
pub(super) const TAKE_IN: &str = "
INSERT INTO pending_leavers (key, since, address, name)
SELECT coalesce(u.key, c.key) AS leaver, ?1,
       min(coalesce(u.address, u.key, c.key)), min(u.name)
FROM opa.people u CROSS JOIN carriers c INDEXED BY carriers_by_id ON c.opa_id = u.id
WHERE u.kind IN (2, 3) AND c.active_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key
                  WHERE a.key = coalesce(u.key, c.key))
GROUP BY leaver
ON CONFLICT DO NOTHING";

/// The same for whoever was there in another way: under the key of today, or else under the one that
/// the id carried last (I11).
pub(super) const TAKE_IN_OTHERWISE_PRESENT: &str = "
INSERT INTO pending_leavers (key, since, address, name)
SELECT l.key, ?1, min(coalesce(l.address, l.key)), min(l.name)
FROM (SELECT coalesce(u.key, (SELECT c.key FROM carriers c INDEXED BY carriers_by_id
                              WHERE c.opa_id = u.id
                              ORDER BY coalesce(c.carried_until, 9223372036854775806) DESC
                              LIMIT 1)) AS key,
             coalesce(u.address, u.key) AS address, u.name
      FROM present_otherwise w CROSS JOIN opa.people u INDEXED BY people_by_id ON u.id = w.opa_id
      WHERE u.kind IN (2, 3)) l
WHERE l.key IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key WHERE a.key = l.key)
GROUP BY l.key
ON CONFLICT DO NOTHING";

/// Runs on the ledger, with the snapshot attached.
pub(super) const LET_GO: &str = "
DELETE FROM pending_leavers AS p
WHERE EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key WHERE a.key = p.key)
   OR EXISTS (SELECT 1 FROM opa.people u INDEXED BY people_by_key
              WHERE u.key = p.key AND u.kind <= 1)
   OR EXISTS (SELECT 1 FROM carriers c CROSS JOIN opa.people u INDEXED BY people_by_id
                  ON u.id = c.opa_id
              WHERE c.key = p.key AND u.kind <= 1
                AND NOT EXISTS (SELECT 1 FROM carriers d
                                WHERE d.key = c.key
                                  AND coalesce(d.active_until, 9223372036854775806)
                                      > coalesce(c.active_until, 9223372036854775806)))";

/// `?1` the key to go on after. What the snapshot says of a record is newer than what was noted.
pub(super) const LIST: &str = "
SELECT p.key, coalesce(min(coalesce(u.address, u.key)), p.address, p.key) AS address,
       coalesce(min(u.name), p.name, p.key) AS name, p.account
FROM ledger.pending_leavers p LEFT JOIN main.people u INDEXED BY people_by_key
     ON u.key = p.key AND u.kind < 4
WHERE p.key > ?1
GROUP BY p.key ORDER BY p.key LIMIT 500";
