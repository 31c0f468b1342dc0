//! What an approval lets through (§6), as plain sets.

use std::collections::BTreeSet;

use rolecall::domain::{Report, time::Timestamp};

use crate::model::decide::Plan;
use crate::model::memory::Memory;

struct Approval {
    /// Everything that was looked at.
    all: BTreeSet<String>,
    /// What of it is not done yet.
    left: BTreeSet<String>,
    guards: Vec<String>,
    at: Timestamp,
}

/// The approvals given so far.
#[derive(Default)]
pub(crate) struct Approvals {
    given: Vec<Approval>,
    /// The guards of the last plan that an approval let pass, and for which it was given.
    passed: Option<(Vec<&'static str>, Vec<String>)>,
    before: (Option<u64>, Option<(u64, usize)>),
}

fn identities(plan: &Plan) -> BTreeSet<String> {
    let identity = |a: &crate::model::decide::Action| {
        let subject = a.id.as_ref().unwrap_or(&a.key);
        format!("{} {subject} {}", a.kind, a.to.clone().unwrap_or_default())
    };
    plan.actions.iter().map(identity).collect()
}

impl Approvals {
    pub(crate) fn approve(&mut self, report: &Report, at: Timestamp) {
        let actions = report.actions.iter().map(|a| {
            let subject = a
                .opsera_id
                .as_ref()
                .map_or(a.email.clone(), ToString::to_string);
            format!("{} {subject} {}", a.kind, a.to.clone().unwrap_or_default())
        });
        let all: BTreeSet<String> = actions.collect();
        self.given.retain(|approval| approval.all != all);
        self.given.push(Approval {
            left: all.clone(),
            all,
            guards: crate::world::held_by(report),
            at,
        });
    }

    /// Lifts the guards of a plan that an approval covers.
    pub(crate) fn apply(&mut self, plan: &mut Plan, report: &Report, now: Timestamp) {
        self.passed = None;
        if !plan.held() {
            return;
        }
        let wanted = identities(plan);
        let day = chrono::TimeDelta::hours(24);
        let covers = |approval: &&Approval| {
            now < approval.at + day
                && wanted.is_subset(&approval.left)
                && (!wanted.is_empty() || approval.all.is_empty())
        };
        let Some(approval) = self.given.iter().rev().find(covers) else {
            return;
        };
        let mut lifted = Vec::new();
        for (name, _, held) in &mut plan.guards {
            if std::mem::take(held) {
                lifted.push(*name);
            }
        }
        self.passed = Some((lifted, approval.guards.clone()));
        if wanted.is_empty() && report.mode == rolecall::domain::Mode::Apply {
            self.given.retain(|approval| !approval.all.is_empty());
        }
    }

    /// A source guard that was lifted by an approval given for something else is no new baseline.
    pub(crate) fn correct_baseline(&mut self, memory: &mut Memory, _plan: &Plan) {
        let sources = [
            "min_opa_users",
            "max_opa_drop_percent",
            "max_opsera_drop_percent",
        ];
        if let Some((lifted, given_for)) = &self.passed
            && lifted
                .iter()
                .any(|guard| sources.contains(guard) && !given_for.iter().any(|g| g == guard))
        {
            (memory.accepted, memory.accepted_accounts) = self.before;
        }
        self.before = (memory.accepted, memory.accepted_accounts);
    }

    /// An action was done, under whichever approval.
    pub(crate) fn done(&mut self, identity: &str) {
        for approval in &mut self.given {
            approval.left.remove(identity);
        }
    }

    /// A plan that is held again must be looked at again.
    pub(crate) fn held_again(&mut self, plan: &Plan) {
        let all = identities(plan);
        self.given.retain(|approval| approval.all != all);
    }
}
