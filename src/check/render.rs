//! The check report for people at a terminal.

use std::io;

use super::model::{CheckReport, Item, Status};
use crate::domain::text::{counted, for_terminal};
use crate::output::{Severity, TableStyle, coloured};

/// Writes `report` to `out`.
///
/// # Errors
/// What `out` fails with.
pub fn render(report: &CheckReport, style: TableStyle, out: &mut dyn io::Write) -> io::Result<()> {
    render_items(report, style, out)?;
    let (failures, warnings) = (report.count(Status::Failure), report.count(Status::Warning));
    let all_warnings = counted(warnings, "warning", "warnings");
    let verdict = match (failures, warnings) {
        (0, 0) => "Everything is fine.".to_owned(),
        (0, _) => format!("Ready to run, with {all_warnings}."),
        _ => format!(
            "Not ready: {} and {all_warnings}.",
            counted(failures, "failure", "failures")
        ),
    };
    writeln!(out, "\n{verdict}")
}

/// Writes the items of `report` to `out`, without a verdict.
///
/// # Errors
/// What `out` fails with.
pub fn render_items(
    report: &CheckReport,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let width = report
        .items()
        .iter()
        .map(|item| item.name.chars().count())
        .max()
        .unwrap_or_default();
    for item in report.items() {
        write_item(item, width, style, out)?;
    }
    Ok(())
}

fn write_item(
    item: &Item,
    width: usize,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let status = format!("{:8}", item.status.as_str());
    let status = if style.colour {
        let severity = match item.status {
            Status::Ok => Severity::Good,
            Status::Warning => Severity::Warning,
            Status::Failure => Severity::Bad,
        };
        coloured(&status, severity)
    } else {
        status
    };
    let name = for_terminal(&item.name);
    let mut lines = item.message.split('\n').map(for_terminal);
    let first = lines.next().unwrap_or_default();
    writeln!(out, "{status} {name:width$}  {first}")?;
    let margin = 11 + width;
    for line in lines {
        writeln!(out, "{:margin$}{line}", "")?;
    }
    if let Some(hint) = &item.hint {
        writeln!(out, "{:margin$}→ {}", "", for_terminal(hint))?;
    }
    Ok(())
}
