//! Time as an argument.
//!
//! Everything that asks for the time or waits does it through a [`Clock`], so that tests move time
//! instead of sleeping and so that one clock rules the schedule, the grace periods, the rate
//! limits and the audit log alike.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, SubsecRound as _, TimeDelta, Utc};

/// The time as programs read it: in the store, the audit log and JSON.
pub fn format_time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The time as people read it.
pub fn time_for_people(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `at` plus `duration`; the end of time where that does not exist.
pub fn after(at: Timestamp, duration: Duration) -> Timestamp {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|duration| at.checked_add_signed(duration))
        .unwrap_or(Timestamp::MAX_UTC)
}

/// `at` minus `duration`; the beginning of time where that does not exist.
pub fn before(at: Timestamp, duration: Duration) -> Timestamp {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|duration| at.checked_sub_signed(duration))
        .unwrap_or(Timestamp::MIN_UTC)
}

/// How long ago the machine started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinceBoot {
    /// Which start of the machine it was.
    pub boot_id: String,
    /// The time since then, sleep included. Nobody can set it.
    pub passed: Duration,
}

/// A point in time: UTC, as both APIs and the store write it.
pub type Timestamp = DateTime<Utc>;

/// The clock that the whole program shares.
pub type SharedClock = Arc<dyn Clock>;

/// The future that [`Clock::sleep`] returns.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of the time of day and of waiting.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day. May jump, in either direction, when somebody sets the machine's clock.
    fn now(&self) -> Timestamp;

    /// Time that has passed since this clock was made. Never jumps and never goes backwards.
    fn monotonic(&self) -> Duration;

    /// How long ago the machine started; `None` where this clock cannot tell. Unlike
    /// [`Clock::monotonic`], it goes on from one process to the next.
    fn since_boot(&self) -> Option<SinceBoot>;

    /// Waits for `duration` of monotonic time.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
    since_boot: fn() -> Option<SinceBoot>,
}

impl SystemClock {
    /// The clock of this machine, its monotonic time starting now.
    pub fn shared() -> SharedClock {
        Self::with_since_boot(|| None)
    }

    /// As [`SystemClock::shared`], with a way to read how long ago the machine started.
    pub fn with_since_boot(since_boot: fn() -> Option<SinceBoot>) -> SharedClock {
        Arc::new(Self {
            started: std::time::Instant::now(),
            since_boot,
        })
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        // Milliseconds are what the store and the report carry; finer digits would make a value
        // differ from its own stored copy.
        Utc::now().trunc_subsecs(3)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn since_boot(&self) -> Option<SinceBoot> {
        (self.since_boot)()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that waits on the machine's clock"
    )]
    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until it is moved, and that a sleeper moves by itself: whoever waits
/// is woken at once, with the time advanced by what it wanted to wait.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<ManualTime>,
}

#[derive(Debug)]
struct ManualTime {
    now: Timestamp,
    monotonic: Duration,
    boots: u32,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            time: Mutex::new(ManualTime {
                now,
                monotonic: Duration::ZERO,
                boots: 0,
            }),
        })
    }

    /// Lets `duration` pass.
    pub fn advance(&self, duration: Duration) {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        time.now += TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        time.monotonic += duration;
    }

    /// Sets the time of day without letting time pass, as somebody who sets a machine's clock.
    pub fn jump_to(&self, now: Timestamp) {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).now = now;
    }

    /// Starts the machine anew: readings of before cannot be compared with those of after.
    pub fn restart(&self) {
        self.time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .boots += 1;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn monotonic(&self) -> Duration {
        self.time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .monotonic
    }

    fn since_boot(&self) -> Option<SinceBoot> {
        let time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        Some(SinceBoot {
            boot_id: format!("boot {}", time.boots),
            passed: time.monotonic,
        })
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.advance(duration);
        Box::pin(tokio::task::yield_now())
    }
}
