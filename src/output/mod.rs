//! What a run says about itself.
//!
//! [`Report`](crate::domain::Report) is the one value a run returns, also when it fails: it is stored, counted, printed
//! and notified from. The renderers (`table`, `markdown`, `html`, `csv`, `json`) read it and decide
//! nothing. Every text in it that came from a directory is data; each renderer escapes it for its
//! own medium.

mod csv;
mod drawing;
mod html;
mod json;
mod listing;
mod markdown;
mod page;
mod page_rows;
mod phrases;
mod progress;
mod render;
mod sink;
mod table;
mod wrap;

pub use json::report_schema;
pub use listing::Listing;
pub use phrases::verdict;
pub use progress::{ProgressLine, Visibility};
pub use render::{Format, TableStyle, UnknownFormat, render};
pub use sink::{OutputError, Sink, deliver, note, table_style, tell_failure};
