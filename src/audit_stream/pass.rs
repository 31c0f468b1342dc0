//! One pass: everything that the target does not have yet, in the order of the log.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::position::Position;
use super::target::{SendError, send};
use crate::audit::{AuditError, AuditKey, HashedEntry, Head, LineFormat, is_genuine};
use crate::settings::{OfflineSettings, StreamFormat, StreamTarget};
use crate::store::{Store, StoreError};

/// Entries that are in memory at one time, and sent between two writings of the position.
const BATCH: u32 = 500;
/// How long one batch may take.
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How far the target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The last entry that it has.
    pub entry: u64,
    /// The last entry of the log.
    pub of: u64,
}

/// Why a pass ended early. What is left is sent by the next one.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The log could not be read.
    #[error("the audit log cannot be read for audit.stream")]
    Store(#[from] StoreError),
    /// The side file.
    #[error("how far the audit log was delivered cannot be kept in {}", file.display())]
    Position {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The target does not take it.
    #[error("entries of the audit log cannot be delivered to {target} (audit.stream)")]
    Target {
        /// `audit.stream`
        target: StreamTarget,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key, without which nothing of a keyed log can be believed.
    #[error(transparent)]
    Key(#[from] AuditError),
    /// An entry is not what was written.
    #[error(
        "entry {entry} of the audit log is not what was written and is not handed on, nor what \
         follows it: `rolecall audit verify` says more"
    )]
    Entry {
        /// Its number.
        entry: u64,
    },
}

/// The number of the last entry that the target of these settings has; `None` without a target.
pub fn last_delivered(settings: &OfflineSettings) -> Option<u64> {
    let target = settings.audit.stream.as_ref()?.to_string();
    let position = Position::read(&Position::file(&settings.store.path), &target);
    Some(position.ok().flatten().map_or(0, |known| known.entry))
}

/// Sends what is new, and says in `delivered` how far that came, also when it ends early. `None`:
/// nothing is to be sent anywhere, or there is no store yet.
pub(super) async fn pass(
    settings: &OfflineSettings,
    delivered: &mut Option<Delivered>,
) -> Result<(), StreamError> {
    let Some(target) = &settings.audit.stream else {
        *delivered = None;
        return Ok(());
    };
    let store = match Store::open_unchecked(&settings.store.path).await {
        Ok(store) => store,
        Err(StoreError::Missing { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let format = match settings.audit.stream_format {
        StreamFormat::Jsonl => LineFormat::Jsonl,
        StreamFormat::Ocsf => LineFormat::Ocsf,
        StreamFormat::Cef => LineFormat::Cef,
        StreamFormat::Rfc5424 => LineFormat::Rfc5424,
    };
    let key = settings.audit.key_file.as_deref().map(AuditKey::read);
    let passed = match key.transpose() {
        Ok(key) => deliver(&store, target, format, key.as_ref(), delivered).await,
        Err(error) => Err(error.into()),
    };
    store.close().await;
    passed
}

async fn deliver(
    store: &Store,
    target: &StreamTarget,
    format: LineFormat,
    key: Option<&AuditKey>,
    shown: &mut Option<Delivered>,
) -> Result<(), StreamError> {
    let file = Position::file(store.path());
    let name = target.to_string();
    let known = Position::read(&file, &name).map_err(|source| StreamError::Position {
        file: file.clone(),
        source,
    })?;
    let head = store.audit_head().await?;
    let mut delivered = begin(store, known).await?;
    loop {
        *shown = Some(Delivered {
            entry: delivered.entries,
            of: head.entries.max(delivered.entries),
        });
        if delivered.entries >= head.entries {
            return Ok(());
        }
        let entries = store.list_audit_after(delivered.entries, BATCH).await?;
        let next = follow(&delivered, &entries, key)?;
        if next == delivered {
            return Ok(());
        }
        let in_time = tokio::time::timeout(BATCH_TIMEOUT, send(target, format, &entries)).await;
        let sent = in_time.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        sent.map_err(|error| match error {
            SendError::Entry(entry) => StreamError::Entry { entry },
            SendError::Io(source) => StreamError::Target {
                target: target.clone(),
                source,
            },
        })?;
        let position = Position {
            target: name.clone(),
            entry: next.entries,
            hash: next.hash.clone(),
        };
        position
            .write(&file)
            .map_err(|source| StreamError::Position {
                file: file.clone(),
                source,
            })?;
        delivered = next;
    }
}

/// The last of `entries`, each of which must be as it was written and continue the one before.
fn follow(
    from: &Head,
    entries: &[HashedEntry],
    key: Option<&AuditKey>,
) -> Result<Head, StreamError> {
    let mut head = from.clone();
    for entry in entries {
        let continues = entry.seq == head.entries + 1 && entry.prev_hash == head.hash;
        if !continues || !is_genuine(entry, key) {
            return Err(StreamError::Entry { entry: entry.seq });
        }
        head = Head {
            entries: entry.seq,
            hash: entry.hash.clone(),
        };
    }
    Ok(head)
}

/// The last entry that the target has: the one of the position, if it is an entry of this log.
async fn begin(store: &Store, known: Option<Position>) -> Result<Head, StreamError> {
    let Some(known) = known else {
        return Ok(Head::genesis());
    };
    let there = match known.entry.checked_sub(1) {
        Some(before) => store.list_audit_after(before, 1).await?,
        None => Vec::new(),
    };
    if there.first().is_some_and(|entry| entry.hash == known.hash) {
        return Ok(Head {
            entries: known.entry,
            hash: known.hash,
        });
    }
    tracing::warn!(
        entry = known.entry,
        "the entry that was delivered last is not in this audit log: it is sent from its beginning"
    );
    Ok(Head::genesis())
}
