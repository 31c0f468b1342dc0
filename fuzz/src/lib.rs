//! What the targets share.

use std::fs::File;
use std::path::PathBuf;

/// An empty file in memory, and a name to open it by.
///
/// # Panics
/// The file cannot be made.
pub fn memory_file() -> (File, PathBuf) {
    use std::os::fd::AsRawFd as _;
    let file = tempfile::tempfile_in("/dev/shm").expect("make a file in memory");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    (file, path)
}
