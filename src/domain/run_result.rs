//! The report's fields (§10), in the order in which they are printed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;

use crate::domain::{
    ActionKind, DecisionRecords, Evidence, Finding, GuardReport, OpseraId, PlanId, RunId,
    time::Timestamp,
};

/// The `schema` of a report.
pub const SCHEMA: &str = "rolecall.report/1";

/// Whether a run may write to Opsera.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// Nothing is written to Opsera.
    DryRun,
    /// The plan is applied.
    Apply,
}

impl Mode {
    /// The name used in reports and in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a run ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Nothing to do.
    InSync,
    /// A dry run that found something to do.
    ChangesPending,
    /// Everything was done.
    Applied,
    /// A guard holds the plan (exit 3).
    Held,
    /// Some actions were not done (exit 4).
    Partial,
    /// It could not be done (exit 1).
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Whether a run in `mode` that ended so left nothing undone that could be done: what “last
    /// success” means in `status`, in the metrics and in the alert rules. A dry run does nothing,
    /// so it is no success of the job, however it ends.
    pub fn is_success(self, mode: Mode) -> bool {
        match (mode, self) {
            (Mode::Apply, Self::InSync | Self::Applied) => true,
            (Mode::Apply | Mode::DryRun, _) => false,
        }
    }

    /// Whether the run came to its end, whatever the guards or Opsera said to it.
    pub fn is_complete(self) -> bool {
        self != Self::Failed
    }

    /// The outcomes of a run that applies which are a success.
    pub fn successes() -> Vec<Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(|outcome| outcome.is_success(Mode::Apply))
            .collect()
    }

    /// The name used in reports and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How far one action came.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ActionStatus {
    /// A dry run: it would be done.
    Planned,
    /// Done, and Opsera confirmed it.
    Succeeded,
    /// There was nothing left to do.
    Already,
    /// Not done; the next run tries again.
    Failed,
    /// Refused by Opsera; not tried again for a while.
    Rejected,
    /// The preflight found a reason not to.
    Skipped,
    /// A guard holds the plan.
    Held,
    /// The run stopped before its turn.
    NotTried,
}

impl ActionStatus {
    /// The name used in reports and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One run, from its start to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Which kind of document this is.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The run.
    pub run_id: RunId,
    /// The plan; `None` if the run ended before there was one.
    pub plan_id: Option<PlanId>,
    /// Dry run or apply.
    pub mode: Mode,
    /// How it ended.
    pub outcome: Outcome,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Hash of the audit log's last entry: the checkpoint of this run (§8).
    pub audit_head: Option<String>,
    /// Where the run worked, and with what.
    #[serde(flatten)]
    pub origin: Origin,
    /// Who rejected the plan that this run holds; nothing of it is done while that stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// Whose approval let this run pass guards that would have held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What the run failed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_on: Option<FailedOn>,
    /// The OPA side of the pull.
    pub opa: OpaCounts,
    /// The Opsera side of the pull.
    pub opsera: OpseraCounts,
    /// How many of what.
    pub summary: Summary,
    /// Every guard with its limit and its actual value.
    pub guards: Vec<GuardReport>,
    /// In the order in which they are applied (A9).
    pub actions: Vec<ActionReport>,
    /// Accounts whose `absent_grace` has not passed yet.
    pub waiting: Vec<WaitingReport>,
    /// What was noticed and left alone.
    pub findings: Vec<Finding>,
    /// Why the run failed, or stopped early.
    pub error: Option<String>,
}

/// What a run failed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedOn {
    /// A directory does not accept its credential (401).
    Credential,
    /// The store, its lock or its audit log.
    Store,
    /// What was asked for (`--person`).
    Request,
    /// Somebody asked the program to stop (A10): the next run does the rest.
    Interrupted,
    /// Anything else: a directory that cannot be reached, an incomplete pull.
    Other,
}

/// A decision against a held plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejection {
    /// `user@host`
    pub by: String,
    /// Whom they decided for, as they said themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<String>,
    /// When it was decided.
    pub at: Timestamp,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// Until when it stands, if no later decision replaces it.
    pub until: Timestamp,
}

/// A decision for a held plan, where a run needed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The plan that was approved.
    pub plan_id: PlanId,
    /// `user@host`
    pub by: String,
    /// Whom they decided for, as they said themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<String>,
    /// When it was decided.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// Where the store of a run is, and what it held before the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreReport {
    /// `store.path`, absolute.
    pub path: String,
    /// What earlier runs left in it.
    pub history: History,
}

/// What earlier runs left in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// No complete pull before this run: no grace period runs yet, no guard has a past to compare
    /// with, and no decision is on record.
    Empty,
    /// At least one complete pull.
    Present,
}

/// Which directories a run was about, who ran it and with which settings. Null where a run that
/// could not begin never learnt it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Origin {
    /// `opa.team`
    pub team: Option<String>,
    /// `opa.base_url`
    pub opa_url: Option<String>,
    /// `opsera.base_url`
    pub opsera_url: Option<String>,
    /// The machine.
    pub host: Option<String>,
    /// The user.
    pub actor: Option<String>,
    /// The program's version.
    pub version: Option<String>,
    /// SHA-256 over the settings without their secrets: the same settings, the same digest.
    pub settings_digest: Option<String>,
    /// The store; absent where a run could not open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreReport>,
}

/// The OPA side of a pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpaCounts {
    /// Records by id, service users included.
    pub users: u64,
    /// ACTIVE humans.
    pub active: u64,
    /// DISABLED humans.
    pub disabled: u64,
    /// DELETED humans.
    pub deleted: u64,
    /// Service users.
    pub service: u64,
    /// Requests sent.
    pub requests: u64,
    /// Whether every page arrived (G0).
    pub complete: bool,
}

/// The Opsera side of a pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpseraCounts {
    /// Records of the listing.
    pub users: u64,
    /// Of those, the ones this program manages (§4).
    pub managed: u64,
    /// Requests sent.
    pub requests: u64,
    /// Whether the whole array arrived (G0).
    pub complete: bool,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Managed accounts with nothing to do.
    pub unchanged: u64,
    /// Planned deactivations.
    pub deactivate: u64,
    /// Planned role changes.
    pub set_role: u64,
    /// Planned creations.
    pub create: u64,
    /// Leavers whose grace has not passed.
    pub waiting: u64,
    /// Accounts a change was due for, but they are protected.
    pub protected: u64,
    /// Leavers whose evidence `deactivation.on` does not name.
    pub unmanaged: u64,
    /// Actions that Opsera refused: in this run, or earlier while `retry.rejected_retry` lasts.
    #[serde(default)]
    pub refused: u64,
    /// Findings.
    pub findings: u64,
}

/// One action of the plan and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionReport {
    /// What is done.
    pub kind: ActionKind,
    /// The address as Opsera has it; for a creation, the one it is created with.
    pub email: String,
    /// The account; `None` for a creation.
    pub opsera_id: Option<OpseraId>,
    /// The known role before; `None` when unknown, and for other kinds.
    pub from: Option<String>,
    /// The role after, for role changes and creations.
    pub to: Option<String>,
    /// The evidence, the rule that won, or why the account is created.
    pub reason: String,
    /// How far it came.
    pub status: ActionStatus,
    /// Write requests sent for it in this run.
    pub attempts: u32,
    /// Why it is not done, in words, or the server's own.
    pub message: Option<String>,
    /// The records that a deactivation rests on; null for other kinds.
    #[serde(default, skip_serializing_if = "DecisionRecords::is_null")]
    pub evidence: DecisionRecords,
}

/// A leaver whose grace has not passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingReport {
    /// The address as Opsera has it.
    pub email: String,
    /// The account.
    pub opsera_id: OpseraId,
    /// The evidence.
    pub reason: Evidence,
    /// The first complete pull that missed the person.
    pub since: Timestamp,
    /// From when on it is due.
    pub due: Timestamp,
}
