//! One run as the main loop sees it: something to poll, that gets on or does not.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::domain::{Heartbeat, KindSet, Progress};
use crate::domain::{Mode, RunId};
use crate::reconcile::{
    Context, FailedOn, Finished, RunRequest, RunResult, failed_before_start, run as reconcile,
};
use crate::settings::Settings;
use crate::store::{Store, StoreError, StoreStatus};

/// On top of the longest silence that the settings allow.
const MARGIN: Duration = Duration::from_mins(1);

/// How a run ended.
pub(super) enum Ended {
    /// With a report, good or bad.
    Finished(Box<Finished>),
    /// Before it began: another one is in progress on the same store (A8).
    AnotherRun(String),
}

/// A run that has ended, and how the store is after it.
pub(super) struct Outcome {
    pub(super) ended: Ended,
    pub(super) status: Result<StoreStatus, StoreError>,
}

/// A run under way.
pub(super) struct RunTask {
    future: Pin<Box<dyn Future<Output = Outcome>>>,
    heartbeat: Heartbeat,
    beats: u64,
    moved_at: Duration,
    stall_timeout: Duration,
    /// When it started, in the clock's monotonic time.
    pub(super) started_at: Duration,
    /// Whether it was said that it outlasts the interval.
    pub(super) overlap: Overlap,
}

/// Whether a run has met the next occurrence of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    None,
    Told,
}

impl RunTask {
    /// A run with these settings; it begins when it is first polled.
    pub(super) fn new(context: Context, stop: CancellationToken) -> Self {
        let progress = Progress::silent();
        let now = context.clock.monotonic();
        Self {
            heartbeat: progress.heartbeat(),
            beats: 0,
            moved_at: now,
            stall_timeout: longest_silence(&context.settings),
            started_at: now,
            overlap: Overlap::None,
            future: Box::pin(work(context, stop, progress)),
        }
    }

    /// Polls the run to its end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Outcome {
        self.future.as_mut().await
    }

    /// Whether nothing has moved for longer than anything that goes well can take.
    pub(super) fn is_stalled(&mut self, now: Duration) -> bool {
        let beats = self.heartbeat.beats();
        if beats != self.beats {
            self.beats = beats;
            self.moved_at = now;
        }
        now.saturating_sub(self.moved_at) > self.stall_timeout
    }
}

/// The longest time in which a healthy run may give no sign of life: a directory may ask for a
/// pause as long as a whole pull, after which one request may take its time.
fn longest_silence(settings: &Settings) -> Duration {
    let pause = settings.opa.pull_timeout.max(settings.opsera.pull_timeout);
    let request = settings.opa.timeout.max(settings.opsera.timeout);
    pause
        .saturating_add(request)
        .saturating_add(settings.retry.max_delay)
        .saturating_add(MARGIN)
}

async fn work(context: Context, stop: CancellationToken, progress: Progress) -> Outcome {
    let request = RunRequest {
        id: RunId::random(),
        mode: Mode::Apply,
        kinds: KindSet::all(),
        people: None,
        stop,
        progress,
    };
    let started_at = context.clock.now();
    let run = AssertUnwindSafe(reconcile(&context, &request)).catch_unwind();
    let ended = match run.await {
        Ok(RunResult::Finished(finished)) => Ended::Finished(finished),
        Ok(RunResult::AnotherRun(words)) => Ended::AnotherRun(words),
        // The store's transactions and its lock are undone by the unwinding.
        Err(_) => Ended::Finished(Box::new(Finished {
            report: failed_before_start(
                &request,
                started_at,
                context.clock.now(),
                "the run met a mistake in this program; please report the panic in the log"
                    .to_owned(),
            ),
            traffic: None,
            failed_on: Some(FailedOn::Other),
        })),
    };
    Outcome {
        ended,
        status: look(&context).await,
    }
}

/// The report of a run that could not begin because the settings are not good any more.
pub(super) fn failed_on_settings(context: &Context, error: String) -> Finished {
    let now = context.clock.now();
    let request = RunRequest {
        id: RunId::random(),
        mode: Mode::Apply,
        kinds: KindSet::all(),
        people: None,
        stop: CancellationToken::new(),
        progress: Progress::silent(),
    };
    Finished {
        report: failed_before_start(&request, now, now, error),
        traffic: None,
        failed_on: Some(FailedOn::Other),
    }
}

/// How the store is.
pub(super) async fn look(context: &Context) -> Result<StoreStatus, StoreError> {
    let store = Store::open_existing_read_only(&context.settings.store.path).await?;
    let status = store.read_status().await;
    store.close().await;
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_run(heartbeat: &Heartbeat) -> RunTask {
        RunTask {
            future: Box::pin(std::future::pending()),
            heartbeat: heartbeat.clone(),
            beats: 0,
            moved_at: Duration::ZERO,
            stall_timeout: Duration::from_mins(10),
            started_at: Duration::ZERO,
            overlap: Overlap::None,
        }
    }

    #[test]
    fn a_run_that_gives_no_sign_of_life_is_stalled_until_it_gives_one() {
        let heartbeat = Heartbeat::default();
        let mut work = silent_run(&heartbeat);
        assert!(!work.is_stalled(Duration::from_mins(10)));
        assert!(work.is_stalled(Duration::from_mins(11)));
        heartbeat.beat();
        assert!(!work.is_stalled(Duration::from_mins(11)));
        assert!(!work.is_stalled(Duration::from_mins(21)));
        assert!(work.is_stalled(Duration::from_mins(22)));
    }

    #[test]
    fn records_stages_and_requests_are_signs_of_life() {
        let progress = Progress::silent();
        let heartbeat = progress.heartbeat();
        progress.stage(crate::domain::Stage::Reading);
        progress.count(crate::domain::Counter::OpaRecords, 1);
        assert_eq!(heartbeat.beats(), 2);
    }
}
