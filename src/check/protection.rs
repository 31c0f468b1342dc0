//! Protection: nobody should be able to lock everybody out of Opsera through OPA.

use super::account_stats::AccountStats;
use super::model::CheckReport;
use crate::rules::Policy;

pub(super) fn examine(report: &mut CheckReport, policy: &Policy, stats: Option<&AccountStats>) {
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
