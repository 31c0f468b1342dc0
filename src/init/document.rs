//! The settings file itself: what was answered, with comments for whoever reads it next.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::proposals::{DomainProposal, Noteworthy};
use crate::settings::{OpaCredentials, Settings};

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a file that was there before; its absolute name.
    Named(PathBuf),
    /// In a file beside the settings; its name there.
    Beside(String),
}

impl SecretPlace {
    fn text(&self) -> String {
        match self {
            Self::Named(path) => path.display().to_string(),
            Self::Beside(name) => name.clone(),
        }
    }
}

/// Everything that the file is written from.
#[derive(Debug)]
pub struct Document<'a> {
    /// The answers, resolved.
    pub settings: &'a Settings,
    /// The file with `opa.key_secret`.
    pub key_secret: SecretPlace,
    /// The file with `opsera.token`.
    pub token: SecretPlace,
    /// The JSON Schema, as the file's first line names it.
    pub schema: &'a str,
    /// The domains that were found.
    pub domains: &'a [DomainProposal],
    /// Why accounts are protected.
    pub noteworthy: &'a [Noteworthy],
}

impl Document<'_> {
    /// The file's text.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "\
#:schema ./{}
#
# Written by `rolecall init` {}. What is not here has its default: `rolecall config show` lists every
# setting with its value and where it came from. After a change: `rolecall check`.
#
# No secrets in this file; they are in files of their own. Relative paths mean the directory of this
# file.
",
            self.schema,
            env!("CARGO_PKG_VERSION")
        );
        self.directories(&mut text);
        self.people(&mut text);
        text.push_str(
            "
# Site roles by OPA group: the first rule that fits gives the role. Without rules, and without
# roles.default, roles are left alone.
#
# [[roles.rules]]
# group = \"opsera-admins\"
# role = \"Administrators\"

# A key makes the audit log provable, and the checkpoints prove that no older copy of the store was
# put back. Make the key before the first run, on another volume than the store:
#   (umask 077; head -c 32 /dev/urandom > FILE)
#
# [audit]
# key_file = \"/etc/rolecall/audit.key\"
# checkpoint_file = \"/var/log/rolecall/checkpoints\"
",
        );
        text
    }

    fn directories(&self, text: &mut String) {
        let Settings {
            opa, opsera, http, ..
        } = self.settings;
        let key_id = match &opa.credentials {
            OpaCredentials::Key { id, .. } => id.as_str(),
            OpaCredentials::Token(_) => "",
        };
        let owner = self.settings.policy.protection.token_owner.as_ref();
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "
[opa]
# the organisation and its Team in Okta Privileged Access, which is only ever read
base_url = {}
team = {}
# a service user's key: its id, and the file with its secret
key_id = {}
key_secret_file = {}

[opsera]
base_url = {}
# the file with a personal access token of an account with the site role Administrators
token_file = {}
# whose token it is: this account is never touched
token_owner = {}

[store]
# what rolecall remembers, its audit log included; on a local disk
path = \"rolecall.db\"
",
            quoted(&opa.base_url.to_string()),
            quoted(&opa.team),
            quoted(key_id),
            quoted(&self.key_secret.text()),
            quoted(&opsera.base_url.to_string()),
            quoted(&self.token.text()),
            quoted(owner.map_or("", |owner| owner.as_str())),
        );
        if let Some(ca_file) = &http.ca_file {
            let ca_file = std::path::absolute(ca_file).unwrap_or_else(|_| ca_file.clone());
            let _ = write!(
                text,
                "
[http]
# certificates to trust beside the machine's own
ca_file = {}
",
                quoted(&ca_file.display().to_string())
            );
        }
    }

    fn people(&self, text: &mut String) {
        let policy = &self.settings.policy;
        text.push_str(
            "
[scope]
# Only accounts in these domains are looked after. Empty means all: guests and suppliers, who are not
# in the Team, would then count as leavers.
",
        );
        let is_chosen = |found: &DomainProposal| policy.scope_domains.contains(&found.domain);
        for found in self
            .domains
            .iter()
            .filter(|found| !is_chosen(found))
            .take(20)
        {
            let _ = writeln!(
                text,
                "#   left alone: {} ({})",
                found.domain,
                accounts(found.accounts)
            );
        }
        let domains = policy
            .scope_domains
            .iter()
            .map(|domain| quoted(domain.as_str()));
        let domains: Vec<String> = domains.collect();
        let _ = writeln!(text, "domains = [{}]", domains.join(", "));
        text.push_str(
            "
[protect]
# Never touched, whatever the directories say; * and ? are allowed. Whoever stands here keeps the
# account after leaving the Team: take out the people for whom that is not meant.
emails = [
",
        );
        for pattern in &policy.protection.patterns {
            let note = self
                .noteworthy
                .iter()
                .find(|found| found.address.as_str() == pattern.text)
                .map(|found| format!("  # {}", found.why.as_str()))
                .unwrap_or_default();
            let _ = writeln!(text, "    {},{note}", quoted(&pattern.text));
        }
        text.push_str("]\n");
    }
}

fn accounts(count: u64) -> String {
    format!("{count} account{}", if count == 1 { "" } else { "s" })
}

/// `text` as a TOML basic string. JSON escapes the same characters, but one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
