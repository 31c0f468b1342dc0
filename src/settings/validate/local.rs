//! `[store]`, `[schedule]`, `[retry]`, `[audit]`, `[http]` and `[log]`: this machine.

use chrono::{DateTime, TimeZone as _};
use croner::parser::{CronParser, Seconds};
use tracing_subscriber::filter::LevelFilter;

use super::{Reader, Zero};
use crate::settings::{
    AuditSettings, HttpSettings, LogFormat, LogSettings, RetrySettings, ScheduleSettings,
    StoreSettings,
};

pub(super) fn store(r: &mut Reader<'_>) -> Option<StoreSettings> {
    let path = r.required("store.path", "\"/var/lib/rolecall/rolecall.db\"");
    let retain = r.duration("store.retain", Zero::Refused);
    Some(StoreSettings {
        path: path?.into(),
        retain: retain?,
    })
}

pub(super) fn schedule(r: &mut Reader<'_>) -> Option<ScheduleSettings> {
    let time_zone = r.text("schedule.time_zone").and_then(|name| {
        let zone = name.parse::<chrono_tz::Tz>().ok();
        if zone.is_none() {
            r.refuse(
                "schedule.time_zone",
                "must be an IANA time zone such as \"UTC\" or \"Europe/Berlin\"".to_owned(),
            );
        }
        zone
    });
    let cron = r
        .text("schedule.cron")
        .filter(|cron| match cron_problem(cron) {
            Some(problem) => {
                r.refuse("schedule.cron", problem);
                false
            }
            None => true,
        });
    let jitter = r.duration("schedule.jitter", Zero::Allowed);
    let run_on_start = r.flag("schedule.run_on_start");
    Some(ScheduleSettings {
        cron: cron?,
        time_zone: time_zone?,
        jitter: jitter?,
        run_on_start: run_on_start?,
    })
}

/// The parser is set up as tokio-cron-scheduler does, so that what passes here passes there.
fn cron_problem(cron: &str) -> Option<String> {
    let fields = cron.split_whitespace().count();
    if fields != 6 {
        return Some(format!(
            "must have six fields (second minute hour day month weekday), e.g. \
             \"0 */15 * * * *\"; this has {fields}"
        ));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build();
    let schedule = match parser.parse(cron) {
        Ok(schedule) => schedule,
        Err(error) => return Some(format!("is not a cron expression: {error}")),
    };
    // Without a year field the answer does not depend on where the search begins.
    let start = chrono_tz::UTC.from_utc_datetime(&DateTime::UNIX_EPOCH.naive_utc());
    schedule
        .find_next_occurrence(&start, false)
        .is_err()
        .then(|| "names a date that never comes".to_owned())
}

pub(super) fn retry(r: &mut Reader<'_>) -> Option<RetrySettings> {
    let max_attempts = r.whole("retry.max_attempts", &(1..=100));
    let base_delay = r.duration("retry.base_delay", Zero::Allowed);
    let max_delay = r.duration("retry.max_delay", Zero::Allowed);
    let rejected_retry = r.duration("retry.rejected_retry", Zero::Allowed);
    if let (Some(base), Some(max)) = (base_delay, max_delay)
        && base > max
    {
        let max = humantime::format_duration(max);
        r.refuse(
            "retry.base_delay",
            format!("must not be longer than retry.max_delay, which is {max}"),
        );
    }
    Some(RetrySettings {
        max_attempts: max_attempts?,
        base_delay: base_delay?,
        max_delay: max_delay?,
        rejected_retry: rejected_retry?,
    })
}

pub(super) fn audit(r: &mut Reader<'_>) -> Option<AuditSettings> {
    let key_file = r.path("audit.key_file");
    let checkpoint_file = r.path("audit.checkpoint_file");
    Some(AuditSettings {
        key_file: key_file?,
        checkpoint_file: checkpoint_file?,
    })
}

pub(super) fn http(r: &mut Reader<'_>) -> Option<HttpSettings> {
    let listen = r.text("http.listen").and_then(|text| {
        if text.trim().is_empty() {
            return Some(None);
        }
        let address = text.trim().parse().ok();
        if address.is_none() {
            r.refuse(
                "http.listen",
                "must be an IP address and a port, e.g. \"127.0.0.1:9464\" or \"[::1]:9464\""
                    .to_owned(),
            );
        }
        address.map(Some)
    });
    let ca_file = r.path("http.ca_file");
    let allow_insecure = r.flag("http.allow_insecure");
    Some(HttpSettings {
        listen: listen?,
        ca_file: ca_file?,
        allow_insecure: allow_insecure?,
    })
}

pub(super) fn log(r: &mut Reader<'_>) -> Option<LogSettings> {
    let format = r.choice(
        "log.format",
        &[
            ("auto", None),
            ("text", Some(LogFormat::Text)),
            ("json", Some(LogFormat::Json)),
        ],
    );
    let level = r.text("log.level").filter(|level| {
        let good = level.split(',').all(is_directive);
        if !good {
            r.refuse(
                "log.level",
                "must be off, error, warn, info, debug or trace, or such as \
                 \"info,rolecall::queue=debug\""
                    .to_owned(),
            );
        }
        good
    });
    Some(LogSettings {
        format: format?,
        level: level?,
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
