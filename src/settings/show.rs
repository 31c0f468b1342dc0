//! The effective settings as `rolecall config show` tells them: each value with where it came
//! from, secrets hidden.

use std::collections::BTreeMap;

use config::{Value, ValueKind};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::keys;
use super::layers::{DEFAULT_ORIGIN, Layers};

/// What stands in place of a secret that is set.
pub(super) const HIDDEN: &str = "(set, hidden)";
/// What stands in place of a secret that is not set.
pub(super) const NOT_SET: &str = "(not set)";

/// One key with its effective value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// `section.name`
    pub key: &'static str,
    /// The value as JSON; of a secret only whether it is set.
    pub value: serde_json::Value,
    /// The file, the environment variable, or the built-in default.
    pub origin: String,
    /// The value as a configuration file would have it; a secret as in `value`.
    #[serde(skip)]
    pub text: String,
}

impl Layers {
    /// Every key with its effective value, in the order of the documented defaults.
    pub fn effective(&self) -> Vec<Effective> {
        keys::all()
            .iter()
            .filter_map(|key| {
                let value = self.value(&key.key)?;
                let (json, text) = if key.is_secret() {
                    let state = match &value.kind {
                        ValueKind::String(text) if text.is_empty() => NOT_SET,
                        _ => HIDDEN,
                    };
                    (state.into(), state.to_owned())
                } else if let (true, ValueKind::String(text)) = (is_url(&key.key), &value.kind) {
                    let safe = without_credentials(text);
                    (safe.clone().into(), quoted(&safe))
                } else {
                    (json(value), literal(value))
                };
                Some(Effective {
                    key: &key.key,
                    value: json,
                    origin: origins(value),
                    text,
                })
            })
            .collect()
    }

    /// SHA-256 (hex) over the canonical JSON of all effective values: two runs with one digest were
    /// told the same. Of a secret it holds only whether it is set, and of no value where it came
    /// from.
    pub fn digest(&self) -> String {
        let values: BTreeMap<&str, serde_json::Value> = self
            .effective()
            .into_iter()
            .map(|effective| (effective.key, effective.value))
            .collect();
        let canonical = serde_json::json!(values).to_string();
        hex::encode(Sha256::digest(canonical))
    }
}

/// A value as it may stand in a message; `None` for secrets.
pub(super) fn for_message(key: &str, value: &Value) -> Option<String> {
    let (section, name) = key.split_once('.')?;
    if keys::find(section, name)?.is_secret() {
        return None;
    }
    match &value.kind {
        ValueKind::String(text) if is_url(key) => Some(quoted(&without_credentials(text))),
        _ => Some(literal(value)),
    }
}

/// A value as a configuration file would have it.
pub(super) fn literal(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => quoted(text),
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(table) => {
            let mut entries: Vec<(&String, &Value)> = table.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            let entries: Vec<String> = entries
                .into_iter()
                .map(|(name, value)| format!("{} = {}", key_literal(name), literal(value)))
                .collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
        scalar => scalar.to_string(),
    }
}

/// A text in quotes, its control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn key_literal(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

pub(super) fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::Array(items) => items.iter().map(json).collect(),
        ValueKind::Table(table) => serde_json::Value::Object(
            table
                .iter()
                .map(|(name, value)| (name.clone(), json(value)))
                .collect(),
        ),
        other => other.to_string().into(),
    }
}

/// A table is merged entry by entry, so it can come from several places.
fn origins(value: &Value) -> String {
    let mut found: Vec<&str> = match &value.kind {
        ValueKind::Table(table) => table.values().filter_map(Value::origin).collect(),
        _ => value.origin().into_iter().collect(),
    };
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        DEFAULT_ORIGIN.to_owned()
    } else {
        found.join(", ")
    }
}

fn is_url(key: &str) -> bool {
    key.ends_with(".base_url")
}

/// An address without the parts in which somebody may have put a password.
fn without_credentials(text: &str) -> String {
    let (address, tail) = match text.find(['?', '#']) {
        Some(at) => (text.get(..at).unwrap_or(text), "…"),
        None => (text, ""),
    };
    let address = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        _ => address.to_owned(),
    };
    format!("{address}{tail}")
}
