//! Every key there is, with the shape of its value.
//!
//! The one list that the layers, the environment, the validation and `config show` agree on; a test
//! holds it against `config/default.toml`. To add a key: a line here, a documented line there, and
//! its reading in the section's file below `validate/`.

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any text; durations, addresses and names among them.
    Text,
    /// A text that is never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole,
    /// A number, fractions allowed.
    Number,
    /// A list of texts.
    List,
    /// A table from text to text.
    Map,
    /// A list of tables.
    Rules,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// `section.name`
    pub(crate) key: &'static str,
    /// What its value must look like.
    pub(crate) shape: Shape,
}

impl Entry {
    /// The part before the dot.
    pub(crate) fn section(&self) -> &'static str {
        self.key
            .split_once('.')
            .map_or(self.key, |(section, _)| section)
    }

    /// The part after the dot.
    pub(crate) fn name(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(_, name)| name)
    }

    /// The environment variable that sets this key.
    pub(crate) fn variable(&self) -> String {
        format!(
            "ROLECALL__{}__{}",
            self.section().to_ascii_uppercase(),
            self.name().to_ascii_uppercase()
        )
    }
}

const fn entry(key: &'static str, shape: Shape) -> Entry {
    Entry { key, shape }
}

/// Every key, in the order of `config/default.toml`.
pub(crate) const ENTRIES: &[Entry] = &[
    entry("opa.base_url", Shape::Text),
    entry("opa.team", Shape::Text),
    entry("opa.key_id", Shape::Text),
    entry("opa.key_secret", Shape::Secret),
    entry("opa.key_secret_file", Shape::Text),
    entry("opa.token", Shape::Secret),
    entry("opa.token_file", Shape::Text),
    entry("opa.page_size", Shape::Whole),
    entry("opa.requests_per_second", Shape::Number),
    entry("opa.burst", Shape::Whole),
    entry("opa.quota_reserve_percent", Shape::Whole),
    entry("opa.timeout", Shape::Text),
    entry("opa.pull_timeout", Shape::Text),
    entry("opsera.base_url", Shape::Text),
    entry("opsera.token", Shape::Secret),
    entry("opsera.token_file", Shape::Text),
    entry("opsera.token_owner", Shape::Text),
    entry("opsera.site_role_path", Shape::Text),
    entry("opsera.requests_per_second", Shape::Number),
    entry("opsera.burst", Shape::Whole),
    entry("opsera.max_in_flight", Shape::Whole),
    entry("opsera.timeout", Shape::Text),
    entry("opsera.pull_timeout", Shape::Text),
    entry("store.path", Shape::Text),
    entry("store.retain", Shape::Text),
    entry("schedule.cron", Shape::Text),
    entry("schedule.time_zone", Shape::Text),
    entry("schedule.jitter", Shape::Text),
    entry("schedule.run_on_start", Shape::Flag),
    entry("matching.ignore_plus_tag", Shape::Flag),
    entry("matching.domain_aliases", Shape::Map),
    entry("matching.aliases", Shape::Map),
    entry("scope.domains", Shape::List),
    entry("scope.required_groups", Shape::List),
    entry("protect.emails", Shape::List),
    entry("deactivation.enabled", Shape::Flag),
    entry("deactivation.on", Shape::List),
    entry("deactivation.absent_grace", Shape::Text),
    entry("roles.enabled", Shape::Flag),
    entry("roles.default", Shape::Text),
    entry("roles.unknown", Shape::Text),
    entry("roles.lookup", Shape::Text),
    entry("roles.rules", Shape::Rules),
    entry("provision.enabled", Shape::Flag),
    entry("guards.min_opa_users", Shape::Whole),
    entry("guards.max_opa_drop_percent", Shape::Whole),
    entry("guards.max_opsera_drop_percent", Shape::Whole),
    entry("guards.max_deactivations", Shape::Whole),
    entry("guards.max_deactivations_percent", Shape::Whole),
    entry("guards.max_deactivations_7d", Shape::Whole),
    entry("guards.max_role_changes", Shape::Whole),
    entry("guards.max_role_changes_percent", Shape::Whole),
    entry("guards.max_creations", Shape::Whole),
    entry("guards.max_administrator_grants", Shape::Whole),
    entry("guards.min_administrators", Shape::Whole),
    entry("guards.approval_ttl", Shape::Text),
    entry("retry.max_attempts", Shape::Whole),
    entry("retry.base_delay", Shape::Text),
    entry("retry.max_delay", Shape::Text),
    entry("retry.rejected_retry", Shape::Text),
    entry("audit.key_file", Shape::Text),
    entry("audit.checkpoint_file", Shape::Text),
    entry("http.listen", Shape::Text),
    entry("http.ca_file", Shape::Text),
    entry("http.allow_insecure", Shape::Flag),
    entry("notify.webhook_url", Shape::Secret),
    entry("notify.webhook_url_file", Shape::Text),
    entry("notify.format", Shape::Text),
    entry("notify.repeat_after", Shape::Text),
    entry("notify.timeout", Shape::Text),
    entry("log.format", Shape::Text),
    entry("log.level", Shape::Text),
];

/// The entry of `section.name`.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Entry> {
    ENTRIES
        .iter()
        .find(|entry| entry.section() == section && entry.name() == name)
}

/// Whether there is a section of this name.
pub(crate) fn is_section(name: &str) -> bool {
    ENTRIES.iter().any(|entry| entry.section() == name)
}

/// The key that somebody who wrote `wrong` most likely meant: the same name in another section, or
/// the nearest spelling.
pub(crate) fn nearest(wrong: &str) -> Option<&'static str> {
    let wrong = wrong.to_lowercase();
    let bare = wrong.rsplit('.').next().unwrap_or(&wrong);
    let spelling = ENTRIES
        .iter()
        .map(|entry| (strsim::damerau_levenshtein(entry.key, &wrong), entry.key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 3);
    spelling.map(|(_, key)| key).or_else(|| {
        ENTRIES
            .iter()
            .map(|entry| (strsim::damerau_levenshtein(entry.name(), bare), entry.key))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= 2)
            .map(|(_, key)| key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_or_misplaced_key_leads_to_the_right_one() {
        assert_eq!(nearest("opa.pagesize"), Some("opa.page_size"));
        assert_eq!(nearest("opa.token_owner"), Some("opsera.token_owner"));
        assert_eq!(nearest("team"), Some("opa.team"));
        assert_eq!(
            nearest("guards.max_deactivation"),
            Some("guards.max_deactivations")
        );
        assert_eq!(nearest("opa.colour_of_the_sky"), None);
    }
}
