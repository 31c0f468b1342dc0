//! Protection: nobody should be able to lock everybody out of Opsera through OPA.

use super::accounts::Seen;
use super::model::Checkup;
use crate::rules::Policy;

pub(super) fn examine(checkup: &mut Checkup, policy: &Policy, seen: Option<&Seen>) {
    let protection = &policy.protection;
    if protection.token_owner.is_none() {
        checkup.warning(
            "opsera.token_owner",
            "it is not set: if the token's owner leaves the Team, rolecall deactivates the account \
             it works with",
            "set opsera.token_owner to the e-mail address of the account that owns the token",
        );
    }
    let Some(seen) = seen else {
        let because = "not checked because Opsera's accounts cannot be read";
        if protection.token_owner.is_some() {
            checkup.not_checked("opsera.token_owner", because);
        }
        checkup.not_checked("protect.emails", because);
        return;
    };
    if let Some(owner) = &protection.token_owner {
        if seen.owner {
            checkup.ok("opsera.token_owner", format!("{owner} is protected"));
        } else {
            checkup.warning(
                "opsera.token_owner",
                format!("{owner} is not among Opsera's active accounts, so it protects nobody"),
                "set it to the address of the account that owns the token",
            );
        }
    }
    for (pattern, count) in protection.patterns.iter().zip(&seen.by_pattern) {
        if *count == 0 {
            checkup.warning(
                "protect.emails",
                format!(
                    "\"{}\" protects nobody: no active account has such an address",
                    pattern.text
                ),
                "correct the pattern, or remove it",
            );
        }
    }
    if seen.by_pattern.iter().all(|count| *count > 0) {
        checkup.ok(
            "protect.emails",
            format!(
                "{} of {} accounts are protected",
                seen.protected, seen.accounts
            ),
        );
    }
    administrators(checkup, seen);
}

fn administrators(checkup: &mut Checkup, seen: &Seen) {
    let name = "protect.administrators";
    let hint = "name at least one administrator's account, best one for emergencies, in \
                protect.emails";
    if seen.protected_administrators > 0 {
        checkup.ok(
            name,
            format!(
                "{} of {} known Administrators are protected",
                seen.protected_administrators, seen.administrators
            ),
        );
    } else if seen.administrators > 0 {
        checkup.warning(
            name,
            format!(
                "none of the {} known Administrators is protected: a mistake in OPA could take \
                 everybody's access to Opsera's administration",
                seen.administrators
            ),
            hint,
        );
    } else if seen.known_roles == 0 {
        checkup.warning(
            name,
            "Opsera does not tell the roles, and this program has set none yet, so nobody knows \
             whether an administrator is protected",
            hint,
        );
    } else {
        checkup.warning(name, "no account is known to be an Administrator", hint);
    }
}
