//! The statements of the diff: one page of accounts, then what belongs to the keys of that page.
//!
//! Each names the index it lives on: SQLite, which has no statistics here, otherwise now and then
//! takes the primary key and reads a whole pull for one person. Every list of keys or ids is one
//! JSON array, `CROSS JOIN` keeps it the outer loop.

macro_rules! account_columns {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.email, a.address, a.key, a.active, a.managed, a.site_role,
                    k.opsera_id IS NOT NULL AS remembered, k.role AS known_role,
                    c.role AS created_role, n.since, n.pulls
             FROM opsera_accounts a ",
            $from,
            " LEFT JOIN known_roles k ON k.opsera_id = a.id
              LEFT JOIN created_roles c ON c.key = a.key
              LEFT JOIN absences n ON n.key = a.key ",
            $rest
        )
    };
}

/// `?1` the pull, `?2` and `?3` the key and the id to go on after.
pub(super) const ACCOUNT_PAGE: &str = account_columns!(
    "INDEXED BY opsera_accounts_by_key",
    "WHERE a.pull = ?1 AND (a.key, a.id) > (?2, ?3) ORDER BY a.key, a.id LIMIT 500"
);

/// `?1` the pull, `?2` the id to go on after: accounts without a key (I6).
pub(super) const KEYLESS_PAGE: &str = account_columns!(
    "INDEXED BY opsera_accounts_by_key",
    "WHERE a.pull = ?1 AND a.key IS NULL AND a.id > ?2 ORDER BY a.id LIMIT 500"
);

/// `?1` the pull, `?2` the id.
pub(super) const ONE_ACCOUNT: &str = account_columns!("", "WHERE a.pull = ?1 AND a.id = ?2");

/// `?1` the pull, `?2` keys. How many accounts each has, where it is more than one (I5).
pub(super) const SHARED_KEYS: &str = "
SELECT j.value AS key,
       (SELECT count(*) FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
        WHERE b.pull = ?1 AND b.key = j.value) AS total
FROM json_each(?2) j WHERE total > 1";

/// `?1` the pull, `?2` a key, `?3` how many at most.
pub(super) const FIRST_ACCOUNTS: &str = "
SELECT b.id, coalesce(b.email, '') AS email
FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
WHERE b.pull = ?1 AND b.key = ?2 ORDER BY b.id LIMIT ?3";

/// `?1` the pull, `?2` a key.
pub(super) const FIRST_MANAGED: &str = "
SELECT b.id FROM opsera_accounts b INDEXED BY opsera_accounts_by_key
WHERE b.pull = ?1 AND b.key = ?2 AND b.managed = 1 ORDER BY b.id LIMIT 1";

/// `?1` the pull, `?2` keys. The human records with each key.
pub(super) const PEOPLE: &str = "
SELECT u.key, u.id, u.name, u.status, u.email, u.address, u.first_name, u.last_name,
       EXISTS (SELECT 1 FROM unreadable_memberships r
               WHERE r.pull = u.pull AND r.opa_id = u.id) AS unreadable
FROM json_each(?2) j CROSS JOIN opa_users u INDEXED BY opa_users_by_key
     ON u.pull = ?1 AND u.key = j.value
WHERE u.service = 0
ORDER BY j.key, u.id";

/// `?1` the pull, `?2` keys. The live groups of the ACTIVE records with each key.
pub(super) const GROUPS: &str = "
SELECT DISTINCT u.key, m.group_name
FROM json_each(?2) j
CROSS JOIN opa_users u INDEXED BY opa_users_by_key
     ON u.pull = ?1 AND u.key = j.value AND u.service = 0 AND u.status_rank = 0
CROSS JOIN memberships m ON m.pull = u.pull AND m.opa_id = u.id
ORDER BY u.key, m.group_name";

/// `?1` the pull, `?2` keys. Who carried each key in an earlier pull and does not carry it in this
/// one, with the record as this pull shows it (I8, I11, A2).
pub(super) const FORMER_HOLDERS: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, c.active_until,
       u.status AS status, u.email AS email, u.first_name AS first_name, u.last_name AS last_name,
       u.key IS NULL AND u.service = 0 AND u.status_rank >= 2
       AND NOT EXISTS (SELECT 1 FROM carriers d INDEXED BY carriers_by_id
                       WHERE d.opa_id = c.opa_id
                         AND coalesce(d.carried_until, 9223372036854775806)
                             > coalesce(c.carried_until, 9223372036854775806)) AS lost
FROM json_each(?2) j CROSS JOIN carriers c ON c.key = j.value
LEFT JOIN opa_users u ON u.pull = ?1 AND u.id = c.opa_id
WHERE u.key IS NOT c.key OR u.service = 1
ORDER BY c.key, c.opa_id";

/// `?1` a key. When it was last carried, and last by somebody ACTIVE.
pub(super) const LAST_CARRIED: &str = "
SELECT max(coalesce(c.carried_until, 9223372036854775806)) AS carried_until,
       max(coalesce(c.active_until, 9223372036854775806)) AS active_until
FROM carriers c WHERE c.key = ?1";

/// `?1` the pull, `?2` a key, `?3` how many at most. Everybody who carries or carried it (I8).
pub(super) const HOLDERS_OF_KEY: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, 0 AS today
FROM carriers c WHERE c.key = ?2
UNION ALL
SELECT u.key, u.id, u.name, c.carried_since, c.carried_until, 1
FROM opa_users u INDEXED BY opa_users_by_key
LEFT JOIN carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.pull = ?1 AND u.key = ?2 AND u.service = 0
LIMIT ?3";

/// `?1` the pull, `?2` an id, `?3` how many at most. Every key it carries or carried (I8).
pub(super) const KEYS_OF_HOLDER: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, 0 AS today
FROM carriers c INDEXED BY carriers_by_id WHERE c.opa_id = ?2
UNION ALL
SELECT u.key, u.id, u.name, c.carried_since, c.carried_until, 1
FROM opa_users u LEFT JOIN carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.pull = ?1 AND u.id = ?2 AND u.key IS NOT NULL AND u.service = 0
LIMIT ?3";

/// `?1` the pull, `?2` an id. The ACTIVE human record with it.
pub(super) const ACTIVE_RECORD: &str = "
SELECT u.id, u.name, u.email, u.key FROM opa_users u
WHERE u.pull = ?1 AND u.id = ?2 AND u.service = 0 AND u.status_rank = 0";

/// `?1` the pull, `?2` ids of accounts. I7: ACTIVE people without a usable address.
pub(super) const UNIDENTIFIED: &str = "
SELECT a.id, (SELECT json_group_array(json_object('id', p.id, 'name', p.name, 'email', p.email))
    FROM (SELECT * FROM (
              SELECT u.id, u.name, u.email FROM opa_users u INDEXED BY opa_users_unidentified_name
              WHERE u.pull = ?1 AND u.key IS NULL AND u.service = 0 AND u.status_rank = 0
                AND u.name_folded IN (a.local_folded, a.own_local_folded) LIMIT 11)
          UNION SELECT * FROM (
              SELECT u.id, u.name, u.email FROM opa_users u INDEXED BY opa_users_unidentified_key
              WHERE u.pull = ?1 AND u.key IS NULL AND u.service = 0 AND u.status_rank = 0
                AND u.name_key IN (a.key, a.own_key) LIMIT 11)
          UNION SELECT * FROM (
              SELECT u.id, u.name, u.email FROM opa_users u INDEXED BY opa_users_unidentified_full
              WHERE u.pull = ?1 AND u.key IS NULL AND u.service = 0 AND u.status_rank = 0
                AND u.full_folded = a.full_folded LIMIT 11)) p) AS people
FROM json_each(?2) j CROSS JOIN opsera_accounts a ON a.pull = ?1 AND a.id = j.value";

/// `?1` the pull, `?2` ids of accounts. I9: ACTIVE people without an account whose key looks the
/// same.
pub(super) const LOOK_ALIKES: &str = "
SELECT a.id, (SELECT json_group_array(json_object('id', p.id, 'name', p.name, 'email', p.email))
    FROM (SELECT x.id, x.name, x.email FROM unclaimed_people x INDEXED BY unclaimed_by_skeleton
          WHERE x.pull = ?1 AND x.skeleton = a.skeleton AND x.key <> a.key LIMIT 11) p) AS people
FROM json_each(?2) j CROSS JOIN opsera_accounts a ON a.pull = ?1 AND a.id = j.value";

/// `?1` the pull, `?2` ids of accounts. I10: ACTIVE people without an account who have its name.
pub(super) const UNCLAIMED: &str = "
SELECT a.id, (SELECT json_group_array(json_object('id', p.id, 'name', p.name, 'email', p.email))
    FROM (SELECT * FROM (
              SELECT x.id, x.name, x.email FROM unclaimed_people x INDEXED BY unclaimed_by_name
              WHERE x.pull = ?1 AND x.name_folded IN (a.local_folded, a.own_local_folded) LIMIT 11)
          UNION SELECT * FROM (
              SELECT x.id, x.name, x.email FROM unclaimed_people x INDEXED BY unclaimed_by_name_key
              WHERE x.pull = ?1 AND x.name_key IN (a.key, a.own_key) LIMIT 11)
          UNION SELECT * FROM (
              SELECT x.id, x.name, x.email FROM unclaimed_people x INDEXED BY unclaimed_by_full_name
              WHERE x.pull = ?1 AND x.full_folded = a.full_folded LIMIT 11)) p) AS people
FROM json_each(?2) j CROSS JOIN opsera_accounts a ON a.pull = ?1 AND a.id = j.value";

/// `?1` the pull, `?2` the key to go on after. Keys of ACTIVE people without an account.
pub(super) const JOINER_PAGE: &str = "
SELECT DISTINCT p.key FROM unclaimed_people p WHERE p.pull = ?1 AND p.key > ?2
ORDER BY p.key LIMIT 500";

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

/// `?1` the pull. ACTIVE people whose key no listed account has, once the pull is complete.
pub(super) const FILL_UNCLAIMED: &str = "
INSERT INTO unclaimed_people (pull, key, id, name, email, skeleton, name_folded, name_key, full_folded)
SELECT u.pull, u.key, u.id, u.name, u.email, u.skeleton, u.name_folded, u.name_key, u.full_folded
FROM opa_users u INDEXED BY opa_users_by_key
WHERE u.pull = ?1 AND u.key IS NOT NULL AND u.service = 0 AND u.status_rank = 0
  AND NOT EXISTS (SELECT 1 FROM opsera_accounts a INDEXED BY opsera_accounts_by_key
                  WHERE a.pull = ?1 AND a.key = u.key)
ON CONFLICT DO NOTHING";

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::domain::time::SystemClock;
    use crate::store::Store;

    /// Every step of a statement's plan, in words.
    async fn steps(store: &Store, statement: &'static str) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(explain))
            .fetch_all(store.reader())
            .await
            .unwrap();
        rows.iter().map(|row| row.get(3)).collect()
    }

    #[tokio::test]
    async fn nothing_that_is_done_per_person_reads_the_whole_directory() {
        let directory = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let store = Store::open(&directory.path().join("s.db"), &*clock)
            .await
            .unwrap();
        // What runs once in a pull may read it once, with one of its tables as the outer loop.
        let once = [COUNT_TO_LOOK_UP, FILL_UNCLAIMED];
        let again_and_again = [
            ACCOUNT_PAGE,
            KEYLESS_PAGE,
            ONE_ACCOUNT,
            SHARED_KEYS,
            FIRST_ACCOUNTS,
            FIRST_MANAGED,
            PEOPLE,
            GROUPS,
            FORMER_HOLDERS,
            LAST_CARRIED,
            HOLDERS_OF_KEY,
            KEYS_OF_HOLDER,
            ACTIVE_RECORD,
            UNIDENTIFIED,
            LOOK_ALIKES,
            UNCLAIMED,
            JOINER_PAGE,
            PEOPLE_TO_LOOK_UP,
        ];
        for statement in again_and_again.into_iter().chain(once) {
            let steps = steps(&store, statement).await;
            assert!(!steps.is_empty());
            let outer = usize::from(once.contains(&statement));
            let whole = steps.iter().filter(|step| {
                let scans_a_table = step.starts_with("SCAN ")
                    && !["SCAN j", "SCAN p", "SCAN (subquery", "SCAN CONSTANT"]
                        .iter()
                        .any(|small| step.starts_with(small));
                step.ends_with("(pull=?)") || scans_a_table
            });
            assert!(whole.count() <= outer, "{steps:#?} in {statement}");
        }
        store.close().await;
    }
}
