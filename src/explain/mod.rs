//! Everything known about one person, and what the next run would do about them and why.
//!
//! ```text
//! text → subject (address, OPA name, id) → snapshot, memory, queue, audit log
//!      → the rules themselves (never a second implementation) → Explanation → text | JSON
//! ```
//!
//! [`explain`] only reads the store. [`live::compare`] asks both directories and shows what has
//! changed since the snapshot. [`render`] turns the value into text for people; programs get the
//! same value as JSON.

mod account;
mod gather;
mod guards;
mod identity;
pub mod live;
mod model;
mod next_run;
mod render;
mod suggestions;
mod what_if;
mod words;

pub use gather::{ExplainError, Question, explain};
pub use model::{
    AbsenceView, AccountView, BackOff, DecisionView, EntitlementView, Explanation, Found,
    GuardsView, HistoryView, IdentityView, KeyHolderView, LiveView, PersonView, ProtectionView,
    RoleView, RuleView, SCHEMA, ShieldView, SnapshotView, SuggestionView, WhatIf,
};
pub use render::render;
