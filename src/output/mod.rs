//! What a run says about itself.
//!
//! [`Report`](crate::domain::Report) is the one value a run returns, also when it fails: it is stored, counted, printed
//! and notified from. The renderers (`table`, `markdown`, `html`, `csv`, `json`) read it and decide
//! nothing. Every text in it that came from a directory is data; each renderer escapes it for its
//! own medium.

mod csv;
mod diff_page;
mod drawing;
mod html;
mod json;
mod listing;
mod markdown;
mod page;
mod page_rows;
mod phrases;
mod plan_page;
mod progress;
mod render;
mod sink;
mod style;
mod table;
mod wrap;

pub use html::{DecisionForm, decision_page, decision_policy, notice_page};
pub use json::report_schema;
pub use listing::Listing;
pub use page::Severity;
pub use phrases::{by_and_for, verdict};
pub use plan_page::{PlanView, render_plan};
pub use progress::{ProgressLine, Visibility};
pub use render::{Format, TableStyle, render, render_diff};
pub use sink::{OutputError, Sink, deliver, note, table_style, tell_failure};
pub use style::{coloured, faint, strong};
pub use table::paragraph;
