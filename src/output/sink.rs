//! The one place that prints: results to standard output or to a file, failures to standard error.
//!
//! A reader that goes away (`rolecall audit list | head`) is no failure. A file is written beside
//! its final place and moved there when it is complete, with mode 0600 (§11). Texts that came from
//! a directory go through [`terminal_safe`](crate::domain::text::terminal_safe) before they reach a terminal.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};
use tempfile::NamedTempFile;

use crate::domain::text::safe_lines;
use crate::output::{Severity, TableStyle, coloured};

/// Rows of one list on a terminal: what fits a screen beside its title.
const ROWS_ON_A_TERMINAL: usize = 20;

/// What is written to a pipe or a file at once, in bytes.
const STDOUT_BUFFER: usize = 32 * 1024;

/// Why a result could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Standard output failed for another reason than a reader that went away.
    #[error("the result could not be written to standard output")]
    Stdout(#[source] io::Error),
    /// The file of `--output` could not be written. What stood there before is unchanged.
    #[error("the result could not be written to {}; choose another place with --output", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Where a result goes, as a stream.
#[derive(Debug)]
pub struct Sink(Kind);

#[derive(Debug)]
enum Kind {
    /// Standard output writes each line by itself, which a report of thousands of people, written in
    /// small pieces, would pay for.
    Stdout(io::BufWriter<AutoStream<io::StdoutLock<'static>>>),
    /// Whoever read standard output is gone; the rest is dropped.
    Closed,
    File {
        temporary: io::BufWriter<NamedTempFile>,
        path: PathBuf,
    },
    /// A pipe or a device, which cannot be replaced by a file.
    Special {
        file: io::BufWriter<std::fs::File>,
        path: PathBuf,
    },
}

impl Sink {
    /// Standard output; escape sequences are taken out where it is no terminal.
    pub fn stdout(colour: ColorChoice) -> Self {
        let stdout = io::stdout().lock();
        // Somebody who watches sees each line at once.
        let buffer = if stdout.is_terminal() {
            0
        } else {
            STDOUT_BUFFER
        };
        let stream = AutoStream::new(stdout, colour);
        Self(Kind::Stdout(io::BufWriter::with_capacity(buffer, stream)))
    }

    /// The file `output`, or standard output without one.
    pub fn open(output: Option<&Path>, colour: ColorChoice) -> Result<Self, OutputError> {
        let Some(path) = output else {
            return Ok(Self::stdout(colour));
        };
        let failed = |source| OutputError::File {
            path: path.to_owned(),
            source,
        };
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
                let file = std::fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map_err(failed)?;
                return Ok(Self(Kind::Special {
                    file: io::BufWriter::new(file),
                    path: path.to_owned(),
                }));
            }
            _ => {}
        }
        // A link stays a link: what it points to is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if target.is_dir() || target.file_name().is_none() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // A temporary file is created with mode 0600 and keeps it.
        let temporary = NamedTempFile::new_in(directory).map_err(failed)?;
        Ok(Self(Kind::File {
            temporary: io::BufWriter::new(temporary),
            path: target,
        }))
    }

    /// Delivers everything: flushes, and moves a file to its place.
    pub fn finish(self) -> Result<(), OutputError> {
        match self.0 {
            Kind::Closed => Ok(()),
            Kind::Stdout(mut stream) => match stream.flush() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(OutputError::Stdout(error))
                }
                _ => Ok(()),
            },
            Kind::Special { mut file, path } => file
                .flush()
                .map_err(|source| OutputError::File { path, source }),
            Kind::File { temporary, path } => temporary
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| {
                    file.as_file().sync_all()?;
                    file.persist(&path).map_err(|error| error.error)
                })
                .map(drop)
                .map_err(|source| OutputError::File { path, source }),
        }
    }

    /// Whether anybody still reads: a long listing can stop early.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed)
    }

    fn failure(&self, error: io::Error) -> OutputError {
        match &self.0 {
            Kind::Stdout(_) | Kind::Closed => OutputError::Stdout(error),
            Kind::File { path, .. } | Kind::Special { path, .. } => OutputError::File {
                path: path.clone(),
                source: error,
            },
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.0 {
            Kind::Closed => return Ok(bytes.len()),
            Kind::Stdout(stream) => stream.write(bytes),
            Kind::File { temporary, .. } => return temporary.write(bytes),
            Kind::Special { file, .. } => return file.write(bytes),
        };
        self.forgive(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.0 {
            Kind::Closed => return Ok(()),
            Kind::Stdout(stream) => stream.flush(),
            Kind::File { temporary, .. } => return temporary.flush(),
            Kind::Special { file, .. } => return file.flush(),
        };
        self.forgive(flushed, ())
    }
}

impl Sink {
    fn forgive<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = Kind::Closed;
                Ok(instead)
            }
            other => other,
        }
    }
}

/// How tables are drawn: coloured where the output takes it, and as wide as the terminal.
pub fn table_style(colour: ColorChoice, on_terminal: bool) -> TableStyle {
    let width = on_terminal
        .then(terminal_size::terminal_size)
        .flatten()
        .map(|(width, _)| width.0);
    TableStyle {
        colour: match colour {
            ColorChoice::Never => false,
            ColorChoice::Always | ColorChoice::AlwaysAnsi => true,
            // The stream itself takes the colours out where NO_COLOR or a dumb terminal want it.
            ColorChoice::Auto => on_terminal,
        },
        width,
        rows_per_list: on_terminal.then_some(ROWS_ON_A_TERMINAL),
    }
}

/// Delivers a finished text to the file `output`, or to standard output without one.
pub fn deliver(output: Option<&Path>, colour: ColorChoice, text: &str) -> Result<(), OutputError> {
    let mut sink = Sink::open(output, colour)?;
    if let Err(error) = sink.write_all(text.as_bytes()) {
        return Err(sink.failure(error));
    }
    sink.finish()
}

/// Tells on standard error why a command failed: the error, its causes, then what can be done.
pub fn tell_failure(error: &anyhow::Error, hints: &[String], colour: ColorChoice) {
    let mut text = format!(
        "{}: {}\n",
        coloured("error", Severity::Bad),
        safe_lines(&error.to_string())
    );
    for cause in error.chain().skip(1) {
        text.push_str(
            &format_args!("  caused by: {}\n", safe_lines(&cause.to_string())).to_string(),
        );
    }
    for hint in hints {
        text.push_str(&format_args!("  hint: {}\n", safe_lines(hint)).to_string());
    }
    note(&text, colour);
}

/// Says something on standard error that is not the result.
pub fn note(text: &str, colour: ColorChoice) {
    let mut stderr = AutoStream::new(io::stderr().lock(), colour);
    // Nobody is left to be told that standard error is gone.
    drop(stderr.write_all(text.as_bytes()));
    drop(stderr.flush());
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_complete_private_and_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        std::fs::write(&path, "before").unwrap();
        let mut sink = Sink::open(Some(&path), ColorChoice::Never).unwrap();
        sink.write_all(b"after").unwrap();
        sink.flush().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        sink.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error =
            deliver(Some(Path::new("/nowhere/at/all")), ColorChoice::Never, "x").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
        let directory = tempfile::tempdir().unwrap();
        assert!(deliver(Some(directory.path()), ColorChoice::Never, "x").is_err());
    }
}
