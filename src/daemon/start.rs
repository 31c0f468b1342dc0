//! Start-up: everything that would make every run fail is found out before systemd hears `READY=1`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::signal::unix::Signal;
use tokio_cron_scheduler::JobSchedulerError;
use tokio_util::sync::CancellationToken;

use super::exposed_secrets::{ExposedSecret, refuse_exposed};
use super::health::{Condition, Health};
use super::http::{self, AppState};
use super::run_loop::{Parts, RunLoop};
use super::run_task::look;
use super::systemd::Watchdog;
use super::ticker::Ticker;
use super::timetable::Timetable;
use crate::audit::Actor;
use crate::domain::InvalidCron;
use crate::domain::time::SharedClock;
use crate::metrics::{Exposition, Metrics, MetricsFileError, write_file};
use crate::notifications::{NotifyError, Receivers};
use crate::reconcile::{Context, RunError, check_start};
use crate::serving;
use crate::settings::{ConfigSources, Loaded, Settings};

/// How long the HTTP server may take to close its connections.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// What a daemon is started with.
#[derive(Debug)]
pub struct DaemonOptions {
    /// The settings, and where they are read again on SIGHUP.
    pub loaded: Loaded<Settings>,
    /// Where they came from.
    pub sources: ConfigSources,
    /// `--metrics-file`
    pub metrics_file: Option<PathBuf>,
    /// The clock.
    pub clock: SharedClock,
    /// Cancelled by the first SIGTERM or Ctrl-C (A10).
    pub stop: CancellationToken,
    /// SIGHUP.
    pub hangups: Signal,
    /// What jitter is drawn from.
    pub rng: StdRng,
}

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A secret that every user of the machine can read.
    #[error(transparent)]
    ExposedSecret(#[from] ExposedSecret),
    /// The schedule.
    #[error(transparent)]
    Schedule(#[from] InvalidCron),
    /// Those who get messages.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// `--metrics-file`
    #[error(transparent)]
    MetricsFile(#[from] MetricsFileError),
    /// `http.listen`
    #[error(
        "cannot listen on http.listen = {address}: is it in use, or not an address of this machine?"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store or the clients cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The scheduler.
    #[error("the scheduler could not be started")]
    Scheduler(#[from] JobSchedulerError),
}

/// Checks everything, then runs on the schedule until `stop`.
///
/// # Errors
/// What is wrong at start. Once the daemon runs, nothing but a signal ends it.
pub async fn run(options: DaemonOptions) -> Result<(), StartError> {
    let DaemonOptions {
        loaded,
        sources,
        metrics_file,
        clock,
        stop,
        hangups,
        rng,
    } = options;
    refuse_exposed(&loaded.warnings)?;
    let settings = &loaded.settings;
    let timetable = Timetable::new(&settings.schedule, &*clock)?;
    Receivers::new(settings, clock.clone())?;
    let context = Context {
        settings: settings.clone(),
        clock: clock.clone(),
        actor: Actor::of_this_process(),
    };
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new(clock.clone()));
    let listener = match settings.http.listen {
        None => None,
        Some(address) => {
            let bound = serving::bind(address).await;
            Some(bound.map_err(|source| StartError::Listen { address, source })?)
        }
    };
    tokio::select! {
        // The store may be busy for long.
        () = stop.cancelled() => return Ok(()),
        checked = check_start(&context) => checked?,
    }
    let status = look(&context).await.map_err(RunError::from)?;
    metrics.restore(&status);
    metrics.show_schedule(timetable.next(), 0);
    health.completed(
        status.last_complete,
        timetable.schedule(),
        settings.schedule.jitter,
    );
    health.set_store(Condition::Healthy);
    if let Some(file) = &metrics_file {
        write_file(file, &metrics.render(Exposition::Prometheus))?;
    }
    let mut ticker = Ticker::start().await?;
    let offset = timetable.schedule().offset_at(clock.now());
    ticker.arm(&settings.schedule, offset).await;

    let server_stop = CancellationToken::new();
    let server = listener.map(|listener| {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving /healthz, /readyz and /metrics");
        }
        let state = AppState {
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
        };
        tokio::spawn(http::serve(
            listener,
            state,
            clock.clone(),
            server_stop.clone(),
        ))
    });
    RunLoop::new(Parts {
        context,
        loaded,
        sources,
        metrics_file,
        metrics,
        health,
        watchdog: Watchdog::of_process(),
        ticker,
        timetable,
        rng,
        stop,
        hangups,
    })
    .run()
    .await;
    server_stop.cancel();
    if let Some(server) = server
        && tokio::time::timeout(SHUTDOWN_GRACE, server).await.is_err()
    {
        tracing::debug!("the HTTP server was left behind");
    }
    Ok(())
}
