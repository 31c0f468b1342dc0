//! A second count of what a listing holds: the proof that it was read to its end (G0).

use super::error::CallError;
use super::{Opa, OpseraReader};

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

impl Opa {
    /// Placeholder until the client asks.
    #[expect(clippy::unused_async, reason = "the call comes with the client")]
    pub async fn human_count(&self) -> Result<SecondCount, CallError> {
        Ok(SecondCount::NotAvailable {
            reason: "the client does not ask yet".to_owned(),
        })
    }
}

impl OpseraReader {
    /// Placeholder until the client asks.
    #[expect(clippy::unused_async, reason = "the call comes with the client")]
    pub async fn human_count(&self) -> Result<SecondCount, CallError> {
        Ok(SecondCount::NotAvailable {
            reason: "the client does not ask yet".to_owned(),
        })
    }
}
