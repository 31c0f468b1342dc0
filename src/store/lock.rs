//! One run at a time per store (A8).
//!
//! The lock is the operating system's, on a file beside the store: it ends with its process,
//! however that ends, so nothing is ever stale. The file itself stays, because removing a locked
//! file lets two processes each lock a file of that name.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::time::{Clock, Timestamp};

/// Held while a run works on a store; released when it is dropped or its process ends.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

/// Who holds the lock, as far as the lock's file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(Option<String>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(words) => write!(f, " ({words})"),
            None => Ok(()),
        }
    }
}

/// Why a run cannot have the store to itself.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it (exit 5).
    #[error("another run is in progress{holder} on the store {}", store.display())]
    Held {
        /// `store.path`
        store: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// The lock's file cannot be made or locked.
    #[error("cannot lock {}: check that its directory exists and can be written", file.display())]
    Io {
        /// The lock's file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RunLock {
    /// Takes the lock of the store at `store_path`, or says at once who has it.
    ///
    /// # Errors
    /// [`LockError::Held`] while another run has it, in this process or another.
    pub fn acquire(store_path: &Path, clock: &dyn Clock) -> Result<Self, LockError> {
        let path = lock_path(store_path);
        let failed = |source| LockError::Io {
            file: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    store: store_path.to_owned(),
                    holder: read_holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Only words for a message: a full disk is no reason not to hold the lock.
        if let Err(error) = write_holder(&mut file, clock.now()) {
            tracing::debug!(file = %path.display(), %error, "cannot note who holds the lock");
        }
        Ok(Self { file })
    }
}

/// What the lock of a store tells somebody who only looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockState {
    /// A run is under way.
    Held,
    /// No run is.
    Free,
    /// This user may not look.
    Unknown,
}

impl LockState {
    /// Looks at the lock of the store at `store_path`. Where no run has it, it is taken for an
    /// instant, so this is for a store whose last run left no end: a run that begins in that
    /// instant would take it for another run.
    pub fn of(store_path: &Path) -> Self {
        let file = match File::open(lock_path(store_path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Free,
            Err(_) => return Self::Unknown,
        };
        match file.try_lock_shared() {
            // Dropping the file lets go of it.
            Ok(()) => Self::Free,
            Err(TryLockError::WouldBlock) => Self::Held,
            Err(TryLockError::Error(_)) => Self::Unknown,
        }
    }
}

impl Drop for RunLock {
    /// Unlocks explicitly: closing the file would not be enough while a child process that
    /// is just being started still has a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "cannot unlock; the lock ends with the process");
        }
    }
}

fn lock_path(store_path: &Path) -> PathBuf {
    let mut name = store_path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn write_holder(file: &mut File, now: Timestamp) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(
        file,
        "pid {} since {}",
        std::process::id(),
        crate::domain::time::format_time(now)
    )
}

fn read_holder(file: &mut File) -> Holder {
    let mut words = String::new();
    let read = file.take(100).read_to_string(&mut words);
    let words = words.trim_end();
    // The other process may be between taking the lock and writing its name.
    let plausible = read.is_ok() && words.starts_with("pid ") && !words.contains(char::is_control);
    Holder(plausible.then(|| words.to_owned()))
}
