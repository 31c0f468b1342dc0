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

/// A stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What an interrupted run left open (A7).
    Settling,
    /// Both directories at once.
    Reading,
    /// The members of the groups that rules name.
    ReadingGroups,
    /// What should be done, with look-ups of single accounts.
    Planning,
    /// The plan is carried out.
    Applying,
}

/// What is counted in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records of OPA.
    OpaRecords,
    /// Accounts of Opsera.
    OpseraAccounts,
    /// Memberships of groups.
    Members,
    /// Actions of the plan that are over, whatever came of them.
    Actions,
    /// Of these, the ones that were not done.
    ActionsNotDone,
}

/// Whoever watches a run.
pub trait ProgressObserver: fmt::Debug + Send + Sync {
    /// A stage begins.
    fn stage(&self, stage: Stage);

    /// So many there will be, or were in the last run.
    fn expect(&self, counter: Counter, total: u64);

    /// So many more.
    fn count(&self, counter: Counter, more: u64);

    /// The run is over.
    fn done(&self);
}

/// Watches and shows nothing.
#[derive(Debug)]
struct Nobody;

impl ProgressObserver for Nobody {
    fn stage(&self, _: Stage) {}

    fn expect(&self, _: Counter, _: u64) {}

    fn count(&self, _: Counter, _: u64) {}

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
    pub fn stage(&self, stage: Stage) {
        self.heartbeat.beat();
        self.observer.stage(stage);
    }

    /// So many there will be, or were in the last run.
    pub fn expect(&self, counter: Counter, total: u64) {
        self.observer.expect(counter, total);
    }

    /// So many more records or actions.
    pub fn count(&self, counter: Counter, more: u64) {
        self.heartbeat.beat();
        self.observer.count(counter, more);
    }

    /// The run is over.
    pub fn done(&self) {
        self.observer.done();
    }
}
