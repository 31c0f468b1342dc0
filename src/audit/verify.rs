//! Whether a log is the one that was written, and how far that is proven.
//!
//! A chain alone shows that nobody edited an entry and left it at that. Whoever rewrites the whole
//! chain is found by something outside of the store: the key, an expected head, a checkpoint.

use std::fmt;
use std::path::PathBuf;

use super::chain::digest;
use super::checkpoint::is_hash;
use super::{
    Algorithm, AuditError, AuditKey, Checkpoint, Event, Format, HashedEntry, Head, NotCanonical,
};
use crate::domain::time::{Timestamp, format_time};

/// What a verification comes to: never a bare “ok”.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is right, and something outside of the store says so.
    Anchored {
        /// The furthest entry that is proven.
        entry: u64,
        /// That entry's time.
        at: String,
        /// What proves it.
        how: Anchor,
        /// The log's end.
        head: Head,
        /// How many entries at the beginning were written before there was a key.
        unkeyed: u64,
    },
    /// Every entry continues the one before, and nothing outside of the store confirms it.
    Unanchored {
        /// The log's end.
        head: Head,
    },
    /// The log is not the one that was written.
    Broken(Broken),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anchored { entry, at, how, .. } => {
                write!(f, "anchored to entry {entry} of {at} by {}", how.as_str())
            }
            Self::Unanchored { .. } => f.write_str("unanchored"),
            Self::Broken(broken) => write!(f, "broken: {broken}"),
        }
    }
}

/// What proves a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anchor {
    /// The entry was hashed under the key. Whether entries after it were cut off, a key alone
    /// cannot tell.
    Key,
    /// A line of the checkpoint file.
    Checkpoint,
    /// The head that the operator expects.
    ExpectedHead,
}

impl Anchor {
    /// What proves it, for a message: “anchored by …”.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "the audit key",
            Self::Checkpoint => "the checkpoint file",
            Self::ExpectedHead => "the expected head",
        }
    }
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", entry_words(*entry))]
pub struct Broken {
    /// The first entry that is wrong, where one can be named.
    pub entry: Option<u64>,
    /// What is wrong.
    pub fault: IntegrityError,
}

fn entry_words(entry: Option<u64>) -> String {
    entry.map_or_else(String::new, |entry| format!("entry {entry}: "))
}

/// What is wrong with a log, or with one entry of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// The row cannot be read as an entry.
    #[error("its {0} cannot be read")]
    Unreadable(String),
    /// The number is not the next one.
    #[error("it is missing (the next one there is {next})")]
    Missing {
        /// The number that comes instead.
        next: u64,
    },
    /// The event is none of the log's.
    #[error("its event “{0}” is none of the audit log's")]
    UnknownEvent(String),
    /// The algorithm is none of the log's.
    #[error("its algorithm “{0}” is none of the audit log's")]
    UnknownAlgorithm(String),
    /// The format is none of the log's.
    #[error("its format {0} is none of the audit log's")]
    UnknownFormat(u16),
    /// A later entry is in an older format.
    #[error("it is in format {0} although entries before it are in a later one")]
    FormatDropped(u16),
    /// The time is not written as the log writes it.
    #[error("its time “{0}” is not one the audit log writes")]
    MalformedTime(String),
    /// The time is before the one of the entry before.
    #[error("its time is before that of the entry before it")]
    TimeGoesBack,
    /// A value is not stored as it was hashed.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    /// A later entry is without key.
    #[error("it is not hashed under the key although entries before it are")]
    KeyDropped,
    /// No key to verify it with.
    #[error("it is hashed under a key, and no key is configured (audit.key_file)")]
    NoKey,
    /// A key is configured and the log does not end with it.
    #[error("it is the last one and is not hashed under the configured key")]
    EndsUnkeyed,
    /// It does not follow the entry before.
    #[error("it does not continue the entry before it")]
    Unlinked,
    /// Its own content is not what was hashed.
    #[error("it was changed: its hash does not fit its content")]
    Changed,
    /// Nothing that is keyed verifies.
    #[error("the key in {} is not the one this log was written with", .0.display())]
    WrongKey(PathBuf),
    /// The log ends before a checkpoint.
    #[error("it is missing: a checkpoint of {at} counts {entries} entries")]
    CutOff {
        /// The checkpoint's time.
        at: String,
        /// The checkpoint's count.
        entries: u64,
    },
    /// The log was rewritten between two checkpoints.
    #[error(
        "its hash is not the one of the checkpoint of {at}: an entry from {since} on was changed \
         and the ones after it hashed anew"
    )]
    NotAtCheckpoint {
        /// The checkpoint's time.
        at: String,
        /// The first entry that no earlier checkpoint vouches for.
        since: u64,
    },
    /// The operator's head is not in the log.
    #[error("the expected head {expected} is not in the log, which has {entries} entries")]
    HeadNotFound {
        /// The head.
        expected: String,
        /// The log's length.
        entries: u64,
    },
}

/// What a log is held against.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// `[audit] key_file`
    pub key: Option<AuditKey>,
    /// `--expect-head`
    pub expected_head: Option<String>,
    /// The lines of `[audit] checkpoint_file`, by rising number of entries.
    pub checkpoints: Vec<Checkpoint>,
}

impl Proof {
    /// Adds a head that must be in the log.
    ///
    /// # Errors
    /// The text is not 64 hex digits.
    pub fn expect_head(mut self, text: &str) -> Result<Self, AuditError> {
        let head = text.trim().to_ascii_lowercase();
        if !is_hash(&head) {
            return Err(AuditError::NoHead {
                text: text.to_owned(),
            });
        }
        self.expected_head = Some(head);
        Ok(self)
    }
}

/// Goes through a log entry by entry.
#[derive(Debug)]
pub struct Verifier<'a> {
    proof: &'a Proof,
    head: Head,
    last_at: String,
    last_format: Format,
    /// Whether the entry before was keyed; `None` before the first.
    keyed: bool,
    unkeyed: u64,
    next_checkpoint: usize,
    vouched: u64,
    anchor: Option<(u64, Anchor, String)>,
    found_expected: bool,
    /// The first keyed entry did not verify: the entry was changed, or the key is another. The
    /// entries after it tell.
    suspect: Option<u64>,
}

impl<'a> Verifier<'a> {
    /// A verification from the first entry on.
    pub fn new(proof: &'a Proof) -> Self {
        Self {
            proof,
            head: Head::genesis(),
            last_at: String::new(),
            last_format: Format::One,
            keyed: false,
            unkeyed: 0,
            next_checkpoint: 0,
            vouched: 0,
            anchor: None,
            found_expected: false,
            suspect: None,
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// It is the first one that is wrong.
    pub fn next(&mut self, entry: &HashedEntry) -> Result<(), Broken> {
        if let Some(suspect) = self.suspect {
            return self.settle_suspicion(suspect, entry);
        }
        let number = self.head.entries + 1;
        let wrong = |fault| Broken {
            entry: Some(number),
            fault,
        };
        if entry.seq != number {
            return Err(wrong(IntegrityError::Missing { next: entry.seq }));
        }
        let canonical = self.check_values(entry).map_err(wrong)?;
        let algorithm: Algorithm = entry
            .algorithm
            .parse()
            .map_err(|_| wrong(IntegrityError::UnknownAlgorithm(entry.algorithm.clone())))?;
        if entry.prev_hash != self.head.hash {
            return Err(wrong(IntegrityError::Unlinked));
        }
        let key = match (algorithm, &self.proof.key) {
            (Algorithm::Sha256, _) if self.keyed => return Err(wrong(IntegrityError::KeyDropped)),
            (Algorithm::Sha256, _) => None,
            (Algorithm::HmacSha256, None) => return Err(wrong(IntegrityError::NoKey)),
            (Algorithm::HmacSha256, Some(key)) => Some(key),
        };
        if digest(key, &entry.prev_hash, &canonical) != entry.hash {
            if key.is_some() && !self.keyed {
                self.suspect = Some(number);
                return Ok(());
            }
            return Err(wrong(IntegrityError::Changed));
        }
        self.accept(entry, key.is_some());
        self.compare_checkpoints(entry)
    }

    /// Gives the verdict after the last entry.
    pub fn finish(self) -> Verdict {
        match self.first_fault_at_the_end() {
            Some(broken) => Verdict::Broken(broken),
            None => match self.anchor {
                Some((entry, how, at)) => Verdict::Anchored {
                    entry,
                    at,
                    how,
                    head: self.head,
                    unkeyed: self.unkeyed,
                },
                None => Verdict::Unanchored { head: self.head },
            },
        }
    }

    fn first_fault_at_the_end(&self) -> Option<Broken> {
        let entries = self.head.entries;
        if let (Some(suspect), Some(key)) = (self.suspect, &self.proof.key) {
            return Some(Broken {
                entry: Some(suspect),
                fault: IntegrityError::WrongKey(key.file().to_owned()),
            });
        }
        if let Some(beyond) = self.proof.checkpoints.get(self.next_checkpoint) {
            return Some(Broken {
                entry: Some(entries + 1),
                fault: IntegrityError::CutOff {
                    at: beyond.at.clone(),
                    entries: beyond.head.entries,
                },
            });
        }
        if self.proof.key.is_some() && !self.keyed && entries > 0 {
            return Some(Broken {
                entry: Some(entries),
                fault: IntegrityError::EndsUnkeyed,
            });
        }
        match &self.proof.expected_head {
            Some(expected) if !self.found_expected => Some(Broken {
                entry: None,
                fault: IntegrityError::HeadNotFound {
                    expected: expected.clone(),
                    entries,
                },
            }),
            _ => None,
        }
    }

    /// What does not depend on any hash: each value must be one that this log writes.
    fn check_values(&self, entry: &HashedEntry) -> Result<String, IntegrityError> {
        let format = Format::of(entry.format).ok_or(IntegrityError::UnknownFormat(entry.format))?;
        if format < self.last_format {
            return Err(IntegrityError::FormatDropped(entry.format));
        }
        if entry.event.parse::<Event>().is_err() {
            return Err(IntegrityError::UnknownEvent(entry.event.clone()));
        }
        let is_canonical_time = entry
            .at
            .parse::<Timestamp>()
            .is_ok_and(|time| format_time(time) == entry.at);
        if !is_canonical_time {
            return Err(IntegrityError::MalformedTime(entry.at.clone()));
        }
        // Times of one width in one zone sort as text.
        if entry.at < self.last_at {
            return Err(IntegrityError::TimeGoesBack);
        }
        Ok(entry.canonical()?)
    }

    fn accept(&mut self, entry: &HashedEntry, keyed: bool) {
        self.head = Head {
            entries: entry.seq,
            hash: entry.hash.clone(),
        };
        self.last_at.clone_from(&entry.at);
        self.last_format = Format::of(entry.format).unwrap_or(self.last_format);
        self.keyed = keyed;
        if keyed {
            self.anchor_at(entry, Anchor::Key);
        } else {
            self.unkeyed += 1;
        }
        if self.proof.expected_head.as_ref() == Some(&entry.hash) {
            self.found_expected = true;
            self.anchor_at(entry, Anchor::ExpectedHead);
        }
    }

    fn compare_checkpoints(&mut self, entry: &HashedEntry) -> Result<(), Broken> {
        while let Some(checkpoint) = self.proof.checkpoints.get(self.next_checkpoint) {
            // A checkpoint of an empty log says nothing.
            if checkpoint.head.entries > entry.seq {
                break;
            }
            if checkpoint.head.entries == entry.seq {
                if checkpoint.head.hash != entry.hash {
                    return Err(Broken {
                        entry: Some(entry.seq),
                        fault: IntegrityError::NotAtCheckpoint {
                            at: checkpoint.at.clone(),
                            since: self.vouched + 1,
                        },
                    });
                }
                self.anchor_at(entry, Anchor::Checkpoint);
            }
            self.next_checkpoint += 1;
        }
        if self
            .anchor
            .as_ref()
            .is_some_and(|(at, how, _)| *at == entry.seq && *how != Anchor::Key)
        {
            self.vouched = entry.seq;
        }
        Ok(())
    }

    /// The furthest entry counts, and among anchors at one entry the strongest.
    fn anchor_at(&mut self, entry: &HashedEntry, how: Anchor) {
        let stronger = self
            .anchor
            .as_ref()
            .is_none_or(|(number, present, _)| (entry.seq, how) > (*number, *present));
        if stronger {
            self.anchor = Some((entry.seq, how, entry.at.clone()));
        }
    }

    fn settle_suspicion(&self, suspect: u64, entry: &HashedEntry) -> Result<(), Broken> {
        let verifies = entry.canonical().is_ok_and(|canonical| {
            digest(self.proof.key.as_ref(), &entry.prev_hash, &canonical) == entry.hash
        });
        if verifies {
            return Err(Broken {
                entry: Some(suspect),
                fault: IntegrityError::Changed,
            });
        }
        Ok(())
    }
}

/// Whether `entry` was written with `key`, seen on its own.
pub fn is_genuine(entry: &HashedEntry, key: Option<&AuditKey>) -> bool {
    let key = if entry.algorithm == Algorithm::HmacSha256.as_str() {
        match key {
            Some(key) => Some(key),
            None => return false,
        }
    } else {
        None
    };
    entry
        .canonical()
        .is_ok_and(|canonical| digest(key, &entry.prev_hash, &canonical) == entry.hash)
}
