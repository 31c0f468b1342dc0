//! What a run tells whoever watches it: the stage it is in and how far it got.
//!
//! A run calls a [`Progress`]; who listens is decided where the run is started (a line on a
//! terminal, nobody). Every call also beats the run's [`Heartbeat`], by which the daemon sees that
//! a run gets on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Signs that a run gets on: a record read, a request answered, a stage begun.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// One more sign of life.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were so far.
    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whoever watches a run.
pub trait ProgressObserver: fmt::Debug + Send + Sync {
    /// A stage begins.
    fn stage(&self, name: &str);

    /// So many more records or actions of this stage.
    fn count(&self, more: u64);

    /// The run is over.
    fn done(&self);
}

/// Watches and shows nothing.
#[derive(Debug)]
struct Nobody;

impl ProgressObserver for Nobody {
    fn stage(&self, _: &str) {}

    fn count(&self, _: u64) {}

    fn done(&self) {}
}

/// The progress of one run. Handles are cheap to clone and all tell the same observer.
#[derive(Clone, Debug)]
pub struct Progress {
    observer: Arc<dyn ProgressObserver>,
    heartbeat: Heartbeat,
}

impl Progress {
    /// Tells `observer`.
    pub fn to(observer: Arc<dyn ProgressObserver>) -> Self {
        Self {
            observer,
            heartbeat: Heartbeat::default(),
        }
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self::to(Arc::new(Nobody))
    }

    /// The signs of life of this run.
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// A stage begins.
    pub fn stage(&self, name: impl AsRef<str>) {
        self.heartbeat.beat();
        self.observer.stage(name.as_ref());
    }

    /// So many more records or actions of this stage.
    pub fn count(&self, more: u64) {
        self.heartbeat.beat();
        self.observer.count(more);
    }

    /// The run is over.
    pub fn done(&self) {
        self.observer.done();
    }
}
