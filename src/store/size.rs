//! How much the store takes on disk.

use std::path::PathBuf;

use super::Store;

impl Store {
    /// Bytes of the store and of what is not folded into it yet. The `-shm` file is left out: it
    /// is shared memory that whoever looks makes anew.
    pub fn size_on_disk(&self) -> u64 {
        ["", "-wal"]
            .into_iter()
            .map(|suffix| {
                let mut name = self.path.as_os_str().to_owned();
                name.push(suffix);
                std::fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
            })
            .sum()
    }
}
