//! The statements of the diff: one page of accounts, then what belongs to the keys of that page.
//!
//! Each names the index it lives on: SQLite, which has no statistics here, otherwise now and then
//! takes the primary key and reads a whole pull for one person. Every list of keys or ids is one
//! JSON array, `CROSS JOIN` keeps it the outer loop.

/// What is read of an account. What equals the key is null in a snapshot.
macro_rules! account_columns {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.kind, a.key, coalesce(a.email, a.key) AS email,
                    iif(a.key IS NULL, NULL, coalesce(a.address, a.key)) AS address, a.site_role,
                    a.own_key, a.first_name, a.last_name,
                    k.opsera_id IS NOT NULL AS remembered, k.role AS known_role,
                    c.role AS created_role, n.since, n.pulls
             FROM ",
            $from,
            " LEFT JOIN ledger.known_roles k ON k.opsera_id = a.id
              LEFT JOIN ledger.created_roles c ON c.key = a.key
              LEFT JOIN ledger.absences n ON n.key = a.key ",
            $rest
        )
    };
}

/// `?1` places of accounts.
pub(super) const ACCOUNTS_AT: &str = account_columns!(
    "json_each(?1) j CROSS JOIN opsera.accounts a ON a.rowid = j.value",
    ""
);

/// `?1` the id.
pub(super) const ONE_ACCOUNT: &str = account_columns!("opsera.accounts a", "WHERE a.id = ?1");

/// `?1` the id of an account that has no key, to go on after (I6).
pub(super) const KEYLESS_PAGE: &str = account_columns!(
    "opsera.accounts a INDEXED BY accounts_without_key",
    "WHERE a.key IS NULL AND a.id > ?1 ORDER BY a.id LIMIT 500"
);

/// `?1` keys. How many accounts each has, where it is more than one (I5).
pub(super) const SHARED_KEYS: &str = "
SELECT j.value AS key,
       (SELECT count(*) FROM opsera.accounts b INDEXED BY accounts_by_key
        WHERE b.key = j.value) AS total
FROM json_each(?1) j WHERE total > 1";

/// `?1` a key, `?2` how many at most.
pub(super) const FIRST_ACCOUNTS: &str = "
SELECT b.id, coalesce(b.email, b.key, '') AS email
FROM opsera.accounts b INDEXED BY accounts_by_key
WHERE b.key = ?1 ORDER BY b.id LIMIT ?2";

/// `?1` a key.
pub(super) const FIRST_MANAGED: &str = "
SELECT b.id FROM opsera.accounts b INDEXED BY accounts_by_key
WHERE b.key = ?1 AND b.kind & 2 ORDER BY b.id LIMIT 1";

/// `?1` keys. The human records with each key.
pub(super) const PEOPLE: &str = "
SELECT u.key, u.id, u.name, u.kind, u.status, coalesce(u.email, u.key) AS email,
       coalesce(u.address, u.key) AS address, u.first_name, u.last_name,
       EXISTS (SELECT 1 FROM main.unreadable r WHERE r.person = u.rowid) AS unreadable
FROM json_each(?1) j CROSS JOIN main.people u INDEXED BY people_by_key
     ON u.key = j.value
WHERE u.kind < 4
ORDER BY j.key, u.id";

/// `?1` keys. The live groups of the ACTIVE records with each key.
pub(super) const GROUPS: &str = "
SELECT DISTINCT u.key, g.name
FROM json_each(?1) j
CROSS JOIN main.people u INDEXED BY people_by_key
     ON u.key = j.value AND u.kind = 0
CROSS JOIN main.memberships m INDEXED BY memberships_by_person ON m.person = u.rowid
CROSS JOIN main.groups g ON g.id = m.grp
ORDER BY u.key, g.name";

/// `?1` keys. Who carried each key in an earlier pull and does not carry it in this
/// one, with the record as this pull shows it (I8, I11, A2).
pub(super) const FORMER_HOLDERS: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, c.active_until,
       u.kind AS kind, u.status AS status, coalesce(u.email, u.key) AS email,
       u.first_name AS first_name, u.last_name AS last_name,
       coalesce(u.key IS NULL AND u.kind IN (2, 3)
           AND NOT EXISTS (SELECT 1 FROM ledger.carriers d INDEXED BY carriers_by_id
                           WHERE d.opa_id = c.opa_id
                             AND coalesce(d.carried_until, 9223372036854775806)
                                 > coalesce(c.carried_until, 9223372036854775806)), 0) AS lost
FROM json_each(?1) j CROSS JOIN ledger.carriers c ON c.key = j.value
LEFT JOIN main.people u ON u.id = c.opa_id
WHERE u.key IS NOT c.key OR u.kind > 3
ORDER BY c.key, c.opa_id";

/// `?1` keys. When each was last carried, and last by somebody ACTIVE.
pub(super) const LAST_CARRIED: &str = "
SELECT c.key, max(coalesce(c.carried_until, 9223372036854775806)) AS carried_until,
       max(coalesce(c.active_until, 9223372036854775806)) AS active_until
FROM json_each(?1) j CROSS JOIN ledger.carriers c ON c.key = j.value GROUP BY j.key, c.key";

/// `?1` a key, `?2` how many at most. Everybody who carries or carried it (I8).
pub(super) const HOLDERS_OF_KEY: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, 0 AS today
FROM ledger.carriers c WHERE c.key = ?1
UNION ALL
SELECT u.key, u.id, u.name, c.carried_since, c.carried_until, 1
FROM main.people u INDEXED BY people_by_key
LEFT JOIN ledger.carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.key = ?1 AND u.kind < 4
LIMIT ?2";

/// `?1` an id, `?2` how many at most. Every key it carries or carried (I8).
pub(super) const KEYS_OF_HOLDER: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, 0 AS today
FROM ledger.carriers c INDEXED BY carriers_by_id WHERE c.opa_id = ?1
UNION ALL
SELECT u.key, u.id, u.name, c.carried_since, c.carried_until, 1
FROM main.people u LEFT JOIN ledger.carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.id = ?1 AND u.key IS NOT NULL AND u.kind < 4
LIMIT ?2";

/// `?1` ids, `?2` how many rows at most. [`KEYS_OF_HOLDER`] of several ids.
pub(super) const KEYS_OF_HOLDERS: &str = "
SELECT c.key, c.opa_id AS id, c.name, c.carried_since, c.carried_until, 0 AS today
FROM json_each(?1) j CROSS JOIN ledger.carriers c INDEXED BY carriers_by_id ON c.opa_id = j.value
UNION ALL
SELECT u.key, u.id, u.name, c.carried_since, c.carried_until, 1
FROM json_each(?1) j CROSS JOIN main.people u INDEXED BY people_by_id ON u.id = j.value
LEFT JOIN ledger.carriers c ON c.key = u.key AND c.opa_id = u.id
WHERE u.key IS NOT NULL AND u.kind < 4
LIMIT ?2";

/// `?1` ids. The human record with each, where it is ACTIVE or its status is doubt (I8).
pub(super) const PRESENT_RECORDS: &str = "
SELECT u.id, u.name, coalesce(u.email, u.key) AS email, u.key, u.kind, u.status
FROM json_each(?1) j CROSS JOIN main.people u INDEXED BY people_by_id ON u.id = j.value
WHERE u.kind <= 1";

/// Whether the name of anybody in OPA may be a whole address (I7, I10).
pub(super) const NAMES_ARE_ADDRESSES: &str = "
SELECT EXISTS (SELECT 1 FROM main.people n INDEXED BY people_by_name WHERE instr(n.name, '@') > 0)";

/// `?1` even fingerprints. Those that a shield may compare an account with.
pub(super) const COMPARED_WITH: &str = "
SELECT j.value FROM json_each(?1) j
WHERE EXISTS (SELECT 1 FROM main.shields s INDEXED BY shields_by_fingerprint
              WHERE s.fingerprint BETWEEN j.value AND j.value + 1)";

/// `?1` even fingerprints. How many ACTIVE people without an account have each, and the first of
/// them, apart those without a usable address (I7) and those with one (I9, I10).
pub(super) const POSSIBLE: &str = "
SELECT j.value AS fingerprint, jk.value AS unclaimed,
    (SELECT count(*) FROM main.shields s INDEXED BY shields_by_fingerprint
     WHERE s.fingerprint = j.value + jk.value) AS total,
    (SELECT json_group_array(json_object('id', x.id, 'name', x.name, 'email', x.email))
     FROM (SELECT p.id, p.name, coalesce(p.email, p.key) AS email
           FROM main.shields s INDEXED BY shields_by_fingerprint
           CROSS JOIN main.people p ON p.rowid = s.person
           WHERE s.fingerprint = j.value + jk.value LIMIT 11) x) AS people
FROM json_each(?1) j CROSS JOIN json_each('[0, 1]') jk
WHERE EXISTS (SELECT 1 FROM main.shields s INDEXED BY shields_by_fingerprint
              WHERE s.fingerprint = j.value + jk.value)";

/// `?1` the key to go on after. Keys of ACTIVE people without an account.
pub(super) const JOINER_PAGE: &str = "
SELECT DISTINCT p.key FROM main.people p INDEXED BY people_by_key
WHERE p.key > ?1 AND p.kind = 0
  AND NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key WHERE a.key = p.key)
ORDER BY p.key LIMIT 500";

/// `?1` a key. Whether somebody ACTIVE has it and no account.
pub(super) const IS_JOINER: &str = "
SELECT EXISTS (SELECT 1 FROM main.people INDEXED BY people_by_key WHERE key = ?1 AND kind = 0)
   AND NOT EXISTS (SELECT 1 FROM opsera.accounts INDEXED BY accounts_by_key WHERE key = ?1)";

/// `?1` and `?2` the name and the id to go on after. ACTIVE humans without a usable address (I7).
pub(super) const UNIDENTIFIED: &str = "
SELECT id, name, email FROM main.people INDEXED BY people_without_key
WHERE key IS NULL AND kind = 0 AND name >= ?1 AND (name, id) > (?1, ?2)
ORDER BY name, id LIMIT 500";

/// `?1` and `?2` the name and the id to go on after. Humans with an unknown status (I3).
pub(super) const UNKNOWN_STATUS: &str = "
SELECT id, name, coalesce(email, key) AS email, coalesce(status, '') AS status
FROM main.people INDEXED BY people_unknown_status
WHERE kind = 1 AND name >= ?1 AND (name, id) > (?1, ?2)
ORDER BY name, id LIMIT 500";

/// `?1` and `?2` the name and the id to go on after. People whose groups OPA cannot be asked for.
pub(super) const UNREADABLE: &str = "
SELECT u.id, u.name, coalesce(u.email, u.key) AS email
FROM main.unreadable r CROSS JOIN main.people u ON u.rowid = r.person
WHERE (u.name, u.id) > (?1, ?2) ORDER BY u.name, u.id LIMIT 500";
