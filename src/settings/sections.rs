//! The sections of a settings file: one struct per section, one field per key.
//!
//! This is where a key is added: a field here with what it means, and a documented line in
//! `config/default.toml`. The JSON Schema is made from these structs and their comments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Host;

use super::addresses::{EmailPattern, ListedAddress, ScopeDomain};
use super::smtp::{self, Recipient};
use super::values::{
    self, Count, DurationText, EndText, EvidenceName, OptionalRoleName, Percent, Rate, RoleName,
    Whole, Words,
};
use super::{
    AuditSettings, HttpSettings, LogSettings, NotifyFormat, RetrySettings, ScheduleSettings,
    SmtpSecurity, StoreSettings,
};
use crate::domain::time::Timestamp;
use crate::domain::{Address, Evidence, SiteRole};
use crate::rules::{Lookup, UnknownRole};

/// What goes into a field of `[[roles.rules]]` or `[[protect.accounts]]` that must not be missing.
pub(super) fn what_goes_into(field: &str) -> String {
    match field {
        "group" => "the name of an OPA group, or a pattern with * and ?".to_owned(),
        "role" => format!(
            "one of {}",
            SiteRole::ALL
                .iter()
                .map(|role| role.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        "email" => "an address, or a pattern with * and ?".to_owned(),
        _ => "a text in quotes".to_owned(),
    }
}

/// The settings of rolecall.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    pub(super) opa: Opa,
    pub(super) opsera: Opsera,
    pub(super) store: StoreSettings,
    pub(super) schedule: ScheduleSettings,
    pub(super) matching: Matching,
    pub(super) scope: Scope,
    pub(super) protect: Protect,
    pub(super) deactivation: Deactivation,
    pub(super) roles: Roles,
    pub(super) provision: Provision,
    pub(super) guards: Guards,
    pub(super) retry: RetrySettings,
    pub(super) audit: AuditSettings,
    pub(super) http: HttpSettings,
    pub(super) notify: Notify,
    pub(super) smtp: Smtp,
    pub(super) log: LogSettings,
}

/// The Team of Okta Privileged Access: the truth about who is there. It is only ever read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Opa {
    /// The organisation's address. Required.
    #[schemars(extend("examples" = ["https://example.pam.okta.com"]))]
    pub(super) base_url: String,
    /// The Team's name. Required.
    pub(super) team: String,
    /// The id of a service user's key.
    pub(super) key_id: String,
    /// The key's secret.
    pub(super) key_secret: String,
    /// A file with the key's secret.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub(super) key_secret_file: Option<PathBuf>,
    /// A bearer token that somebody else minted, in place of a key. It is not renewed.
    pub(super) token: String,
    /// A file with the token.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub(super) token_file: Option<PathBuf>,
    /// People asked for in one page.
    pub(super) page_size: Whole<1, 1000>,
    /// Steady rate of requests.
    pub(super) requests_per_second: Rate,
    /// Requests that may go out at once after a pause.
    pub(super) burst: Whole<1, { u32::MAX }>,
    /// Percent of OPA's quota that is left to others who use the same service user.
    pub(super) quota_reserve_percent: Whole<0, 90>,
    /// Time limit of one request, its answer included.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub(super) timeout: Duration,
    /// Time limit of one listing, all its pages and pauses included.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub(super) pull_timeout: Duration,
}

/// Opsera: the account list that follows. It is read and written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Opsera {
    /// The organisation's address.
    pub(super) base_url: String,
    /// A personal access token of an account with the site role Administrators.
    pub(super) token: String,
    /// A file with the token.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub(super) token_file: Option<PathBuf>,
    /// E-mail address of the account that owns the token. That account is never touched.
    #[serde(deserialize_with = "values::optional_address")]
    #[schemars(with = "String")]
    pub(super) token_owner: Option<Address>,
    /// The call that sets a site role; {user} is where the account's id goes.
    #[serde(deserialize_with = "values::site_role_path")]
    pub(super) site_role_path: String,
    /// Steady rate of requests.
    pub(super) requests_per_second: Rate,
    /// Requests that may go out at once after a pause.
    pub(super) burst: Whole<1, { u32::MAX }>,
    /// Requests that may be under way at the same time.
    pub(super) max_in_flight: Whole<1, 1000>,
    /// Time limit of one request.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub(super) timeout: Duration,
    /// Time limit of the whole account list.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub(super) pull_timeout: Duration,
}

/// Which Opsera address belongs to which person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Matching {
    /// Whether jane+opsera@example.com is jane@example.com, on both sides.
    pub(super) ignore_plus_tag: bool,
    /// Domains that mean the same people: "old.example.com" = "example.com".
    pub(super) domain_aliases: BTreeMap<String, String>,
    /// Single people whose address differs: "address in Opsera" = "address in OPA".
    pub(super) aliases: BTreeMap<String, String>,
}

/// Whom this installation looks after.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Scope {
    /// Only Opsera accounts in these e-mail domains are managed. Empty: all of them.
    pub(super) domains: Vec<ScopeDomain>,
    /// A person keeps the account only as a member of one of these OPA groups. Empty: everybody
    /// who is active in the Team.
    pub(super) required_groups: Vec<Words>,
}

/// Accounts that are never touched, whatever the directories say.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Protect {
    /// Addresses, or patterns with * and ?.
    pub(super) emails: Vec<EmailPattern>,
    /// Accounts that are protected for a reason, and up to a day.
    pub(super) accounts: Vec<Account>,
}

/// One account of `[[protect.accounts]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct Account {
    /// An address, or a pattern with * and ?.
    pub(super) email: EmailPattern,
    /// Why the account is protected.
    pub(super) reason: Words,
    /// The last day of the protection (UTC). Missing: it has no end.
    #[serde(default, deserialize_with = "values::end")]
    #[schemars(with = "Option<EndText>")]
    pub(super) until: Option<Timestamp>,
    /// Who answers for the protection.
    #[serde(default)]
    pub(super) owner: Option<Words>,
}

/// Deactivation cannot be undone through the API.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deactivation {
    /// false: leavers are counted and left alone.
    pub(super) enabled: bool,
    /// What counts as having left.
    #[schemars(with = "Vec<EvidenceName>")]
    pub(super) on: BTreeSet<Evidence>,
    /// How long an absent person must have been missing.
    #[serde(deserialize_with = "values::duration")]
    #[schemars(with = "DurationText")]
    pub(super) absent_grace: Duration,
    /// Addresses in Opsera that a person has looked at: no possible match keeps these accounts.
    pub(super) release: Vec<ListedAddress>,
}

/// Site roles.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Roles {
    /// false: roles are never read nor written.
    pub(super) enabled: bool,
    /// The role of an entitled person whom no rule matches. Empty: the role is left alone.
    #[serde(deserialize_with = "values::optional_role")]
    #[schemars(with = "OptionalRoleName")]
    pub(super) default: Option<SiteRole>,
    /// What to do where the present role is not known.
    #[schemars(with = "String", extend("enum" = ["assert", "adopt"]))]
    pub(super) unknown: UnknownRole,
    /// How memberships are read.
    #[schemars(with = "String", extend("enum" = ["auto", "user", "group"]))]
    pub(super) lookup: Lookup,
    /// The first rule whose group the person is in gives the role.
    pub(super) rules: Vec<Rule>,
}

/// One rule of `[[roles.rules]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct Rule {
    /// An OPA group's exact name, or a pattern with * and ?.
    #[serde(deserialize_with = "values::group")]
    pub(super) group: String,
    /// The role that the group gives.
    #[schemars(with = "RoleName")]
    pub(super) role: SiteRole,
}

/// New accounts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Provision {
    /// true: create an Opsera account for every entitled person in scope who has none.
    pub(super) enabled: bool,
}

/// Limits on what one run may do. A plan that exceeds one is held until somebody approves it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Guards {
    /// Active people that the Team must have.
    pub(super) min_opa_users: Count,
    /// Percent by which the active people in the Team may fall since the last accepted run.
    pub(super) max_opa_drop_percent: Percent,
    /// Percent by which the listed Opsera accounts may fall since the last accepted run.
    pub(super) max_opsera_drop_percent: Percent,
    /// Deactivations in one run.
    pub(super) max_deactivations: Count,
    /// Deactivations in one run, in percent of the managed accounts.
    pub(super) max_deactivations_percent: Percent,
    /// Deactivations in any seven days.
    pub(super) max_deactivations_7d: Count,
    /// Role changes in one run.
    pub(super) max_role_changes: Count,
    /// Role changes in one run, in percent of the managed accounts.
    pub(super) max_role_changes_percent: Percent,
    /// Accounts created in one run.
    pub(super) max_creations: Count,
    /// People who would newly become Administrators in one run.
    pub(super) max_administrator_grants: Count,
    /// Known Administrators that must be left.
    pub(super) min_administrators: Count,
    /// Accounts whose protection in [[protect.accounts]] has ended that one run may touch.
    pub(super) max_expired_protections: Count,
    /// How long an approval is good for.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub(super) approval_ttl: Duration,
}

/// A message to a chat or a pager.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    /// Where to send it. Empty: nowhere. It often carries a secret, so it is treated as one.
    pub(super) webhook_url: String,
    /// A file with the address.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub(super) webhook_url_file: Option<PathBuf>,
    /// The body's shape.
    pub(super) format: NotifyFormat,
    /// PagerDuty's integration key (Events API v2). Only for the format `pagerduty`.
    pub(super) routing_key: String,
    /// A file with the key.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub(super) routing_key_file: Option<PathBuf>,
    /// Whether messages name people.
    pub(super) include_people: bool,
    /// The same message is not repeated sooner.
    #[serde(deserialize_with = "values::duration")]
    #[schemars(with = "DurationText")]
    pub(super) repeat_after: Duration,
    /// A slow receiver is given up on after this long.
    #[serde(deserialize_with = "values::some_time")]
    #[schemars(with = "DurationText")]
    pub(super) timeout: Duration,
}

/// The same messages by e-mail, beside the webhook or in its place.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Smtp {
    /// The mail server's name. Empty: no e-mail is sent.
    #[serde(deserialize_with = "smtp::mail_host")]
    #[schemars(with = "String", extend("examples" = ["smtp.example.com"]))]
    pub(super) host: Option<Host>,
    /// Its port. 0: the usual one for `security`.
    pub(super) port: Whole<0, 65535>,
    /// How the connection is encrypted.
    pub(super) security: SmtpSecurity,
    /// The login's name. Empty: the server asks for none.
    pub(super) username: String,
    /// The login's password.
    pub(super) password: String,
    /// A file with the password.
    #[serde(deserialize_with = "values::file")]
    #[schemars(with = "String")]
    pub(super) password_file: Option<PathBuf>,
    /// Whom the messages come from.
    #[serde(deserialize_with = "smtp::optional_mailbox")]
    #[schemars(with = "String", extend("examples" = ["rolecall <rolecall@example.com>"]))]
    pub(super) from: Option<Mailbox>,
    /// Who gets them; each a message of their own.
    pub(super) to: Vec<Recipient>,
}
