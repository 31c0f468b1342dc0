//! `rolecall daemon`: `sync` on the schedule until told to stop.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::cli::signals::{hangups, stop_on_signals};
use crate::cli::{DaemonArgs, GlobalArgs};
use crate::daemon::{self, DaemonOptions};
use crate::domain::ExitStatus;
use crate::reconcile::machine_clock;

pub(super) async fn run(global: &GlobalArgs, args: &DaemonArgs) -> anyhow::Result<ExitStatus> {
    // Before anything takes time: a signal that comes early must neither kill nor be lost.
    let stop = stop_on_signals()?;
    let hangups = hangups()?;
    let loaded = super::load_settings(global)?;
    Box::pin(daemon::run(DaemonOptions {
        loaded,
        sources: super::sources(global),
        metrics_file: args.metrics_file.clone(),
        clock: machine_clock(),
        stop,
        hangups,
        rng: StdRng::from_rng(&mut rand::rng()),
    }))
    .await?;
    Ok(ExitStatus::Done)
}
