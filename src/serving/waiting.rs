//! The connections that wait for a request, oldest first.
//!
//! Their number is bounded. A new connection is always taken, and where the bound is met the one
//! that has waited longest is closed: a client that opens connections and sends nothing displaces
//! its own, and never a probe that sends its request at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Connections that may wait at the same time.
const MAX_WAITING: usize = 64;

/// All connections that wait for a request.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitingConnections(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    by_age: BTreeMap<u64, CancellationToken>,
}

impl WaitingConnections {
    /// A new connection begins to wait; the oldest one is closed if there are too many.
    pub(super) fn enter(&self) -> Waiting {
        let waiting = Waiting {
            all: self.clone(),
            evict: CancellationToken::new(),
            number: Arc::default(),
        };
        waiting.resume();
        waiting
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's entry.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    all: WaitingConnections,
    evict: CancellationToken,
    number: Arc<Mutex<Option<u64>>>,
}

impl Waiting {
    /// Completes when the connection is to be closed for a newer one.
    pub(super) async fn evicted(&self) {
        self.evict.cancelled().await;
    }

    /// A request has arrived: the connection does not wait any more.
    pub(super) fn pause(&self) {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = number.take() {
            self.all.state().by_age.remove(&number);
        }
    }

    /// The request is answered: the connection waits again, as the youngest.
    pub(super) fn resume(&self) {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.all.state();
        state.next += 1;
        let youngest = state.next;
        state.by_age.insert(youngest, self.evict.clone());
        *number = Some(youngest);
        while state.by_age.len() > MAX_WAITING {
            let Some((_, oldest)) = state.by_age.pop_first() else {
                break;
            };
            oldest.cancel();
        }
    }

    /// The connection has ended.
    pub(super) fn leave(&self) {
        self.pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_waits_goes_first_and_a_busy_one_never() {
        let all = WaitingConnections::default();
        let busy = all.enter();
        busy.pause();
        let oldest = all.enter();
        let younger: Vec<Waiting> = (1..MAX_WAITING).map(|_| all.enter()).collect();
        assert!(!oldest.evict.is_cancelled());
        let newest = all.enter();
        assert!(oldest.evict.is_cancelled());
        assert!(!busy.evict.is_cancelled());
        assert!(!newest.evict.is_cancelled());
        assert!(younger.iter().all(|waiting| !waiting.evict.is_cancelled()));
    }

    #[test]
    fn one_that_ends_makes_room() {
        let all = WaitingConnections::default();
        let oldest = all.enter();
        for _ in 0..10 * MAX_WAITING {
            all.enter().leave();
        }
        assert!(!oldest.evict.is_cancelled());
        assert_eq!(all.state().by_age.len(), 1);
    }
}
