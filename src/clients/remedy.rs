//! What the operator can do about a failed call, with the settings by name.
//!
//! `check` prints it beside the item, `sync` beside the error: one text for both.

use super::call::{Api, Credential};
use super::connection_failure::Server;
use super::error::{CallError, ServerMessage};

const LISTING_ROLES: &str = "pam_admin, resource_admin or security_admin";

impl CallError {
    /// What to do about it; `None` where the message says all there is to say.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { api, failure, .. } | Self::NoResponse { api, failure, .. } => {
                failure.remedy(Server::Directory(*api))
            }
            Self::Throttled { api, .. } => format!(
                "{api} limits requests: try again later, or lower {}.requests_per_second",
                api.section()
            ),
            Self::ServerError { api, .. } => {
                format!("{api} is in trouble or busy; try again later")
            }
            Self::Unauthorized { credential, .. } => unauthorized(*credential),
            Self::ClientError {
                api: Api::Opa,
                status,
                message,
                ..
            } => opa_refusal(status.as_u16(), message)?,
            Self::ClientError { status, .. } => opsera_refusal(self, status.as_u16())?,
            Self::UnexpectedStatus { api, .. } | Self::Malformed { api, .. } => format!(
                "check that {}.base_url leads to {api}, and not to a proxy or a login page",
                api.section()
            ),
            Self::WrongTenant { team, .. } => format!(
                "set opa.team (now “{team}”) to the Team that the key belongs to, and check that \
                 opa.base_url is OPA's address, without a path of its own"
            ),
            Self::InvalidPathSegment { .. } => return None,
        })
    }
}

fn unauthorized(credential: Credential) -> String {
    match credential {
        Credential::OpaKey => "opa.key_id or opa.key_secret is wrong, or the key was revoked: \
             create a new key for the service user in OPA and set both"
            .to_owned(),
        Credential::OpaKeyToken => format!(
            "a new token was refused as well: either the key opa.key_id was revoked (create a new \
             one, set opa.key_id and opa.key_secret), or its service user has none of the roles \
             {LISTING_ROLES} (give it one)"
        ),
        Credential::OpaToken => format!(
            "opa.token is wrong, expired or revoked, or its user has none of the roles \
             {LISTING_ROLES}; a key (opa.key_id, opa.key_secret) is renewed by itself, a token is not"
        ),
        Credential::OpseraToken => "opsera.token is wrong or was revoked: make a new one with the \
             scope api (api-readonly is enough for a dry run) and set opsera.token_file"
            .to_owned(),
    }
}

fn opa_refusal(status: u16, message: &ServerMessage) -> Option<String> {
    let says = |code: &str| message.as_str().to_lowercase().contains(code);
    Some(match status {
        403 if says("disabled_team") => {
            "the Team is disabled: an OPA administrator, or Okta's support, must enable it"
                .to_owned()
        }
        403 if says("quota_exceeded") => {
            "a quota of the Team is used up (quota_exceeded): look at \
             the Team's limits in OPA, or ask Okta's support"
                .to_owned()
        }
        403 => format!(
            "the service user may not do this (forbidden_error): give it one of the roles \
             {LISTING_ROLES}"
        ),
        404 => "OPA knows no such Team or path: check opa.team, and that opa.base_url is OPA's address, \
                without a path of its own"
            .to_owned(),
        _ => return None,
    })
}

fn opsera_refusal(error: &CallError, status: u16) -> Option<String> {
    let is_read = error.call().0.starts_with("GET ");
    Some(match status {
        403 if is_read => "Opsera answers a read with 403 for one of three reasons: opsera.token \
             has expired (tokens end on a fixed date), its owner was deactivated, or its scope is \
             smaller than api-readonly; make a new token for an active Administrator and set \
             opsera.token_file"
            .to_owned(),
        403 => "opsera.token may not write: its owner needs the site role Administrators, and the \
             token the scope api"
            .to_owned(),
        404 if is_read => "Opsera knows no such path: check that opsera.base_url is Opsera's \
                           address, without a path of its own"
            .to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::call::Call;
    use reqwest::StatusCode;

    fn refused(api: Api, call: &str, status: StatusCode, message: &str) -> String {
        CallError::ClientError {
            api,
            call: Call(call.to_owned()),
            status,
            message: ServerMessage::Text(message.to_owned()),
        }
        .remedy()
        .unwrap_or_default()
    }

    #[test]
    fn each_403_of_opa_is_told_in_its_own_words() {
        let opa = |message| refused(Api::Opa, "GET /users", StatusCode::FORBIDDEN, message);
        assert!(opa("disabled_team: no").contains("the Team is disabled"));
        assert!(opa("quota_exceeded").contains("quota"));
        for role in ["pam_admin", "resource_admin", "security_admin"] {
            assert!(opa("forbidden_error").contains(role));
        }
    }

    #[test]
    fn a_403_on_a_read_of_opsera_names_its_three_causes() {
        let read = refused(Api::Opsera, "GET /users", StatusCode::FORBIDDEN, "");
        for cause in ["expired", "deactivated", "scope"] {
            assert!(read.contains(cause), "{read}");
        }
        let write = refused(Api::Opsera, "DELETE /user/1", StatusCode::FORBIDDEN, "");
        assert!(write.contains("Administrators"), "{write}");
    }

    #[test]
    fn a_second_401_names_the_roles_and_the_settings() {
        let remedy = unauthorized(Credential::OpaKeyToken);
        for word in [
            "revoked",
            "opa.key_id",
            "pam_admin",
            "resource_admin",
            "security_admin",
        ] {
            assert!(remedy.contains(word), "{remedy}");
        }
    }
}
