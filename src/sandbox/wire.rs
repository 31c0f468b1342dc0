//! The bodies of both APIs, as their descriptions have them.
//!
//! These types are the sandbox's own. Were they shared with the clients, a field with a wrong name
//! would be written and read alike, and no test could tell.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `POST /service_token`
#[derive(Deserialize)]
pub(super) struct MintRequest {
    pub(super) key_id: String,
    pub(super) key_secret: String,
}

/// The answer to it.
#[derive(Serialize)]
pub(super) struct Minted {
    pub(super) bearer_token: String,
    pub(super) expires_at: String,
    pub(super) team_name: String,
}

/// One page of an OPA listing.
#[derive(Serialize)]
pub(super) struct OpaList<T> {
    pub(super) list: Vec<T>,
}

/// A user of OPA.
#[derive(Serialize)]
pub(super) struct OpaUser {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) team_name: String,
    pub(super) status: String,
    pub(super) user_type: &'static str,
    pub(super) deleted_at: Option<String>,
    pub(super) details: Option<OpaDetails>,
    pub(super) role_grants: [(); 0],
    pub(super) oauth_client_application_id: Option<String>,
}

/// `details` of a user of OPA.
#[derive(Serialize)]
pub(super) struct OpaDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) full_name: Option<String>,
}

/// A group of OPA.
#[derive(Serialize)]
pub(super) struct OpaGroup {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) roles: Vec<String>,
    pub(super) deleted_at: Option<String>,
}

/// A user of Opsera.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpseraUser {
    #[serde(rename = "_id")]
    pub(super) id: String,
    pub(super) applications: Vec<String>,
    pub(super) tools: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) email: Option<String>,
    pub(super) sso_system: &'static str,
    pub(super) organization_name: &'static str,
    pub(super) division: String,
    pub(super) domain: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    pub(super) active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) site_role: Option<String>,
}

/// `POST /user`. Everything is optional here so that what is missing can be named.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewOpseraUser {
    pub(super) email: Option<String>,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    pub(super) division: Option<String>,
    pub(super) site_role: Option<String>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
}

/// `PUT /user/{…}/siterole`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSiteRole {
    pub(super) site_role: Option<String>,
}

/// `GET /team_stats`
#[derive(Serialize)]
pub(super) struct OpaTeamStats {
    #[serde(rename = "num_human_users")]
    pub(super) human_users: usize,
    #[serde(rename = "num_service_users")]
    pub(super) service_users: usize,
    #[serde(rename = "num_groups")]
    pub(super) groups: usize,
}

/// One page of Opsera's SCIM listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScimList {
    pub(super) schemas: [&'static str; 1],
    pub(super) total_results: usize,
    pub(super) start_index: usize,
    pub(super) items_per_page: usize,
    #[serde(rename = "Resources")]
    pub(super) resources: Vec<ScimUser>,
}

/// A user in Opsera's SCIM listing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScimUser {
    pub(super) schemas: [&'static str; 1],
    pub(super) id: String,
    pub(super) user_name: Option<String>,
    pub(super) active: bool,
}

/// How Opsera words its answers to writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerShape {
    /// In turn: a JSON string, an object, plain text.
    #[default]
    Varied,
    /// `"message"`
    JsonString,
    /// `{"message": "message"}`
    Object,
    /// `message`
    PlainText,
}

impl AnswerShape {
    /// The shape of the answer with this number.
    pub(super) fn nth(self, number: u64) -> Self {
        match (self, number % 3) {
            (Self::Varied, 0) => Self::JsonString,
            (Self::Varied, 1) => Self::Object,
            (Self::Varied, _) => Self::PlainText,
            (fixed, _) => fixed,
        }
    }

    /// `message` in this shape.
    pub(super) fn answer(self, status: StatusCode, message: &str) -> Response {
        match self {
            Self::Varied | Self::JsonString => (status, Json(message)).into_response(),
            Self::Object => (status, Json(json!({"message": message}))).into_response(),
            Self::PlainText => (status, message.to_owned()).into_response(),
        }
    }
}

/// The status and message of a write that was done.
pub(super) fn success_message(method: &str) -> Option<(u16, &'static str)> {
    match method {
        "POST" => Some((201, "User creation complete")),
        "DELETE" => Some((200, "User deactivation completed: true")),
        "PUT" => Some((200, "Successfully updated site role for user.")),
        _ => None,
    }
}

/// Why OPA refuses a call that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaRefusal {
    /// 401: the token is not valid, or the service user lacks the role.
    AuthorizationError,
    /// 403: the call is not allowed.
    ForbiddenError,
    /// 403: the Team's quota of objects is used up.
    QuotaExceeded,
    /// 403: the Team was disabled.
    DisabledTeam,
}

impl OpaRefusal {
    /// The status and the body.
    pub(super) fn answer(self) -> (StatusCode, Value) {
        let (status, message) = match self {
            Self::AuthorizationError => (
                StatusCode::UNAUTHORIZED,
                "authorization_error: the token is not valid, or its user lacks the role",
            ),
            Self::ForbiddenError => (
                StatusCode::FORBIDDEN,
                "forbidden_error: the user may not do this",
            ),
            Self::QuotaExceeded => (
                StatusCode::FORBIDDEN,
                "quota_exceeded: the team has used up its quota",
            ),
            Self::DisabledTeam => (StatusCode::FORBIDDEN, "disabled_team: the team is disabled"),
        };
        (status, json!({"message": message, "errors": []}))
    }

    pub(super) fn response(self) -> Response {
        let (status, body) = self.answer();
        (status, Json(body)).into_response()
    }
}

/// An error of OPA.
pub(super) fn opa_error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message, "errors": []}))).into_response()
}

/// An error of OPA about one parameter.
pub(super) fn opa_parameter_error(path: &str, message: &str) -> Response {
    let body = json!({
        "message": "the request is not valid",
        "errors": [{"path": path, "message": message}],
    });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// An error of OPA that passes: 500, 503 or 504.
pub(super) fn opa_temporary(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::SERVICE_UNAVAILABLE => "service_offline: the service is not available",
        StatusCode::GATEWAY_TIMEOUT => "gateway_timeout: the service did not answer in time",
        _ => "unknown_error: an unknown error occurred; this is usually temporary",
    };
    opa_error(status, message)
}

/// OPA's 499.
pub(super) fn opa_client_closed() -> Response {
    let status = StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    opa_error(
        status,
        "client_closed_connection: the client closed the connection",
    )
}

/// OPA's 429, with the Unix second from which a request is answered again.
pub(super) fn opa_throttled(retry_at: i64) -> Response {
    let mut response = opa_error(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-retry-at", HeaderValue::from(retry_at));
    response
}

/// An error of Opsera about a read.
pub(super) fn opsera_error(status: StatusCode, message: &str) -> Response {
    let body = json!({"status": status.as_u16(), "message": message});
    (status, Json(body)).into_response()
}
