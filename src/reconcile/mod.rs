//! One reconciliation, from the pull to the report.
//!
//! Schedule, command line and demo all come here, and every run reads everything afresh:
//!
//! ```text
//! lock → audit anchor → recover what a crash left (A7) → pull both sides (G0)
//!      → clocks → plan → guards → hold | dry run | queue and apply → report → checkpoint
//! ```
//!
//! A run always returns a [`Report`], also when it fails; the same value is stored, printed and
//! counted. Only a run that never started, because another one is under way (A8), has none.

mod answer;
mod apply;
mod apply_state;
mod attempt;
mod carry_out;
mod error;
mod guarding;
mod machine_clock;
mod memberships;
mod outcome;
mod pending_leavers;
mod planning;
mod preflight;
mod pull;
mod reading;
mod recover;
mod restores;
mod run;
mod steps;
mod undo;

use tokio_util::sync::CancellationToken;

use crate::audit::Actor;
use crate::domain::Progress;
use crate::domain::{KindSet, Mode, PeopleFilter, Report, RunId, time::SharedClock};
use crate::settings::Settings;

pub use crate::domain::FailedOn;
pub use apply::refusal_progress;
pub use apply_state::{ActionResult, Applied, CredentialRefusal, StopReason, Worker};
pub use error::RunError;
pub use guarding::{GuardVerdict, judge};
pub use machine_clock::machine_clock;
pub(crate) use memberships::{is_relevant, matter as memberships_matter};
pub use outcome::{exit_status, failed_before_start};
pub use planning::{PlanScope, Planned, PullOfPlan, most_creations, plan_from_store};
pub use recover::recover;
pub use restores::{Restored, Restores};
pub use run::{check_start, run};
pub use undo::{Undo, undo};

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The run's name.
    pub id: RunId,
    /// Dry run or apply.
    pub mode: Mode,
    /// Which kinds of action.
    pub kinds: KindSet,
    /// Which people; `None`: everybody.
    pub people: Option<PeopleFilter>,
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
