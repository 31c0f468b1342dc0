//! Who keeps which account, in which role: the rules, pure.
//!
//! The store joins the two directories into [`AccountFacts`] and [`JoinerFacts`], one at a time;
//! [`decide_account`] and [`decide_joiner`] turn each with the [`Policy`]
//! into a [`Decision`]; [`guards`] looks at the sums. Nothing here knows HTTP, SQL or the clock,
//! so the same facts and settings always give the same decision.
//!
//! To add a rule: a fact in `facts`, its query in `store::diff`, its place in the order of
//! `decision`.

pub mod clock_trust;
pub mod decision;
pub mod facts;
pub mod guards;
pub mod policy;
pub mod protection;
pub mod renames;
pub mod restore;
pub mod roles;
pub mod shields;

pub use decision::{Decision, DecisionWithFindings, decide_account, decide_joiner};
pub use facts::{AccountFacts, JoinerFacts, KeyHolder, People, PersonFacts};
pub use policy::{
    AddressPattern, GroupPattern, GuardLimits, Lookup, Policy, ProtectedAccount, Protection,
    RolePolicy, RoleRule, UnknownRole, Validity,
};
