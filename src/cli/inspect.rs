//! Arguments of the commands that look at what is known: `explain`, `status`, `queue`, `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{FormatArgs, ReportOutput, Since, not_empty, since};

/// `--help` of the command below, which clap takes from the variant.
pub(super) const EXPLAIN_LONG: &str = "Tells how an address is matched, which records carry it, which groups and rules decide the \
        role, what protects or threatens the account, what the next sync would do and what would \
        change that, with the person's history from the audit log. Reads the last snapshot; --live \
        asks both directories.";

/// `rolecall explain`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall explain jane@example.com
  rolecall explain jane@example.com --live --format json")]
pub struct ExplainArgs {
    /// The person's address, as either directory has it
    #[arg(value_name = "EMAIL", value_parser = not_empty)]
    pub email: String,
    /// Ask both directories instead of the last snapshot
    #[arg(long)]
    pub live: bool,
    /// Shape of the result.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// `rolecall status`
#[derive(Clone, Copy, Debug, Args)]
pub struct StatusArgs {
    /// Shape of the result.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// `--help` of the command below, which clap takes from the variant.
pub(super) const REPORT_LONG: &str = "Shows again what a run reported, with everybody it was about, as long as the run is kept \
        (store.retain); or what changed between two runs: what is new, gone and different, and which \
        guards came nearer to their limits.";

/// `rolecall report`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall report latest
  rolecall report last-held --format html --output held.html
  rolecall report 5f0c2f9e --format json | jq .summary
  rolecall report --diff last-held latest")]
pub struct ReportArgs {
    /// The run's id or the beginning of it, `latest`, or `last-held`
    #[arg(value_name = "RUN", value_parser = not_empty, required_unless_present = "diff", conflicts_with = "diff")]
    pub run: Option<String>,
    /// What changed between two runs, the earlier one first
    #[arg(long, value_names = ["RUN1", "RUN2"], num_args = 2, value_parser = not_empty)]
    pub diff: Vec<String>,
    /// Where the report goes, and in which shape.
    #[command(flatten)]
    pub report: ReportOutput,
}

/// `rolecall queue`
#[derive(Clone, Debug, Args)]
pub struct QueueArgs {
    /// What to do with the queue.
    #[command(subcommand)]
    pub command: QueueCommand,
}

/// `--help` of the command below, which clap takes from the variant.
const QUEUE_CANCEL_LONG: &str = "Takes a planned action out of the queue. It is not tried again before retry.rejected_retry \
        has passed, or until `rolecall queue retry`; then a sync that still wants it plans it again. To \
        stop it for good, protect the address (protect.emails).";

/// What `rolecall queue` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum QueueCommand {
    /// List actions that are waiting, failed, refused or cancelled
    List {
        /// Also those that are over, as long as they are kept (store.retain)
        #[arg(long)]
        all: bool,
        /// At most the latest N actions
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Let the next sync try a refused or cancelled action again
    Retry {
        /// The action's id, as `queue list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Take a planned action out of the queue
    #[command(long_about = QUEUE_CANCEL_LONG)]
    Cancel {
        /// The action's id, as `queue list` shows it
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// `rolecall audit`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall audit list --person jane@example.com
  rolecall audit verify --expect-head 9f86d081884c7d65…
  rolecall audit export --format csv --since 2026-01-01 --output audit.csv")]
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
    #[arg(long, value_name = "EVENT")]
    pub event: Option<AuditEventName>,
    /// Only entries since a time, a day or a while ago (24h)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
    /// At most the last N entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Shape of the result.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// The events of the audit log (§8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the spec's own, §8")]
pub enum AuditEventName {
    RunStarted,
    PullCompleted,
    PullFailed,
    PlanCreated,
    PlanHeld,
    PlanApproved,
    PlanRejected,
    ActionStarted,
    ActionSucceeded,
    ActionFailed,
    ActionSkipped,
    RunFinished,
}

impl AuditEventName {
    /// The name as the log has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunStarted => "run_started",
            Self::PullCompleted => "pull_completed",
            Self::PullFailed => "pull_failed",
            Self::PlanCreated => "plan_created",
            Self::PlanHeld => "plan_held",
            Self::PlanApproved => "plan_approved",
            Self::PlanRejected => "plan_rejected",
            Self::ActionStarted => "action_started",
            Self::ActionSucceeded => "action_succeeded",
            Self::ActionFailed => "action_failed",
            Self::ActionSkipped => "action_skipped",
            Self::RunFinished => "run_finished",
        }
    }
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
}

/// `rolecall audit export`
#[derive(Clone, Debug, Args)]
pub struct AuditExportArgs {
    /// Shape of the export
    #[arg(long, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// Only entries since a time, a day or a while ago (24h)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
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
}
