//! How much the store takes on disk.

use std::path::PathBuf;

use super::Store;

impl Store {
    /// Bytes of the store and its side files.
    pub fn size_on_disk(&self) -> u64 {
        ["", "-wal", "-shm"]
            .into_iter()
            .map(|suffix| {
                let mut name = self.path.as_os_str().to_owned();
                name.push(suffix);
                std::fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
            })
            .sum()
    }
}
