//! The report for people at a terminal.

use std::io;

use comfy_table::{Attribute, Cell as TableCell, Color, ContentArrangement, Table, presets};

use super::document::{Cell, Document, Section, Tone};
use super::render::TableStyle;
use crate::domain::Report;
use crate::domain::text::for_terminal;

pub(super) fn render(
    report: &Report,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let document = Document::of(report);
    writeln!(
        out,
        "{}",
        painted(&for_terminal(&document.headline), document.tone, style)
    )?;
    if let Some(error) = document.error {
        let error = for_terminal(error);
        writeln!(
            out,
            "{}",
            painted(&format!("Error: {error}"), Tone::Bad, style)
        )?;
    }
    writeln!(out)?;
    let label = document.facts.iter().map(|(name, _)| name.len()).max();
    let label = label.unwrap_or_default();
    for (name, fact) in &document.facts {
        let text = for_terminal(&fact.text);
        writeln!(out, "{name:label$}  {}", painted(&text, fact.tone, style))?;
    }
    for section in &document.sections {
        write_section(section, style, out)?;
    }
    if !document.next.is_empty() {
        writeln!(out, "\nNext")?;
        let width = document
            .next
            .iter()
            .map(|step| step.command.chars().count());
        let width = width.max().unwrap_or_default();
        for step in &document.next {
            let command = for_terminal(&step.command);
            writeln!(out, "  {command:width$}  # {}", step.purpose)?;
        }
    }
    Ok(())
}

fn write_section(
    section: &Section<'_>,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    writeln!(out, "\n{}", for_terminal(&section.title))?;
    if let Some(note) = section.note {
        writeln!(out, "{note}")?;
    }
    let rows = section.rows().map(|row| row.iter().map(dressed).collect());
    write_table(section.columns.iter().copied(), rows, style, out)
}

/// Writes one table; the cells are defused already.
pub(super) fn write_table<'a>(
    columns: impl Iterator<Item = &'a str>,
    rows: impl Iterator<Item = Vec<TableCell>>,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).force_no_tty();
    if style.colour {
        table.enforce_styling();
    }
    if let Some(width) = style.width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table.set_header(columns.map(|name| {
        let cell = TableCell::new(name);
        if style.colour {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }));
    table.add_rows(rows);
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn dressed(cell: &Cell<'_>) -> TableCell {
    let dressed = TableCell::new(for_terminal(&cell.text));
    match cell.tone {
        Tone::Plain => dressed,
        Tone::Good => dressed.fg(Color::Green),
        Tone::Warning => dressed.fg(Color::Yellow),
        Tone::Bad => dressed.fg(Color::Red),
    }
}

fn painted(text: &str, tone: Tone, style: TableStyle) -> String {
    let code = match tone {
        Tone::Plain => "1",
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Bad => "31",
    };
    if style.colour {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
