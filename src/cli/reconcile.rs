//! Arguments of the commands that run the job: `sync`, `daemon`, `check`, `plan`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{FormatArgs, not_empty};
use crate::domain::{ActionKind, Address};

/// `--help` of the command below, which clap takes from the variant.
pub(super) const SYNC_LONG: &str = "Reads both directories, compares them, plans what is to be done, checks the plan against \
        the guards and applies it. Nothing is planned unless both directories were read completely; \
        nothing is applied if a guard holds the plan (see `rolecall plan`).";

/// `rolecall sync`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall sync --dry-run
  rolecall sync --dry-run --format json | jq .summary
  rolecall sync --dry-run --exit-code --format markdown --output report.md
  rolecall sync --only role,create
  rolecall sync --dry-run --person jane.doe@example.com")]
pub struct SyncArgs {
    /// Stop before anything is written to Opsera
    #[arg(long)]
    pub dry_run: bool,
    /// Shape of the report [default: table on a terminal, json otherwise]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,
    /// Write the report to FILE (mode 0600) instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// With --dry-run: exit with 6 if there is anything to do
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
    /// Only these kinds of action, separated by commas [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', num_args = 1)]
    pub only: Vec<OnlyKind>,
    /// Plan only what concerns this person, by address; may be given more than once
    #[arg(long, value_name = "EMAIL", value_parser = address)]
    pub person: Vec<Address>,
    /// Write metrics to FILE (mode 0644), for the textfile collector of a Prometheus node exporter
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// An address in canonical form (I1).
fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|why| why.to_string())
}

/// Shape of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For a terminal
    Table,
    /// The complete report, for programs
    Json,
    /// For a merge request or a chat
    Markdown,
    /// For a browser
    Html,
    /// Summary, guards, actions, waiting and findings, a row each, for a spreadsheet
    Csv,
}

/// One kind of action, as `--only` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnlyKind {
    /// Deactivate the accounts of leavers
    Deactivate,
    /// Set site roles
    Role,
    /// Create accounts
    Create,
}

impl From<OnlyKind> for ActionKind {
    fn from(kind: OnlyKind) -> Self {
        match kind {
            OnlyKind::Deactivate => Self::Deactivate,
            OnlyKind::Role => Self::SetRole,
            OnlyKind::Create => Self::Create,
        }
    }
}

/// `--help` of the command below, which clap takes from the variant.
pub(super) const DAEMON_LONG: &str = "Runs `sync` on the schedule of [schedule] until SIGTERM or Ctrl-C. With http.listen set, \
        /healthz, /readyz and /metrics are served there. Runs never overlap, and a failing run never \
        ends the daemon.";

/// `rolecall daemon`
#[derive(Clone, Debug, Args)]
pub struct DaemonArgs {
    /// Also write metrics to FILE (mode 0644) after each run
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// `--help` of the command below, which clap takes from the variant.
pub(super) const CHECK_LONG: &str = "Goes through everything a sync needs and says for each item whether it is fine and, if not, \
        what to do: settings, credentials, permissions, reachability, role rules against the groups \
        that exist, store, schedule, protection. Writes nothing. Exits with 1 if anything fails.";

/// `rolecall check`
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckArgs {
    /// Shape of the result.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// `--help` of the command below, which clap takes from the variant.
pub(super) const PLAN_LONG: &str = "A plan that exceeds a guard is held: nothing of it is written until somebody approves exactly \
        that plan. An approval covers the plan's own actions and not one person more, is good for \
        guards.approval_ttl, and is used up.";

/// `rolecall plan`
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
Examples:
  rolecall plan list
  rolecall plan show 3f2a91c04b7e
  rolecall plan approve 3f2a91c04b7e --reason \"department closed, HR-4711\"
  rolecall plan reject 3f2a91c04b7e --reason \"group was emptied by mistake\"")]
pub struct PlanArgs {
    /// What to do with plans.
    #[command(subcommand)]
    pub command: PlanCommand,
}

/// What `rolecall plan` can do.
#[derive(Clone, Debug, Subcommand)]
pub enum PlanCommand {
    /// List held plans and what became of them
    List {
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show one plan: the guards that hold it, and every person with the reason
    Show {
        /// The plan's id, as `plan list` shows it, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Let the next sync carry out this plan in spite of the guards
    Approve {
        /// The plan's id, as `plan list` shows it, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
        /// Why; goes into the audit log
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: String,
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Decide against this plan
    Reject {
        /// The plan's id, as `plan list` shows it, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
        /// Why; goes into the audit log
        #[arg(long, value_name = "TEXT", value_parser = not_empty)]
        reason: Option<String>,
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
}
