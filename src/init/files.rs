//! The files that are written: the settings, the secrets beside them, and the schema for editors.
//!
//! All are written in full before the first takes its place, the settings last: whoever finds the
//! settings finds everything they name.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::output::{OutputError, Sink};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// `opa.key_secret`
    KeySecret,
    /// `opsera.token`
    Token,
    /// The JSON Schema of the settings.
    Schema,
    /// The settings.
    Settings,
}

impl Holds {
    /// The name in the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeySecret => "opa.key_secret",
            Self::Token => "opsera.token",
            Self::Schema => "schema",
            Self::Settings => "settings",
        }
    }

    /// In words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::KeySecret => "the secret of the OPA key",
            Self::Token => "Opsera's token",
            Self::Schema => "the JSON Schema of the settings, for editors",
            Self::Settings => "the settings",
        }
    }
}

/// Why the files cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The name is none that a file can have.
    #[error("--output {}: name a file in a directory that exists", .0.display())]
    NoFile(PathBuf),
    /// Something is there already.
    #[error(
        "{} is there already, and nothing was written: choose another name with --output, or give \
         --force to replace it",
        .0.display()
    )]
    There(PathBuf),
    /// What the system says.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Where the files go: beside each other, under one name.
#[derive(Clone, Debug)]
pub struct Places {
    settings: PathBuf,
    stem: String,
}

impl Places {
    /// The files that belong to the settings file `output`.
    ///
    /// # Errors
    /// It is no name of a file, or its directory does not exist.
    pub fn beside(output: &Path) -> Result<Self, WriteError> {
        let no_file = || WriteError::NoFile(output.to_owned());
        let stem = output.file_stem().and_then(|stem| stem.to_str());
        let settings = std::path::absolute(output).map_err(|_| no_file())?;
        let in_a_directory = settings.parent().is_some_and(Path::is_dir);
        if settings.is_dir() || !in_a_directory {
            return Err(no_file());
        }
        Ok(Self {
            stem: stem.ok_or_else(no_file)?.to_owned(),
            settings,
        })
    }

    /// The settings file.
    pub fn settings(&self) -> &Path {
        &self.settings
    }

    /// The name of a file, without its directory.
    pub fn name(&self, holds: Holds) -> String {
        let stem = &self.stem;
        match holds {
            Holds::KeySecret => format!("{stem}.opa-key-secret"),
            Holds::Token => format!("{stem}.opsera-token"),
            Holds::Schema => format!("{stem}.schema.json"),
            Holds::Settings => self
                .settings
                .file_name()
                .map_or_else(|| stem.clone(), |name| name.to_string_lossy().into_owned()),
        }
    }

    /// A file with its directory.
    pub fn path(&self, holds: Holds) -> PathBuf {
        match holds {
            Holds::Settings => self.settings.clone(),
            _ => self.settings.with_file_name(self.name(holds)),
        }
    }

    /// Refuses to go on if one of `files` is there already.
    ///
    /// # Errors
    /// The first that is.
    pub fn refuse_to_replace(&self, files: &[Holds]) -> Result<(), WriteError> {
        let mut paths = files.iter().map(|holds| self.path(*holds));
        match paths.find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => Err(WriteError::There(path)),
            None => Ok(()),
        }
    }

    /// Writes `files`, in their order, each with mode 0600. Before all of them are complete, none is
    /// there.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, files: &[(Holds, String)]) -> Result<(), WriteError> {
        let mut sinks = Vec::new();
        for (holds, text) in files {
            let path = self.path(*holds);
            let mut sink = Sink::open(Some(&path), anstream::ColorChoice::Never)?;
            sink.write_all(text.as_bytes())
                .and_then(|()| sink.flush())
                .map_err(|source| OutputError::File { path, source })?;
            sinks.push(sink);
        }
        for sink in sinks {
            sink.finish()?;
        }
        Ok(())
    }
}
