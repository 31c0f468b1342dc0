//! What tells a changed file from the one that was looked at, without reading it.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The system's name for the time since the machine was started.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Whoever writes to a file changes when it was modified, and whoever sets that back changes when
/// its metadata was: that time nobody can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// `None`: there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// The state in words that another process can compare with its own, until the machine is
    /// started again: what a disk really kept at a power cut, only reading the file tells. `None`
    /// where the system does not name its start.
    pub(super) fn until_restart(&self) -> Option<String> {
        let boot = std::fs::read_to_string(BOOT_ID).ok()?;
        Some(format!("{self} {}", boot.trim()))
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            inode,
            size,
            modified,
            changed,
        } = self;
        write!(
            f,
            "{device}:{inode}:{size}:{}.{:09}:{}.{:09}",
            modified.0, modified.1, changed.0, changed.1
        )
    }
}
