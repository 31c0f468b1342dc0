//! Settings from the environment: `ROLECALL__SECTION__KEY`.
//!
//! The config crate's own environment source guesses types from text (a token `0123` would become
//! 123) and lower-cases the keys of tables. Here the key decides the type: texts stay texts, and
//! what does not parse stays a text for the validation to refuse with the variable's name.

use std::collections::BTreeMap;
use std::ffi::OsString;

use config::{FileFormat, Map, Source as _, Value, ValueKind};

use super::problem::{Problem, Warning, WarningKind};
use super::schema::{self, Entry, Shape};

const PREFIX: &str = "ROLECALL__";

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct FromEnvironment {
    /// `section → name → value`, each value with its variable as origin.
    pub(super) sections: Map<String, Value>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

/// Reads every variable that begins with `ROLECALL__`.
pub(super) fn read(environment: &[(OsString, OsString)]) -> FromEnvironment {
    let mut found = FromEnvironment::default();
    let mut sections: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    // Sorted, so that a whole table comes before single entries of it and reports are stable.
    let mut variables: Vec<(String, &OsString)> = environment
        .iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .collect();
    variables.sort();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            found.warnings.extend(near_miss(&variable));
            continue;
        };
        let origin = format!("environment variable {variable}");
        let refuse = |key: String, message: String| Problem {
            key,
            value: None,
            origin: Some(origin.clone()),
            message,
        };
        let Some((entry, table_key)) = resolve(rest) else {
            let meant = schema::nearest(&rest.replacen("__", ".", 1).to_lowercase())
                .and_then(|key| key.split_once('.'))
                .and_then(|(section, name)| schema::find(section, name))
                .map(|entry| format!("; did you mean {}?", entry.variable()))
                .unwrap_or_default();
            found.problems.push(refuse(
                rest.replacen("__", ".", 1).to_lowercase(),
                format!("there is no such setting{meant}"),
            ));
            continue;
        };
        let full_key = match table_key {
            Some(table_key) => format!("{}.{table_key}", entry.key),
            None => entry.key.to_owned(),
        };
        if let Some(other) = seen.insert(full_key.clone(), variable.clone()) {
            found.problems.push(refuse(
                full_key,
                format!("{other} sets the same key; remove one of the two variables"),
            ));
            continue;
        }
        let Some(text) = value.to_str() else {
            found
                .problems
                .push(refuse(full_key, "the value is not UTF-8 text".to_owned()));
            continue;
        };
        let section = sections.entry(entry.section().to_owned()).or_default();
        if let Some(table_key) = table_key {
            let table = section
                .entry(entry.name().to_owned())
                .or_insert_with(|| Value::new(Some(&origin), Map::<String, Value>::new()));
            if let ValueKind::Table(table) = &mut table.kind {
                table.insert(table_key.to_owned(), Value::new(Some(&origin), text));
            }
        } else {
            let value = with_origin(typed(entry.shape, text), &origin);
            section.insert(entry.name().to_owned(), value);
        }
    }
    found.sections = sections
        .into_iter()
        .map(|(name, section)| (name, Value::from(section)))
        .collect();
    found
}

/// The entry that `SECTION__KEY` names, with the table's own key for `SECTION__KEY__ENTRY`.
fn resolve(rest: &str) -> Option<(&'static Entry, Option<&str>)> {
    let (section, rest) = rest.split_once("__")?;
    let section = section.to_ascii_lowercase();
    if let Some(entry) = schema::find(&section, &rest.to_ascii_lowercase()) {
        return Some((entry, None));
    }
    let (name, table_key) = rest.split_once("__")?;
    let entry = schema::find(&section, &name.to_ascii_lowercase())?;
    (entry.shape == Shape::Map && !table_key.is_empty()).then_some((entry, Some(table_key)))
}

/// `ROLECALL_OPA_TEAM` is nothing; somebody forgot to double the underscores.
fn near_miss(variable: &str) -> Option<Warning> {
    let rest = variable.strip_prefix("ROLECALL_")?;
    let flat = |text: &str| text.replace("__", "_").to_ascii_lowercase();
    let entry = schema::ENTRIES
        .iter()
        .find(|entry| flat(rest) == flat(&entry.key.replace('.', "_")))?;
    Some(Warning {
        kind: WarningKind::IgnoredVariable,
        key: entry.key.to_owned(),
        message: format!(
            "the environment variable {variable} is ignored; {} would set it",
            entry.variable()
        ),
    })
}

fn typed(shape: Shape, text: &str) -> ValueKind {
    let as_text = || ValueKind::from(text);
    match shape {
        Shape::Text | Shape::Secret => as_text(),
        Shape::Flag => text
            .trim()
            .parse::<bool>()
            .map_or_else(|_| as_text(), ValueKind::from),
        Shape::Whole => text
            .trim()
            .parse::<i64>()
            .map_or_else(|_| as_text(), ValueKind::from),
        Shape::Number => text
            .trim()
            .parse::<f64>()
            .map_or_else(|_| as_text(), ValueKind::from),
        Shape::List if !text.trim_start().starts_with('[') => ValueKind::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect(),
        ),
        Shape::List | Shape::Map | Shape::Rules => inline_toml(text).unwrap_or_else(as_text),
    }
}

fn inline_toml(text: &str) -> Option<ValueKind> {
    let document = format!("value = {text}");
    let mut parsed = config::File::from_str(&document, FileFormat::Toml)
        .collect()
        .ok()?;
    let value = parsed.remove("value")?;
    parsed.is_empty().then_some(value.kind)
}

/// The same value, every part of which names `origin`.
pub(super) fn with_origin(kind: ValueKind, origin: &str) -> Value {
    let origin_text = origin.to_owned();
    let kind = match kind {
        ValueKind::Table(table) => ValueKind::Table(
            table
                .into_iter()
                .map(|(key, value)| (key, with_origin(value.kind, origin)))
                .collect(),
        ),
        ValueKind::Array(items) => ValueKind::Array(
            items
                .into_iter()
                .map(|item| with_origin(item.kind, origin))
                .collect(),
        ),
        scalar => scalar,
    };
    Value::new(Some(&origin_text), kind)
}
