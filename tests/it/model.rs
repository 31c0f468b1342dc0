//! The specification a second time: §3 to §6 as plain maps and loops.
//!
//! Written from the text of the specification and not from the program, so that the two can be
//! held against each other. Slow and simple on purpose; it shares no rule with the library.

pub(crate) mod address;
pub(crate) mod decide;
pub(crate) mod guards;
pub(crate) mod joiners;
pub(crate) mod memory;
pub(crate) mod wild;

/// A count as the reports write it.
pub(crate) fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap()
}

/// One OPA record, as it truly is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Human {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: Option<String>,
    pub(crate) first: Option<String>,
    pub(crate) last: Option<String>,
    pub(crate) status: String,
    pub(crate) service: bool,
    /// Live groups.
    pub(crate) groups: Vec<String>,
    /// Whether the listings show it.
    pub(crate) listed: bool,
    /// Whether a listing shows it twice.
    pub(crate) twice: bool,
}

/// Where an account is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Active,
    Pending,
    Inactive,
}

/// One Opsera account, as it truly is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Acct {
    pub(crate) id: String,
    pub(crate) email: Option<String>,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) life: Life,
    pub(crate) role: String,
    pub(crate) owned: u32,
}

/// Both directories.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Org {
    pub(crate) people: Vec<Human>,
    pub(crate) accounts: Vec<Acct>,
    /// Groups that live, with members or without.
    pub(crate) groups: Vec<String>,
    /// Groups that were deleted, members and all.
    pub(crate) dead_groups: Vec<(String, Vec<String>)>,
    /// Whether account records carry the site role.
    pub(crate) roles_reported: bool,
}

/// The settings that matter to the rules.
#[expect(
    clippy::struct_excessive_bools,
    reason = "it is the settings file, key by key"
)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) plus: bool,
    pub(crate) domain_aliases: Vec<(String, String)>,
    pub(crate) aliases: Vec<(String, String)>,
    pub(crate) domains: Vec<String>,
    pub(crate) required: Vec<String>,
    pub(crate) protect: Vec<String>,
    pub(crate) token_owner: String,
    pub(crate) deactivation: bool,
    pub(crate) on: Vec<String>,
    /// Seconds.
    pub(crate) grace: u64,
    pub(crate) roles: bool,
    pub(crate) default: String,
    pub(crate) adopt: bool,
    /// `roles.rules`
    pub(crate) patterns: Vec<(String, String)>,
    pub(crate) provision: bool,
    pub(crate) limits: Limits,
    /// `deactivation.release`
    pub(crate) release: Vec<String>,
    /// `--only`; empty: all.
    pub(crate) only: Vec<String>,
}

/// `[guards]`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) min_opa_users: u64,
    pub(crate) max_opa_drop_percent: u64,
    pub(crate) max_opsera_drop_percent: u64,
    pub(crate) max_deactivations: u64,
    pub(crate) max_deactivations_percent: u64,
    pub(crate) max_deactivations_7d: u64,
    pub(crate) max_role_changes: u64,
    pub(crate) max_role_changes_percent: u64,
    pub(crate) max_creations: u64,
    pub(crate) max_administrator_grants: u64,
    pub(crate) min_administrators: u64,
}

impl Limits {
    /// Limits that nothing small reaches.
    pub(crate) fn wide() -> Self {
        Self {
            min_opa_users: 0,
            max_opa_drop_percent: 100,
            max_opsera_drop_percent: 100,
            max_deactivations: 10_000,
            max_deactivations_percent: 100,
            max_deactivations_7d: 10_000,
            max_role_changes: 10_000,
            max_role_changes_percent: 100,
            max_creations: 10_000,
            max_administrator_grants: 10_000,
            min_administrators: 0,
        }
    }
}

impl Default for Limits {
    /// As the specification prints them.
    fn default() -> Self {
        Self {
            min_opa_users: 1,
            max_opa_drop_percent: 20,
            max_opsera_drop_percent: 20,
            max_deactivations: 25,
            max_deactivations_percent: 10,
            max_deactivations_7d: 75,
            max_role_changes: 100,
            max_role_changes_percent: 25,
            max_creations: 50,
            max_administrator_grants: 3,
            min_administrators: 1,
        }
    }
}

impl Default for Rules {
    /// As the specification prints them, with guards that nothing small reaches.
    fn default() -> Self {
        Self {
            plus: false,
            domain_aliases: Vec::new(),
            aliases: Vec::new(),
            domains: Vec::new(),
            required: Vec::new(),
            protect: Vec::new(),
            token_owner: String::new(),
            deactivation: true,
            on: ["disabled", "deleted", "absent", "not_in_required_group"]
                .map(str::to_owned)
                .to_vec(),
            grace: 3600,
            roles: true,
            default: String::new(),
            adopt: false,
            patterns: Vec::new(),
            provision: false,
            limits: Limits::wide(),
            release: Vec::new(),
            only: Vec::new(),
        }
    }
}

impl Rules {
    /// The settings file's part that says the same.
    pub(crate) fn toml(&self) -> String {
        use std::fmt::Write as _;
        let q = |text: &str| serde_json::Value::from(text).to_string();
        let list = |items: &[String]| {
            let quoted: Vec<String> = items.iter().map(|item| q(item)).collect();
            format!("[{}]", quoted.join(", "))
        };
        let mut text = String::new();
        let unknown = if self.adopt { "adopt" } else { "assert" };
        write!(
            text,
            "[matching]\nignore_plus_tag = {}\n[scope]\ndomains = {}\nrequired_groups = {}\n\
             [protect]\nemails = {}\n[deactivation]\nenabled = {}\non = {}\nabsent_grace = \"{}s\"\n\
             [provision]\nenabled = {}\n[roles]\nenabled = {}\ndefault = {}\nunknown = \"{unknown}\"\n",
            self.plus,
            list(&self.domains),
            list(&self.required),
            list(&self.protect),
            self.deactivation,
            list(&self.on),
            self.grace,
            self.provision,
            self.roles,
            q(&self.default),
        )
        .unwrap();
        for (group, role) in &self.patterns {
            write!(
                text,
                "[[roles.rules]]\ngroup = {}\nrole = {}\n",
                q(group),
                q(role)
            )
            .unwrap();
        }
        for (table, pairs) in [
            ("domain_aliases", &self.domain_aliases),
            ("aliases", &self.aliases),
        ] {
            writeln!(text, "[matching.{table}]").unwrap();
            for (from, to) in pairs {
                writeln!(text, "{} = {}", q(from), q(to)).unwrap();
            }
        }
        let limits = &self.limits;
        write!(
            text,
            "[guards]\nmin_opa_users = {}\nmax_opa_drop_percent = {}\nmax_opsera_drop_percent = {}\nmax_deactivations = {}\n\
             max_deactivations_percent = {}\nmax_deactivations_7d = {}\nmax_role_changes = {}\n\
             max_role_changes_percent = {}\nmax_creations = {}\nmax_administrator_grants = {}\n\
             min_administrators = {}\n",
            limits.min_opa_users,
            limits.max_opa_drop_percent,
            limits.max_opsera_drop_percent,
            limits.max_deactivations,
            limits.max_deactivations_percent,
            limits.max_deactivations_7d,
            limits.max_role_changes,
            limits.max_role_changes_percent,
            limits.max_creations,
            limits.max_administrator_grants,
            limits.min_administrators,
        )
        .unwrap();
        text
    }

    /// Whether roles are managed at all (§5).
    pub(crate) fn manages_roles(&self) -> bool {
        self.roles && (!self.patterns.is_empty() || !self.default.is_empty())
    }

    /// Whether `--only` lets this kind through.
    pub(crate) fn plans(&self, kind: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == kind)
    }
}
