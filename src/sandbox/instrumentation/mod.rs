//! What only tests use: the journal of requests, injected faults, connections that can be cut, and
//! changes to both directories that no user of the product makes.
//!
//! Behind the cargo feature `test-instrumentation`, so that none of it is in a release.

mod connection;
mod faults;
mod journal;
mod layer;
mod opa_changes;
mod opsera_changes;

pub use self::faults::{Answer, Fault, FaultKind};
pub use self::journal::{Entry, Journal, Received};

pub(super) use self::connection::cuttable;
pub(super) use self::faults::Faults;

use std::sync::Arc;

use axum::Router;

use self::layer::{Instrumentation, RecordOf, instrumented};
use super::Sandbox;
use super::api::Api;
use super::date_header::DateHeader;
use super::middleware::Middleware;

impl Sandbox {
    /// Observes and disturbs what reaches `router`.
    pub(super) fn instrumented(
        &self,
        router: Router,
        middleware: &Arc<Middleware>,
        base: String,
        record_of: RecordOf,
    ) -> Router {
        let instrumentation = Instrumentation {
            base,
            journal: Arc::clone(&self.journal),
            faults: Arc::clone(&self.faults),
            middleware: Arc::clone(middleware),
            record_of,
        };
        instrumented(router, instrumentation)
    }

    /// The requests that were received.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What the answers of one directory carry as `Date` from now on.
    pub fn date_header(&self, api: Api, date: DateHeader) {
        match api {
            Api::Opa => self.opa_date.set(date),
            Api::Opsera => self.opsera_date.set(date),
        }
    }

    /// Lets a fault happen, after those that were injected before.
    pub fn inject(&self, fault: Fault) {
        self.faults.inject(fault);
    }

    /// Forgets every injected fault.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// How many injected faults have not happened yet.
    pub fn faults_waiting(&self) -> usize {
        self.faults.waiting()
    }
}
