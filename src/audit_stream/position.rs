//! How far the log was delivered: a small file beside the store.
//!
//! Not in the store, where writing it would keep a run waiting. It names the target and the hash of
//! the entry too: another target, or another log, begins anew.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// The last entry that a target has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// `audit.stream`
    pub(super) target: String,
    /// Its number.
    pub(super) entry: u64,
    /// Its hash.
    pub(super) hash: String,
}

impl Position {
    /// Where the position of the log in `store` is kept.
    pub(super) fn file(store: &Path) -> PathBuf {
        let mut name = store.as_os_str().to_owned();
        name.push("-audit-stream");
        name.into()
    }

    /// Reads the position for `target`. `None`: nothing is known to be delivered to it.
    pub(super) fn read(file: &Path, target: &str) -> io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let known = serde_json::from_str(&text).ok();
        Ok(known.filter(|position: &Self| position.target == target))
    }

    /// Replaces what stands in `file`, as a whole and with mode 0600.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let directory = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut temporary = NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&mut temporary, self)?;
        temporary.flush()?;
        temporary.persist(file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_holds_for_one_target_and_damage_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let file = Position::file(&directory.path().join("store.db"));
        assert!(file.ends_with("store.db-audit-stream"));
        assert_eq!(Position::read(&file, "file:/a").unwrap(), None);
        let position = Position {
            target: "file:/a".to_owned(),
            entry: 7,
            hash: "ab".to_owned(),
        };
        position.write(&file).unwrap();
        assert_eq!(Position::read(&file, "file:/a").unwrap(), Some(position));
        assert_eq!(Position::read(&file, "file:/b").unwrap(), None);
        std::fs::write(&file, "{\"target\":\"file:/a\",").unwrap();
        assert_eq!(Position::read(&file, "file:/a").unwrap(), None);
    }
}
