//! The answers so far, in the shape of environment variables.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::settings::{
    ConfigSources, DirectorySettings, OfflineSettings, OpaSettings, OpseraSettings, Settings,
    SettingsErrors,
};

/// The answers so far. What the process's environment says is an answer as well.
#[derive(Clone)]
pub struct Draft(ConfigSources);

impl std::fmt::Debug for Draft {
    // It holds secrets as they were given.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Draft(…)")
    }
}

impl Draft {
    /// No file counts, neither a usual one nor that of `$ROLECALL_CONFIG`: this is for a new one.
    pub fn of_environment(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(ConfigSources {
            environment: environment
                .into_iter()
                .filter(|(name, _)| name != "ROLECALL_CONFIG")
                .collect(),
            ..ConfigSources::default()
        })
    }

    /// Takes `text` as the answer to `key`.
    pub fn answer(&mut self, key: &str, text: impl Into<OsString>) {
        self.0.set(key, text);
    }

    /// Takes `items` as the answer to `key`, which is a list.
    pub fn answer_list(&mut self, key: &str, items: &[String]) {
        self.0.set(key, serde_json::json!(items).to_string());
    }

    /// Takes `secret` itself as the answer to `key`.
    pub fn answer_secret(&mut self, key: &str, secret: &str) {
        self.0.set(&twin(key), "");
        self.0.set(key, secret);
    }

    /// Takes what stands in `file` as the answer to `key`. A file stays where it is and is named in
    /// the settings; of a pipe, which can be read only once, the content is taken.
    ///
    /// # Errors
    /// What the system says of a pipe that cannot be read.
    pub fn answer_secret_file(&mut self, key: &str, file: &Path) -> io::Result<()> {
        let is_pipe = file
            .metadata()
            .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        if is_pipe {
            let secret = std::fs::read_to_string(file)?;
            self.answer_secret(key, secret.trim_end_matches(['\r', '\n']));
        } else {
            self.0.set(key, "");
            self.0.set(&twin(key), std::path::absolute(file)?);
        }
        Ok(())
    }

    /// Whether there is an answer to `key`, be it that there is none.
    pub fn is_answered(&self, key: &str) -> bool {
        self.0.given(key).is_some() || self.0.given(&twin(key)).is_some()
    }

    /// The answer to `key`, which is no secret, if there is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.given(key).and_then(|text| text.to_str())
    }

    /// The file that is to hold the secret `key`, if there is one already.
    pub fn secret_file(&self, key: &str) -> Option<PathBuf> {
        let file = self.0.given(&twin(key)).filter(|file| !file.is_empty())?;
        std::path::absolute(file).ok()
    }

    /// What a client of OPA needs.
    pub fn opa(&self) -> Result<DirectorySettings<OpaSettings>, SettingsErrors> {
        DirectorySettings::<OpaSettings>::load(&self.0)
    }

    /// What a client of Opsera needs.
    pub fn opsera(&self) -> Result<DirectorySettings<OpseraSettings>, SettingsErrors> {
        DirectorySettings::<OpseraSettings>::load(&self.0)
    }

    /// What needs no directory.
    pub fn offline(&self) -> Result<OfflineSettings, SettingsErrors> {
        OfflineSettings::load(&self.0).map(|loaded| loaded.settings)
    }

    /// Everything.
    pub fn all(&self) -> Result<Settings, SettingsErrors> {
        Settings::load(&self.0).map(|loaded| loaded.settings)
    }
}

fn twin(key: &str) -> String {
    format!("{key}_file")
}
