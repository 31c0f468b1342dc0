//! What can be wrong with the store, in words that say what to do next.

use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;

use crate::audit::AuditError;

/// Which store an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorePath(Option<PathBuf>);

impl From<&Path> for StorePath {
    fn from(path: &Path) -> Self {
        Self(Some(path.to_owned()))
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(path) => write!(f, "the store {}", path.display()),
            None => f.write_str("the store (store.path)"),
        }
    }
}

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store, and the command only reads.
    #[error(
        "there is no store at {} yet: nothing has run with this store.path; begin with `rolecall sync \
         --dry-run`, or name other settings with --config",
        path.display()
    )]
    Missing {
        /// `store.path`
        path: PathBuf,
    },
    /// A side file without its store.
    #[error(
        "{} is left over from a store that is not there: restore the store together with it, or \
         move it away to start with an empty store",
        side_file.display()
    )]
    StraySideFile {
        /// The file.
        side_file: PathBuf,
    },
    /// The last rows are in a side file, and reading them takes a file that cannot be made.
    #[error(
        "{} holds rows that are not in the store yet, and this user can make no file beside it, \
         which reading them takes: copy the store and its side files to a directory of your own, \
         or wait until no run is under way",
        side_file.display()
    )]
    RowsInSideFile {
        /// The file.
        side_file: PathBuf,
    },
    /// A newer version of the program has written here.
    #[error(
        "{place} was written by a newer version of rolecall (schema {version}, this version knows \
         {known}): install that version, or restore the backup from before the upgrade"
    )]
    NewerSchema {
        /// Which store.
        place: StorePath,
        /// The schema's number.
        version: i64,
        /// The highest number this program knows.
        known: i64,
    },
    /// The command only reads, and the store must first be brought up to date.
    #[error(
        "{place} was written by an older version of rolecall: the next `rolecall sync` (a dry run \
         too) brings it up to date"
    )]
    OlderSchema {
        /// Which store.
        place: StorePath,
    },
    /// The tables are not what this program's migrations make.
    #[error(
        "{place} does not have the tables of rolecall: let store.path name a file of its own, or \
         restore a backup"
    )]
    ForeignSchema {
        /// Which store.
        place: StorePath,
        /// What the migrations ran into.
        #[source]
        source: Box<MigrateError>,
    },
    /// The file is no SQLite database.
    #[error(
        "{place} is not a SQLite database: let store.path name another file, or restore a backup"
    )]
    NotAStore {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// SQLite found the file damaged.
    #[error(
        "{place} is damaged: nothing more is written to it; restore a backup together with its \
         checkpoint file"
    )]
    Damaged {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// A check of the file found damage.
    #[error(
        "{place} is damaged ({finding}): nothing more is written to it; restore a backup together \
         with its checkpoint file"
    )]
    FailedCheck {
        /// Which store.
        place: StorePath,
        /// What the check says.
        finding: String,
    },
    /// A row holds what this program never writes.
    #[error(
        "{place} is damaged: row {row} of {table} has an impossible {column}: {detail}; restore a \
         backup"
    )]
    Corrupt {
        /// Which store.
        place: StorePath,
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key, as a reader can look it up.
        row: String,
        /// What is wrong with the value.
        detail: String,
    },
    /// The file, its directory or the volume does not take writes.
    #[error(
        "{place} cannot be written: check that the volume is not mounted read-only and that the \
         file and its directory belong to this user"
    )]
    ReadOnly {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The volume is full.
    #[error("the volume of {place} is full: free some space and run again; nothing was lost")]
    Full {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The volume fails.
    #[error(
        "{place} cannot be read or written: its volume reports an error (a full or failing disk, \
         or a lost network share)"
    )]
    Io {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// SQLite cannot open the file.
    #[error(
        "{place} cannot be opened: check that its directory exists and that this user may read \
         and write the file and the directory"
    )]
    CannotOpen {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// Another process writes for longer than anybody waits.
    #[error("{place} is busy: another process holds it; look for a rolecall that hangs")]
    Busy {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The snapshot of the last pull is not what the store sealed.
    #[error(
        "the snapshot {} is lost or damaged ({why}): nothing of it is used; the next `rolecall \
         sync` (a dry run too) reads both directories again, and nothing else is lost",
        path.display()
    )]
    LostSnapshot {
        /// The file of the OPA side; the other one stands beside it.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A file beside or of the store cannot be made or changed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was being done, as it follows “cannot”.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store belongs to another Team or another Opsera.
    #[error(
        "{place} belongs to another installation: it was made for {what} {recorded}, the settings \
         say {configured}; let store.path name another file for this one"
    )]
    OtherInstallation {
        /// Which store.
        place: StorePath,
        /// Which of the three facts differs.
        what: &'static str,
        /// What the store says.
        recorded: String,
        /// What the settings say.
        configured: String,
    },
    /// An update that must change exactly one row found it in another state.
    #[error("{place} changed while it was being written: {what}")]
    Conflict {
        /// Which store.
        place: StorePath,
        /// Which row was expected in which state.
        what: String,
    },
    /// The audit log cannot be continued.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A statement failed for a reason of its own: a mistake in this program.
    #[error("{place} refused a statement")]
    Statement {
        /// Which store.
        place: StorePath,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Adds which store it is about, unless that is known already.
    pub fn at(mut self, path: &Path) -> Self {
        match &mut self {
            Self::NewerSchema { place, .. }
            | Self::OlderSchema { place }
            | Self::ForeignSchema { place, .. }
            | Self::NotAStore { place, .. }
            | Self::Damaged { place, .. }
            | Self::FailedCheck { place, .. }
            | Self::Corrupt { place, .. }
            | Self::ReadOnly { place, .. }
            | Self::Full { place, .. }
            | Self::Io { place, .. }
            | Self::CannotOpen { place, .. }
            | Self::Busy { place, .. }
            | Self::OtherInstallation { place, .. }
            | Self::Conflict { place, .. }
            | Self::Statement { place, .. } => {
                if place.0.is_none() {
                    *place = path.into();
                }
            }
            Self::Missing { .. }
            | Self::StraySideFile { .. }
            | Self::RowsInSideFile { .. }
            | Self::LostSnapshot { .. }
            | Self::File { .. }
            | Self::Audit(_) => {}
        }
        self
    }

    /// Names a value that this program never writes.
    pub fn corrupt(
        table: &'static str,
        column: &'static str,
        row: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self::Corrupt {
            place: StorePath::default(),
            table,
            column,
            row: row.to_string(),
            detail: detail.to_string(),
        }
    }
}

/// SQLite's primary result codes, which are the low byte of what it reports.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const AUTH: i32 = 23;
    pub(super) const FORMAT: i32 = 24;
    pub(super) const NOTADB: i32 = 26;
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        let place = StorePath::default();
        match (primary_code(&source), &source) {
            (Some(code::CORRUPT | code::FORMAT), _)
            | (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                Self::Damaged { place, source }
            }
            (Some(code::NOTADB), _) => Self::NotAStore { place, source },
            (Some(code::READONLY | code::PERM | code::AUTH), _) => Self::ReadOnly { place, source },
            (Some(code::FULL), _) => Self::Full { place, source },
            (Some(code::CANTOPEN), _) => Self::CannotOpen { place, source },
            (Some(code::IOERR), _) | (None, sqlx::Error::Io(_)) => Self::Io { place, source },
            (Some(code::BUSY | code::LOCKED | code::PROTOCOL), _)
            | (None, sqlx::Error::PoolTimedOut) => Self::Busy { place, source },
            _ => Self::Statement { place, source },
        }
    }
}
