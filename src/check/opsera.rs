//! Opsera: can it be reached, is the token good and for how long, can the accounts be read to
//! their end.

use std::collections::HashSet;

use super::account_stats::AccountStats;
use super::connectivity::{self, hint};
use super::model::CheckReport;
use crate::clients::{Api, OpseraReader, SecondCount, TOKEN_ENDS_SOON};
use crate::domain::time::{Timestamp, time_for_people};
use crate::domain::{OpseraId, text::error_chain};
use crate::rules::Policy;
use crate::settings::OpseraSettings;

/// Opsera cuts the lists of other objects at this number.
const SUSPICIOUS_NUMBER: u64 = 1000;

/// Reads the whole listing as a stream. Gives its sums if it came to its end.
pub(super) async fn examine(
    report: &mut CheckReport,
    opsera: &OpseraReader,
    settings: &OpseraSettings,
    policy: &Policy,
    known_administrators: &HashSet<OpseraId>,
    now: Timestamp,
) -> Option<AccountStats> {
    let host = settings.base_url.as_str().trim_end_matches('/');
    let mut stats = AccountStats::nothing(policy);
    let mut listing = opsera.list_users();
    let end = loop {
        match listing.next_batch().await {
            Ok(Some(batch)) => {
                for account in &batch {
                    stats.add(account, policy, known_administrators);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if let Err(error) = &end
        && stats.accounts == 0
        && opsera.clock_offset().is_none()
        && connectivity::note_unreachable(report, error, Api::Opsera, &["clock", "token"])
    {
        return None;
    }
    report.ok("opsera.reachable", format!("{host} answers"));
    connectivity::examine_clock(report, Api::Opsera, opsera.clock_offset());
    if let Err(error) = end {
        report.failure(
            "opsera.token",
            format!("the accounts cannot be listed: {}", error_chain(&error)),
            hint(&error),
        );
        examine_expiry(report, opsera.token_expires_at(), now);
        return None;
    }
    report.ok(
        "opsera.token",
        format!(
            "it is good for reading: {} active accounts; whether it may write shows only when a \
             run writes",
            stats.accounts
        ),
    );
    examine_expiry(report, opsera.token_expires_at(), now);
    examine_completeness(report, opsera, stats.accounts).await;
    Some(stats)
}

fn examine_expiry(report: &mut CheckReport, expires_at: Option<Timestamp>, now: Timestamp) {
    let name = "opsera.token_expiry";
    let renew = "make a new token before that day, and set opsera.token_file";
    let Some(end) = expires_at else {
        report.ok(name, "the token does not say when it ends");
        return;
    };
    let shown = time_for_people(end);
    if end <= now {
        report.failure(name, format!("the token ended at {shown}"), renew);
    } else if end - now < TOKEN_ENDS_SOON {
        report.warning(
            name,
            format!(
                "the token ends at {shown}, in {} days",
                (end - now).num_days()
            ),
            renew,
        );
    } else {
        report.ok(name, format!("the token ends at {shown}"));
    }
}

async fn examine_completeness(report: &mut CheckReport, opsera: &OpseraReader, listed: u64) {
    let name = "opsera.completeness";
    let hint_for_short = "ask Opsera whether the listing has a limit; accounts that are not \
                          listed are not touched";
    match opsera.count_active().await {
        Ok(SecondCount::Count(count)) if count > listed => report.warning(
            name,
            format!("SCIM counts {count} active accounts, and {listed} are listed"),
            hint_for_short,
        ),
        Ok(SecondCount::Count(count)) => report.ok(
            name,
            format!("SCIM counts {count} active accounts, and no fewer are listed"),
        ),
        _ if listed == SUSPICIOUS_NUMBER => report.warning(
            name,
            format!(
                "exactly {listed} accounts are listed, where Opsera cuts other lists, and SCIM \
                 gives no count"
            ),
            hint_for_short,
        ),
        Ok(SecondCount::NotAvailable { reason }) => report.ok(
            name,
            format!("only the end of the array proves the listing: SCIM gives no count ({reason})"),
        ),
        Err(error) => report.warning(
            name,
            format!(
                "SCIM, the second count of accounts, cannot be read: {}",
                connectivity::describe(&error)
            ),
            hint(&error),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Status;

    #[test]
    fn a_token_that_ends_within_a_fortnight_is_a_warning_and_a_past_one_a_failure() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for (end, status) in [
            ("2026-01-20T00:00:00Z", Status::Ok),
            ("2026-01-10T00:00:00Z", Status::Warning),
            ("2025-12-31T00:00:00Z", Status::Failure),
        ] {
            let mut report = CheckReport::default();
            examine_expiry(&mut report, end.parse().ok(), now);
            assert_eq!(report.items()[0].status, status, "{end}");
        }
    }
}
