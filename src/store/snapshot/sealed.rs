//! A sealed snapshot, opened for reading.
//!
//! Its two files never change. What is opened stays readable although a later run replaces it,
//! because the connections keep the files. A file that is not what the ledger wrote down when it
//! sealed it is never read: it was damaged, cut, exchanged or lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, FromRow};
use tokio::sync::Mutex;

use super::super::reading::Reading;
use super::super::{Store, StoreError};
use super::Pull;
use super::files::{self, Seal, Side};

/// Connections of a run, which streams from one while it looks facts up on the other. With more of
/// them, each would keep the same pages once more.
const READERS: u32 = 2;
/// SQLite's page cache for each connection and file, in KiB. What is looked up comes in the order of
/// the keys, so that few pages are asked for twice.
const CACHE_KIB: u32 = 512;
/// Rows that may wait for the task that asked for them. Most statements give fewer, so that SQLite's
/// thread and the task do not wake each other for each.
pub(super) const WAITING_ROWS: usize = 1024;

/// The connections to one sealed snapshot. `main` is the OPA file, `opsera` the Opsera file,
/// `ledger` the store.
#[derive(Clone, Debug)]
pub(in crate::store) struct Sealed {
    pub(super) pull: Pull,
    pool: SqlitePool,
    /// The connection that takes something of the snapshot into the ledger, between two uses.
    learning: Arc<Mutex<Option<SqliteConnection>>>,
}

/// What the ledger says of a sealed snapshot.
#[derive(FromRow)]
struct SealRow {
    opa_bytes: i64,
    opa_digest: String,
    opsera_bytes: i64,
    opsera_digest: String,
    opa_state: Option<String>,
    opsera_state: Option<String>,
}

impl SealRow {
    fn seal(&self, side: Side) -> Seal {
        let (bytes, digest) = match side {
            Side::Opa => (self.opa_bytes, &self.opa_digest),
            Side::Opsera => (self.opsera_bytes, &self.opsera_digest),
        };
        Seal {
            bytes,
            digest: digest.clone(),
        }
    }

    /// What the file was when it was sealed.
    fn state(&self, side: Side) -> Option<&str> {
        match side {
            Side::Opa => self.opa_state.as_deref(),
            Side::Opsera => self.opsera_state.as_deref(),
        }
    }
}

impl Store {
    /// The connections to the snapshot of `pull`.
    ///
    /// # Errors
    /// [`StoreError::LostSnapshot`] where it is not what the ledger sealed.
    pub(in crate::store) async fn snapshot(&self, pull: Pull) -> Result<SqlitePool, StoreError> {
        let mut open = self.sealed.lock().await;
        if let Some(sealed) = open.as_ref().filter(|sealed| sealed.pull == pull) {
            return Ok(sealed.pool.clone());
        }
        let row: Option<SealRow> = sqlx::query_as(
            "SELECT opa_bytes, opa_digest, opsera_bytes, opsera_digest, opa_state, opsera_state
             FROM snapshots WHERE pull = ?1",
        )
        .bind(pull.0)
        .fetch_optional(self.reader())
        .await?;
        let Some(row) = row else {
            return Err(self.lost(pull, "the store names no such snapshot any more"));
        };
        let path = self.path().to_owned();
        let checked = tokio::task::spawn_blocking(move || check(&path, pull, &row)).await;
        match checked {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(self.lost(pull, &why)),
            Err(_) => return Err(StoreError::from(sqlx::Error::WorkerCrashed)),
        }
        let sealed = Sealed::open(self.path(), pull).await?;
        let pool = sealed.pool.clone();
        if let Some(former) = open.replace(sealed) {
            former.close().await;
        }
        Ok(pool)
    }

    /// The connection that [`Store::keep_learning`] kept, if there is one.
    pub(in crate::store) async fn resume_learning(&self, pull: Pull) -> Option<SqliteConnection> {
        let open = self.sealed.lock().await;
        let sealed = open.as_ref().filter(|sealed| sealed.pull == pull)?;
        sealed.learning.lock().await.take()
    }

    /// Keeps a connection that writes the ledger beside the snapshot of `pull`, for the next time.
    pub(in crate::store) async fn keep_learning(&self, pull: Pull, ledger: SqliteConnection) {
        let open = self.sealed.lock().await;
        if let Some(sealed) = open.as_ref().filter(|sealed| sealed.pull == pull) {
            *sealed.learning.lock().await = Some(ledger);
        }
    }

    fn lost(&self, pull: Pull, why: &str) -> StoreError {
        StoreError::LostSnapshot {
            path: files::path_of(self.path(), pull, Side::Opa),
            why: why.to_owned(),
        }
    }
}

/// Whether the files are what was sealed: nobody has written to them since, or else they are read.
fn check(store: &Path, pull: Pull, row: &SealRow) -> Result<(), String> {
    for side in Side::BOTH {
        let path = files::path_of(store, pull, side);
        let expected = row.seal(side);
        let sealed = row.state(side);
        if sealed.is_some() && files::state_of(&path).as_deref() == sealed {
            continue;
        }
        // The size first: a large file need not be read to see that it was cut.
        let bytes = std::fs::metadata(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?
            .len();
        if i64::try_from(bytes).ok() != Some(expected.bytes) {
            return Err(format!(
                "{} has {bytes} bytes, and {} were written",
                path.display(),
                expected.bytes
            ));
        }
        let found = files::inspect(&path).map_err(|error| error.to_string())?;
        if found != expected {
            return Err(format!(
                "{} does not hold what was written to it",
                path.display()
            ));
        }
    }
    Ok(())
}

impl Sealed {
    /// Opens files that are known to be good.
    pub(in crate::store) async fn open(store: &Path, pull: Pull) -> Result<Self, StoreError> {
        let attach = [
            format!(
                "ATTACH {} AS opsera",
                uri(&files::path_of(store, pull, Side::Opsera), "immutable=1")?
            ),
            format!(
                "ATTACH {} AS ledger",
                uri(store, Reading::of(store)?.parameter())?
            ),
            format!("PRAGMA opsera.cache_size = -{CACHE_KIB}"),
            format!("PRAGMA ledger.cache_size = -{CACHE_KIB}"),
            "PRAGMA temp_store = FILE".to_owned(),
        ]
        .join("; ");
        let options = SqliteConnectOptions::new()
            .filename(files::path_of(store, pull, Side::Opa))
            .read_only(true)
            .immutable(true)
            .disable_statement_logging()
            .busy_timeout(Duration::from_secs(30))
            .row_buffer_size(WAITING_ROWS)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
            .pragma("mmap_size", "0")
            .pragma("trusted_schema", "OFF")
            .pragma("cell_size_check", "ON");
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(90))
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let attach = attach.clone();
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(attach)).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        // All of them now: once a later run has replaced the files, none can be opened any more.
        let mut held = Vec::new();
        for _ in 0..READERS {
            held.push(pool.acquire().await?);
        }
        drop(held);
        Ok(Self {
            pull,
            pool,
            learning: Arc::default(),
        })
    }

    pub(in crate::store) async fn close(&self) {
        let learning = self.learning.lock().await.take();
        if let Some(learning) = learning
            && let Err(error) = learning.close().await
        {
            tracing::debug!(%error, "a connection to the ledger did not close");
        }
        self.pool.close().await;
    }
}

/// A path as ATTACH takes it, with a parameter of SQLite's.
pub(in crate::store) fn uri(path: &Path, parameter: &str) -> Result<String, StoreError> {
    let text = path.to_str().ok_or_else(|| StoreError::File {
        doing: "name to SQLite",
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8"),
    })?;
    Ok(format!(
        "'file:{}?{parameter}'",
        utf8_percent_encode(text, NON_ALPHANUMERIC)
    ))
}
