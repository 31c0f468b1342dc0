//! The layers: built-in defaults ← files ← environment, merged by the config crate.
//!
//! Each layer is checked by itself before it is merged: an unknown key or a section that is no
//! table is a problem of its file even where a later layer would hide it. The merge then only sees
//! known sections, so the crate's reading of dots in top-level keys as paths never comes to bear.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use config::{Config, FileFormat, Map, Source, Value, ValueKind};

use super::environment::{self, with_origin};
use super::problem::{Problem, SettingsErrors, Warning};
use super::schema::{self, Shape};

/// The built-in defaults, as documented for the operator.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// How the origin of a default is called.
pub(super) const DEFAULT_ORIGIN: &str = "built-in default";

const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Where settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// The files of `--config`, in order; later ones win.
    pub files: Vec<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Without `--config` and `$ROLECALL_CONFIG`: the first of these that exists.
    pub candidates: Vec<PathBuf>,
}

impl ConfigSources {
    /// The sources of this process: its environment, and the usual places.
    pub fn of_process(files: Vec<PathBuf>) -> Self {
        Self {
            files,
            environment: std::env::vars_os().collect(),
            candidates: vec!["rolecall.toml".into(), "/etc/rolecall/rolecall.toml".into()],
        }
    }

    fn chosen(&self) -> Vec<PathBuf> {
        if !self.files.is_empty() {
            return self.files.clone();
        }
        let named = self
            .environment
            .iter()
            .find(|(name, value)| name == "ROLECALL_CONFIG" && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value));
        // A place that cannot be looked into is read all the same, so that the failure is told.
        named
            .or_else(|| {
                self.candidates
                    .iter()
                    .find(|path| path.try_exists().unwrap_or(true))
                    .cloned()
            })
            .into_iter()
            .collect()
    }
}

/// The merged layers; every value still knows where it came from.
#[derive(Clone)]
pub struct Layers {
    sections: Map<String, Value>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    pub(super) warnings: Vec<Warning>,
    /// Keys that do not exist and sections that are none; validation reports them with the rest.
    pub(super) problems: Vec<Problem>,
}

impl std::fmt::Debug for Layers {
    // The values hold secrets as they were written.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// One layer, already checked.
#[derive(Clone)]
struct Layer(Map<String, Value>);

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layer(…)")
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layers {
    /// Reads and merges everything in `sources`. Fails on files that cannot be read or are not TOML:
    /// what they would have set is not known, so nothing sensible can be said of the rest.
    pub fn read(sources: &ConfigSources) -> Result<Self, SettingsErrors> {
        let mut problems = Vec::new();
        let mut broken = Vec::new();
        let mut layers = Vec::new();
        let mut add = |text: &str, origin: &str| match parse(text, origin, &mut problems) {
            Ok(layer) => layers.push(layer),
            Err(problem) => broken.push(problem),
        };
        add(DEFAULTS, DEFAULT_ORIGIN);
        let files = sources.chosen();
        let mut unreadable = Vec::new();
        for file in &files {
            let origin = file.display().to_string();
            match read_file(file) {
                Ok(text) => add(&text, &origin),
                Err(message) => unreadable.push(file_problem(&origin, message)),
            }
        }
        broken.append(&mut unreadable);
        let mut from_environment = environment::read(&sources.environment);
        problems.append(&mut from_environment.problems);
        layers.push(from_environment.sections);

        let mut builder = Config::builder();
        for layer in layers {
            builder = builder.add_source(Layer(layer));
        }
        match builder.build().and_then(|merged| merged.collect()) {
            Ok(sections) if broken.is_empty() => Ok(Self {
                sections,
                files,
                warnings: from_environment.warnings,
                problems,
            }),
            Ok(_) => Err(SettingsErrors { problems: broken }),
            Err(error) => Err(SettingsErrors {
                problems: vec![file_problem("settings", error.to_string())],
            }),
        }
    }

    /// The effective value of `section.name`.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        let (section, name) = key.split_once('.')?;
        match &self.sections.get(section)?.kind {
            ValueKind::Table(table) => table.get(name),
            _ => None,
        }
    }
}

fn file_problem(origin: &str, message: String) -> Problem {
    Problem {
        key: origin.to_owned(),
        value: None,
        origin: None,
        message,
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("the configuration file cannot be read: {error}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err("the configuration file is larger than 4 MiB".to_owned());
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| "the configuration file is not UTF-8 text".to_owned())?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// Parses one file and keeps what is known of it; the rest becomes problems.
fn parse(
    text: &str,
    origin: &str,
    problems: &mut Vec<Problem>,
) -> Result<Map<String, Value>, Problem> {
    let table = config::File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|error| file_problem(origin, syntax_message(text, error)))?;
    let mut known = Map::new();
    let mut entries: Vec<(String, Value)> = table.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (section, value) in entries {
        match value.kind {
            ValueKind::Table(names) if schema::is_section(&section) => {
                let names = known_names(&section, names, origin, problems);
                known.insert(section, Value::from(names));
            }
            kind if schema::is_section(&section) => problems.push(Problem {
                key: section.clone(),
                value: harmless(&kind),
                origin: Some(origin.to_owned()),
                message: format!("must be a section: write [{section}] and the keys below it"),
            }),
            kind => problems.push(unknown(&section, &kind, origin)),
        }
    }
    Ok(known)
}

fn known_names(
    section: &str,
    names: Map<String, Value>,
    origin: &str,
    problems: &mut Vec<Problem>,
) -> Map<String, Value> {
    let mut known = Map::new();
    let mut entries: Vec<(String, Value)> = names.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in entries {
        let key = format!("{section}.{name}");
        let Some(entry) = schema::find(section, &name) else {
            problems.push(unknown(&key, &value.kind, origin));
            continue;
        };
        // Refused here because a table forgets its origin in the merge.
        if matches!(value.kind, ValueKind::Table(_)) && entry.shape != Shape::Map {
            problems.push(Problem {
                key,
                value: None,
                origin: Some(origin.to_owned()),
                message: match entry.shape {
                    Shape::Rules => {
                        "must be a list of rules: [[roles.rules]] with two brackets".to_owned()
                    }
                    _ => "must be a single value or a list, not a table".to_owned(),
                },
            });
        } else {
            known.insert(name, with_origin(value.kind, origin));
        }
    }
    known
}

fn unknown(key: &str, kind: &ValueKind, origin: &str) -> Problem {
    let meant = schema::nearest(key)
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    let what = match kind {
        ValueKind::Table(_) if !key.contains('.') => "section",
        _ => "setting",
    };
    Problem {
        key: key.to_owned(),
        value: harmless(kind),
        origin: Some(origin.to_owned()),
        message: format!("there is no such {what}{meant}"),
    }
}

/// A misspelt key may hold a secret, so only what cannot be one is shown.
fn harmless(kind: &ValueKind) -> Option<String> {
    match kind {
        ValueKind::Boolean(_) | ValueKind::I64(_) | ValueKind::Float(_) => Some(kind.to_string()),
        _ => None,
    }
}

/// The parser's words without the line it quotes, which may hold a secret.
fn syntax_message(text: &str, error: config::ConfigError) -> String {
    let config::ConfigError::FileParse { cause, .. } = error else {
        return "not valid TOML".to_owned();
    };
    match cause.downcast_ref::<toml::de::Error>() {
        Some(error) => {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| before.matches('\n').count() + 1);
            let words = error.message().trim().replace('\n', ", ");
            match line {
                Some(line) => format!("not valid TOML in line {line}: {words}"),
                None => format!("not valid TOML: {words}"),
            }
        }
        None => format!("not valid TOML: {cause}"),
    }
}
