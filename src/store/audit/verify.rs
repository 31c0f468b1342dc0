//! Holding the log against what is kept outside of the store.

use std::path::Path;

use futures::TryStreamExt as _;

use super::read::{Period, Unreadable, stream};
use crate::audit::{
    AuditError, AuditWriter, Broken, Checkpoint, HashedEntry, IntegrityError, Proof, Verdict,
    Verifier, is_genuine, last_checkpoint,
};
use crate::store::{Store, StoreError};

/// Refuses to begin a new store where the checkpoint file knows an old one: a store that is lost
/// has lost its queue and its memory of people too. Call it before the store is opened, because
/// opening makes one.
///
/// # Errors
/// There is no store at `store` and `checkpoint_file` has a line, or it cannot be read.
pub fn refuse_lost_store(store: &Path, checkpoint_file: &Path) -> Result<(), StoreError> {
    let is_there = std::fs::metadata(store).is_ok_and(|file| file.len() > 0);
    if is_there {
        return Ok(());
    }
    match last_checkpoint(checkpoint_file)? {
        None => Ok(()),
        Some(last) => Err(not_at(
            checkpoint_file,
            &last,
            format!("there is no store at {}", store.display()),
        )),
    }
}

impl Store {
    /// Goes through the whole log and says how far it is proven (§8).
    ///
    /// # Errors
    /// The store cannot be read. A log that is wrong is a [`Verdict`], not an error.
    pub async fn verify_audit(&self, proof: &Proof) -> Result<Verdict, StoreError> {
        let mut verifier = Verifier::new(proof);
        let mut rows = stream(self.reader(), i64::MIN, Period::default());
        let mut seen = 0;
        while let Some(row) = rows.try_next().await.map_err(|error| self.explain(error))? {
            seen += 1;
            let step = match &row {
                Ok(entry) => verifier.next(entry),
                Err(unreadable) => Err(unreadable_entry(unreadable, seen)),
            };
            if let Err(broken) = step {
                return Ok(Verdict::Broken(broken));
            }
        }
        Ok(verifier.finish())
    }

    /// What every run does first: the last entry must verify under the present key, and the last
    /// checkpoint must be in the log. Otherwise this is not the store the last run left, and what
    /// it remembers is not to be acted on.
    ///
    /// # Errors
    /// [`AuditError`] in plain words; the store cannot be read.
    pub async fn check_anchor(
        &self,
        audit_writer: &AuditWriter,
        checkpoint_file: Option<&Path>,
    ) -> Result<(), StoreError> {
        // Read before the rows: an entry that a checkpoint names was stored before it.
        let checkpoint = match checkpoint_file {
            None => None,
            Some(file) => last_checkpoint(file)?.map(|last| (file, last)),
        };
        if let Some((file, checkpoint)) = checkpoint {
            self.compare(file, &checkpoint).await?;
        }
        match self.last_entry().await? {
            None => Ok(()),
            Some(Err(unreadable)) => Err(end_is_wrong(unreadable_entry(&unreadable, 0))),
            Some(Ok(last)) => check_last(&last, audit_writer),
        }
    }

    async fn compare(&self, file: &Path, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        if checkpoint.head.entries == 0 {
            return Ok(());
        }
        let entry = i64::try_from(checkpoint.head.entries).unwrap_or(i64::MAX);
        let hash: Option<String> = sqlx::query_scalar("SELECT hash FROM audit WHERE seq = ?")
            .bind(entry)
            .fetch_optional(self.reader())
            .await
            .map_err(|error| self.explain(error))?;
        let store = self.path().display();
        match hash {
            Some(hash) if hash == checkpoint.head.hash => Ok(()),
            Some(hash) => Err(not_at(
                file,
                checkpoint,
                format!("in the store {store} that entry has {hash}"),
            )),
            None => {
                let entries: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM audit")
                    .fetch_one(self.reader())
                    .await
                    .map_err(|error| self.explain(error))?;
                Err(not_at(
                    file,
                    checkpoint,
                    format!("the store {store} has only {entries} entries"),
                ))
            }
        }
    }

    async fn last_entry(&self) -> Result<Option<Result<HashedEntry, Unreadable>>, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM audit")
            .fetch_one(self.reader())
            .await
            .map_err(|error| self.explain(error))?;
        let Some(last) = last else { return Ok(None) };
        stream(self.reader(), last, Period::default())
            .try_next()
            .await
            .map_err(|error| self.explain(error))
    }
}

fn check_last(last: &HashedEntry, audit_writer: &AuditWriter) -> Result<(), StoreError> {
    let is_keyed = last.algorithm == crate::audit::Algorithm::HmacSha256.as_str();
    if is_keyed && audit_writer.key.is_none() {
        return Err(AuditError::KeyMissing { entry: last.seq }.into());
    }
    if is_genuine(last, audit_writer.key.as_ref()) {
        return Ok(());
    }
    let fault = match &audit_writer.key {
        Some(key) if is_keyed => IntegrityError::WrongKey(key.file().to_owned()),
        _ => IntegrityError::Changed,
    };
    Err(end_is_wrong(Broken {
        entry: Some(last.seq),
        fault,
    }))
}

fn end_is_wrong(broken: Broken) -> StoreError {
    AuditError::EndIsWrong { broken }.into()
}

fn unreadable_entry(unreadable: &Unreadable, position: u64) -> Broken {
    Broken {
        entry: unreadable.row.or(Some(position)),
        fault: IntegrityError::Unreadable(unreadable.column.to_owned()),
    }
}

fn not_at(file: &Path, checkpoint: &Checkpoint, found: String) -> StoreError {
    AuditError::NotAtCheckpoint {
        file: file.to_owned(),
        entry: checkpoint.head.entries,
        at: checkpoint.at.clone(),
        head: checkpoint.head.hash.clone(),
        found,
    }
    .into()
}
