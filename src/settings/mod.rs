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

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::domain::Address;
use crate::rules::Policy;

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
