//! OPA's quota against what a run needs.

use std::time::Duration;

use super::model::CheckReport;
use super::opa::OpaAnswers;
use crate::clients::{Opa, QuotaStatus};

const HOUR: f64 = 3600.0;

/// Requests of a run that are not pages: the token, both second counts and the two further
/// listings' pages.
const FIXED: u64 = 5;

/// Compares the quota with a run that also reads `membership_requests`, every `interval`.
pub(super) fn examine(
    report: &mut CheckReport,
    opa: &Opa,
    answers: &OpaAnswers,
    membership_requests: u64,
    reserve_percent: u8,
    interval: Option<Duration>,
) {
    let name = "opa.quota";
    if !answers.listable {
        return;
    }
    let needed = answers.humans.map(|humans| {
        humans
            .div_ceil(opa.page_size().max(1))
            .saturating_add(FIXED)
            .saturating_add(membership_requests)
    });
    let needs = match needed {
        Some(needed) => format!("a run needs about {needed} requests"),
        None => "how many requests a run needs is not known (team_stats gives no count)".to_owned(),
    };
    let Some(quota) = opa.quota() else {
        report.ok(name, format!("{needs}; OPA tells no quota"));
        return;
    };
    let QuotaStatus {
        limit, remaining, ..
    } = quota;
    let message = format!("{needs}; the quota is {limit} an hour, and {remaining} are left");
    let (Some(needed), Some(interval)) = (needed, interval) else {
        report.ok(name, message);
        return;
    };
    let percent = share(needed, limit, interval);
    let message = format!(
        "{message}; at the schedule's interval of {} that is {percent} percent of it",
        humantime::format_duration(interval)
    );
    let usable = 100_u64.saturating_sub(u64::from(reserve_percent));
    if percent > usable {
        report.warning(
            name,
            format!(
                "{message}, more than the {usable} percent that opa.quota_reserve_percent leaves: \
                 pulls are spread, and runs come later than planned"
            ),
            "run less often (schedule.cron), read memberships by group (roles.lookup), or ask \
             Okta for a larger quota",
        );
    } else {
        report.ok(name, message);
    }
}

/// The runs' share of the quota, in percent, rounded up.
fn share(needed: u64, limit: u64, interval: Duration) -> u64 {
    // An interval beyond an hour: the one run in an hour counts whole.
    let runs = (HOUR / interval.as_secs_f64().max(1.0)).max(1.0);
    let runs_in_thousandths = Duration::from_secs_f64(runs).as_millis();
    let percent = u128::from(needed)
        .saturating_mul(runs_in_thousandths)
        .saturating_mul(100)
        .div_ceil(u128::from(limit.max(1)).saturating_mul(1000));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_counts_the_runs_of_an_hour() {
        let minutes = Duration::from_mins;
        assert_eq!(share(250, 10_000, minutes(15)), 10);
        assert_eq!(share(2500, 10_000, minutes(15)), 100);
        assert_eq!(share(2500, 10_000, minutes(600)), 25);
        assert_eq!(share(1, 0, minutes(1)), 6000);
    }
}
