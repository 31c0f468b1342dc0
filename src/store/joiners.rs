//! ACTIVE people without an account, page by page: each is looked up in Opsera over HTTP, and no
//! cursor of the store may be open while a request is under way.

use super::diff::joiner_facts;
use super::{Pull, Store, StoreError};
use crate::domain::Key;
use crate::rules::facts::JoinerFacts;

impl Store {
    /// Up to 500 keys of ACTIVE people that no account of `pull` has, in order, after `after`.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not one that this program writes.
    pub async fn list_joiners(
        &self,
        pull: Pull,
        after: Option<&Key>,
    ) -> Result<Vec<JoinerFacts>, StoreError> {
        sqlx::query(JOINERS_AFTER)
            .bind(pull.0)
            .bind(after.map_or("", Key::as_str))
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(joiner_facts)
            .collect()
    }
}

/// `?1` the pull, `?2` the key to go on after.
pub(super) const JOINERS_AFTER: &str = "
SELECT p.key,
    (SELECT json_group_array(json_object('id', u.id, 'name', u.name, 'status', u.status,
                'email', u.email, 'address', u.address, 'first', u.first_name,
                'last', u.last_name) ORDER BY u.id)
     FROM opa_users u INDEXED BY opa_users_by_key
     WHERE u.pull = ?1 AND u.key = p.key AND u.service = 0) AS people,
    (SELECT json_group_array(DISTINCT m.group_name)
     FROM opa_users u INDEXED BY opa_users_by_key CROSS JOIN memberships m
          ON m.pull = u.pull AND m.opa_id = u.id
     WHERE u.pull = ?1 AND u.key = p.key AND u.service = 0 AND u.status_rank = 0) AS groups
FROM (SELECT DISTINCT key FROM opa_users INDEXED BY opa_users_by_key
      WHERE pull = ?1 AND key > ?2 AND service = 0 AND status_rank = 0) p
WHERE NOT EXISTS (SELECT 1 FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
                  WHERE b.pull = ?1 AND b.key = p.key)
ORDER BY p.key LIMIT 500";
