//! The SQLite file: the only SQL of the program.
//!
//! One connection writes, a few read. Every write happens in a short transaction from
//! [`Store::begin`], which takes SQLite's write lock at once, so that two processes on one store
//! wait for each other instead of failing half-way. No transaction spans a request.
//!
//! To add a table: a new file in `migrations/`, its number one higher; migrations only go forward.

pub mod audit;
mod clock;
mod diff;
mod diff_sql;
mod error;
mod fields;
mod file_state;
mod ids;
mod installation;
mod lock;
mod lookups;
mod memory;
mod notifications;
mod open;
mod pending_leavers;
mod person;
mod plan_actions;
mod plan_holds;
mod plans;
mod possible;
#[cfg(test)]
mod query_plans;
mod queue;
mod queue_admin;
mod reading;
mod renames;
mod reports;
mod run_verdict;
mod runs;
mod settled;
mod settled_roles;
mod similar;
mod size;
mod snapshot;
mod status;
mod undo;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};
use tokio::sync::Mutex;

use crate::domain::time::Timestamp;

pub use error::{StoreError, StorePath};
pub use ids::IdMatch;
pub use installation::Installation;
pub use lock::{Holder, LockError, LockState, RunLock};
pub use notifications::{Notification, Trouble};
pub use person::{AccountEntry, KeyMemory, OpaEntry, RoleMemory};

pub use pending_leavers::HiddenLeaver;
pub use queue::{QueuedAction, Refusal, retry_at};
pub use queue_admin::{QueueOutcome, QueueRow, QueueView};
pub use reports::PastReport;
pub use runs::{AcceptedSource, FinishedRun, RunLimits, RunRow};
pub use settled::{NeedThought, ThoughtPage};
pub use similar::{KeyOwner, Near};
pub use snapshot::{Pull, Snapshot};
pub use status::StoreStatus;
pub use undo::{ApprovedRestore, RestoreProgress, UndoableRun};

/// Takes the right to write at once rather than with the first write.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// An open store. Cheap to clone; all clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    writer: SqlitePool,
    reader: SqlitePool,
    /// The snapshot that was read last, or written.
    sealed: Arc<Mutex<Option<snapshot::Sealed>>>,
}

impl Store {
    /// The one connection that may write. For anything that writes, prefer [`Store::begin`].
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// The connections for reading; SQLite refuses a write on them.
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Where the store is (`store.path`).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a transaction that may write, waiting for another writer to finish. It is undone
    /// when it is dropped without [`Store::commit`].
    ///
    /// # Errors
    /// Another process keeps the store busy, or the store is read-only or damaged.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let begun = match self.writer.begin_with(BEGIN).await {
            // A full disk makes SQLite undo a transaction by itself. sqlx then still counts it as
            // open and would refuse every later one, the entry about the failure included.
            Err(sqlx::Error::InvalidSavePointStatement) => self.begin_anew().await,
            begun => begun,
        };
        begun.map_err(|error| self.explain(error))
    }

    /// Begins a transaction on a new connection in place of the one whose state is not known.
    async fn begin_anew(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.acquire().await?.close().await?;
        self.writer.begin_with(BEGIN).await
    }

    /// Ends a transaction: once this returns, its rows survive a power cut.
    ///
    /// # Errors
    /// The rows could not be made durable; none of them is stored.
    pub async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
    ) -> Result<(), StoreError> {
        transaction
            .commit()
            .await
            .map_err(|error| self.explain(error))
    }

    /// Says what went wrong, and with which file.
    pub fn explain(&self, error: impl Into<StoreError>) -> StoreError {
        error.into().at(&self.path)
    }

    /// Closes the connections and folds the side files into the store.
    pub async fn close(&self) {
        if let Some(sealed) = self.sealed.lock().await.take() {
            sealed.close().await;
        }
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Reads back a time that the store wrote.
fn time(table: &'static str, column: &'static str, text: &str) -> Result<Timestamp, StoreError> {
    text.parse()
        .map_err(|error| StoreError::corrupt(table, column, text, error))
}
