//! Loading one file: rows in the order in which they arrive, 500 a statement, in one transaction
//! without a journal and without an index.
//!
//! The rows of a statement are bound here, on the caller's thread, while SQLite works on the
//! statement before on its own: at most [`WAITING`] statements wait, so memory does not grow with
//! the directory. Nothing reads the file before it is sealed, so an error leaves no half state
//! that anybody could see.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Executor as _, Sqlite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::StoreError;
use super::files::{self, Side};
use super::sealed::WAITING_ROWS;

/// Rows of one statement.
pub(super) const ROWS: usize = 500;
/// Statements that may wait for SQLite.
const WAITING: usize = 3;
/// SQLite's page cache while rows are loaded, in KiB. Rows are only appended, so a larger one keeps
/// pages that nobody asks for again; an index is sorted in as much.
const CACHE_KIB: u32 = 2 * 1024;

/// The page of a snapshot. Whole tables and indexes are read in a row, and a page is one system call.
const PAGE_BYTES: u32 = 8 * 1024;

/// The table that rows are loaded into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) side: Side,
    /// What is run before the first row.
    pub(super) tables: &'static str,
    /// The statement up to its rows.
    pub(super) insert: &'static str,
    pub(super) columns: usize,
}

/// A file that rows stream into.
#[derive(Debug)]
pub(super) struct Load {
    columns: usize,
    batch: SqliteArguments,
    sender: mpsc::Sender<SqliteArguments>,
    task: JoinHandle<Result<SqliteConnection, StoreError>>,
}

/// Adds one value to a row.
pub(super) fn bind<'v>(
    row: &mut SqliteArguments,
    value: impl sqlx::Encode<'v, Sqlite> + sqlx::Type<Sqlite>,
) -> Result<(), StoreError> {
    row.add(value)
        .map_err(|source| StoreError::from(sqlx::Error::Encode(source)))
}

impl Load {
    /// Makes the file and its tables.
    pub(super) async fn begin(path: &Path, target: Target) -> Result<Self, StoreError> {
        files::make(path)?;
        let mut connection = connect(path).await?;
        connection.execute("BEGIN").await?;
        connection.execute(target.tables).await?;
        let (sender, receiver) = mpsc::channel(WAITING);
        Ok(Self {
            columns: target.columns,
            batch: SqliteArguments::default(),
            sender,
            task: tokio::spawn(load(connection, target, receiver)),
        })
    }

    /// Where the values of the next row go, all of its columns in order.
    pub(super) fn row(&mut self) -> &mut SqliteArguments {
        &mut self.batch
    }

    /// To be called after each row: hands the rows over once there are enough of them.
    ///
    /// # Errors
    /// What an earlier statement ran into.
    pub(super) async fn end_row(&mut self) -> Result<(), StoreError> {
        if self.batch.len() < ROWS * self.columns {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch.reserve(ROWS * self.columns, 0);
        self.hand_over(batch).await
    }

    async fn hand_over(&mut self, batch: SqliteArguments) -> Result<(), StoreError> {
        if self.sender.send(batch).await.is_ok() {
            return Ok(());
        }
        // The task ends early only with an error.
        match join(&mut self.task).await {
            Ok(_) => Err(StoreError::from(sqlx::Error::WorkerCrashed)),
            Err(error) => Err(error),
        }
    }

    /// Hands over the rows that are left and waits until SQLite has taken all.
    pub(super) async fn finish(mut self) -> Result<SqliteConnection, StoreError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.len() > 0 {
            self.hand_over(batch).await?;
        }
        drop(self.sender);
        join(&mut self.task).await
    }
}

async fn join(
    task: &mut JoinHandle<Result<SqliteConnection, StoreError>>,
) -> Result<SqliteConnection, StoreError> {
    task.await
        .unwrap_or(Err(StoreError::from(sqlx::Error::WorkerCrashed)))
}

async fn load(
    mut connection: SqliteConnection,
    target: Target,
    mut receiver: mpsc::Receiver<SqliteArguments>,
) -> Result<SqliteConnection, StoreError> {
    let whole = insert(target, ROWS);
    while let Some(batch) = receiver.recv().await {
        let rows = batch.len() / target.columns;
        let statement = if rows == ROWS {
            AssertSqlSafe(whole.clone())
        } else {
            AssertSqlSafe(insert(target, rows))
        };
        sqlx::query_with(statement, batch)
            .execute(&mut connection)
            .await?;
    }
    Ok(connection)
}

/// The statement that inserts this many rows.
pub(super) fn insert(target: Target, rows: usize) -> String {
    let row = format!("({})", vec!["?"; target.columns].join(","));
    format!("{} VALUES {}", target.insert, vec![row; rows].join(","))
}

/// Opens a snapshot that is being written. Nothing of it is durable before it is synced.
async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .disable_statement_logging()
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(Duration::from_secs(30))
        .row_buffer_size(WAITING_ROWS)
        .page_size(PAGE_BYTES)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("mmap_size", "0")
        .pragma("trusted_schema", "OFF");
    Ok(options.connect().await?)
}
