//! The snapshot: people and accounts stream in, page by page, under the number of their pull.
//!
//! A page is one statement, its rows handed over as one JSON array. Nothing here is visible to
//! the diff until [`Snapshot::complete`] marks the pull, which is the last statement of a pull.

use serde::Serialize;
use sqlx::Row as _;

use super::{Store, StoreError};
use crate::domain::{
    AccountRecord, Address, GroupName, GroupRecord, OpaCounts, OpaId, OpaName, OpseraCounts,
    PersonRecord, PersonStatus, RunId, UserType, time::Timestamp, time::format_time,
};
use crate::rules::Policy;
use crate::rules::shields::{fold_full_name, fold_name};

/// The number of a pull: the sequence number of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pull(pub(super) i64);

/// One pull being written.
#[derive(Debug)]
pub struct Snapshot<'s> {
    store: &'s Store,
    policy: &'s Policy,
    pull: Pull,
}

#[derive(Serialize)]
struct UserRow<'r> {
    id: &'r str,
    name: &'r str,
    status: &'r str,
    rank: u8,
    service: u8,
    email: Option<&'r str>,
    address: Option<String>,
    key: Option<String>,
    skeleton: Option<String>,
    first: Option<&'r str>,
    last: Option<&'r str>,
    name_folded: String,
    name_key: String,
    full_folded: Option<String>,
}

#[derive(Serialize)]
struct AccountRow<'r> {
    id: &'r str,
    email: Option<&'r str>,
    address: Option<String>,
    key: Option<String>,
    skeleton: Option<String>,
    first: Option<&'r str>,
    last: Option<&'r str>,
    local_folded: Option<String>,
    own_local_folded: Option<String>,
    own_key: Option<String>,
    full_folded: Option<String>,
    active: u8,
    managed: u8,
    site_role: Option<&'r str>,
}

/// A person's status, better ones first: the smaller number wins when a record is seen twice (I3).
fn status_rank(status: &PersonStatus) -> u8 {
    match status {
        PersonStatus::Active => 0,
        PersonStatus::Unrecognised(_) => 1,
        PersonStatus::Disabled => 2,
        PersonStatus::Deleted => 3,
    }
}

impl<'s> Snapshot<'s> {
    /// Begins the pull of `run`, clearing away what pulls that never completed left behind.
    pub async fn begin(
        store: &'s Store,
        policy: &'s Policy,
        run: &RunId,
    ) -> Result<Self, StoreError> {
        let mut tx = store.begin().await?;
        let seq: i64 = sqlx::query_scalar("SELECT seq FROM runs WHERE id = ?1")
            .bind(run.as_str())
            .fetch_one(&mut *tx)
            .await?;
        let latest = latest_complete(&mut tx).await?;
        for statement in DELETE_OTHER_PULLS {
            sqlx::query(statement)
                .bind(latest)
                .execute(&mut *tx)
                .await?;
        }
        store.commit(tx).await?;
        Ok(Self {
            store,
            policy,
            pull: Pull(seq),
        })
    }

    /// The pull's number.
    pub fn pull(&self) -> Pull {
        self.pull
    }

    /// Takes one page of an OPA listing. A record seen twice counts once, and ACTIVE wins (I3).
    pub async fn add_people(&self, people: &[PersonRecord]) -> Result<(), StoreError> {
        let rows: Vec<UserRow<'_>> = people.iter().map(|person| self.user_row(person)).collect();
        self.insert(INSERT_USERS, &rows).await
    }

    /// Takes one batch of the Opsera listing.
    pub async fn add_accounts(&self, accounts: &[AccountRecord]) -> Result<(), StoreError> {
        let rows: Vec<AccountRow<'_>> = accounts
            .iter()
            .map(|account| self.account_row(account))
            .collect();
        self.insert(INSERT_ACCOUNTS, &rows).await
    }

    /// Takes live groups.
    pub async fn add_groups(&self, groups: &[GroupName]) -> Result<(), StoreError> {
        self.insert(INSERT_GROUPS, &groups).await
    }

    /// Notes that these people are in `group`.
    pub async fn add_members(
        &self,
        group: &GroupName,
        members: &[PersonRecord],
    ) -> Result<(), StoreError> {
        let rows: Vec<(&str, &str)> = members
            .iter()
            .map(|member| (member.id.as_str(), group.as_str()))
            .collect();
        self.insert(INSERT_MEMBERSHIPS, &rows).await
    }

    /// Notes which live groups one person is in.
    pub async fn add_groups_of(
        &self,
        person: &OpaId,
        groups: &[GroupRecord],
    ) -> Result<(), StoreError> {
        let rows: Vec<(&str, &str)> = groups
            .iter()
            .filter(|group| group.live)
            .map(|group| (person.as_str(), group.name.as_str()))
            .collect();
        self.insert(INSERT_MEMBERSHIPS, &rows).await
    }

    /// Notes that OPA cannot be asked for this person's groups, so that they are doubt.
    pub async fn add_unreadable_memberships(&self, person: &OpaId) -> Result<(), StoreError> {
        self.insert(INSERT_UNREADABLE, &[person.as_str()]).await
    }

    /// Up to 500 ACTIVE humans without a usable address, by name, after `after` (I7).
    pub async fn list_unidentified(
        &self,
        after: Option<&OpaName>,
    ) -> Result<Vec<(OpaId, OpaName)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name FROM opa_users
             WHERE pull = ?1 AND key IS NULL AND service = 0 AND status_rank = 0 AND name > ?2
             ORDER BY name LIMIT 500",
        )
        .bind(self.pull.0)
        .bind(after.map_or("", OpaName::as_str))
        .fetch_all(self.store.reader())
        .await?;
        Ok(rows
            .iter()
            .map(|row| {
                (
                    OpaId::new(row.get::<String, _>(0)),
                    OpaName::new(row.get::<String, _>(1)),
                )
            })
            .collect())
    }

    /// Marks the pull as complete: from now on it is the snapshot.
    pub async fn complete(&self, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let run = sqlx::query(
            "UPDATE runs SET pulled_at = ?2, opa_active =
                 (SELECT count(*) FROM opa_users WHERE pull = ?1 AND service = 0 AND status_rank = 0)
             WHERE seq = ?1 AND pulled_at IS NULL",
        )
        .bind(self.pull.0)
        .bind(format_time(at))
        .execute(&mut *tx)
        .await?;
        if run.rows_affected() != 1 {
            return Err(StoreError::Conflict {
                place: self.store.path().into(),
                what: format!(
                    "run {} should have been without a complete pull",
                    self.pull.0
                ),
            });
        }
        for statement in DELETE_OTHER_PULLS {
            sqlx::query(statement)
                .bind(self.pull.0)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(super::diff_sql::FILL_UNCLAIMED)
            .bind(self.pull.0)
            .execute(&mut *tx)
            .await?;
        self.store.commit(tx).await
    }

    /// What the OPA side has; `requests` and `complete` are the caller's to fill in.
    pub async fn count_people(&self) -> Result<OpaCounts, StoreError> {
        let row = sqlx::query(
            "SELECT count(*),
                    count(*) FILTER (WHERE service = 0 AND status_rank = 0),
                    count(*) FILTER (WHERE service = 0 AND status_rank = 2),
                    count(*) FILTER (WHERE service = 0 AND status_rank = 3),
                    count(*) FILTER (WHERE service = 1)
             FROM opa_users WHERE pull = ?1",
        )
        .bind(self.pull.0)
        .fetch_one(self.store.reader())
        .await?;
        Ok(OpaCounts {
            users: count(&row, 0),
            active: count(&row, 1),
            disabled: count(&row, 2),
            deleted: count(&row, 3),
            service: count(&row, 4),
            requests: 0,
            complete: false,
        })
    }

    /// What the Opsera side has; `requests` and `complete` are the caller's to fill in.
    pub async fn count_accounts(&self) -> Result<OpseraCounts, StoreError> {
        let row = sqlx::query(
            "SELECT count(*), count(*) FILTER (WHERE managed = 1)
             FROM opsera_accounts WHERE pull = ?1",
        )
        .bind(self.pull.0)
        .fetch_one(self.store.reader())
        .await?;
        Ok(OpseraCounts {
            users: count(&row, 0),
            managed: count(&row, 1),
            requests: 0,
            complete: false,
        })
    }

    fn user_row<'r>(&self, person: &'r PersonRecord) -> UserRow<'r> {
        let matching = &self.policy.matching;
        let address = person
            .email
            .as_deref()
            .and_then(|email| Address::parse(email).ok());
        let key = address.as_ref().map(|address| matching.opa_key(address));
        let name = person.name.as_str();
        UserRow {
            id: person.id.as_str(),
            name,
            status: person.status.as_str(),
            rank: status_rank(&person.status),
            service: u8::from(person.user_type == UserType::Service),
            email: person.email.as_deref(),
            skeleton: key.as_ref().map(|key| key.skeleton().as_str().to_owned()),
            key: key.map(|key| key.as_str().to_owned()),
            address: address.map(|address| address.as_str().to_owned()),
            first: person.first_name.as_deref(),
            last: person.last_name.as_deref(),
            name_folded: fold_name(name),
            name_key: Address::parse(name).map_or_else(
                |_| name.to_lowercase(),
                |address| matching.opa_key(&address).as_str().to_owned(),
            ),
            full_folded: fold_full_name(person.first_name.as_deref(), person.last_name.as_deref()),
        }
    }

    fn account_row<'r>(&self, account: &'r AccountRecord) -> AccountRow<'r> {
        let matching = &self.policy.matching;
        let address = account
            .email
            .as_deref()
            .and_then(|email| Address::parse(email).ok());
        let in_scope = address.as_ref().is_some_and(|address| {
            self.policy.scope_domains.is_empty()
                || self
                    .policy
                    .scope_domains
                    .contains(&matching.scope_domain(address))
        });
        let key = address.as_ref().map(|address| matching.opsera_key(address));
        AccountRow {
            id: account.id.as_str(),
            email: account.email.as_deref(),
            skeleton: key.as_ref().map(|key| key.skeleton().as_str().to_owned()),
            local_folded: key.as_ref().map(|key| fold_name(key.local_part())),
            own_key: address
                .as_ref()
                .map(|address| matching.opa_key(address).as_str().to_owned()),
            own_local_folded: address
                .as_ref()
                .map(|address| fold_name(address.local_part())),
            key: key.map(|key| key.as_str().to_owned()),
            address: address.map(|address| address.as_str().to_owned()),
            first: account.first_name.as_deref(),
            last: account.last_name.as_deref(),
            full_folded: fold_full_name(
                account.first_name.as_deref(),
                account.last_name.as_deref(),
            ),
            active: u8::from(account.active),
            managed: u8::from(account.active && in_scope),
            site_role: account.site_role.as_deref(),
        }
    }

    async fn insert(
        &self,
        statement: &'static str,
        rows: &(impl Serialize + ?Sized),
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(rows)
            .map_err(|error| StoreError::corrupt("snapshot", "page", self.pull.0, error))?;
        let mut tx = self.store.begin().await?;
        sqlx::query(statement)
            .bind(self.pull.0)
            .bind(json)
            .execute(&mut *tx)
            .await?;
        self.store.commit(tx).await
    }
}

/// The pull that is the snapshot today; 0 before there is one.
pub(super) async fn latest_complete(conn: &mut sqlx::SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM runs WHERE pulled_at IS NOT NULL")
        .fetch_one(conn)
        .await
}

/// A count out of a row; SQLite's counts are never negative.
pub(super) fn count(row: &sqlx::sqlite::SqliteRow, column: usize) -> u64 {
    u64::try_from(row.get::<i64, _>(column)).unwrap_or(0)
}

const DELETE_OTHER_PULLS: [&str; 6] = [
    "DELETE FROM unclaimed_people WHERE pull <> ?1",
    "DELETE FROM unreadable_memberships WHERE pull <> ?1",
    "DELETE FROM opa_users WHERE pull <> ?1",
    "DELETE FROM opa_groups WHERE pull <> ?1",
    "DELETE FROM memberships WHERE pull <> ?1",
    "DELETE FROM opsera_accounts WHERE pull <> ?1",
];

const INSERT_USERS: &str = "
INSERT INTO opa_users (pull, id, name, status, status_rank, service, email, address, key, skeleton,
                       first_name, last_name, name_folded, name_key, full_folded)
SELECT ?1, value ->> 'id', value ->> 'name', value ->> 'status', value ->> 'rank', value ->> 'service',
       value ->> 'email', value ->> 'address', value ->> 'key', value ->> 'skeleton',
       value ->> 'first', value ->> 'last', value ->> 'name_folded', value ->> 'name_key',
       value ->> 'full_folded'
FROM json_each(?2)
WHERE true
ON CONFLICT (pull, id) DO UPDATE SET
    name = excluded.name, status = excluded.status, status_rank = excluded.status_rank,
    service = excluded.service, email = excluded.email, address = excluded.address,
    key = excluded.key, skeleton = excluded.skeleton, first_name = excluded.first_name,
    last_name = excluded.last_name, name_folded = excluded.name_folded,
    name_key = excluded.name_key, full_folded = excluded.full_folded
-- The better status wins; among equals a record with an address beats one without.
WHERE excluded.status_rank < status_rank
   OR (excluded.status_rank = status_rank AND (excluded.key IS NOT NULL OR key IS NULL))";

const INSERT_ACCOUNTS: &str = "
INSERT INTO opsera_accounts (pull, id, email, address, key, skeleton, first_name, last_name,
                             local_folded, own_local_folded, own_key, full_folded, active, managed, site_role)
SELECT ?1, value ->> 'id', value ->> 'email', value ->> 'address', value ->> 'key', value ->> 'skeleton',
       value ->> 'first', value ->> 'last', value ->> 'local_folded', value ->> 'own_local_folded', value ->> 'own_key',
       value ->> 'full_folded', value ->> 'active', value ->> 'managed', value ->> 'site_role'
FROM json_each(?2)
WHERE true
-- One id with two addresses is doubt about whose account it is: then it has no key (I6).
ON CONFLICT (pull, id) DO UPDATE SET
    address = CASE WHEN key = excluded.key THEN address END,
    managed = CASE WHEN key = excluded.key THEN min(managed, excluded.managed) ELSE 0 END,
    active = min(active, excluded.active),
    key = CASE WHEN key = excluded.key THEN key END";

const INSERT_GROUPS: &str = "
INSERT INTO opa_groups (pull, name) SELECT ?1, value FROM json_each(?2) WHERE true
ON CONFLICT DO NOTHING";

const INSERT_MEMBERSHIPS: &str = "
INSERT INTO memberships (pull, opa_id, group_name)
SELECT ?1, value ->> 0, value ->> 1 FROM json_each(?2) WHERE true
ON CONFLICT DO NOTHING";

const INSERT_UNREADABLE: &str = "
INSERT INTO unreadable_memberships (pull, opa_id) SELECT ?1, value FROM json_each(?2) WHERE true
ON CONFLICT DO NOTHING";
