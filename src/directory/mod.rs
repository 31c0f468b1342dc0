//! The two directories, as HTTP.
//!
//! `http` is the core both clients share: authentication, pacing, retries, bounded bodies, pinned
//! origins. [`Opa`] can only read. [`OpseraReader`] can only read too; only an [`OpseraWriter`]
//! can change anything, and a dry run never has one. The clients translate between the wire and
//! the [domain](crate::domain) and judge nothing.

mod error;

pub use error::{Api, Call, CallError, ServerWords};
