//! The settings that fit the example organisation, and what `rolecall sandbox` tells about it.

use std::fmt::Write as _;

use super::Sandbox;
use super::accounts::SiteRoleField;
use super::people::UserKind;

/// An Opsera address and the OPA address it belongs to.
pub(super) type Alias = (String, String);

/// The organisation's domain.
pub(super) const DOMAIN: &str = "example.com";

/// Who is in this group may have an account.
pub(super) const ACCESS_GROUP: &str = "opsera-users";

/// A group that was deleted.
pub(super) const RETIRED_GROUP: &str = "opsera-trial";

/// The account that the token belongs to.
pub(super) const TOKEN_OWNER: &str = "opsera-bot@example.com";

/// An account for emergencies, nobody's own.
pub(super) const BREAK_GLASS: &str = "break-glass@example.com";

/// The groups that give a role, and the role.
pub(super) const ROLE_GROUPS: [(&str, &str); 5] = [
    ("opsera-admins", "Administrators"),
    ("security-team", "SecurityManagers"),
    ("security-oncall", "SecurityManagers"),
    ("opsera-auditors", "Auditors"),
    ("opsera-power-users", "PowerUsers"),
];

/// The rules that say the same.
const RULES: [(&str, &str); 4] = [
    ("opsera-admins", "Administrators"),
    ("security-*", "SecurityManagers"),
    ("opsera-auditors", "Auditors"),
    ("opsera-power-users", "PowerUsers"),
];

impl Sandbox {
    /// A configuration file that works against this sandbox. The store's path is left to the
    /// caller. It holds the sandbox's own credentials, which open nothing else.
    ///
    /// Every renamed person has an alias but the first: that one is left for people to find.
    pub fn settings_toml(&self) -> String {
        self.settings_with_aliases(self.aliases.get(1..).unwrap_or_default())
    }

    fn settings_with_aliases(&self, aliases: &[Alias]) -> String {
        let mut text = format!(
            "[opa]\nbase_url = {}\nteam = {}\nkey_id = {}\nkey_secret = {}\n\
             requests_per_second = 200\nburst = 50\n\n\
             [opsera]\nbase_url = {}\ntoken = {}\ntoken_owner = {}\n",
            quoted(self.opa_url()),
            quoted(&self.team()),
            quoted(&self.key_id()),
            quoted(&self.key_secret()),
            quoted(self.opsera_url()),
            quoted(&self.opsera_token()),
            quoted(self.token_owner()),
        );
        // On loopback there is no service to spare.
        text.push_str("requests_per_second = 200\nburst = 50\n");
        if self.has_example() {
            self.write_policy(aliases, &mut text);
        }
        text
    }

    /// Whoever owns the token, where the listing has the account: rolecall takes a listing without
    /// it for incomplete.
    fn token_owner(&self) -> &'static str {
        match self.opsera().get(TOKEN_OWNER) {
            Some(_) => TOKEN_OWNER,
            None => "",
        }
    }

    /// The lines that `rolecall sandbox` prints: where both directories are, and how large.
    pub fn describe(&self) -> String {
        let people = self.opa().people();
        let service_users = people
            .iter()
            .filter(|p| p.kind == UserKind::Service)
            .count();
        format!(
            "OPA     {}  (team {}: {} people with {} records, and {} service users)\n\
             Opsera  {}  ({} accounts)\n",
            self.opa_url(),
            self.team(),
            self.population,
            people.len() - service_users,
            service_users,
            self.opsera_url(),
            self.opsera().count(),
        )
    }

    /// The first renamed person, for whom [`Sandbox::settings_toml`] has no alias: the address in
    /// Opsera and the address in OPA, as `[matching.aliases]` takes them.
    pub fn renamed_person(&self) -> Option<(&str, &str)> {
        let (opsera, opa) = self.aliases.first()?;
        Some((opsera, opa))
    }

    /// The same settings with the alias that [`Sandbox::renamed_person`] needs.
    pub fn settings_toml_with_every_alias(&self) -> String {
        self.settings_with_aliases(&self.aliases)
    }

    fn write_policy(&self, aliases: &[Alias], text: &mut String) {
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            text,
            "\n[scope]\nrequired_groups = [{}]\n\n[protect]\nemails = [\"break-glass@*\"]\n\n\
             [provision]\nenabled = true\n\n[matching.aliases]\n",
            quoted(ACCESS_GROUP)
        );
        for (opsera, opa) in aliases {
            let _ = writeln!(text, "{} = {}", quoted(opsera), quoted(opa));
        }
        let unknown = match self.opsera().lock().site_role_field {
            SiteRoleField::Reported => "assert",
            // Asserting everybody's role at once is more than the guards let pass.
            SiteRoleField::Missing => "adopt",
        };
        let _ = writeln!(
            text,
            "\n[roles]\ndefault = \"Users\"\nunknown = \"{unknown}\""
        );
        for (group, role) in RULES {
            let _ = writeln!(
                text,
                "\n[[roles.rules]]\ngroup = \"{group}\"\nrole = \"{role}\""
            );
        }
    }
}

/// `text` as a TOML basic string.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}
