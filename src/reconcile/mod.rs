//! One reconciliation, from the pull to the report.
//!
//! Schedule, command line and demo all come here, and every run reads everything afresh:
//!
//! ```text
//! lock → audit anchor → settle what a crash left (A7) → pull both sides (G0)
//!      → clocks → plan → guards → hold | dry run | queue and worker → report → checkpoint
//! ```
//!
//! A run always returns a [`Report`], also when it fails; the same value is stored, printed and
//! counted. Only a run that never started, because another one is under way (A8), has none.

mod attempt;
mod error;
mod last_look;
mod memberships;
mod outcome;
mod planning;
mod pull;
mod run;
mod settle;
mod worker;

use std::collections::BTreeSet;
use std::fmt;

use tokio_util::sync::CancellationToken;

use crate::audit::Actor;
use crate::domain::Progress;
use crate::domain::{ActionKind, Mode, Report, RunId, time::SharedClock};
use crate::settings::Settings;

pub use error::RunError;
pub(crate) use memberships::{is_relevant, matter as memberships_matter};
pub use outcome::{exit_status, failed_before_start};
pub use planning::{Planned, plan_from_store};
pub(crate) use run::SEVEN_DAYS;
pub use run::{check_start, run};
pub use settle::settle;
pub use worker::{ActionResult, Applied, StopReason, Worker, refusal_progress};

/// The kinds of action a run is limited to (`--only`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds(BTreeSet<ActionKind>);

impl Kinds {
    /// Every kind.
    pub fn all() -> Self {
        Self(ActionKind::ALL.into())
    }

    /// Only these; none at all means every kind.
    pub fn only(kinds: impl IntoIterator<Item = ActionKind>) -> Self {
        let kinds: BTreeSet<ActionKind> = kinds.into_iter().collect();
        if kinds.is_empty() {
            Self::all()
        } else {
            Self(kinds)
        }
    }

    /// Whether actions of this kind are planned.
    pub fn contains(&self, kind: ActionKind) -> bool {
        self.0.contains(&kind)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|kind| kind.as_str()).collect();
        f.write_str(&names.join(","))
    }
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The run's name.
    pub id: RunId,
    /// Dry run or apply.
    pub mode: Mode,
    /// Which kinds of action.
    pub kinds: Kinds,
    /// Cancelled when no new request may be started (A10).
    pub stop: CancellationToken,
    /// Where progress is shown.
    pub progress: Progress,
}

/// What every run of this process shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// The settings.
    pub settings: Settings,
    /// The clock.
    pub clock: SharedClock,
    /// Who writes the audit log.
    pub actor: Actor,
}

/// What came of asking for a run.
#[derive(Debug)]
pub enum RunResult {
    /// It ran to its end, good or bad.
    Finished(Box<Finished>),
    /// Another run is in progress on the same store (A8).
    AnotherRun(String),
}

/// What a run failed on, where a later run will not do better by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedOn {
    /// A directory does not accept its credential (401).
    Credential,
    /// The store, its lock or its audit log.
    Store,
    /// Anything else: a directory that cannot be reached, an incomplete pull, a signal.
    Other,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What it says about itself.
    pub report: Report,
    /// What went over the wire.
    pub traffic: Option<crate::clients::RequestMetricsSnapshot>,
    /// What it failed on, if it failed.
    pub failed_on: Option<FailedOn>,
}
