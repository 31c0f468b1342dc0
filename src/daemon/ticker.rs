//! tokio-cron-scheduler as the source of ticker; the module above says what it is trusted with.

use std::sync::Arc;

use chrono::FixedOffset;
use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use uuid::Uuid;

use crate::settings::ScheduleSettings;

/// Wakes the main loop up at the schedule's times.
pub(super) struct Ticker {
    scheduler: JobScheduler,
    armed: Option<Armed>,
    /// Holds one tick at most: a burst of ticks is one.
    ticks: Arc<Notify>,
}

struct Armed {
    job: Uuid,
    offset: FixedOffset,
}

impl Ticker {
    /// A scheduler that is running and has no job yet.
    pub(super) async fn start() -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        scheduler.start().await?;
        Ok(Self {
            scheduler,
            armed: None,
            ticks: Arc::new(Notify::new()),
        })
    }

    /// Waits for a tick.
    pub(super) async fn next(&self) {
        self.ticks.notified().await;
    }

    /// The offset from UTC that the job was made with.
    pub(super) fn offset(&self) -> Option<FixedOffset> {
        self.armed.as_ref().map(|armed| armed.offset)
    }

    /// Makes the job for `schedule`, in place of the one before. `offset` is the zone's at present.
    pub(super) async fn arm(&mut self, schedule: &ScheduleSettings, offset: FixedOffset) {
        if let Some(old) = self.armed.take()
            && let Err(error) = self.scheduler.remove(&old.job).await
        {
            tracing::debug!(%error, "the scheduler keeps its old job");
        }
        let ticks = Arc::clone(&self.ticks);
        let made = Job::new_async_tz(schedule.cron.as_str(), schedule.time_zone, move |_, _| {
            ticks.notify_one();
            Box::pin(std::future::ready(()))
        });
        let added = match made {
            Ok(job) => self.scheduler.add(job).await,
            Err(error) => Err(error),
        };
        match added {
            Ok(job) => self.armed = Some(Armed { job, offset }),
            // The main loop looks at the timetable by itself, only a little less promptly.
            Err(error) => tracing::warn!(%error, "the scheduler does not take the schedule"),
        }
    }

    /// No more ticker.
    pub(super) async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::debug!(%error, "the scheduler did not shut down");
        }
    }
}
