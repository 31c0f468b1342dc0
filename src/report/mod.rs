//! What a run says about itself.
//!
//! [`Report`] is the one value a run returns, also when it fails: it is stored, counted, printed
//! and notified from. The renderers (`table`, `markdown`, `html`, `csv`, `json`) read it and decide
//! nothing. Every text in it that came from a directory is data; each renderer defuses it for its
//! own medium.

mod model;

pub use model::{
    ActionReport, ActionStatus, GuardReport, Mode, OpaCounts, OpseraCounts, Outcome, Report,
    SCHEMA, Summary, WaitingReport,
};
