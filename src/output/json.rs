//! The report for programs: exactly the model, as §10 prints it.

use std::io;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::domain::Report;

/// The JSON Schema of a report, made from its types and their comments. It lies in
/// `docs/report.schema.json`.
pub fn report_schema() -> Value {
    let settings = SchemaSettings::default().for_serialize();
    Value::from(settings.into_generator().into_root_schema_for::<Report>())
}

pub(super) fn render(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}
