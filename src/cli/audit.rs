//! Arguments of `rolecall audit`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::{FormatArgs, Since, TableFormat, not_empty, since, until};
use crate::audit::Event;

/// `rolecall audit`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall audit list --person jane@example.com
  rolecall audit verify --expect-head 9f86d081884c7d65…
  rolecall audit export --format csv --since 2026-01-01 --output audit.csv
  rolecall audit pack --since 2026-01-01 --until 2026-03-31 --output evidence.zip")]
pub struct AuditArgs {
    /// What to do with the audit log.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What `rolecall audit` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List entries, the newest last
    List(AuditListArgs),
    /// Prove that no entry was changed, removed or reordered
    #[command(long_about = AUDIT_VERIFY_LONG)]
    Verify(AuditVerifyArgs),
    /// Write entries for another program
    Export(AuditExportArgs),
    /// Gather the evidence of a period for an auditor
    #[command(long_about = AUDIT_PACK_LONG)]
    Pack(AuditPackArgs),
}

/// A part of the audit log.
#[derive(Clone, Copy, Debug, Args)]
pub struct PeriodArgs {
    /// Only entries since a time, a day or a while ago (24h)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
    /// Only entries before a time or a while ago (24h), or up to the end of a day
    #[arg(long, value_name = "WHEN", value_parser = until)]
    pub until: Option<Since>,
}

/// `rolecall audit list`
#[derive(Clone, Debug, Args)]
pub struct AuditListArgs {
    /// Only entries about this address or Opsera id
    #[arg(long, value_name = "PERSON", value_parser = not_empty)]
    pub person: Option<String>,
    /// Only entries of this run
    #[arg(long, value_name = "ID", value_parser = not_empty)]
    pub run: Option<String>,
    /// Only entries of this kind
    #[arg(long, value_name = "EVENT", value_parser = event())]
    pub event: Option<Event>,
    /// Which part of the log.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// At most the last N entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Shape of the result.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Reads one of the log's own event names, which `--help` and completion list.
fn event() -> impl TypedValueParser<Value = Event> {
    PossibleValuesParser::new(Event::ALL.iter().map(|event| event.as_str()))
        .try_map(|name| name.parse())
}

/// `--help` of the command below, which clap takes from the variant.
const AUDIT_VERIFY_LONG: &str = "Follows the chain of hashes from the first entry to the last, then compares it with the \
        checkpoints. Says `anchored to entry N of TIME` or `unanchored`; exits with 1 and names the \
        first wrong entry if something does not fit.";

/// `rolecall audit verify`
#[derive(Clone, Debug, Args)]
pub struct AuditVerifyArgs {
    /// A head hash from a report or a log that the chain must contain
    #[arg(long, value_name = "HASH", value_parser = not_empty)]
    pub expect_head: Option<String>,
    /// Shape of the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: TableFormat,
}

/// `rolecall audit export`
#[derive(Clone, Debug, Args)]
pub struct AuditExportArgs {
    /// Shape of the export
    #[arg(long, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// Which part of the log.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// Write to FILE (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Shape of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line, complete: can be verified elsewhere
    Jsonl,
    /// For a spreadsheet
    Csv,
    /// For a SIEM: Open Cybersecurity Schema Framework 1.6, one event a line
    Ocsf,
    /// For a SIEM: Common Event Format, one event a line
    Cef,
    /// For a SIEM: syslog as RFC 5424 has it, one message a line
    Rfc5424,
}

/// `--help` of the command below, which clap takes from the variant.
const AUDIT_PACK_LONG: &str = "Gathers what shows to somebody who was not there what was done in a period, by whom and on \
        whose decision: the reports of the runs, the audit log, the verdict on it, the decisions of \
        people with their reasons, the settings in effect without secrets, a README, and a script \
        that verifies the log without rolecall. Writes nothing to the store. Exits with 1 if the log \
        is broken; the pack is written all the same and says so.";

/// `rolecall audit pack`
#[derive(Clone, Debug, Args)]
pub struct AuditPackArgs {
    /// From a time, a day or a while ago (90days) on
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Since,
    /// Before a time or a while ago, or up to the end of a day [default: now]
    #[arg(long, value_name = "WHEN", value_parser = until)]
    pub until: Option<Since>,
    /// A new or empty directory (mode 0700), or a file that ends in .zip (mode 0600)
    #[arg(long, value_name = "DIR|FILE.zip")]
    pub output: PathBuf,
    /// A head hash from a report or a log that the chain must contain
    #[arg(long, value_name = "HASH", value_parser = not_empty)]
    pub expect_head: Option<String>,
    /// Shape of what is said about it.
    #[command(flatten)]
    pub format: FormatArgs,
}
