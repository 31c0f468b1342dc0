//! The report for programs: exactly the model, as §10 prints it.

use std::io;

use crate::domain::Report;

pub(super) fn render(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
