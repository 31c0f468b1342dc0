//! The report for programs: exactly the model, as §10 prints it.

use std::io::{self, Write as _};

use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::domain::Report;

/// What is handed over at once, in bytes.
const BUFFER: usize = 32 * 1024;

/// The JSON Schema of a report, made from its types and their comments. It lies in
/// `docs/report.schema.json`.
pub fn report_schema() -> Value {
    let settings = SchemaSettings::default().for_serialize();
    Value::from(settings.into_generator().into_root_schema_for::<Report>())
}

pub(super) fn render(document: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    // It writes every bracket and every quotation mark by itself.
    let mut out = io::BufWriter::with_capacity(BUFFER, out);
    serde_json::to_writer_pretty(&mut out, document)?;
    writeln!(out)?;
    out.flush()
}
