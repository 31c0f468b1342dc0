//! The settings: one struct per section of the configuration file, resolved once.
//!
//! [`Layers`] merges the built-in defaults, the files and the environment (§2) and remembers where
//! each value came from; `validate` turns the merged values into these types and reports everything
//! that is wrong at once. Nothing else in the program reads a file or a variable for a setting.

mod environment;
mod layers;
mod problem;
mod schema;
mod secrets;
mod show;
mod validate;

pub use layers::{ConfigSources, DEFAULTS, Layers};
pub use problem::{Problem, SettingsErrors, Warning, WarningKind};
pub use show::Effective;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;
use wildmatch::WildMatch;

use crate::domain::{Address, Domain, Evidence, GroupName, Matching, SiteRole};

/// Everything the program can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[opa]`
    pub opa: OpaSettings,
    /// `[opsera]`
    pub opsera: OpseraSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[schedule]`
    pub schedule: ScheduleSettings,
    /// What decides who keeps which account: all that the rules see.
    pub policy: Policy,
    /// `[retry]`
    pub retry: RetrySettings,
    /// `[audit]`
    pub audit: AuditSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[notify]`
    pub notify: NotifySettings,
    /// `[log]`
    pub log: LogSettings,
}

/// Settings of one kind, with what was noticed while they were read.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// What works but is probably not meant.
    pub warnings: Vec<Warning>,
    /// The layers they came from, for showing the origin of each value.
    pub layers: Layers,
}

impl Settings {
    /// Reads, merges and validates everything, secrets included. All problems are reported
    /// together (§2).
    pub fn load(sources: &ConfigSources) -> Result<Loaded<Self>, SettingsErrors> {
        Self::from_layers(Layers::read(sources)?)
    }

    /// The second half of [`Settings::load`].
    pub fn from_layers(layers: Layers) -> Result<Loaded<Self>, SettingsErrors> {
        let (settings, warnings) = validate::settings(&layers)?;
        Ok(Loaded {
            settings,
            warnings,
            layers,
        })
    }
}

/// What commands need that only look at the store: nothing here asks for a credential, so
/// `rolecall status` works for an operator who cannot read the service's secrets.
#[derive(Clone, Debug)]
pub struct OfflineSettings {
    /// `[store]`
    pub store: StoreSettings,
    /// `[schedule]`
    pub schedule: ScheduleSettings,
    /// What decides who keeps which account.
    pub policy: Policy,
    /// `[retry]`
    pub retry: RetrySettings,
    /// `[audit]`
    pub audit: AuditSettings,
    /// `[log]`
    pub log: LogSettings,
}

impl OfflineSettings {
    /// Reads and merges everything, and validates all but the two directories, `[http]` and
    /// `[notify]`. All problems are reported together (§2).
    pub fn load(sources: &ConfigSources) -> Result<Loaded<Self>, SettingsErrors> {
        let layers = Layers::read(sources)?;
        let (settings, warnings) = validate::offline(&layers)?;
        Ok(Loaded {
            settings,
            warnings,
            layers,
        })
    }
}

/// `[opa]`: the Team that is the source of truth.
#[derive(Clone, Debug)]
pub struct OpaSettings {
    /// Scheme, host and port; no path below it but what the operator gave.
    pub base_url: Url,
    /// The Team's name.
    pub team: String,
    /// How to get a bearer token.
    pub credentials: OpaCredentials,
    /// `count` of the first request of a listing.
    pub page_size: u32,
    /// Steady rate of requests.
    pub requests_per_second: f64,
    /// Requests that may go out at once after a pause.
    pub burst: u32,
    /// Time limit of one request, its body included.
    pub timeout: Duration,
    /// Time limit of one listing, all its pages and pauses included.
    pub pull_timeout: Duration,
}

/// How OPA is authenticated against.
#[derive(Clone, Debug)]
pub enum OpaCredentials {
    /// A service user's key, for which tokens are minted and renewed.
    Key {
        /// The key's id.
        id: String,
        /// The key's secret.
        secret: SecretString,
    },
    /// A token somebody else minted; it is not renewed.
    Token(SecretString),
}

/// `[opsera]`: the account list that follows.
#[derive(Clone, Debug)]
pub struct OpseraSettings {
    /// Scheme, host and port.
    pub base_url: Url,
    /// The personal access token.
    pub token: SecretString,
    /// Whose token it is; that account is never touched.
    pub token_owner: Option<Address>,
    /// Path of the site-role call, with `{user}` where the account's id goes.
    pub site_role_path: String,
    /// Steady rate of requests.
    pub requests_per_second: f64,
    /// Requests that may go out at once after a pause.
    pub burst: u32,
    /// Requests that may be under way at the same time.
    pub max_in_flight: u32,
    /// Time limit of one request; of silence, while the one large array is read.
    pub timeout: Duration,
    /// Time limit of the whole listing.
    pub pull_timeout: Duration,
}

/// `[store]`: the SQLite file.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where it is.
    pub path: PathBuf,
    /// How long finished runs and actions are kept; the audit log is kept for ever.
    pub retain: Duration,
}

/// `[schedule]`: when the daemon runs.
#[derive(Clone, Debug)]
pub struct ScheduleSettings {
    /// Cron expression, seconds first.
    pub cron: String,
    /// The zone in which it is read.
    pub time_zone: chrono_tz::Tz,
    /// Upper bound of the random delay before each run.
    pub jitter: Duration,
    /// Whether to run once at start.
    pub run_on_start: bool,
}

/// Everything the rules look at, and nothing else.
#[derive(Clone, Debug)]
pub struct Policy {
    /// `[matching]`
    pub matching: Matching,
    /// `scope.domains`; empty: all.
    pub scope_domains: BTreeSet<Domain>,
    /// `scope.required_groups`; empty: every ACTIVE person is entitled.
    pub required_groups: BTreeSet<GroupName>,
    /// `[protect]` and `opsera.token_owner`.
    pub protection: Protection,
    /// `deactivation.on`; empty when `deactivation.enabled` is false.
    pub deactivate_on: BTreeSet<Evidence>,
    /// `deactivation.absent_grace`
    pub absent_grace: Duration,
    /// `[roles]`
    pub roles: RolePolicy,
    /// `provision.enabled`
    pub provision: bool,
    /// `[guards]`
    pub guards: GuardLimits,
}

/// Whom nothing may touch.
#[derive(Clone, Debug)]
pub struct Protection {
    /// `protect.emails`, as written.
    pub patterns: Vec<AddressPattern>,
    /// `opsera.token_owner`
    pub token_owner: Option<Address>,
}

/// One glob of `protect.emails`.
#[derive(Clone, Debug)]
pub struct AddressPattern {
    /// As the operator wrote it.
    pub text: String,
    /// As it is compared: lower case, `*` and `?` only.
    pub glob: WildMatch,
}

/// `[roles]`
#[derive(Clone, Debug)]
pub struct RolePolicy {
    /// Whether roles are managed at all: enabled, with at least one rule or a default.
    pub managed: bool,
    /// The role of an entitled person whom no rule matches; `None`: leave it alone.
    pub default: Option<SiteRole>,
    /// What to do when the current role is not known.
    pub unknown: UnknownRole,
    /// How memberships are read.
    pub lookup: Lookup,
    /// First match wins.
    pub rules: Vec<RoleRule>,
}

/// `roles.unknown`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownRole {
    /// Set the desired role.
    Assert,
    /// Take the desired role for the current one.
    Adopt,
}

/// `roles.lookup`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Whichever needs fewer requests.
    Auto,
    /// The groups of each person.
    User,
    /// The people of each group.
    Group,
}

/// One `[[roles.rules]]`.
#[derive(Clone, Debug)]
pub struct RoleRule {
    /// Which groups it is about.
    pub group: GroupPattern,
    /// The role it gives.
    pub role: SiteRole,
}

/// A group's exact name, or a glob.
#[derive(Clone, Debug)]
pub enum GroupPattern {
    /// No `*` or `?` in it: exactly this group.
    Exact(GroupName),
    /// Every group the glob matches, letter case included.
    Glob(WildMatch),
}

impl GroupPattern {
    /// Reads a rule's `group`.
    pub fn parse(text: &str) -> Self {
        if text.contains(['*', '?']) {
            Self::Glob(WildMatch::new(text))
        } else {
            Self::Exact(GroupName::new(text))
        }
    }

    /// Whether the rule is about `group`.
    pub fn matches(&self, group: &GroupName) -> bool {
        match self {
            Self::Exact(name) => name == group,
            Self::Glob(glob) => glob.matches(group.as_str()),
        }
    }
}

impl std::fmt::Display for GroupPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Glob(glob) => write!(f, "{glob}"),
        }
    }
}

/// `[guards]` (§6). Percentages are whole numbers from 0 to 100.
#[derive(Clone, Debug)]
pub struct GuardLimits {
    /// G1
    pub min_opa_users: u64,
    /// G2
    pub max_opa_drop_percent: u64,
    /// G3
    pub max_deactivations: u64,
    /// G3
    pub max_deactivations_percent: u64,
    /// G3
    pub max_deactivations_7d: u64,
    /// G4
    pub max_role_changes: u64,
    /// G4
    pub max_role_changes_percent: u64,
    /// G5
    pub max_creations: u64,
    /// G5
    pub max_administrator_grants: u64,
    /// G6
    pub min_administrators: u64,
    /// How long an approval, and a plan that waits for one, is good for.
    pub approval_ttl: Duration,
}

/// `[retry]` (A3)
#[derive(Clone, Debug)]
pub struct RetrySettings {
    /// Requests for one call, the first included. At least 1.
    pub max_attempts: u32,
    /// Backoff after the first failure.
    pub base_delay: Duration,
    /// Longest backoff of our own; what a server asks for may be longer.
    pub max_delay: Duration,
    /// How long an action that Opsera refused is left alone.
    pub rejected_retry: Duration,
}

/// `[audit]` (§8)
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// The HMAC key's file.
    pub key_file: Option<PathBuf>,
    /// The file that checkpoints are appended to.
    pub checkpoint_file: Option<PathBuf>,
}

/// `[http]`
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Where the daemon answers `/healthz`, `/readyz` and `/metrics`; `None`: nowhere.
    pub listen: Option<std::net::SocketAddr>,
    /// Trust anchors beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// Plain `http://` to other machines.
    pub allow_insecure: bool,
}

/// `[notify]`: the webhook.
#[derive(Clone, Debug)]
pub struct NotifySettings {
    /// Where to; `None`: nowhere. Its path is often a secret, so it is kept as one.
    pub webhook_url: Option<SecretString>,
    /// The body's shape.
    pub format: NotifyFormat,
    /// Shortest time between two messages about the same thing.
    pub repeat_after: Duration,
    /// Time limit of one message.
    pub timeout: Duration,
}

/// `notify.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyFormat {
    /// `{"text": …}`
    Slack,
    /// The same facts as plain fields.
    Json,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Text or JSON; `None`: text on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
    /// A level, or the filter syntax of `tracing-subscriber`.
    pub level: String,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}
