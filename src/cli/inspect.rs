//! Arguments of the commands that look at what is known: `explain`, `status`, `queue`.

use clap::{Args, Subcommand};

use super::{FormatArgs, not_empty};

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
