//! One door to every format.

use std::io;

use strum::VariantArray as _;

use super::drawing::{bars, guards_over_time};
use super::page::Page;
use super::{csv, html, json, markdown, table};
use crate::domain::{GuardHistory, Report, ReportDiff};

/// The formats of §10.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    clap::ValueEnum,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Format {
    /// For people at a terminal.
    Table,
    /// For programs.
    Json,
    /// For a ticket or a pull request.
    Markdown,
    /// One self-contained page.
    Html,
    /// For a spreadsheet.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name given to `--format`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How tables for a terminal are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStyle {
    /// Whether escape sequences for colours may be written.
    pub colour: bool,
    /// Columns of the terminal; `None` lets lines grow as long as their texts.
    pub width: Option<u16>,
    /// Rows of each list of a report; the rest is counted. `None` shows every row.
    pub rows_per_list: Option<usize>,
}

/// Writes `report` to `out` in `format` (§10); `style` concerns [`Format::Table`] alone, and
/// `history`, where it is known, [`Format::Html`].
///
/// # Errors
/// What `out` fails with.
pub fn render(
    report: &Report,
    history: Option<&GuardHistory>,
    format: Format,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    match format {
        Format::Table => table::render(&Page::of(report), style, out),
        Format::Json => json::render(report, out),
        Format::Markdown => markdown::render(&Page::of(report), out),
        Format::Html => {
            let guards = history.map(|history| guards_over_time(report, history));
            html::render(
                &Page::of(report),
                bars(report),
                guards.unwrap_or_default(),
                out,
            )
        }
        Format::Csv => csv::render(report, out),
    }
}

/// Writes what changed between two runs, as [`render`] does a report.
///
/// # Errors
/// What `out` fails with.
pub fn render_diff(
    diff: &ReportDiff<'_>,
    format: Format,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    match format {
        Format::Table => table::render(&Page::of_diff(diff), style, out),
        Format::Json => json::render(diff, out),
        Format::Markdown => markdown::render(&Page::of_diff(diff), out),
        Format::Html => html::render(&Page::of_diff(diff), Vec::new(), Vec::new(), out),
        Format::Csv => csv::render_diff(diff, out),
    }
}
