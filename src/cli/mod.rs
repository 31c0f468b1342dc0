//! The command line: its shape and its help texts, and nothing that it does.
//!
//! To add a command: a variant of [`Command`] with its arguments here, a file below
//! [`crate::commands`], an arm in `commands::run`; the help snapshot shows the rest.

mod audit;
pub mod hardening;
mod init;
mod inspect;
pub mod logging;
mod reconcile;
pub mod signals;
mod tools;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use audit::{
    AuditArgs, AuditCommand, AuditExportArgs, AuditListArgs, AuditPackArgs, AuditVerifyArgs,
    ExportFormat, PeriodArgs,
};
pub use init::InitArgs;
pub use inspect::{ExplainArgs, QueueArgs, QueueCommand, ReportArgs, StatusArgs};
pub use reconcile::{
    CheckArgs, DaemonArgs, OnlyKind, PlanArgs, PlanCommand, ReportFormat, ReportOutput, ReviewArgs,
    SyncArgs, UndoArgs,
};
pub use tools::{
    CompletionsArgs, ConfigArgs, ConfigCommand, DemoArgs, LinkFormsArg, ManArgs, OversizedCountArg,
    SandboxArgs,
};

use crate::cli::logging::LogOptions;
use crate::settings::LogFormat;

/// Keeps Opsera accounts and site roles in step with an Okta Privileged Access Team.
#[derive(Debug, Parser)]
#[command(
    name = "rolecall",
    version,
    about,
    long_about = "Keeps Opsera accounts and site roles in step with an Okta Privileged Access (OPA) Team: \
        whoever has left the Team loses the Opsera account, and each person's site role follows \
        their OPA groups. OPA is only read. Where there is doubt, rolecall does nothing and says so.",
    after_long_help = "\
Examples:
  rolecall demo                         see the whole job on simulated directories
  rolecall init                         write a first settings file
  rolecall check                        are settings, credentials and rules fine?
  rolecall sync --dry-run               what would be done?
  rolecall sync                         do it
  rolecall explain jane@example.com     why does this person keep or lose the account?

Settings come from built-in defaults, then files (--config, else $ROLECALL_CONFIG, else
./rolecall.toml, else /etc/rolecall/rolecall.toml), then variables such as
ROLECALL__OPA__TEAM. `rolecall config show` tells where each value came from.

Exit status: 0 done, 1 it could not be done, 2 wrong usage, 3 held by a guard, 4 finished but
some actions failed, 5 another run is in progress, 6 differences (sync --dry-run --exit-code).",
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Read settings from FILE; may be given several times, later files win
    #[arg(long, value_name = "FILE", global = true, action = ArgAction::Append, help_heading = "Global options")]
    pub config: Vec<PathBuf>,
    /// Log more: -v for debug, -vv for everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Log less: -q for warnings, -qq for errors only
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: u8,
    /// Shape of the log on standard error [default: text on a terminal, json otherwise]
    #[arg(
        long,
        value_name = "FORMAT",
        global = true,
        help_heading = "Global options"
    )]
    pub log_format: Option<LogFormatArg>,
    /// Colours and progress in the output
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        help_heading = "Global options"
    )]
    pub color: ColorArg,
}

impl GlobalArgs {
    /// What the command line says about the log.
    pub fn log_options(&self) -> LogOptions {
        LogOptions {
            format: self.log_format.map(|format| match format {
                LogFormatArg::Text => LogFormat::Text,
                LogFormatArg::Json => LogFormat::Json,
            }),
            verbosity: i16::from(self.verbose) - i16::from(self.quiet),
            colour: match self.color {
                ColorArg::Auto => None,
                ColorArg::Always => Some(true),
                ColorArg::Never => Some(false),
            },
        }
    }

    /// Whether results are coloured.
    pub fn colour(&self) -> anstream::ColorChoice {
        match self.color {
            ColorArg::Auto => anstream::ColorChoice::Auto,
            ColorArg::Always => anstream::ColorChoice::Always,
            ColorArg::Never => anstream::ColorChoice::Never,
        }
    }
}

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// `--color`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorArg {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Even into a file or a pipe
    Always,
    /// Never
    Never,
}

/// Shape of a result that is either read by people or by programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

/// `--format table|json` of the commands that print one result.
#[derive(Clone, Copy, Debug, Args)]
pub struct FormatArgs {
    /// Shape of the result [default: table on a terminal, json otherwise]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<TableFormat>,
}

impl FormatArgs {
    /// The format asked for, else the one that fits standard output.
    pub fn or_fitting(self) -> TableFormat {
        use std::io::IsTerminal as _;
        self.format.unwrap_or_else(|| {
            if std::io::stdout().is_terminal() {
                TableFormat::Table
            } else {
                TableFormat::Json
            }
        })
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the whole job on two simulated directories; needs no settings and no network
    #[command(long_about = tools::DEMO_LONG)]
    Demo(DemoArgs),
    /// Write a first settings file from six questions, with each credential tried at once
    #[command(long_about = init::INIT_LONG)]
    Init(InitArgs),
    /// Check settings, credentials, permissions, reachability and role rules; writes nothing
    #[command(long_about = reconcile::CHECK_LONG)]
    Check(CheckArgs),
    /// Bring Opsera in step with the Team once: read, compare, plan, guard, apply
    #[command(long_about = reconcile::SYNC_LONG)]
    Sync(SyncArgs),
    /// Sync on the schedule until told to stop, with health and metrics over HTTP
    #[command(long_about = reconcile::DAEMON_LONG)]
    Daemon(DaemonArgs),
    /// Look at plans that a guard holds, and decide on them
    #[command(long_about = reconcile::PLAN_LONG)]
    Plan(PlanArgs),
    /// Look at a held plan and decide on it, in a browser
    #[command(long_about = reconcile::REVIEW_LONG)]
    Review(ReviewArgs),
    /// Make a plan that takes back the role changes of a run
    #[command(long_about = reconcile::UNDO_LONG)]
    Undo(UndoArgs),
    /// Show again what a run reported, or what changed between two runs
    #[command(long_about = inspect::REPORT_LONG)]
    Report(ReportArgs),
    /// Tell everything known about one person, and what the next sync would do and why
    #[command(long_about = inspect::EXPLAIN_LONG)]
    Explain(ExplainArgs),
    /// Show the last runs, the queue, held plans and the age of the snapshot
    Status(StatusArgs),
    /// Look at the queue of actions, and decide on single ones
    Queue(QueueArgs),
    /// Read, verify and export the audit log, and pack it for an auditor
    Audit(AuditArgs),
    /// Show the settings in effect
    Config(ConfigArgs),
    /// Serve two simulated directories until interrupted
    #[command(long_about = tools::SANDBOX_LONG)]
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// A text that must not be empty.
fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("must not be empty".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// A point in time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// An RFC 3339 time, or the beginning of a day in UTC.
    At(crate::domain::time::Timestamp),
    /// So long before now.
    Ago(std::time::Duration),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(Since::At(time.to_utc()));
    }
    if let Some(day) = text
        .parse::<chrono::NaiveDate>()
        .ok()
        .and_then(|day| day.and_hms_opt(0, 0, 0))
    {
        return Ok(Since::At(day.and_utc()));
    }
    humantime::parse_duration(text)
        .map(Since::Ago)
        .map_err(|_| {
            "must be a time (2026-01-31T08:00:00Z), a day (2026-01-31) or how long ago (24h)"
                .to_owned()
        })
}

/// As [`since`], for an end: a day is meant with all of it.
fn until(text: &str) -> Result<Since, String> {
    let next_day = text
        .parse::<chrono::NaiveDate>()
        .ok()
        .and_then(|day| day.succ_opt())
        .and_then(|day| day.and_hms_opt(0, 0, 0));
    match next_day {
        Some(end) => Ok(Since::At(end.and_utc())),
        None => since(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_can_be_given_in_three_ways() {
        assert!(matches!(since("24h"), Ok(Since::Ago(_))));
        assert_eq!(since("2026-01-31"), since("2026-01-31T00:00:00Z"));
        assert_eq!(since("2026-01-31T01:00:00+01:00"), since("2026-01-31"));
        assert!(since("yesterday").is_err());
        assert_eq!(until("2026-01-31"), since("2026-02-01"));
        assert_eq!(until("2026-01-31T08:00:00Z"), since("2026-01-31T08:00:00Z"));
        assert!(until("2026-02-30").is_err());
    }
}
