//! The two files of a snapshot: where they stand, who may read them, what they hold.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::StoreError;
use super::super::file_state::FileState;
use super::Pull;

/// What is read at once where a whole file is read.
const CHUNK: usize = 256 * 1024;

/// Which directory a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Side {
    /// The people of the OPA Team, their groups and memberships.
    Opa,
    /// The accounts of Opsera.
    Opsera,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Opa, Self::Opsera];

    /// The end of the file's name, and the name under which it is attached.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Opa => "opa",
            Self::Opsera => "opsera",
        }
    }
}

/// What the ledger writes down of a file when it seals it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) bytes: i64,
    /// SHA-256 over the whole file, in hexadecimal digits.
    pub(super) digest: String,
}

/// A file that was sealed.
#[derive(Debug)]
pub(super) struct Synced {
    pub(super) seal: Seal,
    /// [`FileState::until_restart`] of the file when its digest was made.
    pub(super) state: Option<String>,
}

/// What the file is now, for comparing with the state at its seal.
pub(super) fn state_of(path: &Path) -> Option<String> {
    FileState::of(path)?.until_restart()
}

/// `<store>.snapshot.<pull>.opa` or `.opsera`.
pub(in crate::store) fn path_of(store: &Path, pull: Pull, side: Side) -> PathBuf {
    let mut name = prefix(store);
    name.push(pull.0.to_string());
    name.push(".");
    name.push(side.suffix());
    PathBuf::from(name)
}

fn prefix(store: &Path) -> std::ffi::OsString {
    let mut name = store.as_os_str().to_owned();
    name.push(".snapshot.");
    name
}

/// Makes an empty file that only this user can read. One of that name that is left over from a
/// killed run is replaced.
pub(super) fn make(path: &Path) -> Result<(), StoreError> {
    let create = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    };
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path).and_then(|()| create())
        }
        file => file,
    }
    .map(|_| ())
    .map_err(failed("make the snapshot", path))
}

/// Removes every snapshot of this store but that of `kept`. A file that does not have the name of
/// a snapshot is nobody's to remove.
///
/// A file that cannot be removed takes space and nothing else, so that is only logged.
pub(super) fn remove_others(store: &Path, kept: Option<Pull>) {
    let directory = match store.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "cannot look for old snapshots");
            return;
        }
    };
    for entry in entries.flatten() {
        let pull = pull_of(store, &entry.file_name());
        if pull.is_some_and(|pull| Some(pull) != kept) {
            remove(&entry.path());
        }
    }
}

/// The pull whose snapshot a file of this name beside `store` is.
fn pull_of(store: &Path, name: &std::ffi::OsStr) -> Option<Pull> {
    let own = store.file_name()?.to_str()?;
    let rest = name
        .to_str()?
        .strip_prefix(own)?
        .strip_prefix(".snapshot.")?;
    let (number, suffix) = rest.split_once('.')?;
    let pull = Pull(number.parse().ok()?);
    Side::BOTH
        .iter()
        .any(|side| side.suffix() == suffix && pull.0.to_string() == number)
        .then_some(pull)
}

/// Removes one file, if it is there.
pub(super) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "cannot remove an old snapshot");
        }
    }
}

/// Lets the disk begin with a file that is not complete yet, so that less is left to wait for when it
/// is. Nothing depends on it, and neither on the locks that SQLite loses with this second handle: no
/// other process knows the file before it is sealed.
pub(super) fn write_back(path: &Path) {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        if let Err(error) = File::open(&path).and_then(|file| file.sync_data()) {
            tracing::debug!(file = %path.display(), %error, "cannot be written back early");
        }
    });
}

/// Makes the file's bytes durable and says what they are.
pub(super) fn sync(path: &Path) -> Result<Synced, StoreError> {
    let file = File::open(path).map_err(failed("open the snapshot", path))?;
    let state = state_of(path);
    let seal = read_seal(&file, path)?;
    file.sync_all().map_err(failed("make durable", path))?;
    Ok(Synced { seal, state })
}

/// Makes the names of new files durable.
pub(super) fn sync_directory(store: &Path) -> Result<(), StoreError> {
    let directory = match store.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("make durable the directory", directory))
}

/// What a file holds, whoever put it there.
pub(super) fn inspect(path: &Path) -> Result<Seal, StoreError> {
    let file = File::open(path).map_err(failed("open the snapshot", path))?;
    read_seal(&file, path)
}

fn read_seal(mut file: &File, path: &Path) -> Result<Seal, StoreError> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes: i64 = 0;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(chunk.get(..read).unwrap_or_default());
                bytes = bytes.saturating_add(i64::try_from(read).unwrap_or(i64::MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read the snapshot", path)(error)),
        }
    }
    Ok(Seal {
        bytes,
        digest: hex::encode(hasher.finalize()),
    })
}

pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_with_the_name_of_a_snapshot_of_this_store_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("rolecall.db");
        let names = [
            "rolecall.db",
            "rolecall.db-wal",
            "rolecall.db.snapshot.7.opa",
            "rolecall.db.snapshot.7.opsera",
            "rolecall.db.snapshot.8.opa",
            "rolecall.db.snapshot.08.opa",
            "rolecall.db.snapshot.7.opa.copy",
            "rolecall.db.snapshot.x.opa",
            "other.db.snapshot.7.opa",
        ];
        for name in names {
            std::fs::write(directory.path().join(name), b"").unwrap();
        }
        remove_others(&store, Some(Pull(8)));
        let mut left: Vec<String> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "other.db.snapshot.7.opa",
                "rolecall.db",
                "rolecall.db-wal",
                "rolecall.db.snapshot.08.opa",
                "rolecall.db.snapshot.7.opa.copy",
                "rolecall.db.snapshot.8.opa",
                "rolecall.db.snapshot.x.opa",
            ]
        );
    }
}
