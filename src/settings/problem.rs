//! What can be wrong with settings, and how it is said.
//!
//! All problems are gathered and reported together, each with the key, the value, where the value
//! came from and what would be right. A secret's value is never part of one.

use std::fmt;
use std::path::PathBuf;

/// What a [`Problem`] is a problem of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A key, or what somebody took for one.
    Setting,
    /// A whole file of settings.
    File,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is a problem of.
    pub subject: Subject,
    /// The key, or the file or variable that could not be read as settings at all.
    pub key: String,
    /// The value as written; `None` where there is none or where it must not be shown.
    pub value: Option<String>,
    /// The file or the environment variable; `None` for a default.
    pub origin: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
    /// What to do, where the message alone does not say it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the setting `key`.
    pub(super) fn setting(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            subject: Subject::Setting,
            key: key.into(),
            value: None,
            origin: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A problem of a file as a whole.
    pub(super) fn file(name: &str, message: impl Into<String>) -> Self {
        Self {
            subject: Subject::File,
            ..Self::setting(name, message)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with the settings. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsErrors {
    /// In the order of the sections.
    pub problems: Vec<Problem>,
    /// Where a settings file was looked for and none was found.
    pub looked_for: Vec<PathBuf>,
}

impl SettingsErrors {
    /// What to do about the problems, each step once.
    pub fn hints(&self) -> Vec<String> {
        let mut hints: Vec<String> = Vec::new();
        if !self.looked_for.is_empty() {
            hints.push(
                "`rolecall init` asks six questions and writes ./rolecall.toml; a file elsewhere is \
                 named with --config"
                    .to_owned(),
            );
        } else if self.problems.iter().any(|problem| problem.hint.is_none()) {
            hints.push(
                "`rolecall config show` tells every setting in effect and where it came from"
                    .to_owned(),
            );
        }
        for hint in self.problems.iter().filter_map(|found| found.hint.as_ref()) {
            if !hints.contains(hint) {
                hints.push(hint.clone());
            }
        }
        hints
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] if only.subject == Subject::File => write!(f, "{only}")?,
            [only] => write!(f, "a setting is wrong: {only}")?,
            many => {
                write!(f, "{} settings are wrong:", many.len())?;
                for problem in many {
                    write!(f, "\n  - {problem}")?;
                }
            }
        }
        if self.looked_for.is_empty() {
            return Ok(());
        }
        let places: Vec<String> = self
            .looked_for
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        write!(
            f,
            "\nno settings file was found: $ROLECALL_CONFIG is not set, and there is no {}",
            places.join(" and no ")
        )
    }
}

/// Something that works but is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about, for callers that are stricter than loading is.
    pub kind: WarningKind,
    /// The key.
    pub key: String,
    /// What was noticed.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.message, self.hint)
    }
}

/// What a [`Warning`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// Every user of the machine can read a secret's file.
    SecretReadableByAll,
    /// The file's group can read a secret's file.
    SecretReadableByGroup,
    /// A value that can never have an effect.
    WithoutEffect,
    /// A variable that looks like a setting and is none.
    IgnoredVariable,
}
