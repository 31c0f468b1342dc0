//! The values that settings are made of: how each is read from what an operator wrote, what the
//! message says where it is wrong, and what the JSON Schema says of it.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone as _, Utc};
use croner::parser::{CronParser, Seconds};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer as _, Unexpected, Visitor};
use tracing_subscriber::filter::LevelFilter;

use super::{LogFormat, StreamTarget};
use crate::domain::time::Timestamp;
use crate::domain::{Address, Evidence, SiteRole};

const LONGEST: Duration = Duration::from_hours(24 * 365 * 100);

macro_rules! schema {
    ($type:ty, $name:literal, $json:tt) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($json)
            }
        }
    };
}

pub(super) use schema;

/// Reads a text with `read`, which says what is wrong with it.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).map_err(D::Error::custom)
}

/// As [`text`], without white space around it; `None` where nothing is left.
pub(super) fn optional<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    text(deserializer, |text| match text.trim() {
        "" => Ok(None),
        text => read(text).map(Some),
    })
}

/// A whole number in a range; a range that ends with the type's end is said as "or more".
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<const MIN: u32, const MAX: u32>(pub(super) u32);

/// A share of a whole.
pub(super) type Percent = Whole<0, 100>;

/// Anything that can be counted.
pub(super) type Count = Whole<0, { u32::MAX }>;

impl<const MIN: u32, const MAX: u32> Visitor<'_> for Whole<MIN, MAX> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if MAX == u32::MAX {
            write!(f, "a whole number, {MIN} or more")
        } else {
            write!(f, "a whole number from {MIN} to {MAX}")
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
        u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

/// Reads a [`Whole`] into a plain number.
pub(super) fn whole<'de, D: Deserializer<'de>, const MIN: u32, const MAX: u32>(
    deserializer: D,
) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Whole::<MIN, MAX>(MIN))
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Whole<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole::<D, MIN, MAX>(deserializer).map(Self)
    }
}

impl<const MIN: u32, const MAX: u32> From<Whole<MIN, MAX>> for u64 {
    fn from(whole: Whole<MIN, MAX>) -> Self {
        Self::from(whole.0)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if MAX == u32::MAX {
            json_schema!({ "type": "integer", "minimum": MIN })
        } else {
            json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
        }
    }
}

/// Requests per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub(super) f64);

impl Visitor<'_> for Rate {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of requests above 0 (0.001 to 100000)")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Rate, E> {
        match i32::try_from(number) {
            Ok(number) => self.visit_f64(number.into()),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Rate, E> {
        // Outside of this range the interval between two requests is no longer a duration.
        if (0.001..=100_000.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err(E::invalid_value(Unexpected::Float(number), &self))
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(1.0))
    }
}

schema!(Rate, "Rate", { "type": "number", "minimum": 0.001, "maximum": 100_000 });

/// A duration that may be nothing.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    text(deserializer, |text| {
        match humantime::parse_duration(text.trim()) {
            Ok(duration) if duration > LONGEST => Err("must be at most a hundred years".to_owned()),
            Ok(duration) => Ok(duration),
            Err(_) => {
                Err("must be a duration such as \"30s\", \"15m\", \"24h\" or \"400d\"".to_owned())
            }
        }
    })
}

/// A duration that must be longer than nothing.
pub(super) fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = duration(deserializer)?;
    if duration.is_zero() {
        return Err(D::Error::custom("must be longer than nothing"));
    }
    Ok(duration)
}

/// What the schema says of a duration.
pub(super) struct DurationText;

schema!(DurationText, "Duration", {
    "type": "string",
    "pattern": r"^\s*[0-9]",
    "examples": ["500ms", "30s", "15m", "24h", "400d"]
});

/// A file of this machine; `None` where it is not set.
pub(super) fn file<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    text(deserializer, |text| {
        if text.contains('\0') {
            return Err("is no file name: it has a NUL in it".to_owned());
        }
        Ok((!text.is_empty()).then(|| text.into()))
    })
}

/// As [`file`], where there must be one.
pub(super) fn required_file<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<PathBuf, D::Error> {
    file(deserializer)?
        .ok_or_else(|| D::Error::custom("is required, e.g. \"/var/lib/rolecall/rolecall.db\""))
}

/// An IANA time zone.
pub(super) fn time_zone<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<chrono_tz::Tz, D::Error> {
    text(deserializer, |text| {
        text.parse().map_err(|_| {
            "must be an IANA time zone such as \"UTC\" or \"Europe/Berlin\"".to_owned()
        })
    })
}

/// A cron expression with seconds.
pub(super) fn cron<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        check_cron(text).map(|()| text.to_owned())
    })
}

/// The parser is set up as tokio-cron-scheduler does, so that what passes here passes there.
fn check_cron(cron: &str) -> Result<(), String> {
    let fields = cron.split_whitespace().count();
    if fields != 6 {
        return Err(format!(
            "must have six fields (second minute hour day month weekday), e.g. \
             \"0 */15 * * * *\"; this has {fields}"
        ));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build();
    let schedule = parser
        .parse(cron)
        .map_err(|error| format!("is not a cron expression: {error}"))?;
    // Without a year field the answer does not depend on where the search begins.
    let start = chrono_tz::UTC.from_utc_datetime(&DateTime::UNIX_EPOCH.naive_utc());
    match schedule.find_next_occurrence(&start, false) {
        Ok(_) => Ok(()),
        Err(_) => Err("names a date that never comes".to_owned()),
    }
}

/// An IP address and a port; `None` where it is not set.
pub(super) fn listen<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    optional(deserializer, |text| {
        text.parse().map_err(|_| {
            "must be an IP address and a port, e.g. \"127.0.0.1:9464\" or \"[::1]:9464\"".to_owned()
        })
    })
}

/// `audit.stream`; `None` where it is not set.
pub(super) fn stream<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<StreamTarget>, D::Error> {
    text(deserializer, |text| {
        if text.is_empty() {
            return Ok(None);
        }
        let target = match (text.strip_prefix("file:"), text.strip_prefix("unix://")) {
            (Some(path), _) => StreamTarget::File(path.into()),
            (None, Some(path)) => StreamTarget::Socket(path.into()),
            (None, None) => return Err(STREAM.to_owned()),
        };
        let (StreamTarget::File(path) | StreamTarget::Socket(path)) = &target;
        if !path.is_absolute() || text.contains('\0') {
            return Err(STREAM.to_owned());
        }
        Ok(Some(target))
    })
}

const STREAM: &str = "must be \"unix:///dev/log\" (a syslog socket) or \
                      \"file:/var/log/rolecall/audit.jsonl\" (an absolute path)";

/// `log.format`; `None` for `auto`.
pub(super) fn log_format<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<LogFormat>, D::Error> {
    LogFormatName::deserialize(deserializer).map(|name| match name {
        LogFormatName::Auto => None,
        LogFormatName::Text => Some(LogFormat::Text),
        LogFormatName::Json => Some(LogFormat::Json),
    })
}

/// What `log.format` can be.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum LogFormatName {
    Auto,
    Text,
    Json,
}

/// A level, or levels by module.
pub(super) fn log_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        if text.split(',').all(is_directive) {
            return Ok(text.to_owned());
        }
        Err(
            "must be off, error, warn, info, debug or trace, or such as \
             \"info,rolecall::queue=debug\""
                .to_owned(),
        )
    })
}

/// The filter's own parser would take a misspelt level for the name of a module.
fn is_directive(directive: &str) -> bool {
    let directive = directive.trim();
    let (module, level) = directive
        .rsplit_once('=')
        .unwrap_or(("rolecall", directive));
    let module_is_a_path = !module.is_empty()
        && module
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-'));
    module_is_a_path && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
}

/// The path of the site-role call.
pub(super) fn site_role_path<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    text(deserializer, |path| {
        let rest = path.replacen("{user}", "", 1);
        let problem = if !path.starts_with('/') {
            "must begin with /"
        } else if path.matches("{user}").count() != 1 {
            "must hold {user} exactly once, where the account's id goes"
        } else if rest.contains(['{', '}', '?', '#', '\\'])
            || rest.chars().any(|c| c.is_whitespace() || c.is_control())
            || rest.starts_with("//")
            || rest.split('/').any(|segment| segment == "..")
        {
            "must be a plain path: no ?, #, \\, spaces, .. or other braces"
        } else {
            return Ok(path.to_owned());
        };
        Err(problem.to_owned())
    })
}

/// An e-mail address; `None` where it is not set.
pub(super) fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Address>, D::Error> {
    optional(deserializer, address)
}

pub(super) fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|why| format!("is not an e-mail address: {why}"))
}

/// A site role; `None` where it is not set.
pub(super) fn optional_role<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SiteRole>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    SiteRole::deserialize(text.as_str().into_deserializer()).map(Some)
}

/// What the schema says of a role.
pub(super) struct RoleName;
schema!(RoleName, "Role", { "enum": SiteRole::ALL });

/// What the schema says of a role that need not be set.
pub(super) struct OptionalRoleName;
schema!(OptionalRoleName, "OptionalRole", {
    "enum": std::iter::once("").chain(SiteRole::ALL.iter().map(|role| role.as_str())).collect::<Vec<_>>()
});

/// What the schema says of a kind of evidence.
pub(super) struct EvidenceName;
schema!(EvidenceName, "Evidence", { "enum": Evidence::ALL });

/// A text that says something.
#[derive(Clone, Debug)]
pub(super) struct Words(pub(super) String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| {
            if text.trim().is_empty() {
                return Err("must be a text that is not empty".to_owned());
            }
            Ok(Self(text.to_owned()))
        })
    }
}

schema!(Words, "Words", { "type": "string", "minLength": 1 });

/// The group of a rule.
pub(super) fn group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, |text| {
        if text.trim().is_empty() {
            return Err("must be the name of an OPA group, or a pattern with * and ?".to_owned());
        }
        Ok(text.to_owned())
    })
}

/// The first moment after a last day (UTC), or a point in time as it is.
pub(super) fn end<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    text(deserializer, |text| {
        let day_after = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d")
            .ok()
            .and_then(|day| day.checked_add_days(Days::new(1)))
            .map(|day| day.and_time(NaiveTime::MIN).and_utc());
        day_after
            .or_else(|| {
                let moment = DateTime::parse_from_rfc3339(text.trim()).ok()?;
                Some(moment.with_timezone(&Utc))
            })
            .map(Some)
            .ok_or_else(|| {
                "must be the last day of the protection, e.g. \"2027-03-31\" (UTC), or a time such \
                 as \"2027-03-31T18:00:00Z\""
                    .to_owned()
            })
    })
}

/// What the schema says of a last day.
pub(super) struct EndText;
schema!(EndText, "End", {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "examples": ["2027-03-31", "2027-03-31T18:00:00Z"]
});
