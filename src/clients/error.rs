//! Why a directory call failed. Variants differ only where a caller acts differently.
//!
//! [`ServerMessage`] is only ever what a server sent. What this program says about an answer
//! stands in a field of its own, so that nobody reads our sentence as the server's.

use std::fmt;

use reqwest::StatusCode;

use super::call::{Api, Call, Credential};
use super::connection_failure::ConnectionFailure;
use crate::domain::time::Timestamp;

/// What a server said, made safe to show: one line, bounded, without control characters and
/// without anything that was sent as a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ServerMessage {
    /// Its body was empty or could not be read.
    #[default]
    Nothing,
    /// A page for people.
    HtmlPage,
    /// Its own words.
    Text(String),
}

impl ServerMessage {
    /// The server's words; empty where there are none.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Nothing | Self::HtmlPage => "",
            Self::Text(text) => text,
        }
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("(no words)"),
            Self::HtmlPage => f.write_str("(an HTML page)"),
            Self::Text(text) => write!(f, "“{text}”"),
        }
    }
}

/// Why a directory call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection came about, so the request was never sent.
    #[error("cannot reach {api} for {call}: {failure}")]
    Unreachable {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// What went wrong, in plain words.
        failure: ConnectionFailure,
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request went out and no whole answer came back in time; a write may or may not have
    /// happened (A4).
    #[error("no answer from {api} to {call}")]
    NoResponse {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// What went wrong, in plain words.
        failure: ConnectionFailure,
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 429: not done, and the server says from when on it may be asked again.
    #[error("{api} asked us to slow down on {call}")]
    Throttled {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The end of the pause, already applied to the whole client.
        until: Option<Timestamp>,
    },
    /// 408, 499 or 5xx: the server is in trouble; a write may or may not have happened (A4).
    #[error("{api} answered {call} with {status} {message}")]
    ServerError {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// What the server said.
        message: ServerMessage,
    },
    /// 401, past any renewal: the credential is not good, and no further call will be better.
    #[error("{api} does not accept {credential} for {call} (401) {message}")]
    Unauthorized {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// What was sent.
        credential: Credential,
        /// What the server said.
        message: ServerMessage,
    },
    /// Any other 4xx: refused, and repeating will not help.
    #[error("{api} refused {call} with {status} {message}")]
    ClientError {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// What the server said.
        message: ServerMessage,
    },
    /// A status that the API does not have for this call: a redirect, or another success than 200
    /// for a read (G0).
    #[error("{api} answered {call} with {status}: {detail}")]
    UnexpectedStatus {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// What it means here.
        detail: String,
    },
    /// A success whose body is not what the API promises.
    #[error("{api} sent a malformed answer to {call}: {detail}")]
    Malformed {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// What is wrong with it.
        detail: String,
    },
    /// The settings cannot be right: there is no such Team, or the answer belongs to another one.
    #[error("{api} answered {call} for another installation: {detail}")]
    WrongTenant {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The status of the answer.
        status: StatusCode,
        /// `opa.team`.
        team: String,
        /// What does not fit.
        detail: String,
    },
    /// A name or id that no path can hold, such as `..`. Nothing was sent; what the call was to
    /// show about this one person, group or account stays unknown.
    #[error(
        "{api} cannot be asked {call} for {name:?}: the name would change the path of the request"
    )]
    InvalidPathSegment {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The name or id.
        name: String,
    },
}

impl CallError {
    /// The directory.
    pub fn api(&self) -> Api {
        match self {
            Self::Unreachable { api, .. }
            | Self::NoResponse { api, .. }
            | Self::Throttled { api, .. }
            | Self::ServerError { api, .. }
            | Self::Unauthorized { api, .. }
            | Self::ClientError { api, .. }
            | Self::UnexpectedStatus { api, .. }
            | Self::Malformed { api, .. }
            | Self::WrongTenant { api, .. }
            | Self::InvalidPathSegment { api, .. } => *api,
        }
    }

    /// The call.
    pub fn call(&self) -> &Call {
        match self {
            Self::Unreachable { call, .. }
            | Self::NoResponse { call, .. }
            | Self::Throttled { call, .. }
            | Self::ServerError { call, .. }
            | Self::Unauthorized { call, .. }
            | Self::ClientError { call, .. }
            | Self::UnexpectedStatus { call, .. }
            | Self::Malformed { call, .. }
            | Self::WrongTenant { call, .. }
            | Self::InvalidPathSegment { call, .. } => call,
        }
    }

    /// Why there was no connection or no whole answer, if that is what failed.
    pub fn connection_failure(&self) -> Option<&ConnectionFailure> {
        match self {
            Self::Unreachable { failure, .. } | Self::NoResponse { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// The status the server answered with, if it answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unreachable { .. }
            | Self::NoResponse { .. }
            | Self::InvalidPathSegment { .. } => None,
            Self::Throttled { .. } => Some(StatusCode::TOO_MANY_REQUESTS),
            Self::Unauthorized { .. } => Some(StatusCode::UNAUTHORIZED),
            Self::ServerError { status, .. }
            | Self::ClientError { status, .. }
            | Self::UnexpectedStatus { status, .. }
            | Self::WrongTenant { status, .. } => Some(*status),
            Self::Malformed { .. } => Some(StatusCode::OK),
        }
    }

    /// Whether the server says that there is no such thing (404).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::ClientError { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Whether A3 sends the same call again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoResponse { .. } | Self::Throttled { .. } => true,
            Self::ServerError { status, .. } => {
                matches!(status.as_u16(), 408 | 499 | 500 | 502 | 503 | 504)
            }
            Self::Unauthorized { .. }
            | Self::ClientError { .. }
            | Self::UnexpectedStatus { .. }
            | Self::Malformed { .. }
            | Self::WrongTenant { .. }
            | Self::InvalidPathSegment { .. } => false,
        }
    }

    /// Whether a write may have happened although the call failed (A4).
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            // A success whose body makes no sense may be somebody else's success.
            Self::NoResponse { .. } | Self::ServerError { .. } | Self::Malformed { .. } => true,
            Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::Unauthorized { .. }
            | Self::ClientError { .. }
            | Self::UnexpectedStatus { .. }
            | Self::WrongTenant { .. }
            | Self::InvalidPathSegment { .. } => false,
        }
    }
}
