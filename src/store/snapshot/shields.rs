//! What the shields compare: the names of ACTIVE people to whom no account of the listing belongs
//! by its address, folded once for each snapshot.
//!
//! They are few where the directories agree, so that most people are never folded.

use std::hash::Hash as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::super::{Store, StoreError};
use super::mark;
use crate::domain::{Address, Key};
use crate::rules::Policy;
use crate::rules::shields::{fold_full_name, fold_name};

/// What a text is that accounts and people are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum Comparison {
    /// The OPA name, folded (I7, I10).
    Name,
    /// The OPA name as a key, where it is an address (I7, I10).
    NameAsKey,
    /// First and last name, folded (I7, I10).
    FullName,
    /// What the key looks like (I9).
    Look,
}

/// Makes the numbers by which texts are found: 63 bits under a key of this store, so that two texts
/// have one number by no accident that happens, and nobody can choose them so. The last bit says
/// whose the text is: 0 of somebody without a usable address (I7), 1 of somebody with one (I9, I10).
#[derive(Debug)]
pub(in crate::store) struct Fingerprints(SipHasher13);

impl Fingerprints {
    pub(in crate::store) async fn of_store(store: &Store) -> Result<Self, StoreError> {
        let key = mark::secret(store).await?;
        Ok(Self(SipHasher13::new_with_key(&key)))
    }

    /// The number of somebody without a usable address.
    pub(in crate::store) fn of_unidentified(&self, what: Comparison, text: &str) -> i64 {
        let mut hasher = self.0;
        (what, text).hash(&mut hasher);
        hasher.finish128().h1.cast_signed() & !1
    }

    /// The number of somebody whose key no account carries.
    pub(in crate::store) fn of_unclaimed(&self, what: Comparison, text: &str) -> i64 {
        self.of_unidentified(what, text) | 1
    }
}

/// Row, name, key, first and last name.
type Person = (i64, String, Option<String>, Option<String>, Option<String>);

/// People looked at with one statement.
const PAGE: usize = 2000;
/// Rows inserted with one statement.
const ROWS: usize = 500;

/// Finds the ACTIVE people without an account; the Opsera file is attached. Both indexes are read in
/// the order of the key, so that each page of them is read once, and the table afterwards in the
/// order of its rows.
pub(super) const FIND_WITHOUT_ACCOUNT: &str = "
CREATE TEMP TABLE without_account (person INTEGER PRIMARY KEY);
INSERT INTO temp.without_account (person)
    SELECT p.rowid FROM people p INDEXED BY people_by_key
    WHERE p.key IS NOT NULL AND p.kind = 0
      AND NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key
                      WHERE a.key = p.key)
    ORDER BY p.rowid;
INSERT INTO temp.without_account (person)
    SELECT p.rowid FROM people p INDEXED BY people_without_key WHERE p.key IS NULL AND p.kind = 0";

const WITHOUT_ACCOUNT: &str = "
SELECT w.person, p.name, p.key, p.first_name, p.last_name
FROM temp.without_account w CROSS JOIN people p ON p.rowid = w.person
WHERE w.person > ?1 ORDER BY w.person LIMIT 2000";

/// Fills the table from what [`FIND_WITHOUT_ACCOUNT`] found.
pub(super) async fn fill(
    connection: &mut SqliteConnection,
    policy: &Policy,
    fingerprints: &Fingerprints,
) -> Result<(), StoreError> {
    let whole = insert(ROWS);
    let mut after = 0;
    loop {
        let people: Vec<Person> = sqlx::query_as(WITHOUT_ACCOUNT)
            .bind(after)
            .fetch_all(&mut *connection)
            .await?;
        let Some((last, ..)) = people.last() else {
            return Ok(());
        };
        after = *last;
        let is_last_page = people.len() < PAGE;
        let rows: Vec<(i64, i64)> = people
            .iter()
            .flat_map(|person| {
                let (place, _, key, ..) = person;
                let texts = texts_of(person, policy).into_iter();
                texts.map(move |(what, text)| {
                    let fingerprint = match key {
                        None => fingerprints.of_unidentified(what, &text),
                        Some(_) => fingerprints.of_unclaimed(what, &text),
                    };
                    (fingerprint, *place)
                })
            })
            .collect();
        for rows in rows.chunks(ROWS) {
            let statement = if rows.len() == ROWS {
                whole.clone()
            } else {
                insert(rows.len())
            };
            let mut insert = sqlx::query(AssertSqlSafe(statement));
            for (fingerprint, person) in rows {
                insert = insert.bind(fingerprint).bind(person);
            }
            insert.execute(&mut *connection).await?;
        }
        if is_last_page {
            return Ok(());
        }
    }
}

/// The statement that inserts this many rows.
fn insert(rows: usize) -> String {
    let rows = vec!["(?,?)"; rows].join(",");
    format!("INSERT INTO shields (fingerprint, person) VALUES {rows}")
}

fn texts_of(person: &Person, policy: &Policy) -> Vec<(Comparison, String)> {
    let (_, name, key, first_name, last_name) = person;
    let mut texts = vec![(Comparison::Name, fold_name(name))];
    // What it is compared with has an @.
    if name.contains('@') {
        let name_as_key = Address::parse(name).map_or_else(
            |_| name.to_lowercase(),
            |address| policy.matching.opa_key(&address).into_string(),
        );
        texts.push((Comparison::NameAsKey, name_as_key));
    }
    let full = fold_full_name(first_name.as_deref(), last_name.as_deref());
    texts.extend(full.map(|full| (Comparison::FullName, full)));
    if let Some(key) = key {
        let look = Key::from_store(key.clone()).skeleton();
        texts.push((Comparison::Look, look.as_str().to_owned()));
    }
    texts
}
