//! The daemon's passes: in a task of their own, every few seconds and after each run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::pass::{Delivered, StreamError, pass};
use crate::domain::text::error_chain;
use crate::domain::time::SharedClock;
use crate::settings::OfflineSettings;

/// An entry is sent at most so long after it was written.
const INTERVAL: Duration = Duration::from_secs(2);
/// What shutting down waits for the last pass, and a one-shot run for its own, at most.
const GRACE: Duration = Duration::from_secs(10);

/// Sends finished entries without anybody waiting for it.
#[derive(Debug)]
pub struct StreamWorker {
    settings: watch::Sender<OfflineSettings>,
    delivered: Arc<Mutex<Option<Delivered>>>,
    task: JoinHandle<()>,
}

impl StreamWorker {
    /// Starts the worker.
    pub fn start(settings: OfflineSettings, clock: SharedClock) -> Self {
        let (settings, mut latest) = watch::channel(settings);
        let delivered = Arc::new(Mutex::new(None));
        let shown = Arc::clone(&delivered);
        let task = tokio::spawn(async move {
            let mut outage = Outage::default();
            let mut delivered = None;
            loop {
                let settings = latest.borrow_and_update().clone();
                outage.tell(&pass(&settings, &mut delivered).await);
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = delivered;
                let woken = async {
                    let pause = clock.sleep(INTERVAL);
                    tokio::select! {
                        told = latest.changed() => told,
                        () = pause => Ok(()),
                    }
                };
                if woken.await.is_err() {
                    // The daemon ends: what the last run wrote is sent, too.
                    let settings = latest.borrow().clone();
                    outage.tell(&pass(&settings, &mut delivered).await);
                    return;
                }
            }
        });
        Self {
            settings,
            delivered,
            task,
        }
    }

    /// Sends what is new now, as these settings say; returns at once.
    pub fn resume(&self, settings: &OfflineSettings) {
        self.settings.send_replace(settings.clone());
    }

    /// How far the target was at the end of the last pass; `None` without a target.
    pub fn delivered(&self) -> Option<Delivered> {
        *self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a little for the last pass.
    pub async fn finish(self) {
        drop(self.settings);
        if tokio::time::timeout(GRACE, self.task).await.is_err() {
            tracing::warn!("the target of audit.stream is slow: the next start sends the rest");
        }
    }
}

/// What a one-shot run does at its end. Whatever goes wrong ends in the log.
pub async fn deliver_once(settings: &OfflineSettings) {
    let mut delivered = None;
    match tokio::time::timeout(GRACE, pass(settings, &mut delivered)).await {
        Ok(passed) => Outage::default().tell(&passed),
        Err(_) => {
            tracing::warn!("the target of audit.stream is slow: the next run sends the rest");
        }
    }
}

/// An outage is told when it begins and when it ends.
#[derive(Debug, Default)]
struct Outage {
    is_told: bool,
}

impl Outage {
    fn tell(&mut self, passed: &Result<(), StreamError>) {
        match passed {
            Ok(()) if self.is_told => {
                self.is_told = false;
                tracing::info!("entries of the audit log are delivered again");
            }
            Ok(()) => {}
            Err(error) if !self.is_told => {
                self.is_told = true;
                tracing::warn!("{}; they are kept and sent later", error_chain(error));
            }
            Err(error) => tracing::debug!("{}", error_chain(error)),
        }
    }
}
