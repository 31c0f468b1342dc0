//! The bodies of both APIs, as `api/README.md` has them.
//!
//! These types are the sandbox's own. Were they shared with the clients, a field with a wrong name
//! would be written and read alike, and no test could tell.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

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

/// How Opsera words its answers to writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerShape {
    /// In turn: a JSON string, an object, plain text.
    #[default]
    Varied,
    /// `"words"`
    JsonString,
    /// `{"message": "words"}`
    Object,
    /// `words`
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

    /// `words` in this shape.
    pub(super) fn answer(self, status: StatusCode, words: &str) -> Response {
        match self {
            Self::Varied | Self::JsonString => (status, Json(words)).into_response(),
            Self::Object => (status, Json(json!({"message": words}))).into_response(),
            Self::PlainText => (status, words.to_owned()).into_response(),
        }
    }
}

/// The words for a write that was done, with their status.
pub(super) fn praise(method: &str) -> Option<(u16, &'static str)> {
    match method {
        "POST" => Some((201, "User creation complete")),
        "DELETE" => Some((200, "User deactivation completed: true")),
        "PUT" => Some((200, "Successfully updated site role for user.")),
        _ => None,
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

/// An error of Opsera about a read.
pub(super) fn opsera_error(status: StatusCode, message: &str) -> Response {
    let body = json!({"status": status.as_u16(), "message": message});
    (status, Json(body)).into_response()
}
