//! Settings from the environment: `ROLECALL__SECTION__KEY`.
//!
//! The config crate's own environment source guesses types from text (a token `0123` would become
//! 123) and lower-cases the keys of tables. Here the key's default decides the type: texts stay
//! texts, and what does not parse stays a text, to be refused later with the variable's name.

use std::collections::BTreeMap;
use std::ffi::OsString;

use config::{FileFormat, Map, Source as _, Value, ValueKind};

use super::keys::{self, KnownKey, VARIABLE_PREFIX};
use super::problem::{Problem, Warning, WarningKind};

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct FromEnvironment {
    /// `section → name → value`, each value with its variable as origin.
    pub(super) sections: Map<String, Value>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    /// See [`super::Layers`].
    pub(super) meant: Vec<&'static str>,
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
        let Some(rest) = variable.strip_prefix(VARIABLE_PREFIX) else {
            found.warnings.extend(near_miss(&variable));
            continue;
        };
        let origin = format!("environment variable {variable}");
        let refuse = |key: String, message: String| Problem {
            origin: Some(origin.clone()),
            ..Problem::setting(key, message)
        };
        let Some((entry, table_key)) = resolve(rest) else {
            let key = rest.replacen("__", ".", 1).to_lowercase();
            let near = keys::nearest(&key);
            found.meant.extend(near.map(|near| near.key.as_str()));
            let near = near
                .map(|near| format!("; did you mean {}?", near.variable()))
                .unwrap_or_default();
            let message = format!("there is no such setting{near}");
            found.problems.push(refuse(key, message));
            continue;
        };
        let full_key = match table_key {
            Some(table_key) => format!("{}.{table_key}", entry.key),
            None => entry.key.clone(),
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
        let section = sections.entry(entry.section.clone()).or_default();
        if let Some(table_key) = table_key {
            let table = section
                .entry(entry.name.clone())
                .or_insert_with(|| Value::new(Some(&origin), Map::<String, Value>::new()));
            if let ValueKind::Table(table) = &mut table.kind {
                table.insert(table_key.to_owned(), Value::new(Some(&origin), text));
            }
        } else {
            let value = with_origin(typed(&entry.default.kind, text), &origin);
            section.insert(entry.name.clone(), value);
        }
    }
    found.sections = sections
        .into_iter()
        .map(|(name, section)| (name, Value::from(section)))
        .collect();
    found
}

/// The key that `SECTION__KEY` names, with the table's own key for `SECTION__KEY__ENTRY`.
fn resolve(rest: &str) -> Option<(&'static KnownKey, Option<&str>)> {
    let (section, rest) = rest.split_once("__")?;
    let section = section.to_ascii_lowercase();
    if let Some(key) = keys::find(&section, &rest.to_ascii_lowercase()) {
        return Some((key, None));
    }
    let (name, table_key) = rest.split_once("__")?;
    let key = keys::find(&section, &name.to_ascii_lowercase())?;
    let is_table = matches!(key.default.kind, ValueKind::Table(_));
    (is_table && !table_key.is_empty()).then_some((key, Some(table_key)))
}

/// `ROLECALL_OPA_TEAM` is nothing; somebody forgot to double the underscores.
fn near_miss(variable: &str) -> Option<Warning> {
    let rest = variable.strip_prefix("ROLECALL_")?;
    let flat = |text: &str| text.replace("__", "_").to_ascii_lowercase();
    let key = keys::all()
        .iter()
        .find(|key| flat(rest) == flat(&key.key.replace('.', "_")))?;
    Some(Warning {
        kind: WarningKind::IgnoredVariable,
        key: key.key.clone(),
        message: format!("the environment variable {variable} is ignored"),
        hint: format!("{} would set it", key.variable()),
    })
}

/// The text as the kind of value that `default` is; a text where it is none.
fn typed(default: &ValueKind, text: &str) -> ValueKind {
    let trimmed = text.trim();
    let read = match default {
        ValueKind::Boolean(_) => trimmed.parse::<bool>().ok().map(ValueKind::from),
        ValueKind::I64(_) | ValueKind::Float(_) => trimmed
            .parse::<i64>()
            .map(ValueKind::from)
            .or_else(|_| trimmed.parse::<f64>().map(ValueKind::from))
            .ok(),
        ValueKind::Array(_) if !trimmed.starts_with('[') => Some(ValueKind::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect(),
        )),
        ValueKind::Array(_) | ValueKind::Table(_) => inline_toml(text),
        _ => None,
    };
    read.unwrap_or_else(|| ValueKind::from(text))
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
