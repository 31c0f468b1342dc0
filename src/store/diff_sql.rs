//! The statements of the diff.
//!
//! Each names the index it lives on: SQLite, which has no statistics here, otherwise now and then
//! takes the primary key and reads a whole pull for one person.

/// `?1` the pull, `?2` one key or null for all, `?3` whether an ACTIVE person can be a leaver too
/// (`scope.required_groups`): only leavers need their shields looked up; `?4` one id or null.
pub(super) const ACCOUNTS: &str = "
WITH account AS (
    SELECT a.*,
           a.managed AND (?3 OR NOT EXISTS (
               SELECT 1 FROM opa_users u INDEXED BY opa_users_by_key
               WHERE u.pull = ?1 AND u.key = a.key AND u.service = 0 AND u.status_rank <= 1)) AS leaver
    FROM opsera_accounts a INDEXED BY opsera_accounts_by_key
    WHERE a.pull = ?1 AND (?2 IS NULL OR a.key = ?2) AND (?4 IS NULL OR a.id = ?4)
)
SELECT a.id, a.email, a.address, a.key, a.active, a.managed, a.site_role,
    (SELECT json_group_array(json_object('id', b.id, 'email', coalesce(b.email, ''),
                'managed', json(iif(b.managed, 'true', 'false'))) ORDER BY b.id)
     FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
     WHERE b.pull = ?1 AND b.key = a.key) AS sharing,
    k.opsera_id IS NOT NULL AS remembered, k.role AS known_role, c.role AS created_role,
    n.since AS since,
    CASE WHEN a.managed THEN
        (SELECT json_group_array(json_object('id', u.id, 'name', u.name, 'status', u.status,
                    'email', u.email, 'address', u.address, 'first', u.first_name,
                    'last', u.last_name) ORDER BY u.id)
         FROM opa_users u INDEXED BY opa_users_by_key
         WHERE u.pull = ?1 AND u.key = a.key AND u.service = 0) END AS people,
    CASE WHEN a.managed THEN
        (SELECT json_group_array(DISTINCT m.group_name)
         FROM opa_users u INDEXED BY opa_users_by_key CROSS JOIN memberships m
              ON m.pull = u.pull AND m.opa_id = u.id
         WHERE u.pull = ?1 AND u.key = a.key AND u.service = 0 AND u.status_rank = 0) END AS groups,
    CASE WHEN a.leaver THEN
        (SELECT json_group_array(json_object('id', p.id, 'name', p.name, 'email', p.email) ORDER BY p.id)
         FROM (SELECT u.id, u.name, u.email FROM opa_users u INDEXED BY opa_users_unidentified_name
               WHERE u.pull = ?1 AND u.key IS NULL AND u.service = 0 AND u.status_rank = 0
                 AND u.name_folded IN (a.local_folded, a.own_local_folded)
               UNION
               SELECT u.id, u.name, u.email FROM opa_users u INDEXED BY opa_users_unidentified_key
               WHERE u.pull = ?1 AND u.key IS NULL AND u.service = 0 AND u.status_rank = 0
                 AND u.name_key IN (a.key, a.own_key)
               UNION
               SELECT u.id, u.name, u.email FROM opa_users u INDEXED BY opa_users_unidentified_full
               WHERE u.pull = ?1 AND u.key IS NULL AND u.service = 0 AND u.status_rank = 0
                 AND u.full_folded = a.full_folded) p) END AS unidentified,
    CASE WHEN a.managed THEN
        (SELECT json_group_array(json_object('id', u.id, 'name', u.name, 'email', u.email) ORDER BY u.id)
         FROM last_carriers l CROSS JOIN opa_users u ON u.pull = ?1 AND u.id = l.opa_id
         WHERE l.key = a.key AND u.service = 0 AND u.status_rank = 0 AND u.key IS NOT a.key) END AS renamed,
    CASE WHEN a.leaver THEN
        (SELECT json_group_array(json_object('id', u.id, 'name', u.name, 'email', u.email) ORDER BY u.id)
         FROM opa_users u INDEXED BY opa_users_by_skeleton
         WHERE u.pull = ?1 AND u.skeleton = a.skeleton AND u.key <> a.key AND u.service = 0
           AND u.status_rank = 0
           AND NOT EXISTS (SELECT 1 FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
                           WHERE b.pull = ?1 AND b.key = u.key)) END AS look_alikes,
    CASE WHEN a.leaver THEN
        (SELECT json_group_array(known.name)
         FROM (SELECT u.name FROM opa_users u INDEXED BY opa_users_by_key
               WHERE u.pull = ?1 AND u.key = a.key AND u.service = 0
               UNION SELECT l.name FROM last_carriers l WHERE l.key = a.key) known) END AS known_names,
    CASE WHEN a.leaver THEN
        (SELECT json_group_array(c.name ORDER BY c.name) FROM carriers c
         WHERE c.key = a.key
           AND c.name NOT IN (SELECT u.name FROM opa_users u INDEXED BY opa_users_by_key
                              WHERE u.pull = ?1 AND u.key = a.key AND u.service = 0
                              UNION SELECT l.name FROM last_carriers l WHERE l.key = a.key)) END AS earlier_names
FROM account a
LEFT JOIN known_roles k ON k.opsera_id = a.id
LEFT JOIN created_roles c ON c.key = a.key
LEFT JOIN absences n ON n.key = a.key
ORDER BY a.key, a.id";

/// `?1` the pull, `?2` one key or null for all.
pub(super) const JOINERS: &str = "
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
      WHERE pull = ?1 AND service = 0 AND status_rank = 0 AND key IS NOT NULL
        AND (?2 IS NULL OR key = ?2)) p
WHERE NOT EXISTS (SELECT 1 FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
                  WHERE b.pull = ?1 AND b.key = p.key)
ORDER BY p.key";

/// `?1` the pull, `?2` whether people without an account count, `?3` the id to go on after.
pub(super) const PEOPLE_TO_LOOK_UP: &str = "
SELECT u.id, u.name FROM opa_users u
WHERE u.pull = ?1 AND u.id > ?3 AND u.key IS NOT NULL AND u.service = 0 AND u.status_rank = 0
  AND coalesce((SELECT max(a.managed) FROM opsera_accounts a INDEXED BY opsera_accounts_by_key
                WHERE a.pull = ?1 AND a.key = u.key), ?2)
ORDER BY u.id LIMIT 500";

/// `?1` the pull, `?2` whether people without an account count.
pub(super) const COUNT_TO_LOOK_UP: &str = "
SELECT count(*) FROM opa_users u INDEXED BY opa_users_by_key
WHERE u.pull = ?1 AND u.key IS NOT NULL AND u.service = 0 AND u.status_rank = 0
  AND coalesce((SELECT max(a.managed) FROM opsera_accounts a INDEXED BY opsera_accounts_by_key
                WHERE a.pull = ?1 AND a.key = u.key), ?2)";

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::domain::time::SystemClock;
    use crate::store::Store;

    /// The plan's lines for the parts of a statement that run once per row.
    async fn correlated_steps(store: &Store, statement: &'static str) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(explain))
            .fetch_all(store.reader())
            .await
            .unwrap();
        let mut correlated = Vec::new();
        let mut steps = Vec::new();
        for row in rows {
            let (id, parent): (i64, i64) = (row.get(0), row.get(1));
            let words: String = row.get(3);
            if words.starts_with("CORRELATED") || correlated.contains(&parent) {
                correlated.push(id);
                steps.push(words);
            }
        }
        steps
    }

    #[tokio::test]
    async fn nothing_that_is_done_per_person_reads_the_whole_directory() {
        let directory = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let store = Store::open(&directory.path().join("s.db"), &*clock)
            .await
            .unwrap();
        for statement in [ACCOUNTS, JOINERS, PEOPLE_TO_LOOK_UP, COUNT_TO_LOOK_UP] {
            let steps = correlated_steps(&store, statement).await;
            assert!(!steps.is_empty());
            for step in steps {
                let reads_all = step.ends_with("(pull=?)")
                    || (step.starts_with("SCAN")
                        && !step.starts_with("SCAN p")
                        && !step.starts_with("SCAN known"));
                assert!(!reads_all, "{step} in {statement}");
            }
        }
        store.close().await;
    }
}
