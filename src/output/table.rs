//! The report for people at a terminal.
//!
//! Lines end at words, never inside one or inside an address; a table that is too wide for the
//! terminal is written as one short list per row.

use std::io;

use comfy_table::{
    Attribute, Cell as TableCell, Color, ColumnConstraint, ContentArrangement, LineStyle, Table,
    Width, presets,
};
use unicode_width::UnicodeWidthStr as _;

use super::page::{Cell, GUARDS, Page, Section, Severity};
use super::render::TableStyle;
use super::style::{coloured, strong, without_padding_at_the_end};
use super::wrap::{width_of_longest_word, wrapped};
use crate::domain::text::{for_terminal, number};

/// Columns between two columns of a table: the padding and the separator, which is a space.
const GAP: u16 = 2;
const PADDING: u16 = 1;

pub(super) fn render(
    page: &Page<'_>,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let verdict = for_terminal(&page.verdict);
    write_wrapped(&verdict, "", page.severity, style, out)?;
    if let Some(error) = page.error {
        let error = format!("Error: {}", for_terminal(error));
        write_wrapped(&error, "", Severity::Bad, style, out)?;
    }
    writeln!(out)?;
    let label = page.fields.iter().map(|(name, _)| name.len()).max();
    let label = label.unwrap_or_default();
    for (name, field) in &page.fields {
        let margin = label.saturating_add(2);
        let text = for_terminal(&field.text);
        for (position, line) in wrapped(&text, room(style, margin)).iter().enumerate() {
            let name = if position == 0 { *name } else { "" };
            writeln!(
                out,
                "{name:label$}  {}",
                styled(line, field.severity, style)
            )?;
        }
    }
    for section in &page.sections {
        write_section(section, &page.whole, style, out)?;
    }
    if !page.next.is_empty() {
        writeln!(out, "\nNext")?;
        for step in &page.next {
            writeln!(out, "  {}", for_terminal(&step.command))?;
            writeln!(out, "      # {}", step.purpose)?;
        }
    }
    // What is last on the screen is what is read first.
    if style.rows_per_list.is_some() && page.sections.iter().any(|section| section.len() > 0) {
        writeln!(out)?;
        write_wrapped(&verdict, "", page.severity, style, out)?;
    }
    Ok(())
}

fn write_section(
    section: &Section<'_>,
    whole: &str,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    writeln!(out)?;
    let title = for_terminal(&section.title);
    write_wrapped(&title, "", Severity::Plain, style, out)?;
    if let Some(note) = section.note {
        for line in wrapped(note, room(style, 0)) {
            writeln!(out, "{line}")?;
        }
    }
    let shown = match style.rows_per_list {
        // Whoever reads on is to see them all, always.
        Some(rows) if section.group != GUARDS => rows,
        _ => usize::MAX,
    };
    let rows = section
        .rows()
        .take(shown)
        .map(|row| row.iter().map(flat).collect());
    write_table(section.columns.iter().copied(), rows, style, out)?;
    let more = section.len().saturating_sub(shown);
    if more > 0 {
        let more = number(u64::try_from(more).unwrap_or(u64::MAX));
        writeln!(out, "… and {more} more: {whole}")?;
    }
    Ok(())
}

/// A text of a table with what colour it has; escaped already.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    text: String,
    severity: Severity,
}

impl Flat {
    pub(super) fn plain(text: String) -> Self {
        Self {
            text,
            severity: Severity::Plain,
        }
    }
}

fn flat(cell: &Cell<'_>) -> Flat {
    let text = for_terminal(&cell.text).into_owned();
    Flat {
        text: cell.bar().unwrap_or(text),
        severity: cell.severity,
    }
}

/// Writes one table; the cells are escaped already.
pub(super) fn write_table<'a>(
    columns: impl Iterator<Item = &'a str>,
    rows: impl Iterator<Item = Vec<Flat>>,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let columns: Vec<&str> = columns.collect();
    let rows: Vec<Vec<Flat>> = rows.collect();
    let mut least: Vec<usize> = columns
        .iter()
        .map(|name| width_of_longest_word(name))
        .collect();
    for row in &rows {
        for (least, cell) in least.iter_mut().zip(row) {
            *least = (*least).max(width_of_longest_word(&cell.text));
        }
    }
    let gaps = usize::from(GAP).saturating_mul(columns.len().saturating_sub(1));
    let needed = least.iter().sum::<usize>().saturating_add(gaps);
    match style.width {
        Some(width) if needed > usize::from(width) => write_lists(&columns, &rows, style, out),
        _ => write_columns(&columns, rows, &least, style, out),
    }
}

fn write_columns(
    columns: &[&str],
    rows: Vec<Vec<Flat>>,
    least: &[usize],
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut table = Table::new();
    let lines = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));
    table.load_style(lines).force_no_tty();
    if style.colour {
        table.enforce_styling();
    }
    if let Some(width) = style.width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            // The last column's padding is cut off again.
            .set_width(width.saturating_add(PADDING));
    }
    table.set_header(columns.iter().map(|name| {
        let cell = TableCell::new(name);
        if style.colour {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }));
    table.add_rows(
        rows.into_iter()
            .map(|row| row.into_iter().map(table_cell).collect::<Vec<_>>()),
    );
    for (column, least) in table.column_iter_mut().zip(least) {
        let least = u16::try_from(*least).unwrap_or(u16::MAX);
        column.set_padding((0, PADDING));
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
            least.saturating_add(PADDING),
        )));
    }
    let limit = style.width.map_or(usize::MAX, usize::from);
    for line in table.lines() {
        let line = without_padding_at_the_end(&line);
        if line.starts_with('─') {
            let rule: String = line.chars().take(limit.min(line.chars().count())).collect();
            writeln!(out, "{rule}")?;
        } else {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// One list per row: the first cell, and below it the others by name.
fn write_lists(
    columns: &[&str],
    rows: &[Vec<Flat>],
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    for row in rows {
        for (position, (name, cell)) in columns.iter().zip(row).enumerate() {
            if position == 0 {
                writeln!(out, "• {}", styled_cell(&cell.text, cell.severity, style))?;
            } else if !cell.text.is_empty() {
                let text = format!("{name}: {}", cell.text);
                write_wrapped_cell(&text, "    ", cell.severity, style, out)?;
            }
        }
    }
    Ok(())
}

fn table_cell(cell: Flat) -> TableCell {
    let shown = TableCell::new(cell.text);
    match cell.severity {
        Severity::Plain => shown,
        Severity::Good => shown.fg(Color::Green),
        Severity::Warning => shown.fg(Color::Yellow),
        Severity::Bad => shown.fg(Color::Red),
    }
}

/// The columns that are left beside `margin`; a terminal without any has none to spare.
fn room(style: TableStyle, margin: usize) -> Option<usize> {
    style
        .width
        .map(|width| usize::from(width).saturating_sub(margin).max(20))
}

/// A paragraph for the terminal, whatever its words come from.
pub fn paragraph(text: &str, style: TableStyle) -> String {
    wrapped(&for_terminal(text), room(style, 0)).join("\n")
}

fn write_wrapped(
    text: &str,
    margin: &str,
    severity: Severity,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    for line in wrapped(text, room(style, margin.width())) {
        writeln!(out, "{margin}{}", styled(&line, severity, style))?;
    }
    Ok(())
}

fn write_wrapped_cell(
    text: &str,
    margin: &str,
    severity: Severity,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    for line in wrapped(text, room(style, margin.width())) {
        writeln!(out, "{margin}{}", styled_cell(&line, severity, style))?;
    }
    Ok(())
}

fn styled_cell(text: &str, severity: Severity, style: TableStyle) -> String {
    match severity {
        Severity::Plain => text.to_owned(),
        other => styled(text, other, style),
    }
}

fn styled(text: &str, severity: Severity, style: TableStyle) -> String {
    match severity {
        _ if !style.colour => text.to_owned(),
        Severity::Plain => strong(text),
        other => coloured(text, other),
    }
}
