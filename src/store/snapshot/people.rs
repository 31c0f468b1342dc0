//! The OPA file: people, groups, memberships, and what the shields compare.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::super::StoreError;
use super::super::fields::Fields;
use super::files::Side;
use super::load::{Target, bind, insert};
use super::mark::Mark;
use crate::domain::{Address, Key, PersonRecord, PersonStatus, UserType};
use crate::rules::Policy;

/// `kind` holds what [`kind_of`] makes of status and type. What equals the key is null: `email`
/// and `address` of most people are.
pub(super) const TARGET: Target = Target {
    side: Side::Opa,
    tables: "
CREATE TABLE people (
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    kind        INTEGER NOT NULL,
    key         TEXT,
    email       TEXT,
    address     TEXT,
    first_name  TEXT,
    last_name   TEXT,
    -- Only where this program does not know it.
    status      TEXT
);
-- Few rows are in these, so that keeping them costs less than reading the whole table for each.
CREATE INDEX people_without_key ON people (kind, name, id) WHERE key IS NULL;
CREATE INDEX people_unknown_status ON people (name, id) WHERE kind = 1;
CREATE TABLE groups (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE
);
-- `person` is the rowid of `people`, `grp` the id of `groups`.
CREATE TABLE memberships (
    person  INTEGER NOT NULL,
    grp     INTEGER NOT NULL
);
-- People whose groups OPA cannot be asked for: doubt about them alone.
CREATE TABLE unreadable (
    person  INTEGER PRIMARY KEY
);
-- What an account of a leaver is compared with (I7, I9, I10): ACTIVE people without an account, by
-- the fingerprints of their names and of the look of their key.
CREATE TABLE shields (
    fingerprint  INTEGER NOT NULL,
    person       INTEGER NOT NULL
);",
    insert: "INSERT INTO people (id, name, kind, key, email, address, first_name, last_name, status)",
    columns: 9,
};

/// A service user: never counts (I3).
const SERVICE: i64 = 4;

/// The smaller number wins when a record is seen twice (I3): 0 ACTIVE, 1 a status that this
/// program does not know, 2 DISABLED, 3 DELETED; 4 more for a service user.
fn kind_of(person: &PersonRecord) -> i64 {
    let status = match person.status {
        PersonStatus::Active => 0,
        PersonStatus::Unrecognised(_) => 1,
        PersonStatus::Disabled => 2,
        PersonStatus::Deleted => 3,
    };
    match person.user_type {
        UserType::Human => status,
        UserType::Service => status + SERVICE,
    }
}

/// The status and the type that `kind` stands for.
pub(in crate::store) fn read_kind(kind: i64, status: Option<&str>) -> (PersonStatus, UserType) {
    let user_type = if kind >= SERVICE {
        UserType::Service
    } else {
        UserType::Human
    };
    let status = match kind & 3 {
        0 => PersonStatus::Active,
        2 => PersonStatus::Disabled,
        3 => PersonStatus::Deleted,
        _ => PersonStatus::Unrecognised(status.unwrap_or_default().to_owned()),
    };
    (status, user_type)
}

/// Binds the columns of one record, and adds it to the mark.
pub(super) fn bind_row(
    row: &mut SqliteArguments,
    person: PersonRecord,
    policy: &Policy,
    mark: &Mark,
) -> Result<(), StoreError> {
    let address = person
        .email
        .as_deref()
        .and_then(|email| Address::parse(email).ok());
    let own_key = address
        .as_ref()
        .map(|address| policy.matching.opa_key(address));
    mark.add(&person, own_key.as_ref());
    let kind = kind_of(&person);
    let key = own_key.as_ref().map(Key::as_str);
    let email = person.email.filter(|email| Some(email.as_str()) != key);
    let address = address
        .map(Address::into_string)
        .filter(|address| Some(address.as_str()) != key);
    let status = match person.status {
        PersonStatus::Unrecognised(status) => Some(status),
        PersonStatus::Active | PersonStatus::Disabled | PersonStatus::Deleted => None,
    };
    bind(row, person.id.into_string())?;
    bind(row, person.name.into_string())?;
    bind(row, kind)?;
    bind(row, own_key.map(Key::into_string))?;
    bind(row, email)?;
    bind(row, address)?;
    bind(row, person.first_name)?;
    bind(row, person.last_name)?;
    bind(row, status)
}

/// What is run once the listings are whole.
pub(super) const INDEX_IDS: &str = "
CREATE INDEX people_by_id ON people (id);
CREATE TEMP TABLE twice AS
    SELECT id FROM people INDEXED BY people_by_id GROUP BY id HAVING count(*) > 1";

/// Whether records that came twice differ in what the memory learns.
pub(super) const DIFFER: &str = "
SELECT EXISTS (
    SELECT 1 FROM temp.twice t CROSS JOIN people p INDEXED BY people_by_id ON p.id = t.id
    GROUP BY t.id
    HAVING count(DISTINCT p.kind) > 1 OR count(DISTINCT p.name) > 1 OR count(DISTINCT p.key) > 1
        OR count(p.key) NOT IN (0, count(*)))";

/// What is run after it. A record seen twice counts once (I3): the better status wins; among equals
/// one with an address beats one without, and then the later one wins.
pub(super) const INDEX: &str = "
DELETE FROM people WHERE rowid IN (
    SELECT place FROM (
        SELECT p.rowid AS place, row_number() OVER (
            PARTITION BY p.id ORDER BY p.kind & 3, p.key IS NULL, p.rowid DESC) AS number
        FROM temp.twice t CROSS JOIN people p INDEXED BY people_by_id ON p.id = t.id)
    WHERE number > 1);
DROP TABLE temp.twice;
CREATE INDEX people_by_key ON people (key, kind) WHERE key IS NOT NULL;
-- What somebody may be asked for by, where it does not follow from the key.
CREATE INDEX people_by_email ON people (email) WHERE email IS NOT NULL;
CREATE INDEX people_by_name ON people (name) WHERE instr(name, '@') > 0;";

/// What is run when memberships and shields are whole.
pub(super) const INDEX_LATE: &str = "
CREATE INDEX memberships_by_person ON memberships (person, grp);
CREATE INDEX shields_by_fingerprint ON shields (fingerprint, person);";

/// Takes one more record of a person after [`INDEX`] has run.
pub(super) async fn add_late(
    connection: &mut SqliteConnection,
    person: PersonRecord,
    policy: &Policy,
    mark: &Mark,
) -> Result<(), StoreError> {
    let mut row = SqliteArguments::default();
    let id = person.id.clone();
    bind_row(&mut row, person, policy, mark)?;
    sqlx::query_with(AssertSqlSafe(insert(TARGET, 1)), row)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "DELETE FROM people WHERE id = ?1 AND rowid <> (
             SELECT rowid FROM people WHERE id = ?1
             ORDER BY kind & 3, key IS NULL, rowid DESC LIMIT 1)",
    )
    .bind(id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// The status of a row with `kind` and `status`.
pub(in crate::store) fn status(fields: &Fields<'_>) -> Result<PersonStatus, StoreError> {
    let text: Option<String> = fields.get("status")?;
    Ok(read_kind(fields.get("kind")?, text.as_deref()).0)
}
