//! From merged layers to typed settings, with every problem found in one go.
//!
//! [`Reader`] hands out values by key and notes what is wrong with them; each section's file turns
//! its keys into its struct. Nothing here stops at the first problem.

mod directories;
mod local;
mod people;
mod roles;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use config::{Value, ValueKind};
use url::{Host, Url};

use super::layers::{DEFAULT_ORIGIN, Layers};
use super::problem::{Problem, SettingsErrors, Warning, WarningKind};
use super::{OfflineSettings, Settings, show};

const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);

/// Whether a duration may be nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zero {
    Allowed,
    Refused,
}

/// Typed settings from merged layers, with what is odd about them.
pub(super) fn settings(layers: &Layers) -> Result<(Settings, Vec<Warning>), SettingsErrors> {
    let mut reader = Reader::new(layers);
    let opa = directories::opa(&mut reader);
    let opsera = directories::opsera(&mut reader);
    let offline = offline_sections(&mut reader);
    let http = local::http(&mut reader);
    let notify = directories::notify(&mut reader);
    let settings = (|| {
        let offline = offline?;
        Some(Settings {
            opa: opa?,
            opsera: opsera?,
            store: offline.store,
            schedule: offline.schedule,
            policy: offline.policy,
            retry: offline.retry,
            audit: offline.audit,
            http: http?,
            notify: notify?,
            log: offline.log,
        })
    })();
    reader.finish(settings)
}

/// The settings of commands that only look at the store: no credential is read or asked for.
pub(super) fn offline(layers: &Layers) -> Result<(OfflineSettings, Vec<Warning>), SettingsErrors> {
    let mut reader = Reader::new(layers);
    let settings = offline_sections(&mut reader);
    reader.finish(settings)
}

fn offline_sections(reader: &mut Reader<'_>) -> Option<OfflineSettings> {
    let store = local::store(reader);
    let schedule = local::schedule(reader);
    let policy = people::policy(reader);
    let retry = local::retry(reader);
    let audit = local::audit(reader);
    let log = local::log(reader);
    Some(OfflineSettings {
        store: store?,
        schedule: schedule?,
        policy: policy?,
        retry: retry?,
        audit: audit?,
        log: log?,
    })
}

/// Reads values by key and notes what is wrong.
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            problems: layers.problems.clone(),
            warnings: layers.warnings.clone(),
        }
    }

    fn finish<T>(self, settings: Option<T>) -> Result<(T, Vec<Warning>), SettingsErrors> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok((settings, self.warnings)),
            _ => Err(SettingsErrors {
                problems: self.problems,
            }),
        }
    }

    /// Where the value of `key` came from; `None` for a default.
    pub(super) fn origin_of(&self, key: &str) -> Option<String> {
        self.layers.value(key).and_then(origin)
    }

    /// Notes that the value of `key` is wrong.
    pub(super) fn refuse(&mut self, key: &str, message: String) {
        let value = self.layers.value(key);
        let shown = value.and_then(|value| show::for_message(key, value));
        self.problems.push(Problem {
            key: key.to_owned(),
            value: shown,
            origin: value.and_then(origin),
            message,
        });
    }

    /// Notes that one part of the value of a key is wrong.
    fn refuse_part(&mut self, key: String, part: &Value, message: String) {
        self.problems.push(Problem {
            key,
            value: Some(show::literal(part)),
            origin: origin(part),
            message,
        });
    }

    fn without_effect(&mut self, key: &str, message: String) {
        self.warnings.push(Warning {
            kind: WarningKind::WithoutEffect,
            key: key.to_owned(),
            message,
        });
    }

    fn kind(&mut self, key: &str) -> Option<&'a ValueKind> {
        let kind = self.layers.value(key).map(|value| &value.kind);
        if kind.is_none() {
            self.refuse(key, "has no value".to_owned());
        }
        kind
    }

    /// A text, possibly empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        if let ValueKind::String(text) = self.kind(key)? {
            Some(text.clone())
        } else {
            self.refuse(key, "must be a text in quotes".to_owned());
            None
        }
    }

    fn required(&mut self, key: &'static str, example: &str) -> Option<String> {
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.refuse(key, format!("is required, e.g. {example}"));
            None
        } else {
            Some(text)
        }
    }

    fn flag(&mut self, key: &'static str) -> Option<bool> {
        if let ValueKind::Boolean(flag) = self.kind(key)? {
            Some(*flag)
        } else {
            self.refuse(key, "must be true or false, without quotes".to_owned());
            None
        }
    }

    fn whole(&mut self, key: &'static str, range: &RangeInclusive<u32>) -> Option<u32> {
        let number = match self.kind(key)? {
            ValueKind::I64(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let right = if *range.end() == u32::MAX {
                format!("must be a whole number, {} or more", range.start())
            } else {
                format!(
                    "must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            };
            self.refuse(key, right);
        }
        number
    }

    fn rate(&mut self, key: &'static str) -> Option<f64> {
        let number = match self.kind(key)? {
            ValueKind::I64(number) => u32::try_from(*number).ok().map(f64::from),
            ValueKind::Float(number) => Some(*number),
            _ => None,
        };
        // Outside of this range the interval between two requests is no longer a duration.
        let number = number.filter(|number| (0.001..=100_000.0).contains(number));
        if number.is_none() {
            self.refuse(
                key,
                "must be a number of requests above 0 (0.001 to 100000)".to_owned(),
            );
        }
        number
    }

    fn duration(&mut self, key: &'static str, zero: Zero) -> Option<Duration> {
        let text = self.text(key)?;
        match humantime::parse_duration(text.trim()) {
            Ok(duration) if duration.is_zero() && zero == Zero::Refused => {
                self.refuse(key, "must be longer than nothing".to_owned());
                None
            }
            Ok(duration) if duration > LONGEST => {
                self.refuse(key, "must be at most a hundred years".to_owned());
                None
            }
            Ok(duration) => Some(duration),
            Err(_) => {
                self.refuse(
                    key,
                    "must be a duration such as \"30s\", \"15m\", \"24h\" or \"400d\"".to_owned(),
                );
                None
            }
        }
    }

    fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<String> = choices
                .iter()
                .map(|(name, _)| format!("\"{name}\""))
                .collect();
            self.refuse(key, format!("must be {}", names.join(" or ")));
        }
        found.map(|(_, choice)| *choice)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer: could it be read; the inner: is it set"
    )]
    fn path(&mut self, key: &'static str) -> Option<Option<PathBuf>> {
        let text = self.text(key)?;
        if text.contains('\0') {
            self.refuse(key, "is no file name: it has a NUL in it".to_owned());
            return None;
        }
        Some((!text.is_empty()).then(|| text.into()))
    }

    /// The texts of a list, each with its value for its origin; anything else in it is refused.
    fn list(&mut self, key: &'static str) -> Option<Vec<(&'a str, &'a Value)>> {
        let ValueKind::Array(items) = self.kind(key)? else {
            self.refuse(
                key,
                "must be a list of texts, e.g. [\"a\", \"b\"]".to_owned(),
            );
            return None;
        };
        let mut texts = Vec::new();
        let mut good = true;
        for item in items {
            match &item.kind {
                ValueKind::String(text) if !text.trim().is_empty() => {
                    texts.push((text.as_str(), item));
                }
                _ => {
                    good = false;
                    let message = "must be a text that is not empty".to_owned();
                    self.refuse_part(key.to_owned(), item, message);
                }
            }
        }
        good.then_some(texts)
    }

    /// The entries of a table from text to text, in the order of their keys.
    fn map(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> Option<Vec<(&'a str, &'a str, &'a Value)>> {
        let ValueKind::Table(table) = self.kind(key)? else {
            self.refuse(key, format!("must be a table, e.g. {{ {example} }}"));
            return None;
        };
        let mut entries: Vec<(&String, &Value)> = table.iter().collect();
        entries.sort_by_key(|(name, _)| *name);
        let mut texts = Vec::new();
        let mut good = true;
        for (name, value) in entries {
            if let ValueKind::String(text) = &value.kind {
                texts.push((name.as_str(), text.as_str(), value));
                continue;
            }
            good = false;
            let message = match value.kind {
                ValueKind::Table(_) => {
                    format!("is split at its dots: write the name in quotes, e.g. {example}")
                }
                _ => format!("must be a text, e.g. {example}"),
            };
            self.refuse_part(part_key(key, name), value, message);
        }
        good.then_some(texts)
    }

    /// The problem with an address of a server, if there is one.
    fn url_problem(&mut self, url: &Url) -> Option<String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Some("must begin with https://".to_owned());
        }
        let loopback = match url.host() {
            None => return Some("has no host name".to_owned()),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Some(
                "must not hold a user name or password; credentials have their own keys".to_owned(),
            );
        }
        let insecure = matches!(
            self.layers
                .value("http.allow_insecure")
                .map(|value| &value.kind),
            Some(ValueKind::Boolean(true))
        );
        (url.scheme() == "http" && !loopback && !insecure).then(|| {
            "must be https: over plain http everybody on the way can read the credentials \
             (http.allow_insecure = true permits it)"
                .to_owned()
        })
    }
}

/// Where a value came from; a table that was merged does not know, but its entries do.
fn origin(value: &Value) -> Option<String> {
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

fn part_key(key: &str, name: &str) -> String {
    format!("{key}.{}", show::quoted(name))
}
