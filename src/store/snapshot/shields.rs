//! What the shields compare: the names of ACTIVE people to whom no account of the listing belongs
//! by its address, folded once for each snapshot.
//!
//! They are few where the directories agree, so that most people are never folded.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, FromRow};

use super::super::StoreError;
use crate::domain::{Address, Key};
use crate::rules::Policy;
use crate::rules::shields::{fold_full_name, fold_name};

/// What a text of the table `shields` is, beside the look of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Comparison {
    /// The OPA name, folded.
    Name,
    /// The OPA name as a key, where it is an address.
    NameAsKey,
    /// First and last name, folded.
    FullName,
}

impl Comparison {
    /// The number of a text that says what a key looks like (I9).
    pub(in crate::store) const SKELETON: i64 = 4;

    /// The number of such a text of somebody without a usable address (I7).
    pub(in crate::store) fn of_unidentified(self) -> i64 {
        match self {
            Self::Name => 1,
            Self::NameAsKey => 2,
            Self::FullName => 3,
        }
    }

    /// The number of such a text of somebody whose key no account carries (I10).
    pub(in crate::store) fn of_unclaimed(self) -> i64 {
        self.of_unidentified() + Self::SKELETON
    }
}

#[derive(FromRow)]
struct Person {
    number: i64,
    place: i64,
    name: String,
    key: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// People looked at with one statement.
const PAGE: usize = 2000;
/// Rows inserted with one statement.
const ROWS: usize = 500;

/// Finds the ACTIVE people without an account; the Opsera file is attached. Both indexes are read in
/// the order of the key, so that each page of them is read once.
pub(super) const FIND_WITHOUT_ACCOUNT: &str = "
CREATE TEMP TABLE without_account AS
    SELECT p.rowid AS person FROM people p INDEXED BY people_by_key
    WHERE p.key IS NOT NULL AND p.kind = 0
      AND NOT EXISTS (SELECT 1 FROM opsera.accounts a INDEXED BY accounts_by_key
                      WHERE a.key = p.key);
INSERT INTO temp.without_account (person)
    SELECT p.rowid FROM people p INDEXED BY people_without_key WHERE p.key IS NULL AND p.kind = 0";

const WITHOUT_ACCOUNT: &str = "
SELECT w.rowid AS number, p.rowid AS place, p.name, p.key, p.first_name, p.last_name
FROM temp.without_account w CROSS JOIN people p ON p.rowid = w.person
WHERE w.rowid > ?1 ORDER BY w.rowid LIMIT 2000";

/// Fills the table from what [`FIND_WITHOUT_ACCOUNT`] found.
pub(super) async fn fill(
    connection: &mut SqliteConnection,
    policy: &Policy,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let people: Vec<Person> = sqlx::query_as(WITHOUT_ACCOUNT)
            .bind(after)
            .fetch_all(&mut *connection)
            .await?;
        let Some(last) = people.last() else {
            return Ok(());
        };
        after = last.number;
        let is_last_page = people.len() < PAGE;
        let texts: Vec<(String, i64, i64)> = people
            .iter()
            .flat_map(|person| {
                texts_of(person, policy)
                    .into_iter()
                    .map(|(text, what)| (text, what, person.place))
            })
            .collect();
        for rows in texts.chunks(ROWS) {
            let statement = format!(
                "INSERT INTO shields (text, what, person) VALUES {}",
                vec!["(?, ?, ?)"; rows.len()].join(", ")
            );
            let mut insert = sqlx::query(AssertSqlSafe(statement));
            for (text, what, person) in rows {
                insert = insert.bind(text).bind(what).bind(person);
            }
            insert.execute(&mut *connection).await?;
        }
        if is_last_page {
            return Ok(());
        }
    }
}

fn texts_of(person: &Person, policy: &Policy) -> Vec<(String, i64)> {
    let code = |what: Comparison| match person.key {
        None => what.of_unidentified(),
        Some(_) => what.of_unclaimed(),
    };
    let name_as_key = Address::parse(&person.name).map_or_else(
        |_| person.name.to_lowercase(),
        |address| policy.matching.opa_key(&address).as_str().to_owned(),
    );
    let mut texts = vec![
        (fold_name(&person.name), code(Comparison::Name)),
        (name_as_key, code(Comparison::NameAsKey)),
    ];
    texts.extend(
        fold_full_name(person.first_name.as_deref(), person.last_name.as_deref())
            .map(|full| (full, code(Comparison::FullName))),
    );
    if let Some(key) = &person.key {
        let skeleton = Key::from_store(key.clone()).skeleton();
        texts.push((skeleton.as_str().to_owned(), Comparison::SKELETON));
    }
    texts
}
