//! The snapshot of one pull: two files beside the store, one for each directory, so that both can
//! be written at once.
//!
//! A file is written once, in the order in which records arrive, without a journal and without
//! indexes; it is indexed at the end, made durable, and then *sealed* by the one transaction of
//! the ledger that names it ([`Snapshot::complete`]). From then on it never changes. Before the
//! seal nobody reads it, so a killed run leaves nothing but two files, which the next run removes.
//! A snapshot that is lost or damaged costs a pull and nothing else.

mod accounts;
mod files;
mod load;
mod mark;
mod people;
mod seal;
mod sealed;
mod shields;
mod unsealed;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use sqlx::Connection as _;
use sqlx::Executor as _;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::{Store, StoreError};
use crate::domain::{AccountRecord, GroupName, GroupRecord, OpaCounts, OpaId, PersonRecord, RunId};
use crate::rules::Policy;

pub(super) use accounts::{AccountKind, role_code, role_of};
pub(super) use files::{Side, path_of};
use load::{Load, Target};
pub(super) use people::{read_kind, status};
pub(super) use sealed::{Sealed, uri};
pub(super) use shields::{Comparison, Fingerprints};

/// The number of a pull: the sequence number of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pull(pub(super) i64);

/// One pull being written.
#[derive(Debug)]
pub struct Snapshot<'s> {
    store: &'s Store,
    policy: &'s Policy,
    pull: Pull,
    people: Half,
    accounts: Half,
    /// All accounts and the managed ones, once the listing is whole.
    account_counts: OnceCell<(i64, i64)>,
    /// The people of each kind, until one more record comes.
    people_counts: Mutex<Option<OpaCounts>>,
    mark: mark::Mark,
    is_sealed: AtomicBool,
}

/// One of the two files while it is written.
#[derive(Debug)]
struct Half {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Rows arrive.
    Loading(Box<Load>),
    /// All rows of the listings are there, and the indexes.
    Indexed(Box<SqliteConnection>),
    /// An error ended it, or it is sealed.
    Closed,
}

impl Half {
    async fn begin(store: &Store, pull: Pull, target: Target) -> Result<Self, StoreError> {
        let path = files::path_of(store.path(), pull, target.side);
        let load = Load::begin(&path, target).await?;
        Ok(Self {
            path,
            state: Mutex::new(State::Loading(Box::new(load))),
        })
    }

    /// The file with all its rows, to be indexed; `None`: it is indexed already.
    async fn end_loading(state: &mut State) -> Result<Option<Box<SqliteConnection>>, StoreError> {
        if !matches!(state, State::Loading(_)) {
            return Ok(None);
        }
        let State::Loading(load) = std::mem::replace(state, State::Closed) else {
            return Ok(None);
        };
        let mut connection = load.finish().await?;
        connection.execute("COMMIT").await?;
        Ok(Some(Box::new(connection)))
    }
}

impl Snapshot<'_> {
    /// The OPA file with all its rows and the indexes of [`people::INDEX`].
    async fn indexed_people(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.people.state.lock().await;
        if let Some(mut connection) = Half::end_loading(&mut state).await? {
            tracing::debug!("the people are loaded");
            connection.execute(people::INDEX_IDS).await?;
            let differ: bool = sqlx::query_scalar(people::DIFFER)
                .fetch_one(&mut *connection)
                .await?;
            if differ {
                self.mark.give_up();
            }
            connection.execute(people::INDEX).await?;
            files::write_back(&self.people.path);
            tracing::debug!("the people are indexed");
            *state = State::Indexed(connection);
        }
        Ok(state)
    }

    /// The Opsera file with all its rows and indexes.
    async fn indexed_accounts(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let mut state = self.accounts.state.lock().await;
        if let Some(mut connection) = Half::end_loading(&mut state).await? {
            tracing::debug!("the accounts are loaded");
            connection.execute(accounts::INDEX).await?;
            files::write_back(&self.accounts.path);
            tracing::debug!("the accounts are indexed");
            *state = State::Indexed(connection);
        }
        Ok(state)
    }
}

impl State {
    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match self {
            Self::Indexed(connection) => Ok(connection),
            Self::Loading(_) | Self::Closed => Err(StoreError::from(sqlx::Error::PoolClosed)),
        }
    }
}

impl<'s> Snapshot<'s> {
    /// Begins the pull of `run`, clearing away what pulls that never completed left behind.
    ///
    /// # Errors
    /// The store cannot be read, or the files cannot be made.
    pub async fn begin(
        store: &'s Store,
        policy: &'s Policy,
        run: &RunId,
    ) -> Result<Self, StoreError> {
        let seq: i64 = sqlx::query_scalar("SELECT seq FROM runs WHERE id = ?1")
            .bind(run.as_str())
            .fetch_one(store.reader())
            .await?;
        let pull = Pull(seq);
        files::remove_others(store.path(), sealed_pull(store).await?);
        Ok(Self {
            store,
            policy,
            pull,
            people: Half::begin(store, pull, people::TARGET).await?,
            accounts: Half::begin(store, pull, accounts::TARGET).await?,
            account_counts: OnceCell::new(),
            people_counts: Mutex::new(None),
            mark: mark::Mark::begin(store).await?,
            is_sealed: AtomicBool::new(false),
        })
    }

    /// The pull's number.
    pub fn pull(&self) -> Pull {
        self.pull
    }

    /// Takes one page of an OPA listing. A record seen twice counts once, and ACTIVE wins (I3).
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn add_people(&self, people: Vec<PersonRecord>) -> Result<(), StoreError> {
        let mut state = self.people.state.lock().await;
        match &mut *state {
            State::Loading(load) => {
                for person in people {
                    people::bind_row(load.row(), person, self.policy, &self.mark)?;
                    load.end_row().await?;
                }
            }
            State::Indexed(connection) => {
                self.mark.give_up();
                *self.people_counts.lock().await = None;
                for person in people {
                    people::add_late(connection, person, self.policy, &self.mark).await?;
                }
            }
            State::Closed => return Err(StoreError::from(sqlx::Error::PoolClosed)),
        }
        Ok(())
    }

    /// Takes one batch of the Opsera listing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn add_accounts(&self, accounts: Vec<AccountRecord>) -> Result<(), StoreError> {
        let mut state = self.accounts.state.lock().await;
        let State::Loading(load) = &mut *state else {
            return Err(StoreError::from(sqlx::Error::PoolClosed));
        };
        for account in accounts {
            accounts::bind_row(load.row(), account, self.policy)?;
            load.end_row().await?;
        }
        Ok(())
    }

    /// Says that the Opsera listing is whole, so that it can be indexed while OPA is still read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn end_accounts(&self) -> Result<(), StoreError> {
        self.indexed_accounts().await.map(|_| ())
    }

    /// Takes live groups.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn add_groups(&self, groups: &[GroupName]) -> Result<(), StoreError> {
        let mut state = self.indexed_people().await?;
        for group in groups {
            note_group(state.connection()?, group).await?;
        }
        Ok(())
    }

    /// Notes that these people are in `group`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn add_members(
        &self,
        group: &GroupName,
        members: &[PersonRecord],
    ) -> Result<(), StoreError> {
        let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
        let mut state = self.indexed_people().await?;
        let connection = state.connection()?;
        let group = note_group(connection, group).await?;
        sqlx::query(
            "INSERT INTO memberships (person, grp)
             SELECT p.rowid, ?1 FROM json_each(?2) m CROSS JOIN people p ON p.id = m.value",
        )
        .bind(group)
        .bind(json(&ids)?)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Notes which live groups one person is in.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn add_groups_of(
        &self,
        person: &OpaId,
        groups: &[GroupRecord],
    ) -> Result<(), StoreError> {
        let mut state = self.indexed_people().await?;
        let connection = state.connection()?;
        for group in groups.iter().filter(|group| group.live) {
            let group = note_group(connection, &group.name).await?;
            sqlx::query(
                "INSERT INTO memberships (person, grp) SELECT rowid, ?1 FROM people WHERE id = ?2",
            )
            .bind(group)
            .bind(person.as_str())
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    /// Notes that OPA cannot be asked for this person's groups, so that they are doubt.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn add_unreadable_memberships(&self, person: &OpaId) -> Result<(), StoreError> {
        let mut state = self.indexed_people().await?;
        sqlx::query(
            "INSERT OR IGNORE INTO unreadable (person) SELECT rowid FROM people WHERE id = ?1",
        )
        .bind(person.as_str())
        .execute(state.connection()?)
        .await?;
        Ok(())
    }

    /// The OPA file with the Opsera file attached to it.
    async fn joined(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        self.end_accounts().await?;
        let mut state = self.indexed_people().await?;
        attach(state.connection()?, &self.accounts.path, Side::Opsera).await?;
        Ok(state)
    }
}

impl Drop for Snapshot<'_> {
    /// What was not sealed is of no use to anybody.
    fn drop(&mut self) {
        if !*self.is_sealed.get_mut() {
            files::remove(&self.people.path);
            files::remove(&self.accounts.path);
        }
    }
}

async fn note_group(
    connection: &mut SqliteConnection,
    group: &GroupName,
) -> Result<i64, StoreError> {
    let known: Option<i64> = sqlx::query_scalar("SELECT id FROM groups WHERE name = ?1")
        .bind(group.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    match known {
        Some(id) => Ok(id),
        None => Ok(
            sqlx::query_scalar("INSERT INTO groups (name) VALUES (?1) RETURNING id")
                .bind(group.as_str())
                .fetch_one(connection)
                .await?,
        ),
    }
}

/// Attaches the file of the other side, unless that was done before.
async fn attach(
    connection: &mut SqliteConnection,
    path: &Path,
    side: Side,
) -> Result<(), StoreError> {
    let attached: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pragma_database_list WHERE name = ?1")
            .bind(side.suffix())
            .fetch_one(&mut *connection)
            .await?;
    if attached == 0 {
        let attach = format!("ATTACH {} AS {}", uri(path, "mode=ro")?, side.suffix());
        connection.execute(sqlx::AssertSqlSafe(attach)).await?;
    }
    Ok(())
}

/// The pull whose snapshot the ledger names.
async fn sealed_pull(store: &Store) -> Result<Option<Pull>, StoreError> {
    let pull: Option<i64> = sqlx::query_scalar("SELECT max(pull) FROM snapshots")
        .fetch_one(store.reader())
        .await?;
    Ok(pull.map(Pull))
}

async fn close(state: &mut State) -> Result<(), StoreError> {
    match std::mem::replace(state, State::Closed) {
        State::Indexed(connection) => Ok(connection.close().await?),
        State::Loading(_) | State::Closed => Ok(()),
    }
}

/// A list as `json_each` takes it.
pub(super) fn json(list: &(impl serde::Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(list)
        .map_err(|error| StoreError::from(sqlx::Error::Encode(Box::new(error))))
}

/// A count, which SQLite never makes negative.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// How many humans are ACTIVE in the OPA file that `main` is, from the indexes alone.
pub(super) const COUNT_ACTIVE: &str = "
SELECT (SELECT count(*) FROM main.people INDEXED BY people_by_key WHERE key IS NOT NULL AND kind = 0)
     + (SELECT count(*) FROM main.people INDEXED BY people_without_key WHERE key IS NULL AND kind = 0)";

/// The statements that make the tables and indexes of one side.
#[cfg(test)]
pub(super) fn snapshot_schema(side: Side) -> Vec<&'static str> {
    match side {
        Side::Opa => vec![
            people::TARGET.tables,
            people::INDEX_IDS,
            people::INDEX,
            people::INDEX_LATE,
        ],
        Side::Opsera => vec![accounts::TARGET.tables, accounts::INDEX],
    }
}
