//! The main loop: one task in which everything happens one after the other.
//!
//! Each turn waits for the first of: a signal, a tick, the end of the run under way, or a short
//! while. After it, the loop looks at the clock and the timetable. A run outlasting the interval
//! makes the occurrences it meets count for nothing, and the log says so once per run.
//!
//! systemd's watchdog is fed at each turn, but only if the run under way has moved within the
//! longest silence the settings allow: a loop that turns around a dead run is no sign of life.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::signal::unix::Signal;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exposed_secrets::refuse_exposed;
use super::health::{Condition, Health};
use super::pacing::{Backoff, jitter};
use super::run_task::{Ended, Outcome, Overlap, RunTask, failed_on_settings, look};
use super::systemd::{self, Watchdog};
use super::ticker::Ticker;
use super::timetable::{ClockMove, Timetable};
use crate::audit_stream::StreamWorker;
use crate::domain::text::error_chain;
use crate::domain::time::Timestamp;
use crate::metrics::{Exposition, Metrics, write_file};
use crate::notifications::NotificationWorker;
use crate::reconcile::{Context, FailedOn, Finished};
use crate::settings::{ConfigSources, Loaded, Settings};
use crate::store::{StoreError, StoreStatus};

/// The loop turns at least so often.
const LOOP_INTERVAL: Duration = Duration::from_secs(1);
/// While nothing runs, the store is looked at so often.
const STORE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// What the loop works with.
pub(super) struct Parts {
    pub(super) context: Context,
    pub(super) loaded: Loaded<Settings>,
    pub(super) sources: ConfigSources,
    pub(super) metrics_file: Option<PathBuf>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) watchdog: Watchdog,
    pub(super) ticker: Ticker,
    pub(super) timetable: Timetable,
    pub(super) rng: StdRng,
    pub(super) stop: CancellationToken,
    pub(super) hangups: Signal,
}

/// The loop and its state.
pub(super) struct RunLoop {
    parts: Parts,
    activity: Activity,
    backoff: Backoff,
    notifications: NotificationWorker,
    audit_stream: StreamWorker,
    check_store: Option<JoinHandle<()>>,
    checked_at: Duration,
}

enum Activity {
    Idle,
    /// A run is due, and its jitter has not passed.
    Waiting {
        until: Duration,
    },
    Running(RunTask),
}

/// What woke the loop up.
enum Event {
    Stop,
    Reload,
    Ended(Box<Outcome>),
    Time,
}

impl RunLoop {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            activity: Activity::Idle,
            backoff: Backoff::default(),
            notifications: NotificationWorker::start(),
            audit_stream: StreamWorker::start(
                parts.context.settings.offline.clone(),
                parts.context.clock.clone(),
            ),
            check_store: None,
            checked_at: parts.context.clock.monotonic(),
            parts,
        }
    }

    /// Turns until the daemon is asked to stop and the run under way has ended (A10).
    pub(super) async fn run(mut self) {
        systemd::ready(&self.resting_words());
        tracing::info!(
            next_run = self.parts.timetable.next().map(tracing::field::display),
            "the daemon runs"
        );
        if self.parts.context.settings.schedule.run_on_start {
            self.begin();
        }
        loop {
            self.report_liveness();
            match self.wait().await {
                Event::Stop => {
                    systemd::stopping();
                    break;
                }
                Event::Reload => self.reload().await,
                Event::Ended(outcome) => self.ended(*outcome),
                Event::Time => {}
            }
            self.check_clock().await;
        }
        self.shutdown().await;
    }

    async fn wait(&mut self) -> Event {
        let clock = &self.parts.context.clock;
        let mut longest = self
            .parts
            .watchdog
            .interval()
            .map_or(LOOP_INTERVAL, |interval| interval.min(LOOP_INTERVAL));
        if let Activity::Waiting { until } = self.activity {
            longest = longest.min(until.saturating_sub(clock.monotonic()));
        }
        let pause = clock.sleep(longest);
        let activity = &mut self.activity;
        let ended = async move {
            match activity {
                Activity::Running(work) => work.ended().await,
                Activity::Idle | Activity::Waiting { .. } => std::future::pending().await,
            }
        };
        tokio::select! {
            // A signal comes first, so that no stream of ticker keeps it waiting.
            biased;
            () = self.parts.stop.cancelled() => Event::Stop,
            hangup = self.parts.hangups.recv() => match hangup {
                Some(()) => Event::Reload,
                None => Event::Time,
            },
            outcome = ended => Event::Ended(Box::new(outcome)),
            () = self.parts.ticker.next() => Event::Time,
            () = pause => Event::Time,
        }
    }

    /// Health and watchdog: the loop turns, and what it carries gets on.
    fn report_liveness(&mut self) {
        let now = self.parts.context.clock.monotonic();
        let stalled = match &mut self.activity {
            Activity::Running(work) => work.is_stalled(now),
            Activity::Idle | Activity::Waiting { .. } => false,
        };
        self.parts.health.turned(stalled);
        self.parts
            .metrics
            .show_audit_stream(self.audit_stream.delivered().map(|it| it.of - it.entry));
        if !stalled {
            self.parts.watchdog.feed();
        }
    }

    async fn check_clock(&mut self) {
        let clock = Arc::clone(&self.parts.context.clock);
        match self.parts.timetable.observe(&*clock) {
            ClockMove::Steady => {}
            ClockMove::Forward => {
                tracing::info!("the clock leapt forward: what was missed is one run");
            }
            ClockMove::Back => {
                tracing::warn!("the clock was set back: the schedule goes by the new time");
                self.arm().await;
            }
        }
        let now = clock.now();
        let offset = self.parts.timetable.schedule().offset_at(now);
        if self.parts.ticker.offset() != Some(offset) {
            self.arm().await;
        }
        if self.parts.timetable.take_due(now) {
            self.due(now);
        }
        if let Activity::Waiting { until } = self.activity
            && clock.monotonic() >= until
        {
            self.begin();
        }
        self.check_store(clock.monotonic());
    }

    async fn arm(&mut self) {
        let parts = &mut self.parts;
        let offset = parts
            .timetable
            .schedule()
            .offset_at(parts.context.clock.now());
        parts
            .ticker
            .arm(&parts.context.settings.schedule, offset)
            .await;
    }

    /// An occurrence of the schedule has come.
    fn due(&mut self, now: Timestamp) {
        let next = self.parts.timetable.next();
        match &mut self.activity {
            Activity::Running(work) => {
                self.parts.metrics.skipped();
                if work.overlap == Overlap::None {
                    work.overlap = Overlap::Told;
                    tracing::warn!(
                        "a run takes longer than the interval: due runs are skipped until it ends"
                    );
                }
            }
            // It has not begun yet, so the two are one.
            Activity::Waiting { .. } => self.parts.metrics.skipped(),
            Activity::Idle if !self.backoff.admits() => {
                self.parts.metrics.skipped();
                tracing::debug!("a due run is left out after failures");
            }
            Activity::Idle => {
                let until_next = next
                    .and_then(|next| (next - now).to_std().ok())
                    .unwrap_or(Duration::MAX);
                let schedule = &self.parts.context.settings.schedule;
                let delay = jitter(schedule.jitter, until_next, &mut self.parts.rng);
                let until = self.parts.context.clock.monotonic().saturating_add(delay);
                self.activity = Activity::Waiting { until };
            }
        }
        self.parts
            .metrics
            .show_schedule(next, self.backoff.failures());
    }

    /// Begins a run with the secrets as they are on disk now.
    fn begin(&mut self) {
        let parts = &mut self.parts;
        parts.metrics.attempt(parts.context.clock.now());
        match fresh_secrets(&parts.loaded) {
            Ok(settings) => {
                parts.context.settings = settings;
                parts.health.set_secrets(Condition::Healthy);
                self.activity =
                    Activity::Running(RunTask::new(parts.context.clone(), parts.stop.clone()));
                systemd::status("running");
            }
            Err(error) => {
                self.activity = Activity::Idle;
                parts.health.set_secrets(Condition::Unhealthy);
                tracing::error!("a run cannot begin: {error}");
                let finished = failed_on_settings(&parts.context, error);
                self.finished(finished, Duration::ZERO);
            }
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        let now = self.parts.context.clock.monotonic();
        let took = match std::mem::replace(&mut self.activity, Activity::Idle) {
            Activity::Running(work) => now.saturating_sub(work.started_at),
            Activity::Idle | Activity::Waiting { .. } => Duration::ZERO,
        };
        self.checked_at = now;
        match outcome.ended {
            Ended::AnotherRun(words) => {
                tracing::warn!("{words}: this one is skipped");
                self.parts.metrics.another_run();
                show_store(&self.parts.health, &self.parts.metrics, &outcome.status);
                self.after_run("skipped: another run was in progress");
            }
            Ended::Finished(finished) => {
                show_store(&self.parts.health, &self.parts.metrics, &outcome.status);
                match finished.failed_on {
                    Some(FailedOn::Credential) => {
                        self.parts.health.set_credentials(Condition::Unhealthy);
                    }
                    Some(FailedOn::Store) => self.parts.health.set_store(Condition::Unhealthy),
                    Some(FailedOn::Request | FailedOn::Interrupted | FailedOn::Other) => {}
                    None => self.parts.health.set_credentials(Condition::Healthy),
                }
                if let Some(error) = &finished.report.error {
                    tracing::error!(run = %finished.report.run_id, "the run failed: {error}");
                }
                self.finished(*finished, took);
            }
        }
    }

    /// What follows every run that has a report.
    fn finished(&mut self, finished: Finished, took: Duration) {
        self.parts.metrics.finished(&finished, took);
        let report = finished.report;
        let outcome = report.outcome;
        if outcome == crate::domain::Outcome::Failed {
            if !self.parts.stop.is_cancelled() {
                self.slow_down();
            }
        } else {
            self.parts.health.completed(
                Some(report.finished_at),
                self.parts.timetable.schedule(),
                self.parts.context.settings.schedule.jitter,
            );
            let failures = self.backoff.went_well();
            if failures > 0 {
                tracing::info!(failures, "a run went well again: the schedule holds");
            }
        }
        // A run that was told to stop is no news.
        if !(self.parts.stop.is_cancelled() && outcome == crate::domain::Outcome::Failed) {
            self.notifications
                .notify(self.parts.context.clone(), report);
        }
        self.after_run(outcome.as_str());
    }

    fn slow_down(&mut self) {
        let next = self.parts.timetable.next();
        let after = next.and_then(|next| self.parts.timetable.schedule().next_after(next));
        let interval = match (next, after) {
            (Some(next), Some(after)) => after - next,
            _ => chrono::TimeDelta::MAX,
        };
        let skipped = self.backoff.failed(interval);
        if skipped > 0 {
            tracing::warn!(
                failures = self.backoff.failures(),
                skipped,
                "runs keep failing: the next due runs are left out"
            );
        }
    }

    fn after_run(&mut self, last: &str) {
        let parts = &self.parts;
        self.audit_stream.resume(&parts.context.settings);
        parts
            .metrics
            .show_schedule(parts.timetable.next(), self.backoff.failures());
        if let Some(file) = &parts.metrics_file
            && let Err(error) = write_file(file, &parts.metrics.render(Exposition::Prometheus))
        {
            tracing::error!("{}", error_chain(&error));
        }
        systemd::status(&format!("last run: {last}; {}", self.resting_words()));
    }

    /// SIGHUP: settings that are good take effect with the next run, others change nothing.
    async fn reload(&mut self) {
        systemd::reloading();
        match Settings::load(&self.parts.sources) {
            Err(errors) => self.keep_settings(&errors.to_string()),
            Ok(loaded) => match self.take(loaded) {
                Ok(()) => {
                    self.arm().await;
                    tracing::info!("the settings were read again");
                }
                Err(words) => self.keep_settings(&words),
            },
        }
        let words = self.resting_words();
        systemd::ready(&words);
    }

    fn keep_settings(&self, error: &str) {
        self.parts.health.set_settings(Condition::Unhealthy);
        tracing::error!("the new settings are not used, the former ones stay: {error}");
    }

    fn take(&mut self, loaded: Loaded<Settings>) -> Result<(), String> {
        let parts = &mut self.parts;
        refuse_exposed(&loaded.warnings).map_err(|error| error.to_string())?;
        let new = &loaded.settings;
        let clock = &parts.context.clock;
        crate::notifications::Receivers::new(new, clock.clone())
            .map_err(|error| error_chain(&error))?;
        let timetable =
            Timetable::new(&new.schedule, &**clock).map_err(|error| error.to_string())?;
        for warning in &loaded.warnings {
            tracing::warn!(
                setting = warning.key,
                "{}; {}",
                warning.message,
                warning.hint
            );
        }
        let old = &parts.context.settings;
        if old.http.listen != new.http.listen
            || old.log.level != new.log.level
            || old.log.format != new.log.format
        {
            tracing::warn!("http.listen and [log] only change with a restart");
        }
        parts.timetable = timetable;
        parts.context.settings = new.clone();
        self.audit_stream.resume(new);
        parts.health.completed(
            parts.health.last_complete(),
            parts.timetable.schedule(),
            new.schedule.jitter,
        );
        parts.health.set_settings(Condition::Healthy);
        parts.loaded = loaded;
        Ok(())
    }

    /// Between runs somebody may move the store away, approve a plan or mend what was broken.
    fn check_store(&mut self, now: Duration) {
        let is_idle = matches!(self.activity, Activity::Idle);
        let is_over = self
            .check_store
            .as_ref()
            .is_none_or(JoinHandle::is_finished);
        if !is_idle || !is_over || now.saturating_sub(self.checked_at) < STORE_CHECK_INTERVAL {
            return;
        }
        self.checked_at = now;
        let context = self.parts.context.clone();
        let health = Arc::clone(&self.parts.health);
        let metrics = Arc::clone(&self.parts.metrics);
        self.check_store = Some(tokio::spawn(async move {
            show_store(&health, &metrics, &look(&context).await);
        }));
    }

    /// A10: the run under way ends by itself, what it did is recorded, and then that is all.
    async fn shutdown(mut self) {
        while let Activity::Running(work) = &mut self.activity {
            let pause = self.parts.context.clock.sleep(LOOP_INTERVAL);
            let outcome = tokio::select! {
                outcome = work.ended() => Some(outcome),
                () = pause => None,
            };
            self.report_liveness();
            if let Some(outcome) = outcome {
                self.ended(outcome);
            }
        }
        self.notifications.finish().await;
        self.audit_stream.finish().await;
        self.parts.ticker.stop().await;
        tracing::info!("stopped");
    }

    fn resting_words(&self) -> String {
        match self.parts.timetable.next() {
            Some(next) => format!("next run at {}", next.format("%Y-%m-%d %H:%M:%S UTC")),
            None => "no further run is scheduled".to_owned(),
        }
    }
}

/// The settings as they were loaded, with the secrets as they are now.
fn fresh_secrets(loaded: &Loaded<Settings>) -> Result<Settings, String> {
    let loaded = Settings::from_layers(loaded.layers.clone()).map_err(|error| error.to_string())?;
    refuse_exposed(&loaded.warnings).map_err(|error| error.to_string())?;
    Ok(loaded.settings)
}

fn show_store(health: &Health, metrics: &Metrics, status: &Result<StoreStatus, StoreError>) {
    match status {
        Ok(status) => {
            health.set_store(Condition::Healthy);
            metrics.show_store(status);
        }
        Err(error) => {
            health.set_store(Condition::Unhealthy);
            tracing::error!("the store cannot be read: {}", error_chain(error));
        }
    }
}
