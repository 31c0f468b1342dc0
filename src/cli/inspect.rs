//! Arguments of the commands that look at what is known: `explain`, `status`, `queue`.

use clap::{Args, Subcommand};

use super::{FormatArgs, ReportOutput, not_empty};

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
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Take a planned action out of the queue
    #[command(long_about = QUEUE_CANCEL_LONG)]
    Cancel {
        /// The action's id, as `queue list` shows it
        #[arg(value_name = "ID")]
        id: String,
        /// Shape of the result.
        #[command(flatten)]
        format: FormatArgs,
    },
}
