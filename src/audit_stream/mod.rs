//! Finished entries of the audit log, sent on as they are written (`[audit] stream`).
//!
//! ```text
//! store ──entries after the last one delivered──▶ file or syslog socket ──▶ position, written down
//! ```
//!
//! Entries are read back from the store, so that only what is committed is sent, and a run never
//! waits: the store is opened for reading only, and the position is in a side file of its own. Each
//! entry is sent at least once. What cannot be delivered stays where it is, in the log, and the next
//! pass begins with it.

mod pass;
mod position;
mod target;
mod worker;

pub use pass::{Delivered, StreamError, last_delivered};
pub use worker::{StreamWorker, deliver_once};
