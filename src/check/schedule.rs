//! When the daemon would run next.

use super::model::Checkup;
use crate::domain::Schedule;
use crate::domain::time::Timestamp;
use crate::settings::ScheduleSettings;

/// Times that are shown.
const SHOWN: usize = 3;

pub(super) fn examine(checkup: &mut Checkup, settings: &ScheduleSettings, now: Timestamp) {
    let zone = settings.time_zone;
    let schedule = match Schedule::parse(&settings.cron, zone) {
        Ok(schedule) => schedule,
        Err(error) => {
            checkup.failure(
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
