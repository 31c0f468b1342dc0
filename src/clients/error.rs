//! Why a directory call failed. Variants differ only where a caller acts differently.

use std::fmt;

use reqwest::StatusCode;

use crate::domain::time::Timestamp;

/// One of the two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Okta Privileged Access.
    Opa,
    /// Opsera.
    Opsera,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opa => "OPA",
            Self::Opsera => "Opsera",
        })
    }
}

/// A call, as it is named in messages: `GET /users`, without host and without a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call(pub String);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a server said, made safe to show: one line, bounded, without control characters and
/// without anything that was sent as a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerWords(pub String);

impl fmt::Display for ServerWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("(no words)")
        } else {
            write!(f, "“{}”", self.0)
        }
    }
}

/// Why a directory call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection came about, so the request was never sent.
    #[error("cannot reach {api} for {call}")]
    Unreachable {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request went out and no whole answer came back in time; a write may or may not have
    /// happened (A4).
    #[error("no answer from {api} to {call}")]
    NoAnswer {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
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
    /// 408 or 5xx: the server is in trouble; a write may or may not have happened (A4).
    #[error("{api} answered {call} with {status} {words}")]
    Trouble {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// The server's words.
        words: ServerWords,
    },
    /// 401, past any renewal: the credential is not good, and no further call will be better.
    #[error("{api} does not accept the credential for {call} (401) {words}")]
    Unauthorized {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The server's words.
        words: ServerWords,
    },
    /// Any other status that is not a success: refused, and repeating will not help.
    #[error("{api} refused {call} with {status} {words}")]
    Refused {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// The status.
        status: StatusCode,
        /// The server's words.
        words: ServerWords,
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
    /// The settings cannot be right: the answer belongs to somebody else.
    #[error("{api} answered {call} for another installation: {detail}")]
    WrongTenant {
        /// The directory.
        api: Api,
        /// The call.
        call: Call,
        /// What does not fit.
        detail: String,
    },
}

impl CallError {
    /// The status the server answered with, if it answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } => None,
            Self::Throttled { .. } => Some(StatusCode::TOO_MANY_REQUESTS),
            Self::Unauthorized { .. } => Some(StatusCode::UNAUTHORIZED),
            Self::Trouble { status, .. } | Self::Refused { status, .. } => Some(*status),
            Self::Malformed { .. } | Self::WrongTenant { .. } => Some(StatusCode::OK),
        }
    }

    /// Whether A3 sends the same call again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::Throttled { .. } => true,
            Self::Trouble { status, .. } => {
                matches!(status.as_u16(), 408 | 499 | 500 | 502 | 503 | 504)
            }
            Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::WrongTenant { .. } => false,
        }
    }

    /// Whether a write may have happened although the call failed (A4).
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            // A success whose body makes no sense may be somebody else's success.
            Self::NoAnswer { .. } | Self::Trouble { .. } | Self::Malformed { .. } => true,
            Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::WrongTenant { .. } => false,
        }
    }
}
