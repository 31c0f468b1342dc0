//! A second count of what a listing holds: the proof that it was read to its end (G0).

use serde::Deserialize;
use serde_json::Value;

use super::error::CallError;

/// How many there are, told by another call than the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondCount {
    /// So many.
    Count(u64),
    /// The call is not allowed, is not there, or does not give a number.
    NotAvailable {
        /// Which of these, in words.
        reason: String,
    },
}

/// OPA's `GET /team_stats`. Only what is used, of whatever type, so that a count that is no number
/// is told in words.
#[derive(Debug, Deserialize)]
pub(super) struct TeamStats {
    num_human_users: Option<Value>,
    num_service_users: Option<Value>,
}

impl TeamStats {
    /// The number of humans. A count that is there and says nothing is doubt about everything the
    /// server says (G0): the error side tells what it is.
    pub(super) fn human_count(&self) -> Result<SecondCount, String> {
        let what = "num_human_users of GET /team_stats";
        match &self.num_human_users {
            None | Some(Value::Null) => Ok(count(what, None)),
            Some(value) => value
                .as_u64()
                .map(SecondCount::Count)
                .ok_or_else(|| format!("num_human_users is {value}, not a number of users")),
        }
    }

    /// Everybody a listing shows, as far as it is told.
    pub(super) fn everybody(&self) -> u64 {
        let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64).unwrap_or(0);
        number(&self.num_human_users).saturating_add(number(&self.num_service_users))
    }
}

/// A page of SCIM 2.0 (RFC 7644, 3.4.2).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScimList {
    total_results: Option<Value>,
}

impl ScimList {
    pub(super) fn total(&self) -> SecondCount {
        count("totalResults of SCIM", self.total_results.as_ref())
    }
}

fn count(what: &str, value: Option<&Value>) -> SecondCount {
    let reason = match value {
        None | Some(Value::Null) => format!("{what} is missing"),
        Some(value) => match value.as_u64() {
            Some(count) => return SecondCount::Count(count),
            None => format!("{what} is not a number of users"),
        },
    };
    SecondCount::NotAvailable { reason }
}

/// The count is left out where the call is not allowed or not there (G0).
///
/// # Errors
/// `error`, where it is another one.
pub(super) fn left_out(error: CallError) -> Result<SecondCount, CallError> {
    let not_there = error
        .status()
        .is_some_and(|status| matches!(status.as_u16(), 401 | 403 | 404));
    if not_there {
        Ok(SecondCount::NotAvailable {
            reason: error.to_string(),
        })
    } else {
        Err(error)
    }
}

/// The same for a count that no pull hangs on: what cannot be read is left out too.
///
/// # Errors
/// `error`, where it says nothing about the count: the server may answer later.
pub(super) fn left_out_or_unreadable(error: CallError) -> Result<SecondCount, CallError> {
    match error {
        CallError::Malformed { .. } => Ok(SecondCount::NotAvailable {
            reason: error.to_string(),
        }),
        _ => left_out(error),
    }
}
