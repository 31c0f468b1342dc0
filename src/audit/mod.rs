//! The audit log: everything that was done, and how it is proven (§8).
//!
//! Pure: what an entry is, which bytes are hashed, what a checkpoint says and how a verdict comes
//! about. The rows themselves are the store's (`store::audit`). The exact bytes are written down
//! in `docs/audit-format.md`, for somebody who verifies an export with a script of their own.

mod actor;
mod canonical;
mod cef;
mod chain;
mod checkpoint;
mod entry;
mod error;
mod export;
mod format;
mod key;
mod ocsf;
mod rfc5424;
mod siem;
mod verify;

pub use actor::Actor;
pub use canonical::canonical_json;
pub use chain::{Algorithm, AuditWriter, GENESIS, HashedEntry, Head, NotCanonical};
pub use checkpoint::{Checkpoint, last_checkpoint, must_take_checkpoints, read_checkpoints};
pub use entry::{EntryOutcome, Event, NewEntry, Subject, UnknownEvent};
pub use error::AuditError;
pub use export::{ExportFormat, Exporter, LineFormat, too_large_message};
pub use format::Format;
pub use key::AuditKey;
pub use verify::{Anchor, Broken, IntegrityError, Proof, Verdict, Verifier, is_genuine};
