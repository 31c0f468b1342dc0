//! Whether an operator may decide about a held plan (§6): pure rules, each refusal one sentence.
//!
//! The store asks inside the transaction that writes the decision, so a plan cannot change
//! between the look and the decision.

use std::time::Duration;

use super::time::{Timestamp, after, time_for_people};
use super::{ActionKind, Approval, GuardReport, KindSet, PeopleFilter, PlanId, Rejection, RunId};

/// Where a held plan stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(
    serialize_all = "snake_case",
    parse_err_ty = String,
    parse_err_fn = no_state
)]
pub enum PlanState {
    /// A guard holds it and nobody has decided.
    Held,
    /// Somebody approved it; what is not done yet may be done.
    Approved,
    /// Everything that was approved is done.
    Used,
    /// Somebody rejected it.
    Rejected,
    /// A later run wants something else.
    Superseded,
}

impl PlanState {
    /// The name in the store and in lists.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

fn no_state(text: &str) -> String {
    format!("“{text}” is no state of a plan")
}

/// A plan that is held until somebody decides: by a guard, or because it takes a run back.
#[derive(Clone, Debug)]
pub struct HeldPlan {
    /// Its id.
    pub id: PlanId,
    /// Where it stands.
    pub state: PlanState,
    /// The run that held it last.
    pub run_id: RunId,
    /// The run whose role changes it takes back; `None`: a guard held it.
    pub undoes: Option<RunId>,
    /// The kinds of action that run was limited to (`--only`).
    pub kinds: KindSet,
    /// The people that run was limited to (`--person`); `None`: everybody.
    pub people: Option<PeopleFilter>,
    /// The guards as that run saw them.
    pub guards: Vec<GuardReport>,
    /// When it was first held.
    pub held_at: Timestamp,
    /// When it was last held.
    pub last_held_at: Timestamp,
    /// When somebody decided.
    pub decided_at: Option<Timestamp>,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Whom they decided for, as they say themselves.
    pub reviewer: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How many actions it has.
    pub actions: u64,
    /// How many of them were done under an approval.
    pub done: u64,
}

/// Who decides about a plan, and why.
#[derive(Clone, Debug)]
pub struct Decider {
    /// `user@host`, as the operating system knows them.
    pub by: String,
    /// Whom they decide for, as they say themselves: beside `by` and never instead of it.
    pub reviewer: Option<String>,
    /// The reason given.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What the latest run of the same kinds wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This plan.
    Plan(PlanId),
    /// No run that came as far as a plan is on record.
    Unknown,
}

/// What a decision is judged by, beside the plan itself.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// `guards.approval_ttl`
    pub ttl: Duration,
    /// When somebody decides.
    pub now: Timestamp,
    /// What the latest run wants.
    pub wanted: Wanted,
}

/// Why a plan cannot be decided on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No guard ever held a plan of that id, or it is long gone.
    #[error(
        "there is no held plan {id}: only a plan that a guard holds can be decided on, and \
         `rolecall plan list` shows them"
    )]
    Unknown {
        /// What was asked for.
        id: PlanId,
    },
    /// Nobody has seen this plan wanted for longer than `guards.approval_ttl`.
    #[error(
        "plan {id} was last held at {last_held_at} and expired at {expired_at} \
         (guards.approval_ttl): run `{command}` and look at it again"
    )]
    Expired {
        /// The plan.
        id: PlanId,
        /// When a run last held it.
        last_held_at: String,
        /// Since when it is too old.
        expired_at: String,
        /// The run that shows it afresh.
        command: String,
    },
    /// It is approved, and the approval is good.
    #[error(
        "plan {id} is already approved, by {by} at {at}, and the approval is good until \
         {until}: the next `{command}` applies it"
    )]
    AlreadyApproved {
        /// The plan.
        id: PlanId,
        /// Who approved it.
        by: String,
        /// When.
        at: String,
        /// Until when that is good.
        until: String,
        /// The run that applies it.
        command: String,
    },
    /// Everything in it is done.
    #[error(
        "plan {id} is already used: everything in it was done under the approval of {by} at {at}"
    )]
    Used {
        /// The plan.
        id: PlanId,
        /// Who approved it.
        by: String,
        /// When.
        at: String,
    },
    /// Somebody decided against it, and that stands.
    #[error(
        "plan {id} is already rejected, by {by} at {at}, and that stands until {until}: to take \
         the rejection back, approve the plan with `rolecall plan approve {id} --reason \"…\"`"
    )]
    Rejected {
        /// The plan.
        id: PlanId,
        /// Who rejected it.
        by: String,
        /// When.
        at: String,
        /// Until when that stands.
        until: String,
    },
    /// A later run wants something else.
    #[error(
        "plan {id} is superseded because the people changed: plan {wanted} is what the latest run wants"
    )]
    PeopleChanged {
        /// The plan.
        id: PlanId,
        /// What the latest run wants instead.
        wanted: PlanId,
    },
    /// A later run wants the same and no guard held it.
    #[error(
        "plan {id} is not held any more: it passed the guards in the latest run and needs no decision"
    )]
    NotHeldAnyMore {
        /// The plan.
        id: PlanId,
    },
    /// A later run wants something else, and its plan is not on record.
    #[error(
        "plan {id} is superseded because the people changed: run `{command}` and look at what is \
         wanted now"
    )]
    Superseded {
        /// The plan.
        id: PlanId,
        /// The run that shows it.
        command: String,
    },
}

/// Whether `plan` may be approved now. A rejection may be taken back so: a later decision replaces
/// an earlier one, and both stay on record (§6).
///
/// # Errors
/// One sentence that says why not, and what to do instead.
pub fn may_approve(
    id: &PlanId,
    plan: Option<&HeldPlan>,
    at: &Circumstances,
) -> Result<(), Refusal> {
    let plan = known(id, plan)?;
    match plan.state {
        PlanState::Held | PlanState::Rejected if is_over(plan.last_held_at, at) => {
            Err(Refusal::Expired {
                id: id.clone(),
                last_held_at: time_for_people(plan.last_held_at),
                expired_at: time_for_people(after(plan.last_held_at, at.ttl)),
                command: look_again(plan),
            })
        }
        PlanState::Held | PlanState::Rejected => Ok(()),
        PlanState::Approved => match plan.decided_at {
            Some(decided_at) if !is_over(decided_at, at) => Err(Refusal::AlreadyApproved {
                id: id.clone(),
                by: decider(plan),
                at: time_for_people(decided_at),
                until: time_for_people(after(decided_at, at.ttl)),
                command: run_that_applies(plan),
            }),
            // The approval lapsed, and with it what was looked at.
            _ => Err(expired(plan, at)),
        },
        PlanState::Used | PlanState::Superseded => Err(closed(plan, at)),
    }
}

/// Whether `plan` may be rejected now. An approval may be taken back so; an old hold may be
/// rejected, because that only keeps things from happening.
///
/// # Errors
/// One sentence that says why not.
pub fn may_reject(id: &PlanId, plan: Option<&HeldPlan>, at: &Circumstances) -> Result<(), Refusal> {
    let plan = known(id, plan)?;
    match plan.state {
        PlanState::Held | PlanState::Approved => Ok(()),
        PlanState::Used | PlanState::Rejected | PlanState::Superseded => Err(closed(plan, at)),
    }
}

/// Until when a decision about `plan` is due or good: a hold waits so long, an approval or a
/// rejection lasts so long. `None` where nothing is open any more.
pub fn good_until(plan: &HeldPlan, ttl: Duration) -> Option<Timestamp> {
    match plan.state {
        PlanState::Held => Some(after(plan.last_held_at, ttl)),
        PlanState::Approved | PlanState::Rejected => plan.decided_at.map(|at| after(at, ttl)),
        PlanState::Used | PlanState::Superseded => None,
    }
}

/// The decision against `plan`, where it is one.
pub fn rejection_of(plan: &HeldPlan, ttl: Duration) -> Option<Rejection> {
    let at = plan
        .decided_at
        .filter(|_| plan.state == PlanState::Rejected)?;
    Some(Rejection {
        by: decider(plan),
        reviewer: plan.reviewer.clone(),
        at,
        reason: plan.reason.clone(),
        until: after(at, ttl),
    })
}

/// The approval that lets a run pass its guards, as its report tells it.
pub fn approval_of(plan: &HeldPlan) -> Option<Approval> {
    Some(Approval {
        plan_id: plan.id.clone(),
        by: plan.decided_by.clone()?,
        reviewer: plan.reviewer.clone(),
        at: plan.decided_at?,
        reason: plan.reason.clone(),
    })
}

/// The command that shows what is wanted now in place of `plan`.
pub fn look_again(plan: &HeldPlan) -> String {
    match &plan.undoes {
        Some(run) => format!("rolecall undo {run}"),
        None => format!("rolecall sync --dry-run{}", limits(plan)),
    }
}

/// The run that applies `plan` once it is approved: one of the same kinds, because a plan with
/// more in it would not be covered.
pub fn run_that_applies(plan: &HeldPlan) -> String {
    format!("rolecall sync{}", limits(plan))
}

fn limits(plan: &HeldPlan) -> String {
    let mut text = String::new();
    if !plan.kinds.is_all() {
        let only: Vec<&str> = plan
            .kinds
            .iter()
            .map(|kind| match kind {
                ActionKind::SetRole => "role",
                ActionKind::Create | ActionKind::Deactivate => kind.as_str(),
            })
            .collect();
        text.push_str(" --only ");
        text.push_str(&only.join(","));
    }
    for address in plan.people.iter().flat_map(PeopleFilter::addresses) {
        text.push_str(" --person ");
        text.push_str(&quoted(address));
    }
    text
}

/// An address as a shell takes it for one word.
fn quoted(address: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    if address.chars().all(is_plain) {
        address.to_owned()
    } else {
        format!("'{}'", address.replace('\'', "'\\''"))
    }
}

fn known<'p>(id: &PlanId, plan: Option<&'p HeldPlan>) -> Result<&'p HeldPlan, Refusal> {
    plan.ok_or_else(|| Refusal::Unknown { id: id.clone() })
}

/// Why a plan that is done with cannot be decided on.
fn closed(plan: &HeldPlan, at: &Circumstances) -> Refusal {
    let id = plan.id.clone();
    match plan.state {
        PlanState::Used => Refusal::Used {
            id,
            by: decider(plan),
            at: decided(plan),
        },
        PlanState::Rejected => Refusal::Rejected {
            id,
            by: decider(plan),
            at: decided(plan),
            until: plan.decided_at.map_or_else(String::new, |decided| {
                time_for_people(after(decided, at.ttl))
            }),
        },
        _ => match &at.wanted {
            Wanted::Plan(wanted) if *wanted == id => Refusal::NotHeldAnyMore { id },
            Wanted::Plan(wanted) => Refusal::PeopleChanged {
                id,
                wanted: wanted.clone(),
            },
            Wanted::Unknown => Refusal::Superseded {
                id,
                command: look_again(plan),
            },
        },
    }
}

fn expired(plan: &HeldPlan, at: &Circumstances) -> Refusal {
    Refusal::Expired {
        id: plan.id.clone(),
        last_held_at: time_for_people(plan.last_held_at),
        expired_at: time_for_people(after(plan.decided_at.unwrap_or(plan.last_held_at), at.ttl)),
        command: look_again(plan),
    }
}

fn is_over(began: Timestamp, at: &Circumstances) -> bool {
    at.now >= after(began, at.ttl)
}

fn decider(plan: &HeldPlan) -> String {
    plan.decided_by
        .clone()
        .unwrap_or_else(|| "somebody".to_owned())
}

fn decided(plan: &HeldPlan) -> String {
    plan.decided_at
        .map_or_else(|| "an unknown time".to_owned(), time_for_people)
}

#[cfg(test)]
mod tests;
