//! Common Event Format, version 0: one line, a header of seven fields and `key=value` pairs.
//!
//! In the header `\` and `|` are escaped, in a value `\`, `=` and line ends. All else that could end
//! a line, whatever the reader takes for one, is U+FFFD.

use std::fmt::Write as _;

use super::siem::{Ending, Severity, milliseconds, one_line, plan_id, sentence};
use super::{HashedEntry, NotCanonical};

/// The entry as a line of CEF, without its end.
///
/// # Errors
/// A value of the entry is not stored as it was hashed.
pub(super) fn line(entry: &HashedEntry) -> Result<String, NotCanonical> {
    // An entry that is not what was hashed is not handed on.
    entry.canonical()?;
    let severity = match Severity::of(entry) {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
    };
    let mut line = format!(
        "CEF:0|rolecall|rolecall|{}|{}|{}|{severity}|",
        header(&entry.version),
        header(&entry.event),
        header(&entry.event.replace('_', " ")),
    );
    let seq = entry.seq.to_string();
    let time = milliseconds(entry).map(|time| time.to_string());
    let status = entry.http_status.map(|status| status.to_string());
    let plan = plan_id(entry);
    let text = sentence(entry);
    let pairs: [(&str, Option<&str>, Option<&str>); 17] = [
        ("rt", None, time.as_deref()),
        ("externalId", None, Some(&seq)),
        ("dvchost", None, Some(&entry.host)),
        ("suser", None, Some(&entry.user)),
        ("duser", None, entry.email.as_deref()),
        ("duid", None, entry.opsera_id.as_deref()),
        ("reason", None, entry.reason.as_deref()),
        ("outcome", None, Ending::of(entry).map(Ending::words)),
        ("flexString1", Some("words"), entry.words.as_deref()),
        ("cn1", Some("httpStatus"), status.as_deref()),
        ("cs1", Some("runId"), entry.run_id.as_deref()),
        ("cs2", Some("planId"), plan.as_deref()),
        ("cs3", Some("before"), entry.before.as_deref()),
        ("cs4", Some("after"), entry.after.as_deref()),
        ("cs5", Some("evidence"), entry.evidence.as_deref()),
        ("cs6", Some("hash"), Some(&entry.hash)),
        ("msg", None, Some(&text)),
    ];
    let mut space = "";
    for (key, label, value) in pairs {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        // Writing to a String cannot fail.
        let _ = write!(line, "{space}{key}={}", extension(value));
        space = " ";
        if let Some(label) = label {
            let _ = write!(line, " {key}Label={label}");
        }
    }
    Ok(line)
}

fn header(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn extension(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '=' => escaped.push_str("\\="),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c => escaped.push_str(&one_line(c.encode_utf8(&mut [0; 4]))),
        }
    }
    escaped
}
