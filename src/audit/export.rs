//! Entries written out, for other programs.
//!
//! A line of the JSONL form is the canonical JSON with the two hashes among its members: all that
//! somebody needs to verify the log elsewhere (`docs/audit-format.md`).

use std::io::{self, Write};

use super::{HashedEntry, canonical_json};
use crate::domain::text::for_csv;

/// `audit export --format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180, with a header line.
    Csv,
}

const COLUMNS: [&str; 18] = [
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
];

/// Writes entries in one of the formats.
pub enum Exporter<W: Write> {
    /// [`ExportFormat::Jsonl`]
    Jsonl(W),
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
            ExportFormat::Jsonl => Self::Jsonl(out),
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
            Self::Jsonl(out) => {
                let json = entry
                    .to_json()
                    .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
                writeln!(out, "{}", canonical_json(&json))
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
            Self::Jsonl(out) => out.flush(),
            Self::Csv(writer) => writer.flush(),
        }
    }
}
