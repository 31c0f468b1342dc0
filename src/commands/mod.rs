//! What each command does, one file per command.
//!
//! A command gets its arguments and gives back how it ended; errors travel up to `main`, which
//! tells them once. To add a command: its file here, and its arm in [`run`].

mod audit;
mod check;
mod completion;
mod completions;
mod config_schema;
mod config_show;
mod daemon;
mod demo;
mod desk;
mod explain;
mod init;
mod man;
mod plan;
mod queue;
mod report;
mod review;
mod sandbox;
mod status;
mod sync;
mod undo;

use std::io::IsTerminal as _;

use anyhow::Context as _;

use crate::cli::logging;
use crate::cli::{Cli, Command, ConfigCommand, GlobalArgs, TableFormat};
use crate::domain::ExitStatus;
use crate::domain::text;
use crate::output;
use crate::output::{Listing, TableStyle};
use crate::settings::{
    ConfigSources, Loaded, LogSettings, OfflineSettings, Settings, SettingsErrors, Warning,
};

pub use completion::complete;

/// Runs the command that was asked for.
pub async fn run(cli: Cli) -> anyhow::Result<ExitStatus> {
    let global = &cli.global;
    match &cli.command {
        Command::Config(config) => match config.command {
            ConfigCommand::Show { format } => config_show::run(global, format.or_fitting()),
            ConfigCommand::Schema { .. } => config_schema::run(global),
        },
        Command::Completions(args) => completions::run(global, *args),
        Command::Man(args) => man::run(args),
        Command::Demo(args) => Box::pin(demo::run(global, args)).await,
        Command::Init(args) => init::run(global, args).await,
        Command::Check(args) => check::run(global, *args).await,
        Command::Explain(args) => explain::run(global, args).await,
        Command::Sync(args) => sync::run(global, args).await,
        Command::Daemon(args) => daemon::run(global, args).await,
        Command::Sandbox(args) => sandbox::run(global, args).await,
        Command::Plan(args) => plan::run(global, args).await,
        Command::Review(args) => review::run(global, args).await,
        Command::Undo(args) => undo::run(global, args).await,
        Command::Report(args) => report::run(global, args).await,
        Command::Status(args) => status::run(global, args).await,
        Command::Queue(args) => queue::run(global, args).await,
        Command::Audit(args) => audit::run(global, args).await,
    }
}

/// Loads all settings, starts logging as they say, and logs what is odd about them.
pub fn load_settings(global: &GlobalArgs) -> anyhow::Result<Loaded<Settings>> {
    let loaded = Settings::load(&sources(global))?;
    start_logging(global, &loaded.settings.log, &loaded.warnings)?;
    Ok(loaded)
}

/// As [`load_settings`], for commands that only look at the store.
pub fn load_offline_settings(global: &GlobalArgs) -> anyhow::Result<Loaded<OfflineSettings>> {
    let loaded = OfflineSettings::load(&sources(global))?;
    start_logging(global, &loaded.settings.log, &loaded.warnings)?;
    Ok(loaded)
}

fn sources(global: &GlobalArgs) -> ConfigSources {
    ConfigSources::of_process(global.config.clone())
}

fn start_logging(
    global: &GlobalArgs,
    log: &LogSettings,
    warnings: &[Warning],
) -> anyhow::Result<()> {
    logging::start(log, global.log_options()).context("logging could not be set up")?;
    for warning in warnings {
        tracing::warn!(
            setting = warning.key,
            "{}; {}",
            text::terminal_safe(&warning.message),
            text::terminal_safe(&warning.hint)
        );
    }
    Ok(())
}

/// How tables on standard output are drawn.
fn style(global: &GlobalArgs) -> TableStyle {
    output::table_style(global.colour(), std::io::stdout().is_terminal())
}

/// Prints a listing in the format asked for.
fn print_listing(
    global: &GlobalArgs,
    listing: &Listing,
    format: TableFormat,
) -> anyhow::Result<()> {
    let mut sink = output::Sink::stdout(global.colour());
    match format {
        TableFormat::Table => listing.write_table(style(global), &mut sink)?,
        TableFormat::Json => listing.write_json(&mut sink)?,
    }
    Ok(sink.finish()?)
}

/// How the program ends when a command fails with `error`.
pub fn exit_status(error: &anyhow::Error) -> ExitStatus {
    if error.is::<desk::AmbiguousId>() || error.is::<desk::UnknownRun>() {
        ExitStatus::Usage
    } else {
        ExitStatus::Failed
    }
}

/// What the reader of `error` can do next.
pub fn hints(error: &anyhow::Error) -> Vec<String> {
    error
        .downcast_ref::<SettingsErrors>()
        .map(SettingsErrors::hints)
        .unwrap_or_default()
}
