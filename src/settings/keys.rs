//! Every key there is: those of `config/default.toml`, in its order.
//!
//! The documented defaults are the one list. What kind of value a key takes is what its default is;
//! a test holds the list against the section structs. A key with a twin `…_file` is a secret.

use std::sync::LazyLock;

use config::{FileFormat, Source as _, Value, ValueKind};

/// The built-in defaults, as documented for the operator.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What the name of every environment variable that is a setting begins with.
pub(super) const VARIABLE_PREFIX: &str = "ROLECALL__";

/// The variable that sets `key` (`section.name`).
pub fn variable(key: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        key.replacen('.', "__", 1).to_ascii_uppercase()
    )
}

/// One key.
#[derive(Debug)]
pub(super) struct KnownKey {
    /// `section.name`
    pub(super) key: String,
    pub(super) section: String,
    pub(super) name: String,
    /// What it is without any setting.
    pub(super) default: Value,
}

impl KnownKey {
    /// The environment variable that sets this key.
    pub(super) fn variable(&self) -> String {
        variable(&self.key)
    }

    /// Whether the value must never be shown.
    pub(super) fn is_secret(&self) -> bool {
        find(&self.section, &format!("{}_file", self.name)).is_some()
    }

    /// Whether the value names a file on this machine.
    pub(super) fn is_path(&self) -> bool {
        self.name.ends_with("_file") || self.key == "store.path"
    }
}

static KEYS: LazyLock<Vec<KnownKey>> = LazyLock::new(|| {
    let parsed = config::File::from_str(DEFAULTS, FileFormat::Toml).collect();
    let sections = parsed.unwrap_or_default();
    let mut keys = Vec::new();
    let mut section = "";
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let table = sections.get(section).map(|value| &value.kind);
        if let Some(ValueKind::Table(table)) = table
            && let Some(default) = table.get(name)
        {
            keys.push(KnownKey {
                key: format!("{section}.{name}"),
                section: section.to_owned(),
                name: name.to_owned(),
                default: default.clone(),
            });
        }
    }
    keys
});

/// Every key, in the order of `config/default.toml`.
pub(super) fn all() -> &'static [KnownKey] {
    &KEYS
}

/// The key `section.name`.
pub(super) fn find(section: &str, name: &str) -> Option<&'static KnownKey> {
    all()
        .iter()
        .find(|key| key.section == section && key.name == name)
}

/// Whether there is a section of this name.
pub(super) fn is_section(name: &str) -> bool {
    all().iter().any(|key| key.section == name)
}

/// Where `key`, or a part of it, stands among the settings; what is no setting stands first.
pub(super) fn position(key: &str) -> Option<usize> {
    all().iter().position(|known| {
        key.strip_prefix(known.key.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// The section that somebody who wrote `wrong` most likely meant.
pub(super) fn nearest_section(wrong: &str) -> Option<&'static str> {
    let names = all().iter().map(|key| key.section.as_str());
    nearest_of(&wrong.to_lowercase(), names, 2)
}

/// The key that somebody who wrote `wrong` most likely meant: the nearest spelling, or the same
/// name in another section.
pub(super) fn nearest(wrong: &str) -> Option<&'static KnownKey> {
    let wrong = wrong.to_lowercase();
    let bare = wrong.rsplit('.').next().unwrap_or(&wrong);
    let full = all().iter().map(|key| key.key.as_str());
    let found = nearest_of(&wrong, full, 3);
    all()
        .iter()
        .find(|key| Some(key.key.as_str()) == found)
        .or_else(|| {
            let name = nearest_of(bare, all().iter().map(|key| key.name.as_str()), 2)?;
            all().iter().find(|key| key.name == name)
        })
}

/// The candidate nearest to `wrong`, if it is at most `limit` mistakes away.
pub(super) fn nearest_of<'a>(
    wrong: &str,
    candidates: impl Iterator<Item = &'a str>,
    limit: usize,
) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(candidate, wrong), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_or_misplaced_key_leads_to_the_right_one() {
        let nearest = |wrong| nearest(wrong).map(|key| key.key.as_str());
        assert_eq!(nearest("opa.pagesize"), Some("opa.page_size"));
        assert_eq!(nearest("opa.token_owner"), Some("opsera.token_owner"));
        assert_eq!(nearest("team"), Some("opa.team"));
        assert_eq!(
            nearest("guards.max_deactivation"),
            Some("guards.max_deactivations")
        );
        assert_eq!(nearest("opa.colour_of_the_sky"), None);
        assert_eq!(nearest_section("opsra"), Some("opsera"));
        assert_eq!(nearest_section("colours"), None);
    }

    #[test]
    fn what_must_not_be_shown_is_known() {
        let secrets: Vec<&str> = all()
            .iter()
            .filter(|key| key.is_secret())
            .map(|key| key.key.as_str())
            .collect();
        assert_eq!(
            secrets,
            [
                "opa.key_secret",
                "opa.token",
                "opsera.token",
                "notify.webhook_url",
                "notify.routing_key",
                "smtp.password"
            ]
        );
    }
}
