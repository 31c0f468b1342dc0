//! Entries written out, for other programs.
//!
//! A line of the JSONL form is the canonical JSON with the two hashes among its members: all that
//! somebody needs to verify the log elsewhere (`docs/audit-format.md`). The formats of other systems
//! are in files of their own (`docs/siem.md`).

use std::io::{self, Write};

use super::{HashedEntry, NotCanonical, cef, ocsf, rfc5424};
use crate::domain::text::for_csv;

/// `audit export --format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180, with a header line.
    Csv,
    /// A line an entry, for a SIEM.
    Siem(LineFormat),
}

/// The formats in which an entry is one line by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// As [`ExportFormat::Jsonl`].
    Jsonl,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// Common Event Format.
    Cef,
    /// Syslog.
    Rfc5424,
}

impl LineFormat {
    /// The entry, without an end of line: no text in it can make it two.
    ///
    /// # Errors
    /// A value of the entry is not stored as it was hashed.
    pub fn line(self, entry: &HashedEntry) -> Result<String, NotCanonical> {
        match self {
            Self::Jsonl => entry.line(),
            Self::Ocsf => ocsf::line(entry),
            Self::Cef => cef::line(entry),
            Self::Rfc5424 => rfc5424::line(entry),
        }
    }

    /// The entry as one message to a syslog socket: what is not syslog itself is the text of a
    /// message of RFC 5424.
    ///
    /// # Errors
    /// As [`LineFormat::line`].
    pub fn message(self, entry: &HashedEntry) -> Result<String, NotCanonical> {
        let line = self.line(entry)?;
        Ok(match self {
            Self::Rfc5424 => line,
            Self::Jsonl | Self::Ocsf | Self::Cef => rfc5424::carrying(entry, &line),
        })
    }
}

/// What is sent in place of a message that no datagram holds.
pub fn too_large_message(entry: &HashedEntry) -> String {
    let words = format!(
        "entry {} with hash {} is larger than a datagram: `rolecall audit export` has it",
        entry.seq, entry.hash
    );
    rfc5424::carrying(entry, &words)
}

const COLUMNS: [&str; 19] = [
    "seq",
    "at",
    "run_id",
    "host",
    "user",
    "version",
    "event",
    "email",
    "opsera_id",
    "before",
    "after",
    "reason",
    "evidence",
    "http_status",
    "words",
    "algorithm",
    "prev_hash",
    "hash",
    "format",
];

/// Writes entries in one of the formats.
pub enum Exporter<W: Write> {
    /// [`ExportFormat::Jsonl`] and [`ExportFormat::Siem`]
    Lines(LineFormat, W),
    /// [`ExportFormat::Csv`]
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Exporter<W> {
    /// Begins an export to `out`.
    ///
    /// # Errors
    /// `out` does not take the header line.
    pub fn new(format: ExportFormat, out: W) -> io::Result<Self> {
        Ok(match format {
            ExportFormat::Jsonl => Self::Lines(LineFormat::Jsonl, out),
            ExportFormat::Siem(format) => Self::Lines(format, out),
            ExportFormat::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(COLUMNS)?;
                Self::Csv(Box::new(writer))
            }
        })
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// `out` does not take it, or a value of the entry is not stored as it was hashed
    /// ([`io::ErrorKind::InvalidData`]).
    pub fn write(&mut self, entry: &HashedEntry) -> io::Result<()> {
        match self {
            Self::Lines(format, out) => {
                let line = format
                    .line(entry)
                    .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
                writeln!(out, "{line}")
            }
            Self::Csv(writer) => {
                let seq = entry.seq.to_string();
                let status = entry.http_status.map(|status| status.to_string());
                let defused = |text: &str| for_csv(text).into_owned();
                let text = |value: &Option<String>| defused(value.as_deref().unwrap_or_default());
                writer.write_record([
                    seq,
                    entry.at.clone(),
                    text(&entry.run_id),
                    defused(&entry.host),
                    defused(&entry.user),
                    defused(&entry.version),
                    defused(&entry.event),
                    text(&entry.email),
                    text(&entry.opsera_id),
                    text(&entry.before),
                    text(&entry.after),
                    text(&entry.reason),
                    text(&entry.evidence),
                    status.unwrap_or_default(),
                    text(&entry.words),
                    entry.algorithm.clone(),
                    entry.prev_hash.clone(),
                    entry.hash.clone(),
                    entry.format.to_string(),
                ])?;
                Ok(())
            }
        }
    }

    /// Hands everything on that is still buffered.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Lines(_, out) => out.flush(),
            Self::Csv(writer) => writer.flush(),
        }
    }
}
