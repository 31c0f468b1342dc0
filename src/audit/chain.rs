//! Which bytes of an entry are hashed, and under what.
//!
//! `hash = H(prev_hash ‖ canonical JSON of the rest)`, with `prev_hash` as its 64 hex digits and
//! H either SHA-256 or, once a key is configured, HMAC-SHA256 under it. Which of the two is part
//! of what is hashed: a key may be introduced later, but never be taken away again.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Actor, AuditKey, Format, NewEntry};
use crate::domain::time::{SharedClock, Timestamp, format_time};

/// The `prev_hash` of the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How an entry was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Anybody can compute it.
    Sha256,
    /// Only who holds the key can compute it.
    HmacSha256,
}

impl Algorithm {
    /// The name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::HmacSha256 => "hmac-sha256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Sha256, Self::HmacSha256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| format!("“{text}” is no algorithm of the audit log"))
    }
}

/// The end of the log: what a checkpoint holds and the next entry continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries, which is also the number of the last one.
    pub entries: u64,
    /// Hash of the last entry; [`GENESIS`] while there is none.
    pub hash: String,
}

impl Head {
    /// The end of a log without entries.
    pub fn genesis() -> Self {
        Self {
            entries: 0,
            hash: GENESIS.to_owned(),
        }
    }
}

/// Who writes to the log: the time, the name and the key it writes with.
#[derive(Clone, Debug)]
pub struct AuditWriter {
    /// Where the time comes from.
    pub clock: SharedClock,
    /// Who writes.
    pub actor: Actor,
    /// `[audit] key_file`
    pub key: Option<AuditKey>,
}

impl AuditWriter {
    /// How this audit_writer hashes.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            None => Algorithm::Sha256,
            Some(_) => Algorithm::HmacSha256,
        }
    }
}

/// An entry with its place in the chain, its values as the log keeps them: every field is a
/// column of the log and a member of its canonical JSON, but for the two hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedEntry {
    /// From 1, without gaps.
    pub seq: u64,
    /// RFC 3339, UTC, milliseconds.
    pub at: String,
    /// The run.
    pub run_id: Option<String>,
    /// [`Actor::host`]
    pub host: String,
    /// [`Actor::user`]
    pub user: String,
    /// [`Actor::version`]
    pub version: String,
    /// The name of an [`super::Event`].
    pub event: String,
    /// The subject's address.
    pub email: Option<String>,
    /// The subject's account.
    pub opsera_id: Option<String>,
    /// Canonical JSON.
    pub before: Option<String>,
    /// Canonical JSON.
    pub after: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Canonical JSON.
    pub evidence: Option<String>,
    /// The status the server answered with.
    pub http_status: Option<u16>,
    /// The server's words.
    pub words: Option<String>,
    /// The name of an [`Algorithm`].
    pub algorithm: String,
    /// The number of a [`Format`].
    pub format: u16,
    /// The `hash` of the entry before.
    pub prev_hash: String,
    /// 64 lower-case hex digits.
    pub hash: String,
}

impl HashedEntry {
    /// Gives `entry` the place after `head`, at `at`, in the name and under the key of `audit_writer`.
    pub fn chain_entry(
        audit_writer: &AuditWriter,
        head: &Head,
        at: Timestamp,
        entry: NewEntry,
    ) -> Self {
        let subject = entry.subject.unwrap_or_default();
        let outcome = entry.outcome.unwrap_or_default();
        let json = |value: Option<Value>| {
            value
                .filter(|value| !value.is_null())
                .as_ref()
                .map(|value| Format::CURRENT.canonical(value))
        };
        let mut chained = Self {
            seq: head.entries + 1,
            at: format_time(at),
            run_id: entry.run_id.map(|id| id.as_str().to_owned()),
            host: audit_writer.actor.host.clone(),
            user: audit_writer.actor.user.clone(),
            version: audit_writer.actor.version.clone(),
            event: entry.event.as_str().to_owned(),
            email: subject.email,
            opsera_id: subject.opsera_id.map(|id| id.as_str().to_owned()),
            before: json(entry.before),
            after: json(entry.after),
            reason: entry.reason,
            evidence: json(entry.evidence),
            http_status: outcome.http_status,
            words: outcome.words,
            algorithm: audit_writer.algorithm().as_str().to_owned(),
            format: Format::CURRENT.number(),
            prev_hash: head.hash.clone(),
            hash: String::new(),
        };
        // What was just written canonically reads back, so the fallback is never taken.
        let canonical = chained.canonical().unwrap_or_default();
        chained.hash = digest(audit_writer.key.as_ref(), &chained.prev_hash, &canonical);
        chained
    }

    /// The bytes that are hashed after `prev_hash`.
    ///
    /// # Errors
    /// Names the column that holds no JSON, or JSON that is not written canonically.
    pub fn canonical(&self) -> Result<String, NotCanonical> {
        let format = self.known_format()?;
        Ok(format.canonical(&Value::Object(self.members(format)?)))
    }

    /// All of it in one line of canonical JSON, as an export has it.
    ///
    /// # Errors
    /// As [`HashedEntry::canonical`].
    pub fn line(&self) -> Result<String, NotCanonical> {
        Ok(self.known_format()?.canonical(&self.to_json()?))
    }

    /// All of it as JSON, as an export has it.
    ///
    /// # Errors
    /// As [`HashedEntry::canonical`].
    pub fn to_json(&self) -> Result<Value, NotCanonical> {
        let mut members = self.members(self.known_format()?)?;
        for (name, hash) in [("prev_hash", &self.prev_hash), ("hash", &self.hash)] {
            members.insert(name.to_owned(), Value::from(hash.as_str()));
        }
        Ok(Value::Object(members))
    }

    /// The members of the canonical JSON, to which an export adds the two hashes.
    fn members(&self, format: Format) -> Result<serde_json::Map<String, Value>, NotCanonical> {
        let read_back = |column, text: &Option<String>| read_back(format, column, text.as_deref());
        let number = |value: Option<u16>| value.map_or(Value::Null, Value::from);
        let text = |value: &Option<String>| value.clone().map_or(Value::Null, Value::String);
        let members = [
            ("after", read_back("after", &self.after)?),
            ("algorithm", Value::from(self.algorithm.as_str())),
            ("at", Value::from(self.at.as_str())),
            ("before", read_back("before", &self.before)?),
            ("email", text(&self.email)),
            ("event", Value::from(self.event.as_str())),
            ("evidence", read_back("evidence", &self.evidence)?),
            ("host", Value::from(self.host.as_str())),
            ("http_status", number(self.http_status)),
            ("opsera_id", text(&self.opsera_id)),
            ("reason", text(&self.reason)),
            ("run_id", text(&self.run_id)),
            ("seq", Value::from(self.seq)),
            ("user", Value::from(self.user.as_str())),
            ("version", Value::from(self.version.as_str())),
            ("words", text(&self.words)),
        ];
        // An entry of 0.1 knows no formats.
        let number = (format != Format::One).then(|| ("format", Value::from(format.number())));
        Ok(members
            .into_iter()
            .chain(number)
            .map(|(name, value)| (name.to_owned(), value))
            .collect())
    }

    fn known_format(&self) -> Result<Format, NotCanonical> {
        Format::of(self.format).ok_or(NotCanonical { column: "format" })
    }
}

/// A column of JSON that does not hold the bytes that were hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {column} is not canonical JSON")]
pub struct NotCanonical {
    /// The column.
    pub column: &'static str,
}

fn read_back(
    format: Format,
    column: &'static str,
    text: Option<&str>,
) -> Result<Value, NotCanonical> {
    let Some(text) = text else {
        return Ok(Value::Null);
    };
    serde_json::from_str(text)
        .ok()
        // Nothing and the JSON value null would otherwise be hashed alike.
        .filter(|value: &Value| !value.is_null() && format.canonical(value) == text)
        .ok_or(NotCanonical { column })
}

/// The hash of an entry: HMAC-SHA256 under `key`, or plain SHA-256 without one.
pub(super) fn digest(key: Option<&AuditKey>, prev_hash: &str, canonical: &str) -> String {
    if let Some(key) = key {
        return key.authenticate([prev_hash.as_bytes(), canonical.as_bytes()]);
    }
    let mut hasher = Sha256::new();
    hasher.update(prev_hash.as_bytes());
    hasher.update(canonical.as_bytes());
    hex::encode(hasher.finalize())
}
