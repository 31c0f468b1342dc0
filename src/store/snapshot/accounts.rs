//! The Opsera file: one table of accounts.

use sqlx::sqlite::SqliteArguments;

use super::super::StoreError;
use super::files::Side;
use super::load::{Target, bind};
use crate::domain::{AccountRecord, Address, Key, SiteRole};
use crate::rules::Policy;

/// `kind` holds what [`kind_of`] makes of the account's state and role. What equals the key is
/// null: `email`, `address` and `own_key` of most accounts are.
pub(super) const TARGET: Target = Target {
    side: Side::Opsera,
    tables: "
CREATE TABLE accounts (
    id          TEXT NOT NULL,
    kind        INTEGER NOT NULL,
    -- The OPA key that the account is matched with (I2); null where the address is invalid (I6).
    key         TEXT,
    email       TEXT,
    address     TEXT,
    -- The same without matching.aliases, for names that are whole addresses (I7).
    own_key     TEXT,
    first_name  TEXT,
    last_name   TEXT,
    -- Only where it is none of the five.
    site_role   TEXT
);
-- Keys that have not exactly one account and one human record, which is ACTIVE.
CREATE TABLE unsettled (
    key  TEXT PRIMARY KEY
) WITHOUT ROWID;
-- Few accounts are in it, so that keeping it costs less than reading the whole table for it.
CREATE INDEX accounts_without_key ON accounts (id) WHERE key IS NULL;",
    insert: "INSERT INTO accounts (id, kind, key, email, address, own_key, first_name, last_name, site_role)",
    columns: 9,
};

const ACTIVE: i64 = 1;
const MANAGED: i64 = 2;
/// The role's code stands above the two bits.
const ROLE_SHIFT: u32 = 2;
/// The server sent a role that is none of the five.
const FOREIGN_ROLE: i64 = 6;

/// What an account's `kind` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct AccountKind {
    pub(in crate::store) active: bool,
    pub(in crate::store) managed: bool,
    /// The code of the role that the server sent; 0: none.
    pub(in crate::store) role: i64,
}

impl AccountKind {
    pub(in crate::store) fn read(kind: i64) -> Self {
        Self {
            active: kind & ACTIVE != 0,
            managed: kind & MANAGED != 0,
            role: kind >> ROLE_SHIFT,
        }
    }

    fn write(self) -> i64 {
        let bit = |set: bool, bit: i64| if set { bit } else { 0 };
        bit(self.active, ACTIVE) | bit(self.managed, MANAGED) | (self.role << ROLE_SHIFT)
    }
}

/// The number that stands for a role in a snapshot.
pub(in crate::store) fn role_code(role: SiteRole) -> i64 {
    match role {
        SiteRole::Administrators => 1,
        SiteRole::PowerUsers => 2,
        SiteRole::Users => 3,
        SiteRole::Auditors => 4,
        SiteRole::SecurityManagers => 5,
    }
}

/// The role that a number stands for; `None` for no role and for a foreign one.
pub(in crate::store) fn role_of(code: i64) -> Option<SiteRole> {
    SiteRole::ALL
        .iter()
        .copied()
        .find(|role| role_code(*role) == code)
}

/// Binds the columns of one record.
pub(super) fn bind_row(
    row: &mut SqliteArguments,
    account: AccountRecord,
    policy: &Policy,
) -> Result<(), StoreError> {
    let matching = &policy.matching;
    let address = account
        .email
        .as_deref()
        .and_then(|email| Address::parse(email).ok());
    let in_scope = address.as_ref().is_some_and(|address| {
        policy.scope_domains.is_empty()
            || policy
                .scope_domains
                .contains(&matching.scope_domain(address))
    });
    let own_key = address.as_ref().map(|address| matching.opa_key(address));
    let key = own_key.as_ref().map(|own| matching.alias_of(own).clone());
    let unlike_key = |text: &String| Some(text.as_str()) != key.as_ref().map(Key::as_str);
    let email = account.email.filter(unlike_key);
    let address = address.map(Address::into_string).filter(unlike_key);
    let own_key = own_key.map(Key::into_string).filter(unlike_key);
    let role = account.site_role.as_deref();
    let kind = AccountKind {
        active: account.active,
        managed: account.active && in_scope,
        role: role.map_or(0, |name| name.parse().map_or(FOREIGN_ROLE, role_code)),
    };
    bind(row, account.id.into_string())?;
    bind(row, kind.write())?;
    bind(row, key.map(Key::into_string))?;
    bind(row, email)?;
    bind(row, address)?;
    bind(row, own_key)?;
    bind(row, account.first_name)?;
    bind(row, account.last_name)?;
    bind(row, account.site_role.filter(|_| kind.role == FOREIGN_ROLE))
}

/// What is run once the listing is whole. One id with two addresses is doubt about whose account
/// it is: then it has no key (I6).
pub(super) const INDEX: &str = "
CREATE INDEX accounts_by_id ON accounts (id);
CREATE TABLE twice AS
    SELECT id, min(rowid) AS kept, min(kind & 1) AS active, min(kind & 2) AS managed,
           count(DISTINCT key) = 1 AND count(key) = count(*) AS one_key
    FROM accounts
    WHERE id IN (SELECT id FROM accounts INDEXED BY accounts_by_id GROUP BY id HAVING count(*) > 1)
    GROUP BY id;
UPDATE accounts SET
    kind = (accounts.kind & ~3) | twice.active | iif(twice.one_key, twice.managed, 0),
    email = iif(twice.one_key, email, coalesce(email, key)),
    address = iif(twice.one_key, address, NULL),
    own_key = iif(twice.one_key, own_key, NULL),
    key = iif(twice.one_key, key, NULL)
FROM twice WHERE accounts.rowid = twice.kept;
DELETE FROM accounts
WHERE id IN (SELECT id FROM twice) AND rowid NOT IN (SELECT kept FROM twice);
DROP TABLE twice;
CREATE INDEX accounts_by_key ON accounts (key, kind);
CREATE INDEX accounts_by_email ON accounts (email) WHERE email IS NOT NULL;";

/// Compares the two files, account by account; the OPA file is attached. Who is settled is never
/// looked at one by one again.
pub(super) const FIND_UNSETTLED: &str = "
CREATE TEMP TABLE found AS
SELECT a.key FROM (SELECT key, count(*) AS accounts
                   FROM main.accounts INDEXED BY accounts_by_key
                   WHERE key IS NOT NULL GROUP BY key) a
WHERE a.accounts > 1
   OR NOT coalesce((SELECT count(*) = 1 AND max(p.kind) = 0
                    FROM opa.people p INDEXED BY people_by_key
                    WHERE p.key = a.key AND p.kind < 4), 0)";

/// To be run once nobody else reads the file.
pub(super) const KEEP_UNSETTLED: &str =
    "INSERT INTO main.unsettled (key) SELECT key FROM temp.found";
