//! Opening the store: who may, with which settings, and brought up to date.

use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};

use super::file_state::FileState;
use super::reading::{Reading, side_file};
use super::{Store, StoreError, StorePath};
use crate::domain::time::Clock;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a task waits for a connection: longer than the one before it may wait for the lock.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(90);
/// Connections for reading: a run streams from one or two while `/readyz` asks a third.
const READERS: u32 = 4;
/// SQLite's page cache for each connection, in KiB. The system keeps the pages as well.
const CACHE_KIB: u32 = 1024;
/// Up to this size the whole file is checked whenever it is opened; that takes well under a second.
const CHECKED_WHEN_OPENED: u64 = 64 * 1024 * 1024;
/// Up to this size it is checked when rows are still in the side file: the last process was
/// killed, or the side file is another store's, which SQLite alone does not notice.
const CHECKED_WITH_SIDE_FILE: u64 = 1024 * 1024 * 1024;
/// Processes that make a new store together get out of each other's way within these tries.
const FIRST_OPEN_TRIES: u32 = 100;
const FIRST_OPEN_PAUSE: Duration = Duration::from_millis(100);

impl Store {
    /// Opens the store for reading and writing, makes it if there is none, and brings its tables
    /// up to date. The file and its side files are private to this user (§11); `clock` is what it
    /// waits on while another process makes the same store.
    ///
    /// # Errors
    /// The file cannot be made, opened or written, is damaged, is no store, or is one of a newer
    /// version.
    pub async fn open(path: &Path, clock: &dyn Clock) -> Result<Self, StoreError> {
        make_private(path)?;
        Self::open_for_writing(path, clock).await
    }

    /// Opens the store for reading and writing, but makes none.
    ///
    /// # Errors
    /// As [`Store::open`], and [`StoreError::Missing`].
    pub async fn open_existing(path: &Path, clock: &dyn Clock) -> Result<Self, StoreError> {
        must_exist(path)?;
        make_private(path)?;
        Self::open_for_writing(path, clock).await
    }

    /// Opens the store for reading; every write on it fails.
    ///
    /// # Errors
    /// As [`Store::open`], [`StoreError::Missing`], and [`StoreError::OlderSchema`] because
    /// bringing it up to date would be a write.
    pub async fn open_existing_read_only(path: &Path) -> Result<Self, StoreError> {
        let store = Self::open_unchecked(path).await?;
        store.check_file().await.map_err(|error| error.at(path))?;
        Ok(store)
    }

    /// As [`Store::open_existing_read_only`], for who looks every few seconds while a run writes:
    /// damage is found when it is met, and not looked for.
    ///
    /// # Errors
    /// As [`Store::open_existing_read_only`].
    pub async fn open_unchecked(path: &Path) -> Result<Self, StoreError> {
        must_exist(path)?;
        let options = settings(path)
            .read_only(true)
            .immutable(Reading::of(path)? == Reading::Unchanging)
            .pragma("query_only", "ON");
        let pool = pool(READERS).connect_lazy_with(options);
        let store = Self {
            path: path.to_owned(),
            writer: pool.clone(),
            reader: pool,
            sealed: std::sync::Arc::default(),
        };
        store.check_schema().await.map_err(|error| error.at(path))?;
        Ok(store)
    }

    async fn open_for_writing(path: &Path, clock: &dyn Clock) -> Result<Self, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_open(path).await {
                // Turning a new file into a WAL file does not wait for others as everything
                // later does.
                Err(StoreError::Busy { .. }) if tries < FIRST_OPEN_TRIES => {
                    clock.sleep(FIRST_OPEN_PAUSE).await;
                }
                result => return result.map_err(|error| error.at(path)),
            }
        }
    }

    async fn try_open(path: &Path) -> Result<Self, StoreError> {
        let writing = writer_options(path);
        let reading = settings(path).pragma("query_only", "ON");
        let store = Self {
            path: path.to_owned(),
            writer: pool(1).connect_lazy_with(writing),
            reader: pool(READERS).connect_lazy_with(reading),
            sealed: std::sync::Arc::default(),
        };
        let ready = match store.migrate().await {
            Ok(()) => store.check_file().await,
            failed => failed,
        };
        if ready.is_err() {
            store.close().await;
        }
        ready.map(|()| store)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        // All of it in one transaction: of several processes one migrates, and the others then
        // find nothing to do.
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let before = schema_cookie(&mut transaction).await?;
        MIGRATIONS
            .run_direct(None, &mut *transaction, false)
            .await
            .map_err(explain_migration)?;
        let after = schema_cookie(&mut transaction).await?;
        transaction.commit().await?;
        if before != after {
            self.give_back_pages().await;
        }
        Ok(())
    }

    /// Gives back to the volume what tables took that migrations removed: for a store of 0.1 that
    /// is the whole snapshot. It needs space for a while; without it, the store stays as it is.
    async fn give_back_pages(&self) {
        if let Err(error) = sqlx::query("VACUUM").execute(&self.writer).await {
            tracing::warn!(
                store = %self.path.display(),
                %error,
                "the store could not be made smaller after its tables changed"
            );
        }
    }

    /// Compares the schema with what this program knows, without writing.
    async fn check_schema(&self) -> Result<(), StoreError> {
        let applied: Result<Option<i64>, sqlx::Error> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
                .fetch_one(&self.reader)
                .await;
        let version = match applied {
            Ok(version) => version.unwrap_or(0),
            Err(error) => match StoreError::from(error) {
                // Another process is about to make the tables, or the file is empty.
                StoreError::Statement { .. } => 0,
                other => return Err(other),
            },
        };
        let known = newest_known();
        let place = StorePath::default();
        match version.cmp(&known) {
            std::cmp::Ordering::Less => Err(StoreError::OlderSchema { place }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(StoreError::NewerSchema {
                place,
                version,
                known,
            }),
        }
    }

    /// Looks for damage where that is cheap; in a large store it is found when it is met. A file
    /// in which this process has found nothing is not looked at again until it has changed: the
    /// daemon opens the store every half minute.
    async fn check_file(&self) -> Result<(), StoreError> {
        let state = state_of(&self.path);
        if state.is_some() && state == known_sound().get(&self.path).cloned() {
            return Ok(());
        }
        let size = std::fs::metadata(&self.path).map_or(0, |file| file.len());
        let has_side_file = std::fs::metadata(side_file(&self.path, "-wal"))
            .is_ok_and(|write_ahead| write_ahead.len() > 0);
        let bound = if has_side_file {
            CHECKED_WITH_SIDE_FILE
        } else {
            CHECKED_WHEN_OPENED
        };
        if size > bound {
            return Ok(());
        }
        let finding: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&self.reader)
            .await?;
        if finding == "ok" {
            match state {
                Some(state) => known_sound().insert(self.path.clone(), state),
                None => known_sound().remove(&self.path),
            };
            Ok(())
        } else {
            Err(StoreError::FailedCheck {
                place: StorePath::default(),
                finding,
            })
        }
    }
}

/// What the store's file is now; `None` where the file alone does not tell: rows are in the side
/// file, because a run is under way or was killed, or the side file is another store's.
fn state_of(path: &Path) -> Option<FileState> {
    if std::fs::metadata(side_file(path, "-wal")).is_ok_and(|file| file.len() > 0) {
        return None;
    }
    FileState::of(path)
}

/// The files in which this process has found no damage.
fn known_sound() -> MutexGuard<'static, BTreeMap<PathBuf, FileState>> {
    static FILES: Mutex<BTreeMap<PathBuf, FileState>> = Mutex::new(BTreeMap::new());
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// How a connection that may write is opened.
pub(super) fn writer_options(path: &Path) -> SqliteConnectOptions {
    settings(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

fn settings(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        // The diff streams for as long as the rules need, which is no slow statement; and
        // statements do not belong into the log.
        .disable_statement_logging()
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        // A failing disk under a memory map ends the process with SIGBUS instead of an error.
        .pragma("mmap_size", "0")
        // A store somebody prepared must not run functions of its choice from its schema.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        // REPLACE then fires the triggers that keep the audit log append-only.
        .pragma("recursive_triggers", "ON")
}

/// Changes with every change of the tables.
async fn schema_cookie(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA schema_version")
        .fetch_one(connection)
        .await
}

fn newest_known() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0)
}

fn explain_migration(error: MigrateError) -> StoreError {
    let place = StorePath::default();
    let known = newest_known();
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            match StoreError::from(source) {
                StoreError::Statement { place, source } => StoreError::ForeignSchema {
                    place,
                    source: Box::new(MigrateError::Execute(source)),
                },
                other => other,
            }
        }
        MigrateError::VersionMissing(version) if version > known => StoreError::NewerSchema {
            place,
            version,
            known,
        },
        other => StoreError::ForeignSchema {
            place,
            source: Box::new(other),
        },
    }
}

fn must_exist(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing {
            path: path.to_owned(),
        }),
        Err(source) => Err(file_error("look for the store", path)(source)),
    }
}

/// Makes an empty private file where there is none: SQLite gives its side files the store's mode.
/// Only paths are used on a file that exists: closing a second handle to it would drop the locks
/// that SQLite holds in this process.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let is_new = match made {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(source) => return Err(file_error("make the store", path)(source)),
    };
    let size = std::fs::metadata(path)
        .map_err(file_error("look at the store", path))?
        .len();
    let write_ahead = side_file(path, "-wal");
    // SQLite would throw it away without a word, and with it what may be the last run's rows.
    if size == 0 && std::fs::metadata(&write_ahead).is_ok_and(|file| file.len() > 0) {
        if is_new {
            // Nobody else has a use for the empty file that was just made.
            let _ = std::fs::remove_file(path);
        }
        return Err(StoreError::StraySideFile {
            side_file: write_ahead,
        });
    }
    for file in [path.to_owned(), write_ahead, side_file(path, "-shm")] {
        tighten(&file)?;
    }
    Ok(())
}

/// Takes away what others may do with a file, because an older copy or a restored backup may be
/// open to them.
fn tighten(path: &Path) -> Result<(), StoreError> {
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o777;
    if !metadata.is_file() || mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    tracing::warn!(
        file = %path.display(),
        mode = format!("{mode:03o}"),
        "the store was open to other users of this machine; it is made private now"
    );
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
        .map_err(file_error("make private", path))
}

fn file_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SystemClock;

    fn is_known_sound(path: &Path) -> bool {
        let state = state_of(path);
        state.is_some() && state == known_sound().get(path).cloned()
    }

    #[tokio::test]
    async fn a_store_is_looked_at_again_only_when_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.db");
        let clock = SystemClock::shared();
        Store::open(&path, &*clock).await.unwrap().close().await;
        assert!(!is_known_sound(&path), "closing has folded rows into it");
        Store::open_existing_read_only(&path)
            .await
            .unwrap()
            .close()
            .await;
        assert!(is_known_sound(&path));
        // Rows that are not folded in yet: somebody writes, or was killed.
        std::fs::write(side_file(&path, "-wal"), b"rows").unwrap();
        assert!(!is_known_sound(&path));
        std::fs::remove_file(side_file(&path, "-wal")).unwrap();
        assert!(is_known_sound(&path));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() / 2);
        std::fs::write(&path, bytes).unwrap();
        assert!(!is_known_sound(&path));
        Store::open_existing_read_only(&path).await.unwrap_err();
        assert!(!is_known_sound(&path));
    }
}
