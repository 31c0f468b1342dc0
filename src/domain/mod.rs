//! What the words mean.
//!
//! The nouns of identity management that every other module speaks: an [`Address`] and its
//! [`Key`], a [`PersonRecord`] of the OPA Team, an [`AccountRecord`] of Opsera, a [`SiteRole`],
//! the [`Evidence`] for a leaver, a [`Finding`]. Nothing here knows HTTP, SQL or the time of day.

mod account;
mod action_state;
mod address;
pub mod approval;
pub mod base_url;
mod decision_records;
mod domain_name;
mod evidence;
mod exit_status;
mod finding;
mod guard;
mod guard_history;
mod ids;
mod kind_set;
mod people_filter;
mod person;
mod plan;
mod progress;
mod report_diff;
mod role;
mod run_result;
mod schedule;
pub mod text;
pub mod time;

pub use account::{AccountRecord, NewAccount, OpseraId};
pub use action_state::{ActionOutcome, ActionState, Effect};
pub use address::{Address, InvalidAddress, Key, Matching, Skeleton};
pub use approval::{Decider, HeldPlan, PlanState};
pub use decision_records::DecisionRecords;
pub use domain_name::Domain;
pub use evidence::Evidence;
pub use exit_status::ExitStatus;
pub use finding::{Finding, FindingKind};
pub use guard::{Guard, GuardReport};
pub use guard_history::{GUARD_HISTORY, GuardDays, GuardHistory, GuardReading};
pub use ids::{PlanId, RunId};
pub use kind_set::KindSet;
pub use people_filter::PeopleFilter;
pub use person::{GroupName, GroupRecord, OpaId, OpaName, PersonRecord, PersonStatus, UserType};
pub use plan::*;
pub use progress::{Counter, Heartbeat, Progress, ProgressObserver, Stage};
pub use report_diff::{
    Changes, DIFF_SCHEMA, Direction, GuardMove, Measure, ReportDiff, RowChange, RunSide,
};
pub use role::{CurrentRole, SiteRole, UnknownSiteRole};
pub use run_result::{
    ActionReport, ActionStatus, Approval, FailedOn, History, Mode, OpaCounts, OpseraCounts, Origin,
    Outcome, Rejection, Report, SCHEMA, StoreReport, Summary, WaitingReport,
};
pub use schedule::{InvalidCron, Schedule};

/// Declares a newtype over a text that is an opaque name of one of the two APIs.
macro_rules! opaque_name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as the API sent it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as the API sent it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text as the API sent it.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use opaque_name;
