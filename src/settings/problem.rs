//! What can be wrong with settings, and how it is said.
//!
//! All problems are gathered and reported together, each with the key, the value, where the value
//! came from and what would be right. A secret's value is never part of one.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, or the file or variable that could not be read as settings at all.
    pub key: String,
    /// The value as written; `None` where there is none or where it must not be shown.
    pub value: Option<String>,
    /// The file or the environment variable; `None` for a default.
    pub origin: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
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
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => write!(f, "a setting is wrong: {only}"),
            many => {
                write!(f, "{} settings are wrong:", many.len())?;
                for problem in many {
                    write!(f, "\n  - {problem}")?;
                }
                Ok(())
            }
        }
    }
}

/// Something that works but is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about, for callers that are stricter than loading is.
    pub kind: WarningKind,
    /// The key.
    pub key: String,
    /// In words, with what to do.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
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
