//! From the section structs to the settings: what is required, what two keys mean together, the
//! secrets' files, and what has no effect.
//!
//! Nothing here stops at the first problem, and nothing is said of a key that is already known to
//! be wrong: one mistake is told once.

mod directories;
mod messages;
mod policy;

use config::{Value, ValueKind};

use super::layers::{Layers, origin};
use super::problem::{Problem, SettingsErrors, Warning, WarningKind};
use super::sections::Sections;
use super::{
    DirectorySettings, OfflineSettings, OpaSettings, OpseraSettings, Settings, keys, read, show,
};

/// What the warnings say to do where nothing better is known.
const AS_MEANT: &str = "correct the setting, or leave it if it is meant";

/// All settings from merged layers, with what is odd about them.
pub(super) fn settings(layers: &Layers) -> Result<(Settings, Vec<Warning>), SettingsErrors> {
    let (sections, problems) = read::sections(layers);
    let mut resolver = Resolver::new(layers, problems);
    let settings = sections.and_then(|sections| {
        let opa = directories::opa(&mut resolver, &sections);
        let opsera = directories::opsera(&mut resolver, &sections);
        let notify = messages::notify(&mut resolver, &sections);
        let smtp = messages::smtp(&mut resolver, &sections);
        let http = sections.http.clone();
        let offline = resolver.offline(sections);
        Some(Settings {
            offline,
            opa: opa?,
            opsera: opsera?,
            http,
            notify: notify?,
            smtp: smtp.map(Box::new),
        })
    });
    resolver.finish(settings)
}

/// The settings of commands that only look at the store: no credential is read or asked for.
pub(super) fn offline(layers: &Layers) -> Result<(OfflineSettings, Vec<Warning>), SettingsErrors> {
    let (sections, mut problems) = read::sections(layers);
    problems.retain(|problem| {
        problem.key == "opsera.token_owner"
            || !matches!(
                section_of(&problem.key),
                "opa" | "opsera" | "http" | "notify" | "smtp"
            )
    });
    let mut resolver = Resolver::new(layers, problems);
    let settings = sections.map(|sections| resolver.offline(sections));
    resolver.finish(settings)
}

/// What a client of OPA needs.
pub(super) fn opa(layers: &Layers) -> Result<DirectorySettings<OpaSettings>, SettingsErrors> {
    directory(layers, "opa", directories::opa)
}

/// What a client of Opsera needs.
pub(super) fn opsera(layers: &Layers) -> Result<DirectorySettings<OpseraSettings>, SettingsErrors> {
    directory(layers, "opsera", directories::opsera)
}

fn directory<T>(
    layers: &Layers,
    section: &str,
    resolve: impl FnOnce(&mut Resolver<'_>, &Sections) -> Option<T>,
) -> Result<DirectorySettings<T>, SettingsErrors> {
    let concerns = |key: &str| {
        let of = section_of(key);
        of == section || matches!(of, "http" | "retry")
    };
    let (sections, problems) = read::sections(layers);
    let mut resolver = Resolver::new(layers, problems);
    resolver.problems.retain(|problem| concerns(&problem.key));
    let settings = sections.and_then(|sections| {
        Some(DirectorySettings {
            directory: resolve(&mut resolver, &sections)?,
            http: sections.http,
            retry: sections.retry,
        })
    });
    resolver.finish(settings).map(|(settings, _)| settings)
}

fn section_of(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}

/// Gathers what is wrong and what is odd.
pub(super) struct Resolver<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Resolver<'a> {
    fn new(layers: &'a Layers, problems: Vec<Problem>) -> Self {
        let mut all = layers.problems.clone();
        all.extend(problems);
        Self {
            layers,
            problems: all,
            warnings: layers.warnings.clone(),
        }
    }

    fn finish<T>(mut self, settings: Option<T>) -> Result<(T, Vec<Warning>), SettingsErrors> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok((settings, self.warnings)),
            _ => {
                self.problems
                    .sort_by_key(|problem| keys::position(&problem.key));
                Err(SettingsErrors {
                    problems: self.problems,
                    looked_for: self.layers.looked_for.clone(),
                })
            }
        }
    }

    fn offline(&mut self, sections: Sections) -> OfflineSettings {
        let policy = policy::policy(self, &sections);
        let retry = sections.retry;
        if retry.base_delay > retry.max_delay && self.is_sound("retry.max_delay") {
            let max = humantime::format_duration(retry.max_delay);
            self.refuse(
                "retry.base_delay",
                format!("must not be longer than retry.max_delay, which is {max}"),
            );
        }
        if sections.store.path.is_dir() {
            let file = sections.store.path.join("rolecall.db");
            self.refuse(
                "store.path",
                format!(
                    "is a directory, and the store is a file: name one in it, e.g. \"{}\"",
                    file.display()
                ),
            );
        }
        OfflineSettings {
            store: sections.store,
            schedule: sections.schedule,
            policy,
            retry,
            audit: sections.audit,
            log: sections.log,
            digest: self.layers.digest(),
        }
    }

    /// Where the value of `key` came from; `None` for a default.
    pub(super) fn origin_of(&self, key: &str) -> Option<String> {
        self.layers.value(key).and_then(origin)
    }

    /// Whether nothing is known to be wrong with `key`.
    fn is_sound(&self, key: &str) -> bool {
        self.problems.iter().all(|problem| problem.key != key)
    }

    /// Notes that the value of `key` is wrong.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.push(key, message.into(), None);
    }

    pub(super) fn refuse_with_hint(&mut self, key: &str, message: String, hint: String) {
        self.push(key, message, Some(hint));
    }

    fn push(&mut self, key: &str, message: String, hint: Option<String>) {
        if !self.is_sound(key) {
            return;
        }
        let value = self.layers.value(key);
        self.problems.push(Problem {
            value: value.and_then(|value| show::for_message(key, value)),
            origin: value.and_then(origin),
            hint,
            ..Problem::setting(key, message)
        });
    }

    /// Notes that the first of `keys` is missing, unless somebody meant to set one of them.
    fn require(&mut self, keys: &[&str], message: impl Into<String>) {
        let tried = keys.iter().any(|key| {
            let meant = &self.layers.meant;
            !self.is_sound(key) || meant.contains(key) || meant.contains(&section_of(key))
        });
        if let (false, Some(key)) = (tried, keys.first()) {
            self.refuse(key, message);
        }
    }

    /// Notes that the entry `name` of the table `key` is wrong.
    fn refuse_entry(&mut self, key: &str, name: &str, message: String) {
        let entry = match self.layers.value(key).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => table.get(name),
            _ => None,
        };
        self.problems.push(Problem {
            value: entry.map(show::literal),
            origin: entry.and_then(origin),
            ..Problem::setting(format!("{key}.{}", show::quoted(name)), message)
        });
    }

    /// Notes that the text `item` of the list `key` is wrong.
    fn refuse_item(&mut self, key: &str, item: &str, message: String) {
        self.problems.push(Problem {
            value: Some(show::literal(&Value::from(item))),
            origin: self.origin_of(key),
            ..Problem::setting(key, message)
        });
    }

    fn without_effect(&mut self, key: &str, message: String, hint: impl Into<String>) {
        self.warnings.push(Warning {
            kind: WarningKind::WithoutEffect,
            key: key.to_owned(),
            message,
            hint: hint.into(),
        });
    }
}
