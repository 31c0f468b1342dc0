//! `--metrics-file`, for the textfile collector of a Prometheus node exporter.
//!
//! The one file that is not private to this user (§11): the exporter runs as another user and
//! must be able to read it, and nothing in it is about a person.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The metrics could not be written; what stood there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("the metrics could not be written to {}; choose another place with --metrics-file", path.display())]
pub struct MetricsFileError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Replaces the file at `path` by `text` as a whole, with mode 0644.
///
/// # Errors
/// The directory cannot be written, or `path` is a directory.
pub fn write(path: &Path, text: &str) -> Result<(), MetricsFileError> {
    replace(path, text).map_err(|source| MetricsFileError {
        path: path.to_owned(),
        source,
    })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The collector reads every *.prom of its directory: a half-written one must not end so.
    let mut file = tempfile::Builder::new()
        .prefix(".rolecall-metrics-")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    persist(file, path)
}

fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_readable_by_the_collector_and_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rolecall.prom");
        write(&path, "one 1\n").unwrap();
        write(&path, "two 2\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two 2\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = write(Path::new("/nowhere/at/all.prom"), "").unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/at/all.prom"),
            "{error}"
        );
        let directory = tempfile::tempdir().unwrap();
        assert!(write(directory.path(), "").is_err());
    }
}
