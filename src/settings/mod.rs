//! The settings: one struct per section of the configuration file, resolved once.
//!
//! [`Layers`] merges the built-in defaults, the files and the environment (§2) and remembers where
//! each value came from; `read` turns the merged values into the section structs, `resolve` those
//! into [`Settings`], and everything that is wrong is reported at once. Nothing else in the program
//! reads a file or a variable for a setting.

mod addresses;
mod environment;
mod keys;
mod layers;
mod problem;
mod read;
mod resolve;
mod schema;
mod secrets;
mod sections;
mod show;
mod smtp;
#[cfg(test)]
mod tests;
mod values;

pub use keys::DEFAULTS;
pub use keys::variable;
pub use layers::{ConfigSources, Layers};
pub use problem::{Problem, SettingsErrors, Warning, WarningKind};
pub use schema::json_schema;
pub use show::Effective;
pub use smtp::{SmtpSecurity, SmtpSettings};

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::domain::base_url::BaseUrl;
use crate::rules::Policy;
use values::{DurationText, LogFormatName, Whole};

/// Everything the program can be told. What needs no directory is reached as if it stood here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What commands share that only look at the store.
    pub offline: OfflineSettings,
    /// `[opa]`
    pub opa: OpaSettings,
    /// `[opsera]`
    pub opsera: OpseraSettings,
    /// `[http]`
    pub http: HttpSettings,
    /// `[notify]`
    pub notify: NotifySettings,
    /// `[smtp]`; `None`: no e-mail is sent.
    pub smtp: Option<Box<SmtpSettings>>,
}

impl Deref for Settings {
    type Target = OfflineSettings;

    fn deref(&self) -> &OfflineSettings {
        &self.offline
    }
}

impl DerefMut for Settings {
    fn deref_mut(&mut self) -> &mut OfflineSettings {
        &mut self.offline
    }
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
        let (settings, warnings) = resolve::settings(&layers)?;
        Ok(Loaded {
            settings,
            warnings,
            layers,
        })
    }
}

/// One directory's settings with what a client of it needs beside them.
#[derive(Clone, Debug)]
pub struct DirectorySettings<T> {
    /// `[opa]` or `[opsera]`
    pub directory: T,
    /// `[http]`
    pub http: HttpSettings,
    /// `[retry]`
    pub retry: RetrySettings,
}

impl DirectorySettings<OpaSettings> {
    /// Reads what a client of OPA needs; nothing else has to be there, or right.
    pub fn load(sources: &ConfigSources) -> Result<Self, SettingsErrors> {
        resolve::opa(&Layers::read(sources)?)
    }
}

impl DirectorySettings<OpseraSettings> {
    /// Reads what a client of Opsera needs; nothing else has to be there, or right.
    pub fn load(sources: &ConfigSources) -> Result<Self, SettingsErrors> {
        resolve::opsera(&Layers::read(sources)?)
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
    /// What decides who keeps which account: all that the rules see.
    pub policy: Policy,
    /// `[retry]`
    pub retry: RetrySettings,
    /// `[audit]`
    pub audit: AuditSettings,
    /// `[log]`
    pub log: LogSettings,
    digest: String,
}

impl OfflineSettings {
    /// Reads and merges everything, and validates all but the two directories, `[http]`,
    /// `[notify]` and `[smtp]`. All problems are reported together (§2).
    pub fn load(sources: &ConfigSources) -> Result<Loaded<Self>, SettingsErrors> {
        let layers = Layers::read(sources)?;
        let (settings, warnings) = resolve::offline(&layers)?;
        Ok(Loaded {
            settings,
            warnings,
            layers,
        })
    }

    /// [`Layers::digest`] of the layers that these settings came from.
    pub fn digest(&self) -> String {
        self.digest.clone()
    }
}

/// `[opa]`: the Team that is the source of truth.
#[derive(Clone, Debug)]
pub struct OpaSettings {
    /// Scheme, host and port; no path below it but what the operator gave.
    pub base_url: BaseUrl,
    /// The Team's name.
    pub team: String,
    /// How to get a bearer token.
    pub credentials: OpaCredentials,
    /// `count` of the first request of a listing.
    pub page_size: u32,
    /// Share of OPA's quota that is left to others with the same service user.
    pub quota_reserve_percent: u8,
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
    pub base_url: BaseUrl,
    /// The personal access token.
    pub token: SecretString,
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

/// The SQLite file with what rolecall remembers (`[store]`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Where it is.
    #[serde(deserialize_with = "values::required_file")]
    #[schemars(with = "String")]
    pub path: PathBuf,
    /// How long finished runs and actions are kept; the audit log is kept for ever.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub retain: Duration,
}

/// When the daemon runs (`[schedule]`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Cron expression, seconds first.
    #[serde(deserialize_with = "values::cron")]
    pub cron: String,
    /// The zone in which it is read.
    #[serde(deserialize_with = "values::time_zone")]
    #[schemars(with = "String")]
    pub time_zone: chrono_tz::Tz,
    /// Upper bound of the random delay before each run.
    #[serde(deserialize_with = "values::duration")]
    #[schemars(with = "DurationText")]
    pub jitter: Duration,
    /// Whether to run once at start.
    pub run_on_start: bool,
}

/// What happens after a request failed (`[retry]`, A3).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySettings {
    /// Requests for one call, the first included. At least 1.
    #[serde(deserialize_with = "values::whole::<_, 1, 100>")]
    #[schemars(with = "Whole<1, 100>")]
    pub max_attempts: u32,
    /// Backoff after the first failure.
    #[serde(deserialize_with = "values::duration")]
    #[schemars(with = "DurationText")]
    pub base_delay: Duration,
    /// Longest backoff of our own; what a server asks for may be longer.
    #[serde(deserialize_with = "values::duration")]
    #[schemars(with = "DurationText")]
    pub max_delay: Duration,
    /// How long an action that Opsera refused is left alone.
    #[serde(deserialize_with = "values::duration")]
    #[schemars(with = "DurationText")]
    pub rejected_retry: Duration,
}

/// How the audit log is made provable (`[audit]`, §8).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    /// The HMAC key's file.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub key_file: Option<PathBuf>,
    /// The file that checkpoints are appended to.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub checkpoint_file: Option<PathBuf>,
    /// Where finished entries are sent: "unix:///dev/log" or "file:/var/log/rolecall/audit.jsonl".
    /// Empty: nowhere.
    #[serde(deserialize_with = "values::stream")]
    #[schemars(with = "String")]
    pub stream: Option<StreamTarget>,
    /// The format in which they are sent.
    pub stream_format: StreamFormat,
}

/// `audit.stream`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamTarget {
    /// Lines are appended to this file.
    File(PathBuf),
    /// Datagrams are sent to this syslog socket.
    Socket(PathBuf),
}

/// The form in which the setting has it.
impl std::fmt::Display for StreamTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// `audit.stream_format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum StreamFormat {
    /// As `audit export` writes them, to be verified elsewhere.
    Jsonl,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// Common Event Format.
    Cef,
    /// Syslog.
    Rfc5424,
}

/// HTTP, in both directions (`[http]`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Where the daemon answers `/healthz`, `/readyz` and `/metrics`; `None`: nowhere.
    #[serde(deserialize_with = "values::listen")]
    #[schemars(with = "String")]
    pub listen: Option<std::net::SocketAddr>,
    /// Trust anchors beside the machine's own.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
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
    /// PagerDuty's integration key; `None` for every other format.
    pub routing_key: Option<SecretString>,
    /// Whether messages name people.
    pub include_people: bool,
    /// Shortest time between two messages about the same thing.
    pub repeat_after: Duration,
    /// Time limit of one message.
    pub timeout: Duration,
}

/// `notify.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum NotifyFormat {
    /// `{"text": …, "blocks": […]}`
    Slack,
    /// The same facts as plain fields.
    Json,
    /// An Adaptive Card for a workflow of Microsoft Teams.
    Teams,
    /// An event for PagerDuty's Events API v2.
    Pagerduty,
}

/// The program's own log, on standard error (`[log]`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Text or JSON; `None` ("auto"): text on a terminal, JSON otherwise.
    #[serde(deserialize_with = "values::log_format")]
    #[schemars(with = "LogFormatName")]
    pub format: Option<LogFormat>,
    /// A level, or the filter syntax of `tracing-subscriber`.
    #[serde(deserialize_with = "values::log_level")]
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
