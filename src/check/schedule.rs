//! When the daemon would run next.

use std::time::Duration;

use super::model::CheckReport;
use crate::domain::Schedule;
use crate::domain::time::Timestamp;
use crate::settings::ScheduleSettings;

/// Times that are shown.
const SHOWN: usize = 3;

/// The time between the next two runs.
pub(super) fn interval(settings: &ScheduleSettings, now: Timestamp) -> Option<Duration> {
    let schedule = Schedule::parse(&settings.cron, settings.time_zone).ok()?;
    let first = schedule.next_after(now)?;
    let second = schedule.next_after(first)?;
    (second - first).to_std().ok()
}

pub(super) fn examine(report: &mut CheckReport, settings: &ScheduleSettings, now: Timestamp) {
    let zone = settings.time_zone;
    let schedule = match Schedule::parse(&settings.cron, zone) {
        Ok(schedule) => schedule,
        Err(error) => {
            report.failure(
                "schedule",
                error.to_string(),
                "write six fields: second minute hour day month weekday",
            );
            return;
        }
    };
    let times: Vec<String> =
        std::iter::successors(schedule.next_after(now), |time| schedule.next_after(*time))
            .take(SHOWN)
            .map(|time| {
                time.with_timezone(&zone)
                    .format("%Y-%m-%d %H:%M:%S %Z")
                    .to_string()
            })
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
