//! The report for a ticket or a pull request: GitHub-flavoured Markdown, long lists folded.

use std::io;

use super::page::{Cell, Page, Section, Source};
use crate::domain::text::{for_markdown, for_markdown_line, own_words_for_markdown};

/// Lists of more rows than this are folded; deactivations never are.
const FOLDED_FROM: usize = 10;

pub(super) fn render(page: &Page<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "## rolecall\n")?;
    writeln!(out, "**{}**\n", own_words_for_markdown(&page.verdict))?;
    if let Some(error) = page.error {
        writeln!(out, "Error: {}\n", for_markdown_line(error))?;
    }
    for (name, field) in &page.fields {
        writeln!(out, "- {name}: {}", shown(field))?;
    }
    for section in &page.sections {
        write_section(section, out)?;
    }
    if !page.next.is_empty() {
        writeln!(out, "\n### Next\n")?;
        for step in &page.next {
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
    let title = own_words_for_markdown(&section.title);
    let folded = section.group != "deactivate" && section.len() > FOLDED_FROM;
    if folded {
        // The title is outside of Markdown here, so what could be markup is an entity.
        let title = title_in_html(&section.title);
        writeln!(out, "\n<details><summary><b>{title}</b></summary>\n")?;
    } else {
        writeln!(out, "\n### {title}\n")?;
    }
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
    if folded {
        writeln!(out, "\n</details>")?;
    }
    Ok(())
}

fn title_in_html(title: &str) -> String {
    crate::domain::text::for_terminal(title)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn shown(cell: &Cell<'_>) -> String {
    if let Some(bar) = cell.bar() {
        return bar;
    }
    match cell.source {
        Source::Program => own_words_for_markdown(&cell.text),
        Source::Untrusted => for_markdown(&cell.text),
    }
}
