//! When the daemon would run next.

use croner::parser::{CronParser, Seconds};

use super::model::Checkup;
use crate::domain::time::Timestamp;
use crate::settings::ScheduleSettings;

/// Times that are shown.
const SHOWN: usize = 3;

pub(super) fn examine(checkup: &mut Checkup, settings: &ScheduleSettings, now: Timestamp) {
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build();
    let schedule = match parser.parse(&settings.cron) {
        Ok(schedule) => schedule,
        Err(error) => {
            checkup.failure(
                "schedule",
                format!("schedule.cron cannot be read: {error}"),
                "write six fields: second minute hour day month weekday",
            );
            return;
        }
    };
    let zone = settings.time_zone;
    let times: Vec<String> = schedule
        .iter_after(now.with_timezone(&zone))
        .take(SHOWN)
        .map(|time| time.format("%Y-%m-%d %H:%M:%S %Z").to_string())
        .collect();
    if times.is_empty() {
        checkup.failure(
            "schedule",
            "schedule.cron never comes due",
            "correct schedule.cron",
        );
    } else {
        checkup.ok(
            "schedule",
            format!(
                "the daemon would run next at {} (schedule.time_zone = {zone})",
                times.join(", ")
            ),
        );
    }
}
