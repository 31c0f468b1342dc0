//! The report for a ticket or a pull request: GitHub-flavoured Markdown.

use std::io;

use super::document::{Cell, Document, Section, Source};
use crate::domain::Report;
use crate::domain::text::{for_markdown, for_markdown_line, own_words_for_markdown};

pub(super) fn render(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let document = Document::of(report);
    writeln!(out, "## rolecall\n")?;
    writeln!(out, "**{}**\n", own_words_for_markdown(&document.headline))?;
    if let Some(error) = document.error {
        writeln!(out, "Error: {}\n", for_markdown_line(error))?;
    }
    for (name, fact) in &document.facts {
        writeln!(out, "- {name}: {}", shown(fact))?;
    }
    for section in &document.sections {
        write_section(section, out)?;
    }
    if !document.next.is_empty() {
        writeln!(out, "\n### Next\n")?;
        for step in &document.next {
            writeln!(
                out,
                "- {}: {}",
                step.purpose,
                for_markdown_line(&step.command)
            )?;
        }
    }
    Ok(())
}

fn write_section(section: &Section<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "\n### {}\n", own_words_for_markdown(&section.title))?;
    if let Some(note) = section.note {
        writeln!(out, "{}\n", own_words_for_markdown(note))?;
    }
    writeln!(out, "| {} |", section.columns.join(" | "))?;
    writeln!(out, "|{}", " --- |".repeat(section.columns.len()))?;
    for row in section.rows() {
        write!(out, "|")?;
        for cell in &row {
            write!(out, " {} |", shown(cell))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn shown(cell: &Cell<'_>) -> String {
    match cell.source {
        Source::Program => own_words_for_markdown(&cell.text),
        Source::Outside => for_markdown(&cell.text),
    }
}
