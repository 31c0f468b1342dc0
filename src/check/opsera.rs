//! Opsera: can it be reached, is the token good, can the accounts be read to their end.

use super::accounts::Seen;
use super::model::Checkup;
use super::reach;
use crate::clients::{CallError, OpseraReader};
use crate::domain::{OpseraId, text::error_chain};
use crate::rules::Policy;
use crate::settings::OpseraSettings;

/// Reads the whole listing as a stream. Gives its sums if it came to its end.
pub(super) async fn examine(
    checkup: &mut Checkup,
    opsera: &OpseraReader,
    settings: &OpseraSettings,
    policy: &Policy,
    known_administrators: &[OpseraId],
) -> Option<Seen> {
    let host = settings.base_url.as_str().trim_end_matches('/');
    let mut seen = Seen::nothing(policy);
    let mut listing = opsera.list_users();
    let end = loop {
        match listing.next_batch().await {
            Ok(Some(batch)) => {
                for account in &batch {
                    seen.add(account, policy, known_administrators);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let error = match end {
        Ok(()) => {
            checkup.ok("opsera.reachable", format!("{host} answers"));
            reach::examine_clock(checkup, "opsera", opsera.clock_skew());
            checkup.ok(
                "opsera.token",
                format!(
                    "it is good for reading: {} active accounts; whether it may write shows only \
                     when a run writes",
                    seen.accounts
                ),
            );
            return Some(seen);
        }
        Err(error) => error,
    };
    if reach::is_unreachable(&error) && seen.accounts == 0 && opsera.clock_skew().is_none() {
        let (message, hint) = reach::words(&error, "opsera", host);
        checkup.failure("opsera.reachable", message, hint);
        for name in ["opsera.clock", "opsera.token"] {
            checkup.not_checked(name, "not checked because Opsera cannot be reached");
        }
        return None;
    }
    checkup.ok("opsera.reachable", format!("{host} answers"));
    reach::examine_clock(checkup, "opsera", opsera.clock_skew());
    checkup.failure(
        "opsera.token",
        format!("the accounts cannot be listed: {}", error_chain(&error)),
        hint(&error),
    );
    None
}

fn hint(error: &CallError) -> &'static str {
    match error {
        CallError::Unauthorized { .. } => {
            "opsera.token is wrong, was revoked or has expired (tokens end on a fixed date); make \
             a new one with the scope api"
        }
        CallError::Refused { status, .. } if status.as_u16() == 403 => {
            "the token's owner needs the site role Administrators, and the token the scope api"
        }
        CallError::Refused { .. } | CallError::Malformed { .. } | CallError::WrongTenant { .. } => {
            "does opsera.base_url lead to Opsera, or to a proxy or a login page?"
        }
        CallError::Unreachable { .. }
        | CallError::NoAnswer { .. }
        | CallError::Throttled { .. }
        | CallError::Trouble { .. } => "Opsera is in trouble or busy; try again",
    }
}
