//! The daemon's messages go out beside its main loop, one run after the other.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::alerts::{Notified, notify_with};
use super::receiver::Receivers;
use crate::domain::Report;
use crate::reconcile::Context;

/// Runs that may wait for slow receivers; what comes on top is left to the next run.
const WAITING: usize = 4;
/// What shutting down waits for a message that is under way, at most.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Tells the receivers about runs, without anybody waiting for it.
#[derive(Debug)]
pub struct NotificationWorker {
    runs: mpsc::Sender<(Context, Box<Report>)>,
    task: JoinHandle<()>,
}

impl NotificationWorker {
    /// Starts the worker.
    pub fn start() -> Self {
        let (runs, mut waiting) = mpsc::channel::<(Context, Box<Report>)>(WAITING);
        let task = tokio::spawn(async move {
            let mut memory = Notified::default();
            while let Some((context, report)) = waiting.recv().await {
                notify_with(&context, &report, &mut memory).await;
            }
        });
        Self { runs, task }
    }

    /// Lets the receivers know of a run; returns at once.
    pub fn notify(&self, context: Context, report: Report) {
        if !Receivers::are_set(&context.settings) {
            return;
        }
        if self.runs.try_send((context, Box::new(report))).is_err() {
            tracing::warn!("those who get messages are slow to take them: a run is not told about");
        }
    }

    /// Waits a little for what is under way.
    pub async fn finish(self) {
        drop(self.runs);
        if tokio::time::timeout(SHUTDOWN_GRACE, self.task)
            .await
            .is_err()
        {
            tracing::warn!(
                "those who get messages are slow to take them: a message was left behind"
            );
        }
    }
}
