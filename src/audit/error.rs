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
}
