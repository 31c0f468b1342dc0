//! When the daemon would run next.

use std::time::Duration;

use croner::parser::{CronParser, Seconds};

use super::model::CheckReport;
use crate::domain::time::Timestamp;
use crate::settings::ScheduleSettings;

/// Times that are shown.
const SHOWN: usize = 3;

/// The time between the next two runs.
pub(super) fn interval(settings: &ScheduleSettings, now: Timestamp) -> Option<Duration> {
    let schedule = parser().parse(&settings.cron).ok()?;
    let mut times = schedule.iter_after(now.with_timezone(&settings.time_zone));
    let (first, second) = (times.next()?, times.next()?);
    (second - first).to_std().ok()
}

fn parser() -> CronParser {
    CronParser::builder()
        .seconds(Seconds::Required)
        .dom_and_dow(true)
        .build()
}

pub(super) fn examine(report: &mut CheckReport, settings: &ScheduleSettings, now: Timestamp) {
    let schedule = match parser().parse(&settings.cron) {
        Ok(schedule) => schedule,
        Err(error) => {
            report.failure(
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
        report.failure(
            "schedule",
            "schedule.cron never comes due",
            "correct schedule.cron",
        );
    } else {
        report.ok(
            "schedule",
            format!(
                "the daemon would run next at {} (schedule.time_zone = {zone})",
                times.join(", ")
            ),
        );
    }
}
