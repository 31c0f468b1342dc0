//! The two directories, as HTTP, and the mail server that messages go through.
//!
//! `http` is what both clients share: authentication, rate limits and quota, retries, bounded
//! bodies, pinned origins. [`Opa`] can only read. [`OpseraReader`] can only read too; only an
//! [`OpseraWriter`] can change anything, and only a run that applies its plan gets one. The
//! clients translate between HTTP and the [domain](crate::domain) and judge nothing.

mod account_stream;
mod auth;
mod call;
mod clock_offsets;
mod connection_failure;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod json_array;
mod link;
mod mail;
mod opa;
mod opsera;
mod opsera_write;
mod pages;
mod path;
mod pinned_certificate;
mod quota;
mod rate_limit;
mod records;
mod redaction;
mod remedy;
mod request_metrics;
mod retry;
mod second_count;
mod session;
mod throttle;
mod token_expiry;
mod transport;

pub use account_stream::AccountStream;
pub use call::{Api, Call, Credential};
pub use clock_offsets::ClockOffsets;
pub use connection_failure::{ConnectionFailure, Server};
pub use error::{CallError, ServerMessage};
pub use mail::{Letter, MailError, MailServer};
pub use opa::{Opa, StatusFilter};
pub use opsera::OpseraReader;
pub use opsera_write::{OpseraWriter, RatePermit};
pub use pages::Pages;
pub use quota::QuotaStatus;
pub use records::{ApiRecord, CurrentUser, OpaGroupRecord, OpaUserRecord};
pub use request_metrics::{AnswerClass, RequestMetrics, RequestMetricsSnapshot};
pub use retry::Backoff;
pub use second_count::SecondCount;
pub use session::Answer;
pub use token_expiry::{TOKEN_ENDS_SOON, opsera_token_expires_at};
pub use transport::{ClientError, Transport};
