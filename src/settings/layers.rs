//! The layers: built-in defaults ← files ← environment, merged by the config crate.
//!
//! Each layer is checked by itself before it is merged: an unknown key or a section that is no
//! table is a problem of its file even where a later layer would hide it. The merge then only sees
//! known sections, so the crate's reading of dots in top-level keys as paths has no effect.
//!
//! A relative path means the directory of the file that names it; from the environment, the working
//! directory. The default of `store.path` means the directory of the first settings file, so that
//! the same file leads to the same store from every directory.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use config::{Config, FileFormat, Map, Source, Value, ValueKind};

use super::environment::{self, with_origin};
use super::keys::variable;
use super::keys::{self, DEFAULTS};
use super::problem::{Problem, SettingsErrors, Warning};

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

    /// Gives `key` (`section.name`) the value `text`, as its environment variable would.
    pub fn set(&mut self, key: &str, text: impl Into<OsString>) {
        let variable = variable(key);
        self.environment.retain(|(name, _)| *name != *variable);
        self.environment.push((variable.into(), text.into()));
    }

    /// What the environment says of `key`, if it does.
    pub fn given(&self, key: &str) -> Option<&OsStr> {
        let variable = variable(key);
        let found = self.environment.iter().find(|(name, _)| *name == *variable);
        found.map(|(_, value)| value.as_os_str())
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
    pub(super) sections: Map<String, Value>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// Where a file was looked for, if none was found.
    pub(super) looked_for: Vec<PathBuf>,
    pub(super) warnings: Vec<Warning>,
    /// Keys that do not exist and sections that are none; validation reports them with the rest.
    pub(super) problems: Vec<Problem>,
    /// The keys and sections that somebody most likely meant who wrote one that does not exist.
    pub(super) meant: Vec<&'static str>,
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
        let mut found = Findings::default();
        let mut broken = Vec::new();
        let files = sources.chosen();
        let beside_the_first = files.first().and_then(|file| file.parent());
        let mut layers = Vec::new();
        match parse(DEFAULTS, DEFAULT_ORIGIN, beside_the_first, &mut found) {
            Ok(layer) => layers.push(layer),
            Err(problem) => broken.push(*problem),
        }
        for file in &files {
            let origin = file.display().to_string();
            match read_file(file, &origin)
                .and_then(|text| parse(&text, &origin, file.parent(), &mut found))
            {
                Ok(layer) => layers.push(layer),
                Err(problem) => broken.push(*problem),
            }
        }
        let from_environment = environment::read(&sources.environment);
        found.problems.extend(from_environment.problems);
        found.meant.extend(from_environment.meant);
        layers.push(from_environment.sections);

        let mut builder = Config::builder();
        for layer in layers {
            builder = builder.add_source(Layer(layer));
        }
        let mut sections = builder
            .build()
            .and_then(|merged| merged.collect())
            .unwrap_or_else(|error| {
                broken.push(Problem::file("settings", error.to_string()));
                Map::new()
            });
        if !broken.is_empty() {
            return Err(SettingsErrors {
                problems: broken,
                looked_for: Vec::new(),
            });
        }
        make_store_path_absolute(&mut sections);
        Ok(Self {
            sections,
            looked_for: if files.is_empty() {
                sources.candidates.clone()
            } else {
                Vec::new()
            },
            files,
            warnings: from_environment.warnings,
            problems: found.problems,
            meant: found.meant,
        })
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

/// What is wrong with the keys of the layers.
#[derive(Default)]
struct Findings {
    problems: Vec<Problem>,
    meant: Vec<&'static str>,
}

/// Messages name the store, and a path that means something else elsewhere names nothing.
fn make_store_path_absolute(sections: &mut Map<String, Value>) {
    if let Some(ValueKind::Table(store)) = sections.get_mut("store").map(|value| &mut value.kind)
        && let Some(ValueKind::String(path)) = store.get_mut("path").map(|value| &mut value.kind)
        && let Ok(absolute) = std::path::absolute(path.as_str())
        && let Some(absolute) = absolute.to_str()
    {
        absolute.clone_into(path);
    }
}

/// Where a value came from, if not from the defaults; a table that was merged does not know, but its
/// entries do.
pub(super) fn origin(value: &Value) -> Option<String> {
    let inside = match &value.kind {
        ValueKind::Table(table) => table.values().find_map(origin),
        _ => None,
    };
    value
        .origin()
        .filter(|origin| *origin != DEFAULT_ORIGIN)
        .map(str::to_owned)
        .or(inside)
}

fn read_file(path: &Path, origin: &str) -> Result<String, Box<Problem>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            Box::new(Problem {
            hint: Some(format!(
                "correct the name in --config or $ROLECALL_CONFIG, or make {origin} readable for \
                 this user; `rolecall init --output {origin}` writes a new one"
            )),
            ..Problem::file(
                origin,
                format!("the configuration file cannot be read: {error}"),
            )
        })})?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        let message = "the configuration file is larger than 4 MiB";
        return Err(Box::new(Problem::file(origin, message)));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Box::new(Problem::file(
            origin,
            "the configuration file is not UTF-8 text",
        ))
    })?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// Parses one file and keeps what is known of it; the rest becomes problems. Relative paths in it
/// are taken from `directory`.
fn parse(
    text: &str,
    origin: &str,
    directory: Option<&Path>,
    found: &mut Findings,
) -> Result<Map<String, Value>, Box<Problem>> {
    let table = config::File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|error| Box::new(Problem::file(origin, syntax_message(text, error))))?;
    let mut known = Map::new();
    for (section, value) in sorted(table) {
        match value.kind {
            ValueKind::Table(names) if keys::is_section(&section) => {
                let names = known_names(&section, names, origin, directory, found);
                known.insert(section, Value::from(names));
            }
            kind if keys::is_section(&section) => found.problems.push(Problem {
                value: harmless(&kind),
                origin: Some(origin.to_owned()),
                ..Problem::setting(
                    section.clone(),
                    format!("must be a section: write [{section}] and the keys below it"),
                )
            }),
            kind => found.unknown(&section, &kind, origin),
        }
    }
    Ok(known)
}

fn sorted(table: Map<String, Value>) -> Vec<(String, Value)> {
    let mut entries: Vec<(String, Value)> = table.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

fn known_names(
    section: &str,
    names: Map<String, Value>,
    origin: &str,
    directory: Option<&Path>,
    found: &mut Findings,
) -> Map<String, Value> {
    let mut known = Map::new();
    for (name, value) in sorted(names) {
        let full_key = format!("{section}.{name}");
        let Some(key) = keys::find(section, &name) else {
            found.unknown(&full_key, &value.kind, origin);
            continue;
        };
        // Refused here because a table forgets its origin in the merge.
        if matches!(value.kind, ValueKind::Table(_))
            && !matches!(key.default.kind, ValueKind::Table(_))
        {
            let message = match full_key.as_str() {
                "roles.rules" | "protect.accounts" => {
                    format!("must be a list of sections: [[{full_key}]] with two brackets")
                }
                _ => "must be a single value or a list, not a table".to_owned(),
            };
            found.problems.push(Problem {
                origin: Some(origin.to_owned()),
                ..Problem::setting(full_key, message)
            });
            continue;
        }
        let kind = match (value.kind, directory) {
            // A directory whose name is no text is not named in any text either.
            (ValueKind::String(path), Some(directory)) if key.is_path() && !path.is_empty() => {
                ValueKind::String(directory.join(path).display().to_string())
            }
            (kind, _) => kind,
        };
        known.insert(name, with_origin(kind, origin));
    }
    known
}

impl Findings {
    fn unknown(&mut self, key: &str, kind: &ValueKind, origin: &str) {
        let is_section = matches!(kind, ValueKind::Table(_)) && !key.contains('.');
        let (what, meant, near) = if is_section {
            let near = keys::nearest_section(key);
            ("section", near, near.map(|name| format!("[{name}]")))
        } else {
            let near = keys::nearest(key).map(|key| key.key.as_str());
            ("setting", near, near.map(str::to_owned))
        };
        self.meant.extend(meant);
        let near = near
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        self.problems.push(Problem {
            value: harmless(kind),
            origin: Some(origin.to_owned()),
            ..Problem::setting(key, format!("there is no such {what}{near}"))
        });
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
