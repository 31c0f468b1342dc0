//! Syslog as RFC 5424 has it: a header in ASCII, structured data, and a message in UTF-8 behind a
//! byte order mark.

use std::fmt::Write as _;

use super::siem::{Severity, milliseconds, one_line, plan_id, sentence};
use super::{HashedEntry, NotCanonical};

/// Facility 13, “log audit”.
const FACILITY: u8 = 13;
/// The number that RFC 5612 reserves for documentation: rolecall has no enterprise of its own.
const SD_ID: &str = "rolecall@32473";
/// RFC 5424: at the beginning of a message in UTF-8.
const BOM: char = '\u{feff}';
/// `sequenceId` of RFC 5424 goes so far and no further.
const LAST_SEQUENCE_ID: u64 = 2_147_483_647;

/// The entry as a message of RFC 5424, without an end of line.
///
/// # Errors
/// A value of the entry is not stored as it was hashed.
pub(super) fn line(entry: &HashedEntry) -> Result<String, NotCanonical> {
    // An entry that is not what was hashed is not handed on.
    entry.canonical()?;
    let seq = entry.seq.to_string();
    let status = entry.http_status.map(|status| status.to_string());
    let plan = plan_id(entry);
    let mut data = String::new();
    for (name, value) in [
        ("seq", Some(seq.as_str())),
        ("user", Some(&entry.user)),
        ("version", Some(&entry.version)),
        ("runId", entry.run_id.as_deref()),
        ("planId", plan.as_deref()),
        ("email", entry.email.as_deref()),
        ("opseraId", entry.opsera_id.as_deref()),
        ("before", entry.before.as_deref()),
        ("after", entry.after.as_deref()),
        ("reason", entry.reason.as_deref()),
        ("evidence", entry.evidence.as_deref()),
        ("httpStatus", status.as_deref()),
        ("words", entry.words.as_deref()),
        ("algorithm", Some(&entry.algorithm)),
        ("prevHash", Some(&entry.prev_hash)),
        ("hash", Some(&entry.hash)),
    ] {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(data, " {name}=\"{}\"", parameter(value));
        }
    }
    let mut line = header(entry);
    let _ = write!(line, " [{SD_ID}{data}]");
    if entry.seq <= LAST_SEQUENCE_ID {
        let _ = write!(line, "[meta sequenceId=\"{seq}\"]");
    }
    let _ = write!(line, " {BOM}{}", one_line(&sentence(entry)));
    Ok(line)
}

/// A message that carries `text`, one line, where only syslog is understood. There is no byte
/// order mark: a receiver reads the text as JSON or CEF, and neither may begin with one.
pub(super) fn carrying(entry: &HashedEntry, text: &str) -> String {
    format!("{} - {text}", header(entry))
}

fn header(entry: &HashedEntry) -> String {
    let severity = match Severity::of(entry) {
        Severity::Informational => 6,
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
    };
    let time = match milliseconds(entry) {
        Some(_) => entry.at.as_str(),
        None => "-",
    };
    format!(
        "<{}>1 {time} {} rolecall - {}",
        FACILITY * 8 + severity,
        name(&entry.host, 255),
        name(&entry.event, 32),
    )
}

/// A field of the header: visible ASCII of a bounded length, and never empty.
fn name(text: &str, longest: usize) -> String {
    let name: String = text
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' })
        .take(longest)
        .collect();
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

fn parameter(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if matches!(c, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
