//! `rolecall check`: is everything there that a run needs?

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;

use crate::audit::Actor;
use crate::check::{examine, render};
use crate::cli::logging;
use crate::cli::{CheckArgs, GlobalArgs, TableFormat};
use crate::domain::{ExitStatus, time::SystemClock};
use crate::output;
use crate::settings::{LogSettings, Settings};

pub(super) async fn run(global: &GlobalArgs, args: CheckArgs) -> anyhow::Result<ExitStatus> {
    let sources = super::sources(global);
    // What is odd about the settings is told as items, so it is not logged as well.
    let log = Settings::load(&sources).map_or_else(
        |_| LogSettings {
            format: None,
            level: "info".to_owned(),
        },
        |loaded| loaded.settings.offline.log,
    );
    logging::start(&log, global.log_options()).context("logging could not be set up")?;
    let report = examine(&sources, SystemClock::shared(), Actor::of_this_process()).await;
    let mut sink = output::Sink::stdout(global.colour());
    match args.format.or_fitting() {
        TableFormat::Table => {
            let style = output::table_style(global.colour(), std::io::stdout().is_terminal());
            render(&report, style, &mut sink)?;
        }
        TableFormat::Json => {
            serde_json::to_writer_pretty(&mut sink, &report)?;
            writeln!(sink)?;
        }
    }
    sink.finish()?;
    Ok(if report.is_ok() {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}
