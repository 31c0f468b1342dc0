//! What `explain` says, as a value. The names of the fields are public interface.

use serde::Serialize;

use crate::domain::{
    Finding, GroupName, GuardReport, Key, OpaId, OpaName, OpseraId, PlanId, RunId, time::Timestamp,
};
use crate::rules::KeyHolder;

/// The `schema` of an explanation.
pub const SCHEMA: &str = "rolecall.explain/1";

/// Everything known about one person.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// [`SCHEMA`]
    pub schema: &'static str,
    /// What was asked for, as it was written.
    pub asked: String,
    /// What there is.
    pub found: Found,
    /// In one sentence.
    pub headline: String,
    /// Which pull this is told from.
    pub snapshot: SnapshotView,
    /// How the address is canonicalised and matched (I1, I2).
    pub identity: IdentityView,
    /// The Opsera accounts with the key.
    pub accounts: Vec<AccountView>,
    /// The OPA records with the key, service users included.
    pub people: Vec<PersonView>,
    /// OPA records that carry or ever carried the key (I8, A2).
    #[serde(rename = "carriers")]
    pub key_holders: Vec<KeyHolderView>,
    /// What would happen to a person who has no account (§5).
    pub without_account: Option<DecisionView>,
    /// Who may be meant, where nobody is found.
    #[serde(rename = "near_misses")]
    pub suggestions: Vec<SuggestionView>,
    /// The guards over the plan of the snapshot with today's settings, and which run met them.
    pub guards: GuardsView,
    /// This person's entries of the audit log, the latest last.
    pub history: Vec<HistoryView>,
    /// With `--live`: what has changed since the snapshot.
    pub live: Option<LiveView>,
}

/// What there is of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// An Opsera account, with or without a person.
    Account,
    /// A person without an account.
    Person,
    /// Nothing in the snapshot, but the memory or the audit log knows it.
    Past,
    /// Nobody.
    Nobody,
}

/// The pull that is told from.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotView {
    /// When it was complete.
    pub taken_at: Timestamp,
    /// How old that is, in words.
    pub age: String,
}

/// How an address is canonicalised and matched.
#[derive(Clone, Debug, Serialize)]
pub struct IdentityView {
    /// What the text was taken for: `address`, `record` (an OPA name, an OPA or Opsera id) or
    /// `nothing`.
    pub taken_for: &'static str,
    /// The canonical address (I1); `None` where it is not valid.
    pub address: Option<String>,
    /// Why it is not valid.
    pub invalid: Option<String>,
    /// The key both sides are matched by (I2).
    pub key: Option<Key>,
    /// How the key came about, one sentence a step.
    pub steps: Vec<String>,
}

/// An Opsera account and everything that decides about it.
#[derive(Clone, Debug, Serialize)]
pub struct AccountView {
    /// The account.
    pub opsera_id: OpseraId,
    /// The address as Opsera has it.
    pub email: Option<String>,
    /// First and last name.
    pub name: Option<String>,
    /// The key.
    pub key: Option<Key>,
    /// Active, with a valid address, in scope (§4).
    pub managed: bool,
    /// Why it is not managed.
    pub not_managed_because: Option<String>,
    /// Other accounts with the key (I5).
    pub shares_key_with: Vec<OpseraId>,
    /// Whether the person is entitled (§4).
    pub entitlement: EntitlementView,
    /// The role (§5).
    pub role: RoleView,
    /// The absence clock (§4 step 6).
    pub absence: Option<AbsenceView>,
    /// The shields that keep it, or would keep it if its person left (I7 to I10).
    pub shields: Vec<ShieldView>,
    /// Whether `deactivation.release` names it, so that no shield keeps it.
    pub released: bool,
    /// What protects it.
    pub protection: Option<ProtectionView>,
    /// What the next run would do.
    pub decision: DecisionView,
    /// Why the queue would not try it now.
    pub back_off: Option<BackOff>,
    /// What would change the outcome.
    pub what_if: Vec<WhatIf>,
}

/// Whether a person is entitled.
#[derive(Clone, Debug, Serialize)]
pub struct EntitlementView {
    /// `entitled`, `doubtful` (an unknown status), or the evidence: `disabled`, `deleted`,
    /// `absent`, `not_in_required_group`.
    pub state: String,
    /// `scope.required_groups`
    pub required_groups: Vec<GroupName>,
    /// Those of them the person is in.
    pub in_required_groups: Vec<GroupName>,
}

/// What is known and wanted of a role.
#[derive(Clone, Debug, Serialize)]
pub struct RoleView {
    /// The current role, where it is known.
    pub current: Option<String>,
    /// `server`, `set`, `adopted`, `created`, `uncertain` or `unknown`.
    pub known_by: String,
    /// Since when this program remembers it.
    pub known_since: Option<Timestamp>,
    /// The role the rules give; `None`: they leave it alone.
    pub desired: Option<String>,
    /// Why.
    #[serde(rename = "because")]
    pub reason: String,
    /// The live groups that were read.
    pub groups: Vec<GroupName>,
    /// The rules that are about one of them, in order; the first one wins.
    pub rules: Vec<RuleView>,
}

/// A rule that is about one of the person's groups.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// Its place in `roles.rules`, from 1.
    pub number: usize,
    /// Its `group`.
    pub pattern: String,
    /// Its `role`.
    pub role: String,
    /// The group it is about.
    pub group: GroupName,
    /// Whether it decides.
    pub wins: bool,
}

/// The absence clock.
#[derive(Clone, Debug, Serialize)]
pub struct AbsenceView {
    /// The first complete pull that missed the person.
    pub since: Timestamp,
    /// How many complete pulls in a row missed them.
    pub pulls: u32,
    /// From when on the account goes.
    pub due: Timestamp,
}

/// A doubt that keeps an account.
#[derive(Clone, Debug, Serialize)]
pub struct ShieldView {
    /// `I7`, `I8`, `I9` or `I10`.
    pub rule: &'static str,
    /// In words.
    pub why: &'static str,
    /// Whom the account may belong to.
    pub people: Vec<KeyHolder>,
    /// The steps that lead to them, in words (I8), and the characters that differ (I9).
    pub steps: Vec<String>,
}

/// What protects an account.
#[derive(Clone, Debug, Serialize)]
pub struct ProtectionView {
    /// `protect.emails`, `protect.accounts` or `opsera.token_owner`.
    pub setting: &'static str,
    /// The glob, or the owner's address.
    pub value: String,
}

/// What the next run would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionView {
    /// `not_managed`, `unchanged`, `adopt`, `doubt`, `unmanaged`, `protected`, `waiting`,
    /// `set_role`, `deactivate` or `create`.
    pub kind: &'static str,
    /// In words, with the reason.
    pub words: String,
    /// The role before, for a role change.
    pub from: Option<String>,
    /// The role after, for role changes, adoptions and creations.
    pub to: Option<String>,
    /// The reason as the report gives it, for an action.
    pub reason: Option<String>,
    /// The findings of this account.
    pub findings: Vec<Finding>,
}

/// Why an action is not tried now.
#[derive(Clone, Debug, Serialize)]
pub struct BackOff {
    /// `rejected`, `cancelled` or `unsettled`.
    pub state: &'static str,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// The server's words, or who cancelled it.
    pub words: String,
}

/// One change and what it would lead to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// What would be changed.
    pub change: String,
    /// The outcome then.
    pub outcome: String,
}

/// An OPA record.
#[derive(Clone, Debug, Serialize)]
pub struct PersonView {
    /// Its id.
    pub opa_id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// Its status, as OPA writes it.
    pub status: String,
    /// `human` or `service` (never counts, I3).
    pub user_type: &'static str,
    /// The address as OPA has it.
    pub email: Option<String>,
    /// First and last name.
    pub full_name: Option<String>,
    /// Its live groups, as far as they were read.
    pub groups: Vec<GroupName>,
}

/// An OPA record in the memory of a key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyHolderView {
    /// Its id.
    pub opa_id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// Whether it carries the key today.
    pub carries_now: bool,
    /// Whether it was ever ACTIVE with it.
    pub was_active: bool,
}

/// Somebody who may be meant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SuggestionView {
    /// The address as the directory has it.
    pub email: String,
    /// Its key.
    pub key: Key,
    /// `opa`, `opsera`, or both.
    pub directories: Vec<String>,
    /// In what way it is near.
    pub why: &'static str,
}

/// The guards over the present plan.
#[derive(Clone, Debug, Serialize)]
pub struct GuardsView {
    /// The plan's id. Where no run made it, creations are not part of it, because only a run asks
    /// Opsera for them.
    pub plan_id: PlanId,
    /// The run that made the plan and met its guards; `None`: the plan is foretold.
    pub met_by_run: Option<RunId>,
    /// When that run ended.
    pub met_at: Option<Timestamp>,
    /// How many deactivations and role changes it has.
    pub actions: usize,
    /// How many creations come to them, or would at most where the plan is foretold.
    pub creations_at_most: u64,
    /// Whether this person is part of it.
    pub concerns_this_person: bool,
    /// Whether it would be held.
    pub held: bool,
    /// The guards that hold it, or that an approval lets it pass.
    pub holding: Vec<GuardReport>,
    /// Who approved it, and until when that is good.
    pub approval: Option<String>,
}

/// One entry of the audit log.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryView {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: String,
    /// The event.
    pub event: String,
    /// The run.
    pub run_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What was before.
    pub before: Option<serde_json::Value>,
    /// What is after.
    pub after: Option<serde_json::Value>,
    /// The status the server answered with.
    pub http_status: Option<u16>,
    /// The server's words.
    pub words: Option<String>,
}

/// What both directories say now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LiveView {
    /// What differs from the snapshot, one sentence each.
    pub differences: Vec<String>,
    /// What was asked and is as in the snapshot.
    pub unchanged: Vec<String>,
    /// What could not be asked.
    pub errors: Vec<String>,
}
