//! Protection: nobody should be able to lock everybody out of Opsera through OPA.

use chrono::TimeDelta;

use super::account_stats::AccountStats;
use super::model::CheckReport;
use crate::domain::time::{Timestamp, time_for_people};
use crate::rules::{Policy, ProtectedAccount, Validity};

/// A protection that ends sooner is a warning.
const SOON: TimeDelta = TimeDelta::days(14);

pub(super) fn examine(
    report: &mut CheckReport,
    policy: &Policy,
    stats: Option<&AccountStats>,
    now: Timestamp,
) {
    let protection = &policy.protection;
    if protection.token_owner.is_none() {
        report.warning(
            "opsera.token_owner",
            "it is not set: if the token's owner leaves the Team, rolecall deactivates the account \
             it works with",
            "set opsera.token_owner to the e-mail address of the account that owns the token",
        );
    }
    let Some(stats) = stats else {
        let because = "not checked because Opsera's accounts cannot be read";
        if protection.token_owner.is_some() {
            report.not_checked("opsera.token_owner", because);
        }
        report.not_checked("protect.emails", because);
        return;
    };
    if let Some(owner) = &protection.token_owner {
        if stats.owner {
            report.ok("opsera.token_owner", format!("{owner} is protected"));
        } else {
            report.warning(
                "opsera.token_owner",
                format!("{owner} is not among Opsera's active accounts, so it protects nobody"),
                "set it to the address of the account that owns the token",
            );
        }
    }
    for (pattern, count) in protection.patterns.iter().zip(&stats.by_pattern) {
        if *count == 0 {
            report.warning(
                "protect.emails",
                format!(
                    "\"{}\" protects nobody: no active account has such an address",
                    pattern.text
                ),
                "correct the pattern, or remove it",
            );
        }
    }
    for (number, (account, count)) in
        (1_usize..).zip(protection.accounts.iter().zip(&stats.by_account))
    {
        examine_account(report, number, account, *count, now);
    }
    if stats.by_pattern.iter().all(|count| *count > 0) {
        report.ok(
            "protect.emails",
            format!(
                "{} of {} accounts are protected",
                stats.protected, stats.accounts
            ),
        );
    }
    administrators(report, stats);
}

/// One of `[[protect.accounts]]`: does it protect anybody, and for how long?
fn examine_account(
    report: &mut CheckReport,
    number: usize,
    account: &ProtectedAccount,
    count: u64,
    now: Timestamp,
) {
    let name = format!("protect.accounts[{number}]");
    let pattern = &account.pattern.text;
    let owner = account.owner.as_deref().unwrap_or("nobody named");
    if count == 0 {
        report.warning(
            name,
            format!("\"{pattern}\" protects nobody: no active account has such an address"),
            "correct the address, or remove the entry",
        );
        return;
    }
    let Some(until) = account.until else {
        report.ok(
            name,
            format!("{pattern} is protected, without an end (owner: {owner})"),
        );
        return;
    };
    let shown = time_for_people(until);
    let renew = "ask the owner; give the entry a new end, or remove it";
    if account.validity(now) == Validity::Expired {
        report.warning(
            name,
            format!(
                "the protection of {pattern} ended at {shown} (owner: {owner}): a plan that would \
                 touch the account is held (max_expired_protections)"
            ),
            renew,
        );
    } else if until - now < SOON {
        report.warning(
            name,
            format!("the protection of {pattern} ends at {shown} (owner: {owner})"),
            renew,
        );
    } else {
        report.ok(
            name,
            format!("{pattern} is protected until {shown} (owner: {owner})"),
        );
    }
}

fn administrators(report: &mut CheckReport, stats: &AccountStats) {
    let name = "protect.administrators";
    let hint = "name at least one administrator's account, best one for emergencies, in \
                protect.emails";
    if stats.protected_administrators > 0 {
        report.ok(
            name,
            format!(
                "{} of {} known Administrators are protected",
                stats.protected_administrators, stats.administrators
            ),
        );
    } else if stats.administrators > 0 {
        report.warning(
            name,
            format!(
                "none of the {} known Administrators is protected: a mistake in OPA could take \
                 everybody's access to Opsera's administration",
                stats.administrators
            ),
            hint,
        );
    } else if stats.known_roles == 0 {
        report.warning(
            name,
            "Opsera does not tell the roles, and this program has set none yet, so nobody knows \
             whether an administrator is protected",
            hint,
        );
    } else {
        report.warning(name, "no account is known to be an Administrator", hint);
    }
}
