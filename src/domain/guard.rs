//! The guards by name (§6), and one guard's verdict as a report shows it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PlanId;

/// A guard: a limit on what one plan may do before a person has looked at it.
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
    strum::Display,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Guard {
    /// G1: the least number of ACTIVE people in OPA.
    MinOpaUsers,
    /// G2: by how much OPA may shrink between two runs.
    MaxOpaDropPercent,
    /// G2: by how much Opsera's listing may shrink between two runs.
    MaxOpseraDropPercent,
    /// G3: deactivations of one run.
    MaxDeactivations,
    /// G3: deactivations of one run, as a share of the managed accounts.
    MaxDeactivationsPercent,
    /// G3: deactivations of seven days.
    #[serde(rename = "max_deactivations_7d")]
    #[strum(serialize = "max_deactivations_7d")]
    MaxDeactivations7d,
    /// G4: role changes of one run.
    MaxRoleChanges,
    /// G4: role changes of one run, as a share of the managed accounts.
    MaxRoleChangesPercent,
    /// G5: creations of one run.
    MaxCreations,
    /// G5: accounts that become Administrators.
    MaxAdministratorGrants,
    /// G6: the least number of Administrators that are left.
    MinAdministrators,
    /// Accounts that the plan touches and whose entry in `protect.accounts` has ended.
    MaxExpiredProtections,
}

impl Guard {
    /// The setting's name in `[guards]`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it holds when the actual value is below the limit.
    pub fn holds_from_below(self) -> bool {
        matches!(self, Self::MinOpaUsers | Self::MinAdministrators)
    }

    /// Whether it judges the two directories and not the plan (G1, G2).
    pub fn judges_the_source(self) -> bool {
        matches!(
            self,
            Self::MinOpaUsers | Self::MaxOpaDropPercent | Self::MaxOpseraDropPercent
        )
    }
}

/// One guard's limit and what it was held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardReport {
    /// Which one.
    pub guard: Guard,
    /// The bound, in the unit of `actual`: for a percentage, what it comes to in people.
    pub limit: u64,
    /// What this run has.
    pub actual: u64,
    /// Whether this guard holds the plan.
    pub held: bool,
    /// How the limit came about, in words: "10 % of 240 managed accounts".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// The approved plan that lets this run pass a limit that is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by_plan: Option<PlanId>,
    /// The people concerned, where the guard holds or would.
    // Shared: several guards may concern the same thousands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerned: Vec<Arc<str>>,
}

impl GuardReport {
    /// The verdict without whom it concerns.
    pub fn without_people(&self) -> Self {
        Self {
            guard: self.guard,
            limit: self.limit,
            actual: self.actual,
            held: self.held,
            basis: self.basis.clone(),
            approved_by_plan: self.approved_by_plan.clone(),
            concerned: Vec::new(),
        }
    }
}
