//! A plan: everything that is to be done, as a value.
//!
//! The rules decide the actions, the guards look at their sums, the queue carries them out; none
//! of the later steps chooses anything any more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::VariantArray as _;

use crate::domain::{
    ActionReport, ActionStatus, DecisionRecords, Evidence, Key, OpaName, OpseraId, PlanId, SiteRole,
};

/// What is done to an account. The order of the variants is the order in which they are applied
/// (A9): nobody loses an account in a run that failed to give somebody else theirs.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(
    serialize_all = "snake_case",
    parse_err_ty = String,
    parse_err_fn = no_action_kind
)]
pub enum ActionKind {
    /// Give the account another site role.
    SetRole,
    /// Create an account.
    Create,
    /// Deactivate the account. Cannot be undone.
    Deactivate,
}

impl ActionKind {
    /// Every kind, in the order in which they are applied.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name used in reports and in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn no_action_kind(text: &str) -> String {
    format!("“{text}” is no kind of action")
}

/// One thing to do to one account, completely decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedAction {
    /// What to do, with everything the worker needs for it.
    pub change: Change,
    /// The address as Opsera has it; for a creation, the one to create the account with.
    pub email: String,
    /// The canonical address (I1): actions of a kind are applied in this order.
    pub address: String,
    /// The key the two sides are matched by.
    pub key: Key,
    /// The evidence, the rule that won, or why the account is created.
    pub reason: String,
    /// The records behind the decision, for the reviewer and the audit log.
    pub evidence: DecisionRecords,
}

/// What to do to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// Give it another role.
    SetRole {
        /// The account.
        opsera_id: OpseraId,
        /// The role it is known to have.
        from: Option<String>,
        /// The role it gets.
        to: SiteRole,
    },
    /// Create it.
    Create {
        /// `firstName`
        first_name: String,
        /// `lastName`
        last_name: String,
        /// The role it starts with.
        to: SiteRole,
    },
    /// Deactivate it.
    Deactivate {
        /// The account.
        opsera_id: OpseraId,
        /// Why.
        evidence: Evidence,
        /// OPA records that carry the key or carried it last: read once more before the request
        /// (A2).
        known_names: Vec<OpaName>,
        /// OPA records that carried the key before those: read as well, because the listing may
        /// have lost one of them while somebody else had the key.
        #[serde(default)]
        earlier_names: Vec<OpaName>,
    },
}

impl PlannedAction {
    /// Its kind.
    pub fn kind(&self) -> ActionKind {
        match self.change {
            Change::SetRole { .. } => ActionKind::SetRole,
            Change::Create { .. } => ActionKind::Create,
            Change::Deactivate { .. } => ActionKind::Deactivate,
        }
    }

    /// The account it is about; a creation has none yet.
    pub fn opsera_id(&self) -> Option<&OpseraId> {
        match &self.change {
            Change::SetRole { opsera_id, .. } | Change::Deactivate { opsera_id, .. } => {
                Some(opsera_id)
            }
            Change::Create { .. } => None,
        }
    }

    /// The role before, where it is known and changes.
    pub fn from(&self) -> Option<&str> {
        match &self.change {
            Change::SetRole { from, .. } => from.as_deref(),
            Change::Create { .. } | Change::Deactivate { .. } => None,
        }
    }

    /// The role after, where one is given.
    pub fn to(&self) -> Option<SiteRole> {
        match &self.change {
            Change::SetRole { to, .. } | Change::Create { to, .. } => Some(*to),
            Change::Deactivate { .. } => None,
        }
    }

    /// The action as a report shows it.
    pub fn reported(
        self,
        status: ActionStatus,
        attempts: u32,
        message: Option<String>,
    ) -> ActionReport {
        ActionReport {
            kind: self.kind(),
            from: self.from().map(str::to_owned),
            to: self.to().map(|role| role.as_str().to_owned()),
            evidence: match self.kind() {
                ActionKind::Deactivate => self.evidence,
                ActionKind::SetRole | ActionKind::Create => DecisionRecords::default(),
            },
            opsera_id: match self.change {
                Change::SetRole { opsera_id, .. } | Change::Deactivate { opsera_id, .. } => {
                    Some(opsera_id)
                }
                Change::Create { .. } => None,
            },
            email: self.email,
            reason: self.reason,
            status,
            attempts,
            message,
        }
    }

    /// What makes two actions the same work (§6): kind, account or key, target role.
    pub fn identity(&self) -> ActionIdentity {
        let subject = match self.opsera_id() {
            Some(id) => id.as_str(),
            None => self.key.as_str(),
        };
        let role = self.to().map_or("", SiteRole::as_str);
        // JSON keeps an id with a separator in it from looking like another action.
        ActionIdentity(
            serde_json::Value::from(vec![self.kind().as_str(), subject, role]).to_string(),
        )
    }

    fn order(&self) -> (ActionKind, &str, Option<&OpseraId>) {
        (self.kind(), &self.address, self.opsera_id())
    }
}

/// What makes two actions the same work: what plans are digested from and approvals bound to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionIdentity(String);

impl ActionIdentity {
    /// Its text, for the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Everything one run is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    id: PlanId,
    actions: Vec<PlannedAction>,
}

impl Plan {
    /// Puts the actions into the order in which they are applied (A9) and names the plan by them.
    pub fn new(mut actions: Vec<PlannedAction>) -> Self {
        actions.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut identities: Vec<ActionIdentity> =
            actions.iter().map(PlannedAction::identity).collect();
        identities.sort();
        let mut digest = Sha256::new();
        for identity in &identities {
            digest.update(identity.as_str());
            digest.update("\n");
        }
        let mut id = hex::encode(digest.finalize());
        id.truncate(12);
        Self {
            id: PlanId::new(id),
            actions,
        }
    }

    /// The digest of the actions (§6).
    pub fn id(&self) -> &PlanId {
        &self.id
    }

    /// The actions in the order in which they are applied.
    pub fn actions(&self) -> &[PlannedAction] {
        &self.actions
    }

    /// The actions in the order in which they are applied.
    pub fn into_actions(self) -> Vec<PlannedAction> {
        self.actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deactivate(id: &str, address: &str) -> PlannedAction {
        PlannedAction {
            change: Change::Deactivate {
                opsera_id: OpseraId::new(id),
                evidence: Evidence::Absent,
                known_names: Vec::new(),
                earlier_names: Vec::new(),
            },
            email: address.to_owned(),
            address: address.to_owned(),
            key: Key::from_store(address.to_owned()),
            reason: "absent".to_owned(),
            evidence: DecisionRecords::default(),
        }
    }

    fn set_role(id: &str, address: &str, to: SiteRole) -> PlannedAction {
        PlannedAction {
            change: Change::SetRole {
                opsera_id: OpseraId::new(id),
                from: None,
                to,
            },
            ..deactivate(id, address)
        }
    }

    #[test]
    fn the_same_work_has_the_same_id_in_whatever_order_it_was_found() {
        let a = deactivate("1", "a@x");
        let b = set_role("2", "b@x", SiteRole::Users);
        let plan = Plan::new(vec![a.clone(), b.clone()]);
        assert_eq!(plan.id(), Plan::new(vec![b.clone(), a.clone()]).id());
        assert_eq!(plan.id().as_str().len(), 12);
        assert_ne!(plan.id(), Plan::new(vec![a.clone()]).id());
        assert_ne!(
            plan.id(),
            Plan::new(vec![a, set_role("2", "b@x", SiteRole::Auditors)]).id()
        );
    }

    #[test]
    fn a9_roles_come_before_deactivations_and_each_kind_goes_by_address() {
        let plan = Plan::new(vec![
            deactivate("1", "a@x"),
            set_role("9", "z@x", SiteRole::Users),
            set_role("8", "b@x", SiteRole::Users),
        ]);
        let order: Vec<&str> = plan.actions().iter().map(|a| a.address.as_str()).collect();
        assert_eq!(order, ["b@x", "z@x", "a@x"]);
    }
}
