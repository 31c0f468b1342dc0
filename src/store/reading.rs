//! How a store is opened that is only read.
//!
//! SQLite reads a store through side files that it makes beside it. In a directory that takes no
//! files, such as an auditor's read-only copy, they cannot be made; a store without rows in its side
//! file is then read as a file that does not change.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::StoreError;

/// How the file is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// With SQLite's locks: a run may write at the same time.
    Shared,
    /// As a file that nobody changes.
    Unchanging,
}

impl Reading {
    /// How the store at `path` can be read by this user.
    ///
    /// # Errors
    /// Rows are in a side file that this user cannot read the store with.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let takes_files = access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        if takes_files || access(side_file(path, "-shm"), Access::READ_OK).is_ok() {
            return Ok(Self::Shared);
        }
        let rows = side_file(path, "-wal");
        match std::fs::metadata(&rows) {
            Ok(file) if file.len() > 0 => Err(StoreError::RowsInSideFile { side_file: rows }),
            _ => Ok(Self::Unchanging),
        }
    }

    /// The same as a parameter of SQLite's file names.
    pub(super) fn parameter(self) -> &'static str {
        match self {
            Self::Shared => "mode=ro",
            Self::Unchanging => "immutable=1",
        }
    }
}

/// The file that SQLite keeps beside the store: `-wal` or `-shm`.
pub(super) fn side_file(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
