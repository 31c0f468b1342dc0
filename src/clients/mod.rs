//! The two directories, as HTTP.
//!
//! `http` is the core both clients share: authentication, pacing, retries, bounded bodies, pinned
//! origins. [`Opa`] can only read. [`OpseraReader`] can only read too; only an [`OpseraWriter`]
//! can change anything, and a dry run never has one. The clients translate between the wire and
//! the [domain](crate::domain) and judge nothing.

mod account_stream;
mod array;
mod error;
mod http;
mod link;
mod listing;
mod opa;
mod opsera;
mod opsera_writer;
mod pace;
mod path;
mod retry;
mod session;
mod throttle;
mod token;
mod traffic;
mod transport;
mod wire;
mod words;

pub use account_stream::AccountStream;
pub use error::{Api, Call, CallError, ServerWords};
pub use listing::{Listed, Listing};
pub use opa::{Opa, StatusFilter};
pub use opsera::{AccountFilter, OpseraReader};
pub use opsera_writer::{OpseraWriter, Turn};
pub use retry::Backoff;
pub use session::Answer;
pub use traffic::{AnswerClass, Traffic, TrafficSnapshot};
pub use transport::{ClientError, Transport};
pub use wire::CurrentUser;
