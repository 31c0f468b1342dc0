//! The seal: from the last record to a snapshot that everything reads.

use std::sync::atomic::Ordering;

use sqlx::Executor as _;

use super::super::{StoreError, StorePath};
use super::files::{self, Synced};
use super::sealed::Sealed;
use super::{COUNT_ACTIVE, Side, Snapshot, accounts, attach, close, people, shields};
use crate::domain::time::{Timestamp, format_time};

impl Snapshot<'_> {
    /// Marks the pull as complete: from now on it is the snapshot.
    ///
    /// The files are durable before the ledger names them, so whatever the ledger names is whole,
    /// also after a power cut.
    ///
    /// # Errors
    /// The files or the store cannot be written; the former snapshot then stays.
    pub async fn complete(&self, at: Timestamp) -> Result<(), StoreError> {
        let (active, accounts) = self.finish_files().await?;
        tracing::debug!("the two directories are compared");
        let (opa, opsera) = tokio::try_join!(
            sync(self.people.path.clone()),
            sync(self.accounts.path.clone())
        )?;
        files::sync_directory(self.store.path())?;
        tracing::debug!("the snapshot is durable");
        let sealed = Sealed::open(self.store.path(), self.pull).await?;
        let mut tx = self.store.begin().await?;
        let run = sqlx::query(
            "UPDATE runs SET pulled_at = ?2, opa_active = ?3 WHERE seq = ?1 AND pulled_at IS NULL",
        )
        .bind(self.pull.0)
        .bind(format_time(at))
        .bind(active)
        .execute(&mut *tx)
        .await?;
        if run.rows_affected() != 1 {
            return Err(StoreError::Conflict {
                place: StorePath::from(self.store.path()),
                what: format!(
                    "run {} should have been without a complete pull",
                    self.pull.0
                ),
            });
        }
        sqlx::query("DELETE FROM snapshots")
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO snapshots (pull, opa_bytes, opa_digest, opsera_bytes, opsera_digest,
                                    accounts, mark, opa_state, opsera_state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .bind(self.pull.0)
        .bind(opa.seal.bytes)
        .bind(opa.seal.digest)
        .bind(opsera.seal.bytes)
        .bind(opsera.seal.digest)
        .bind(accounts)
        .bind(self.mark.text())
        .bind(opa.state)
        .bind(opsera.state)
        .execute(&mut *tx)
        .await?;
        self.store.commit(tx).await?;
        self.is_sealed.store(true, Ordering::Relaxed);
        tracing::debug!("the snapshot is sealed");
        if let Some(former) = self.store.sealed.lock().await.replace(sealed) {
            former.close().await;
        }
        files::remove_others(self.store.path(), Some(self.pull));
        Ok(())
    }

    /// Writes what needs both files and the last indexes. Gives the numbers of ACTIVE humans and
    /// of accounts.
    async fn finish_files(&self) -> Result<(i64, i64), StoreError> {
        let mut people = self.joined().await?;
        let mut accounts = self.indexed_accounts().await?;
        // Each compares its side with the other, at the same time; nothing but temporary tables is
        // written meanwhile.
        let (active, ()) = tokio::try_join!(
            async {
                let connection = people.connection()?;
                connection.execute(shields::FIND_WITHOUT_ACCOUNT).await?;
                let active = sqlx::query_scalar(COUNT_ACTIVE)
                    .fetch_one(&mut *connection)
                    .await?;
                Ok::<_, StoreError>(active)
            },
            async {
                let connection = accounts.connection()?;
                attach(connection, &self.people.path, Side::Opa).await?;
                connection.execute(accounts::FIND_UNSETTLED).await?;
                Ok(())
            }
        )?;
        let (listed, _) = self.read_account_counts(&mut accounts).await?;
        accounts
            .connection()?
            .execute(accounts::KEEP_UNSETTLED)
            .await?;
        close(&mut accounts).await?;
        let connection = people.connection()?;
        connection.execute("BEGIN").await?;
        let fingerprints = shields::Fingerprints::of_store(self.store).await?;
        shields::fill(connection, self.policy, &fingerprints).await?;
        connection.execute("COMMIT").await?;
        connection.execute(people::INDEX_LATE).await?;
        close(&mut people).await?;
        Ok((active, listed))
    }
}

async fn sync(path: std::path::PathBuf) -> Result<Synced, StoreError> {
    tokio::task::spawn_blocking(move || files::sync(&path))
        .await
        .unwrap_or(Err(StoreError::from(sqlx::Error::WorkerCrashed)))
}
