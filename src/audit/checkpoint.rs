//! Checkpoints: where the log ended at some time, written down outside of the store.
//!
//! One line a checkpoint, `TIME ENTRIES HEAD`, only ever appended, so that the file can live on
//! another volume and be append-only for this program too. A power cut may leave a line torn; the
//! next checkpoint starts a line of its own, and a torn line says nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{AuditError, Head};
use crate::domain::time::{Timestamp, format_time};

/// A whole line is 24 + 1 + at most 20 + 1 + 64 bytes.
const MAX_LINE: u64 = 110;

/// As much of the file's end as the last checkpoint is looked for in.
const END: u64 = 64 * MAX_LINE;

/// One line of the checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// When it was written; RFC 3339, UTC, milliseconds.
    pub at: String,
    /// The log's end at that time.
    pub head: Head,
}

impl Checkpoint {
    /// The end of the log as of `at`.
    pub fn new(at: Timestamp, head: Head) -> Self {
        Self {
            at: format_time(at),
            head,
        }
    }

    /// The line, without its end.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.at, self.head.entries, self.head.hash)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(' ');
        let (at, entries, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let parsed = Self {
            at: at.to_owned(),
            head: Head {
                entries: entries.parse().ok()?,
                hash: hash.to_owned(),
            },
        };
        let time: Timestamp = at.parse().ok()?;
        let is_whole = parts.next().is_none()
            && format_time(time) == at
            && is_hash(hash)
            && parsed.line() == line;
        is_whole.then_some(parsed)
    }

    /// Appends the line to `file`, making it (mode 0600) if there is none. When this returns, the
    /// line survives a power cut.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn append_to(&self, file: &Path) -> Result<(), AuditError> {
        self.try_append(file)
            .map_err(|source| AuditError::CheckpointIo {
                doing: "append to",
                file: file.to_owned(),
                source,
            })
    }

    fn try_append(&self, file: &Path) -> io::Result<()> {
        let is_new = !file.try_exists()?;
        let mut opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)?;
        let mut text = String::new();
        if ends_torn(&mut opened)? {
            text.push('\n');
        }
        text.push_str(&self.line());
        text.push('\n');
        opened.write_all(text.as_bytes())?;
        opened.sync_all()?;
        if is_new {
            let directory = match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Makes sure, before anything is done, that the line at the end of the run will find its file.
///
/// # Errors
/// The file cannot be made or written.
pub fn must_take_checkpoints(file: &Path) -> Result<(), AuditError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .map(drop)
        .map_err(|source| AuditError::CheckpointIo {
            doing: "append to",
            file: file.to_owned(),
            source,
        })
}

/// Reads every checkpoint of `file`, in the order of the entries they name. A file that does not
/// exist holds none.
///
/// # Errors
/// The file cannot be read, or a line is neither a checkpoint nor the beginning of one.
pub fn read_checkpoints(file: &Path) -> Result<Vec<Checkpoint>, AuditError> {
    let unreadable = |source| AuditError::CheckpointIo {
        doing: "read",
        file: file.to_owned(),
        source,
    };
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut reader = BufReader::new(opened);
    let mut checkpoints = Vec::new();
    let mut number = 0;
    loop {
        let mut bytes = Vec::new();
        let read = reader
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(unreadable)?;
        if read == 0 {
            break;
        }
        number += 1;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = std::str::from_utf8(line).unwrap_or("?");
        match Checkpoint::parse(text) {
            Some(checkpoint) => checkpoints.push(checkpoint),
            None if begins_a_checkpoint(text) => {}
            None => {
                return Err(AuditError::CheckpointLine {
                    file: file.to_owned(),
                    line: number,
                });
            }
        }
    }
    checkpoints.sort_by_key(|checkpoint| checkpoint.head.entries);
    Ok(checkpoints)
}

/// The last checkpoint of `file`: the one that names the most entries. Reads the end of the file
/// alone, because the file grows for ever; where the end is not plain, all of it.
///
/// # Errors
/// As [`read_checkpoints`].
pub fn last_checkpoint(file: &Path) -> Result<Option<Checkpoint>, AuditError> {
    match read_end(file) {
        Ok(Some(end)) => match newest_of(&end) {
            Some(newest) => Ok(Some(newest)),
            None => Ok(read_checkpoints(file)?.pop()),
        },
        // A short file, or one that is not there or cannot be read: the other way says which.
        Ok(None) | Err(_) => Ok(read_checkpoints(file)?.pop()),
    }
}

/// The end of a file that is longer than that.
fn read_end(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut opened = File::open(file)?;
    let length = opened.metadata()?.len();
    if length <= END {
        return Ok(None);
    }
    opened.seek(SeekFrom::Start(length - END))?;
    let mut bytes = Vec::new();
    opened.take(END).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// `None`: a line in it is neither a checkpoint nor the beginning of one, or there is none.
fn newest_of(end: &[u8]) -> Option<Checkpoint> {
    let mut newest: Option<Checkpoint> = None;
    // The first line may be cut.
    for line in end.split(|byte| *byte == b'\n').skip(1) {
        let text = std::str::from_utf8(line).ok()?;
        match Checkpoint::parse(text) {
            Some(checkpoint) => {
                let is_newer = newest
                    .as_ref()
                    .is_none_or(|newest| checkpoint.head.entries >= newest.head.entries);
                if is_newer {
                    newest = Some(checkpoint);
                }
            }
            None if begins_a_checkpoint(text) => {}
            None => return None,
        }
    }
    newest
}

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_hex)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Whether a power cut can have left this much of a line.
fn begins_a_checkpoint(text: &str) -> bool {
    const TIME: &str = "0000-00-00T00:00:00.000Z";
    let mut parts = text.splitn(3, ' ');
    let time = parts.next().unwrap_or_default();
    let time_fits = time
        .bytes()
        .zip(TIME.bytes())
        .all(|(byte, model)| byte == model || (model == b'0' && byte.is_ascii_digit()));
    let Some(entries) = parts.next() else {
        return time_fits && time.len() <= TIME.len();
    };
    let entries_fit = entries.len() <= 20 && entries.bytes().all(|byte| byte.is_ascii_digit());
    let Some(hash) = parts.next() else {
        return time_fits && time.len() == TIME.len() && entries_fit;
    };
    time_fits
        && time.len() == TIME.len()
        && entries_fit
        && !entries.is_empty()
        && hash.len() < 64
        && hash.bytes().all(is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(entries: u64) -> Checkpoint {
        let at = "2026-03-01T12:00:00.000Z".parse().unwrap();
        let hash = format!("{entries:064x}");
        Checkpoint::new(at, Head { entries, hash })
    }

    #[test]
    fn a_line_torn_anywhere_is_passed_over_and_the_next_one_stands_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checkpoints");
        let torn = checkpoint(12).line();
        for length in 0..torn.len() {
            let whole = checkpoint(7).line();
            std::fs::write(&file, format!("{whole}\n{}", &torn[..length])).unwrap();
            assert_eq!(
                read_checkpoints(&file).unwrap(),
                [checkpoint(7)],
                "{length}"
            );
            checkpoint(13).append_to(&file).unwrap();
            let both = [checkpoint(7), checkpoint(13)];
            assert_eq!(read_checkpoints(&file).unwrap(), both, "{length}");
        }
    }

    #[test]
    fn a_whole_last_line_counts_without_its_newline() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checkpoints");
        std::fs::write(&file, checkpoint(7).line()).unwrap();
        assert_eq!(read_checkpoints(&file).unwrap(), [checkpoint(7)]);
    }

    #[test]
    fn a_line_that_was_edited_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checkpoints");
        let line = checkpoint(7).line();
        for edited in [
            line.replace(" 7 ", " 07 "),
            line.replace(" 7 ", " -7 "),
            line.replace(" 7 ", "  7 "),
            line.replace("2026-03", "2026-13"),
            format!("{line}0"),
            line.replace('T', "t"),
            "\u{feff}x".repeat(60),
        ] {
            std::fs::write(&file, format!("{line}\n{edited}\n")).unwrap();
            let error = read_checkpoints(&file).unwrap_err();
            assert!(
                matches!(error, AuditError::CheckpointLine { line: 2, .. }),
                "{edited}: {error:?}"
            );
        }
    }

    #[test]
    fn the_last_checkpoint_is_found_in_a_file_of_any_length() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("checkpoints");
        assert_eq!(last_checkpoint(&file).unwrap(), None);
        for count in [1, 2, 60, 70, 500] {
            let lines: Vec<String> = (1..=count).map(|n| checkpoint(n).line()).collect();
            let whole = lines.join("\n");
            for torn in ["\n", "", "\n2026-03-01T1", "\n2026-03-01T12:00:00.000Z 9"] {
                std::fs::write(&file, format!("{whole}{torn}")).unwrap();
                assert_eq!(
                    last_checkpoint(&file).unwrap(),
                    read_checkpoints(&file).unwrap().pop(),
                    "{count} {torn:?}"
                );
            }
            std::fs::write(&file, format!("{whole}\nan edited line\n")).unwrap();
            assert!(last_checkpoint(&file).is_err(), "{count}");
        }
    }

    #[test]
    fn no_file_holds_no_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            read_checkpoints(&directory.path().join("none")).unwrap(),
            []
        );
    }
}
