//! Secrets: given as a value, or in a file of their own.
//!
//! A file is read once, when settings are loaded. Whatever goes wrong is said with the key and the
//! file, never with any of the file's bytes.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use secrecy::SecretString;

use super::problem::{Warning, WarningKind};
use super::resolve::Resolver;

const MAX_SECRET: u64 = 64 * 1024;

/// What became of a secret and its `_file` twin.
pub(super) enum Found {
    /// It is set and usable; the key is the one that set it, the secret's own or its twin's.
    Secret(SecretString, String),
    /// Neither the value nor the file is set.
    NotSet,
    /// It is set and was refused; the problem is recorded.
    Refused,
}

/// Reads the secret `key`, given as `value`, or its twin in `file`.
pub(super) fn read(
    resolver: &mut Resolver<'_>,
    key: &'static str,
    value: &str,
    file: Option<&Path>,
) -> Found {
    let Some(file) = file else {
        if value.is_empty() {
            return Found::NotSet;
        }
        if let Err(message) = check(value) {
            resolver.refuse(key, message);
            return Found::Refused;
        }
        return Found::Secret(SecretString::from(value), key.to_owned());
    };
    let file_key = format!("{key}_file");
    if !value.is_empty() {
        let other = resolver.origin_of(key).unwrap_or_default();
        let message = format!("{key} is set too ({other}); set one of the two");
        resolver.refuse(&file_key, message);
        return Found::Refused;
    }
    match read_file(file) {
        Ok((secret, metadata)) => {
            let name = file.display().to_string();
            resolver
                .warnings
                .extend(exposure(&file_key, &name, &metadata));
            Found::Secret(secret, file_key)
        }
        Err(message) => {
            let hint = format!(
                "write the secret of {key} into {}, readable for the user that runs rolecall \
                 (mode 0600), or correct {file_key}",
                file.display()
            );
            resolver.refuse_with_hint(&file_key, message, hint);
            Found::Refused
        }
    }
}

fn read_file(path: &Path) -> Result<(SecretString, Metadata), String> {
    let unreadable = |error: std::io::Error| format!("the file cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_SECRET + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET) {
        return Err("the file is larger than 64 KiB, so it is not a secret of ours".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("the file is empty".to_owned());
    }
    check(secret).map_err(|what| format!("in the file, {what}"))?;
    Ok((SecretString::from(secret), metadata))
}

/// A secret travels in an HTTP header or a JSON text; a line break in it is always a mistake.
fn check(secret: &str) -> Result<(), &'static str> {
    if secret.trim() != secret {
        Err("the secret begins or ends with white space")
    } else if secret.chars().any(char::is_control) {
        Err("the secret has a line break or another control character inside")
    } else {
        Ok(())
    }
}

fn exposure(key: &str, file: &str, metadata: &Metadata) -> Option<Warning> {
    let is_ours = std::fs::metadata("/proc/self").map_or(true, |own| own.uid() == metadata.uid());
    let (kind, who) = exposed_to(metadata.permissions().mode(), is_ours)?;
    Some(Warning {
        kind,
        key: key.to_owned(),
        message: format!("{who} can read the secret in {file}"),
        hint: format!("run: chmod 600 {file}"),
    })
}

/// Who besides the owner can read a file of this mode, if that is worth a warning.
fn exposed_to(mode: u32, is_ours: bool) -> Option<(WarningKind, &'static str)> {
    // Kubernetes and systemd hand secrets over as root's files that are read through the group or
    // an access list, which the group's bits then show. Only an owner can do better.
    if mode & 0o004 != 0 {
        Some((
            WarningKind::SecretReadableByAll,
            "every user of this machine",
        ))
    } else if mode & 0o040 != 0 && is_ours {
        Some((WarningKind::SecretReadableByGroup, "the file's group"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(mode: u32) -> Option<WarningKind> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let metadata = file.as_file().metadata().unwrap();
        exposure("opsera.token_file", "token", &metadata).map(|warning| warning.kind)
    }

    #[test]
    fn an_owner_is_told_who_else_can_read_a_secret() {
        assert_eq!(warning(0o600), None);
        assert_eq!(warning(0o640), Some(WarningKind::SecretReadableByGroup));
        assert_eq!(warning(0o644), Some(WarningKind::SecretReadableByAll));
    }

    #[test]
    fn a_mounted_secret_that_is_read_through_its_group_is_as_it_should_be() {
        let of_another_user = |mode| exposed_to(mode, false).map(|(kind, _)| kind);
        assert_eq!(of_another_user(0o440), None);
        assert_eq!(
            of_another_user(0o444),
            Some(WarningKind::SecretReadableByAll)
        );
    }
}
