//! OPA: can it be reached, is the credential good, may it list.

use super::model::Checkup;
use super::reach;
use crate::clients::{CallError, Opa};
use crate::domain::text::error_chain;
use crate::settings::{OpaCredentials, OpaSettings};

const ROLES: &str = "give the service user one of the roles pam_admin, resource_admin or \
                     security_admin";

/// Whether the listings can be read.
pub(super) async fn examine(checkup: &mut Checkup, opa: &Opa, settings: &OpaSettings) -> bool {
    let host = settings.base_url.as_str().trim_end_matches('/');
    let user = opa.current_user().await;
    if let Err(error) = &user
        && reach::is_unreachable(error)
    {
        let (message, hint) = reach::words(error, "opa", host);
        checkup.failure("opa.reachable", message, hint);
        for name in ["opa.clock", "opa.token", "opa.permission"] {
            checkup.not_checked(name, "not checked because OPA cannot be reached");
        }
        return false;
    }
    checkup.ok("opa.reachable", format!("{host} answers"));
    reach::examine_clock(checkup, "opa", opa.clock_skew());
    match user {
        Ok(user) => checkup.ok(
            "opa.token",
            format!(
                "it is good: {} (id {}) of the Team {}",
                user.name, user.id, user.team_name
            ),
        ),
        Err(error) => {
            let hint = token_hint(&error, settings);
            checkup.failure("opa.token", error_chain(&error), hint);
            checkup.not_checked(
                "opa.permission",
                "not checked because the credential is not good",
            );
            return false;
        }
    }
    match opa.list_users(None).next_page().await {
        Ok(_) => {
            checkup.ok("opa.permission", "the Team's users can be listed");
            true
        }
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 403) => {
            checkup.failure(
                "opa.permission",
                format!(
                    "the credential is good, and may not list the Team's users: {}",
                    error_chain(&error)
                ),
                ROLES,
            );
            false
        }
        Err(error) => {
            checkup.failure(
                "opa.permission",
                format!("the Team's users cannot be listed: {}", error_chain(&error)),
                "try again; a run needs every page of this listing",
            );
            false
        }
    }
}

fn token_hint(error: &CallError, settings: &OpaSettings) -> String {
    let credential = match settings.credentials {
        OpaCredentials::Key { .. } => "opa.key_id and opa.key_secret",
        OpaCredentials::Token(_) => "opa.token",
    };
    match error {
        CallError::Unauthorized { .. } => format!(
            "look at {credential}: wrong, revoked or expired; a new one is made for the service user \
             of the Team {}",
            settings.team
        ),
        CallError::WrongTenant { .. } => {
            format!("correct opa.team, or use {credential} of that Team")
        }
        CallError::Refused { status, .. } if status.as_u16() == 404 => format!(
            "is there a Team {} at this address? Look at opa.team and opa.base_url",
            settings.team
        ),
        CallError::Refused { .. } => ROLES.to_owned(),
        CallError::Unreachable { .. }
        | CallError::NoAnswer { .. }
        | CallError::Throttled { .. }
        | CallError::Trouble { .. } => "OPA is in trouble or busy; try again".to_owned(),
        CallError::Malformed { .. } => {
            "does opa.base_url lead to OPA, or to a proxy or a login page?".to_owned()
        }
    }
}
