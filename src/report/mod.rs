//! What a run says about itself.
//!
//! [`Report`] is the one value a run returns, also when it fails: it is stored, counted, printed
//! and notified from. The renderers (`table`, `markdown`, `html`, `csv`, `json`) read it and decide
//! nothing. Every text in it that came from a directory is data; each renderer defuses it for its
//! own medium.

mod csv;
mod document;
mod html;
mod json;
mod listing;
mod markdown;
mod model;
mod render;
mod table;
pub mod text;
mod words;

pub use listing::Listing;
pub use model::{
    ActionReport, ActionStatus, GuardReport, Mode, OpaCounts, OpseraCounts, Outcome, Report,
    SCHEMA, Summary, WaitingReport,
};
pub use render::{Format, TableStyle, UnknownFormat, render};
