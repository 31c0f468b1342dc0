//! What can be wrong with the log's key, its checkpoints and its end.

use std::path::PathBuf;

/// Why nothing may be written to, or believed of, the audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The key file cannot be read.
    #[error("cannot read the audit key {} (audit.key_file)", file.display())]
    KeyUnreadable {
        /// `audit.key_file`
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The key file is no key.
    #[error(
        "the audit key {} (audit.key_file) has {length} bytes; it must have at least 32 and at \
         most 65536: make one with `head -c 32 /dev/urandom > FILE`",
        file.display()
    )]
    KeyLength {
        /// `audit.key_file`
        file: PathBuf,
        /// Its size in bytes.
        length: usize,
    },
    /// Everybody on the machine could forge the log.
    #[error(
        "the audit key {} (audit.key_file) is open to every user of this machine (mode {mode:03o}): \
         make it private with `chmod o= FILE`",
        file.display()
    )]
    KeyExposed {
        /// `audit.key_file`
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The log is keyed and the settings name no key.
    #[error(
        "entry {entry} of the audit log was hashed under a key and no key is configured: set \
         audit.key_file to that key"
    )]
    KeyMissing {
        /// The last entry.
        entry: u64,
    },
    /// The checkpoint file cannot be read or written.
    #[error("cannot {doing} the checkpoint file {} (audit.checkpoint_file)", file.display())]
    CheckpointIo {
        /// What was being done, as it follows “cannot”.
        doing: &'static str,
        /// `audit.checkpoint_file`
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line of the checkpoint file is something else.
    #[error(
        "line {line} of the checkpoint file {} (audit.checkpoint_file) is not a checkpoint: the \
         file was changed or is some other file",
        file.display()
    )]
    CheckpointLine {
        /// `audit.checkpoint_file`
        file: PathBuf,
        /// From 1.
        line: u64,
    },
    /// The checkpoint file knows a log that is not here.
    #[error(
        "the checkpoint file {} names entry {entry} of {at} with head {head}, but {found}: the \
         store was restored from an older copy, replaced, or belongs to another installation; \
         nothing is applied until that is settled. If it is intended, move the checkpoint file \
         away",
        file.display()
    )]
    NotAtCheckpoint {
        /// `audit.checkpoint_file`
        file: PathBuf,
        /// The entry it names.
        entry: u64,
        /// When it was written.
        at: String,
        /// The head it names.
        head: String,
        /// What the store has instead.
        found: String,
    },
    /// The end of the log does not verify.
    #[error(
        "the audit log does not verify ({broken}): nothing is applied until that is settled. \
         `rolecall audit verify` says more; if the key was changed, bring the old one back"
    )]
    EndIsWrong {
        /// The first thing that is wrong.
        broken: super::Broken,
    },
    /// `--expect-head` is no hash.
    #[error("“{text}” is no head of an audit log: a head is 64 hex digits")]
    NoHead {
        /// What was given.
        text: String,
    },
}
