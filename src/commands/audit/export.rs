//! `rolecall audit export`: entries for another program.

use std::io::{self, Write as _};

use crate::audit::{ExportFormat, LineFormat};
use crate::cli::{self, AuditExportArgs, GlobalArgs};
use crate::commands::desk::Desk;
use crate::domain::ExitStatus;
use crate::domain::text;
use crate::domain::text::counted;
use crate::output;
use crate::store::audit::Period;

pub(super) async fn run(global: &GlobalArgs, args: &AuditExportArgs) -> anyhow::Result<ExitStatus> {
    let desk = Desk::look_at_store(global).await?;
    let format = match args.format {
        cli::ExportFormat::Jsonl => ExportFormat::Jsonl,
        cli::ExportFormat::Csv => ExportFormat::Csv,
        cli::ExportFormat::Ocsf => ExportFormat::Siem(LineFormat::Ocsf),
        cli::ExportFormat::Cef => ExportFormat::Siem(LineFormat::Cef),
        cli::ExportFormat::Rfc5424 => ExportFormat::Siem(LineFormat::Rfc5424),
    };
    let period = super::period(args.period, desk.clock.now());
    let exported = export_to(&desk, format, period, args, global).await;
    desk.store.close().await;
    exported?;
    Ok(ExitStatus::Done)
}

async fn export_to(
    desk: &Desk,
    format: ExportFormat,
    period: Period,
    args: &AuditExportArgs,
    global: &GlobalArgs,
) -> anyhow::Result<()> {
    let mut sink = output::Sink::open(args.output.as_deref(), global.colour())?;
    let written = {
        let mut buffered = io::BufWriter::new(&mut sink);
        let written = desk
            .store
            .export_audit(format, period, &mut buffered)
            .await?;
        buffered.flush()?;
        written
    };
    sink.finish()?;
    if let Some(file) = &args.output {
        let entries = counted(written.entries, "entry", "entries");
        let file = text::terminal_safe(&file.display().to_string()).into_owned();
        output::note(&format!("{entries} written to {file}\n"), global.colour());
    }
    Ok(())
}
