//! The rows of the audit log (§8).

mod read;
mod verify;

use sqlx::SqliteConnection;

use super::StoreError;
use super::fields::Fields;
use crate::audit::{Algorithm, AuditError, AuditWriter, HashedEntry, Head, NewEntry};
use crate::domain::time::Timestamp;

pub use read::{AuditFilter, ExportError, Exported, Period};
pub use verify::refuse_lost_store;

/// The last row, as far as the next one depends on it.
struct Last {
    seq: i64,
    at: String,
    algorithm: String,
    hash: String,
}

/// Appends an entry in the caller's transaction and gives the log's new end. The entry's time is
/// the clock's, or the last entry's if the clock was set back: the log never goes backwards.
///
/// # Errors
/// The log is keyed and `audit_writer` has no key, or the store cannot be written.
pub async fn append(
    conn: &mut SqliteConnection,
    audit_writer: &AuditWriter,
    entry: NewEntry,
) -> Result<Head, StoreError> {
    let (head, not_before) = match last(conn).await? {
        None => (Head::genesis(), None),
        Some(last) => {
            let at: Timestamp = last
                .at
                .parse()
                .map_err(|error| StoreError::corrupt("audit", "at", last.seq, error))?;
            let entries = number("seq", last.seq, last.seq)?;
            if last.algorithm == Algorithm::HmacSha256.as_str() && audit_writer.key.is_none() {
                return Err(AuditError::KeyMissing { entry: entries }.into());
            }
            (
                Head {
                    entries,
                    hash: last.hash,
                },
                Some(at),
            )
        }
    };
    let now = audit_writer.clock.now();
    let at = not_before.map_or(now, |last| last.max(now));
    let chained = HashedEntry::chain_entry(audit_writer, &head, at, entry);
    insert(conn, &chained).await?;
    Ok(Head {
        entries: chained.seq,
        hash: chained.hash,
    })
}

impl super::Store {
    /// The end of the log.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn audit_head(&self) -> Result<Head, StoreError> {
        let mut conn = self.reader().acquire().await?;
        head(&mut conn).await
    }
}

/// The end of the log.
///
/// # Errors
/// The store cannot be read.
pub async fn head(conn: &mut SqliteConnection) -> Result<Head, StoreError> {
    match last(conn).await? {
        None => Ok(Head::genesis()),
        Some(last) => Ok(Head {
            entries: number("seq", last.seq, last.seq)?,
            hash: last.hash,
        }),
    }
}

async fn last(conn: &mut SqliteConnection) -> Result<Option<Last>, StoreError> {
    let row = sqlx::query("SELECT seq, at, algorithm, hash FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(conn)
        .await?;
    row.map(|row| {
        let row = Fields::of(&row, "audit", "seq");
        Ok(Last {
            seq: row.get("seq")?,
            at: row.get("at")?,
            algorithm: row.get("algorithm")?,
            hash: row.get("hash")?,
        })
    })
    .transpose()
}

async fn insert(conn: &mut SqliteConnection, entry: &HashedEntry) -> Result<(), StoreError> {
    let seq = i64::try_from(entry.seq)
        .map_err(|error| StoreError::corrupt("audit", "seq", entry.seq, error))?;
    sqlx::query(
        r#"INSERT INTO audit (seq, at, run_id, host, user, version, event, email, opsera_id,
               "before", "after", reason, evidence, http_status, words, algorithm, prev_hash, hash, format)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"#,
    )
    .bind(seq)
    .bind(&entry.at)
    .bind(&entry.run_id)
    .bind(&entry.host)
    .bind(&entry.user)
    .bind(&entry.version)
    .bind(&entry.event)
    .bind(&entry.email)
    .bind(&entry.opsera_id)
    .bind(&entry.before)
    .bind(&entry.after)
    .bind(&entry.reason)
    .bind(&entry.evidence)
    .bind(entry.http_status)
    .bind(&entry.words)
    .bind(&entry.algorithm)
    .bind(&entry.prev_hash)
    .bind(&entry.hash)
    .bind(entry.format)
    .execute(conn)
    .await?;
    Ok(())
}

/// Reads a number that is never negative.
fn number(column: &'static str, row: i64, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|error| StoreError::corrupt("audit", column, row, error))
}
