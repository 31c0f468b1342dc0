//! What changed between the reports of two runs: rows that are new, gone or different, and guards
//! that came nearer to their limit or went farther from it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{
    ActionReport, Finding, Guard, GuardReport, Mode, Outcome, PlanId, Report, RunId, Summary,
    WaitingReport, time::Timestamp,
};

/// The `schema` of a comparison.
pub const DIFF_SCHEMA: &str = "rolecall.report_diff/1";

/// Two runs compared. Nothing in it is decided by anybody: both reports are as they were printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportDiff<'r> {
    /// [`DIFF_SCHEMA`]
    pub schema: &'static str,
    /// The run that was named first.
    pub before: RunSide<'r>,
    /// The run that was named second.
    pub after: RunSide<'r>,
    /// Every guard of either run.
    pub guards: Vec<GuardMove>,
    /// Actions, by kind and account.
    pub actions: Changes<'r, ActionReport>,
    /// Waiting accounts.
    pub waiting: Changes<'r, WaitingReport>,
    /// Findings, by kind and address.
    pub findings: Changes<'r, Finding>,
}

/// Which run it was, and what it came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunSide<'r> {
    /// The run.
    pub run_id: &'r RunId,
    /// Its plan.
    pub plan_id: Option<&'r PlanId>,
    /// Dry run or apply.
    pub mode: Mode,
    /// How it ended.
    pub outcome: Outcome,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// `opa.team`
    pub team: Option<&'r str>,
    /// SHA-256 over the settings without their secrets.
    pub settings_digest: Option<&'r str>,
    /// How many of what.
    pub summary: Summary,
}

impl<'r> RunSide<'r> {
    fn of(report: &'r Report) -> Self {
        Self {
            run_id: &report.run_id,
            plan_id: report.plan_id.as_ref(),
            mode: report.mode,
            outcome: report.outcome,
            started_at: report.started_at,
            finished_at: report.finished_at,
            team: report.origin.team.as_deref(),
            settings_digest: report.origin.settings_digest.as_deref(),
            summary: report.summary,
        }
    }
}

/// Rows of one kind that the two reports do not have in common.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changes<'r, T> {
    /// Only in the second report.
    pub new: Vec<&'r T>,
    /// Only in the first report.
    pub gone: Vec<&'r T>,
    /// In both, with other values.
    pub changed: Vec<RowChange<'r, T>>,
}

/// A row that both reports have, with other values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowChange<'r, T> {
    /// As the first report has it.
    pub before: &'r T,
    /// As the second report has it.
    pub after: &'r T,
}

impl<'r, T: PartialEq> Changes<'r, T> {
    /// Pairs the rows with one key in their order: several may be about one address.
    fn between<K: Ord>(before: &'r [T], after: &'r [T], key: impl Fn(&'r T) -> K) -> Self {
        let mut former: BTreeMap<K, VecDeque<(usize, &'r T)>> = BTreeMap::new();
        for row in before.iter().enumerate() {
            former.entry(key(row.1)).or_default().push_back(row);
        }
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for after in after {
            match former.get_mut(&key(after)).and_then(VecDeque::pop_front) {
                None => new.push(after),
                Some((_, before)) if before == after => {}
                Some((_, before)) => changed.push(RowChange { before, after }),
            }
        }
        let mut gone: Vec<(usize, &'r T)> = former.into_values().flatten().collect();
        gone.sort_by_key(|(position, _)| *position);
        Self {
            new,
            gone: gone.into_iter().map(|(_, row)| row).collect(),
            changed,
        }
    }

    /// Whether the two reports agree.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}

/// One guard in two runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuardMove {
    /// Which one.
    pub guard: Guard,
    /// In the first run; null where it came to no guards.
    pub before: Option<Measure>,
    /// In the second run.
    pub after: Option<Measure>,
    /// Which way the room that is left went; null where one run has no such guard.
    pub direction: Option<Direction>,
    /// By how much, in the guard's own unit.
    pub by: u64,
}

/// A guard's actual value against its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// The bound.
    pub limit: u64,
    /// What the run had.
    pub actual: u64,
    /// Whether it held the plan.
    pub held: bool,
}

/// Which way a guard moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Less room is left to the limit, or the limit is passed by more.
    Nearer,
    /// More room is left.
    Farther,
    /// The same room is left.
    Same,
}

impl GuardMove {
    fn between(guard: Guard, before: Option<&GuardReport>, after: Option<&GuardReport>) -> Self {
        let moved = before.zip(after).map(|(before, after)| {
            let (before, after) = (room(before), room(after));
            let direction = match after.cmp(&before) {
                std::cmp::Ordering::Less => Direction::Nearer,
                std::cmp::Ordering::Greater => Direction::Farther,
                std::cmp::Ordering::Equal => Direction::Same,
            };
            (direction, before.abs_diff(after))
        });
        Self {
            guard,
            before: before.map(measure),
            after: after.map(measure),
            direction: moved.map(|(direction, _)| direction),
            by: moved.map_or(0, |(_, by)| u64::try_from(by).unwrap_or(u64::MAX)),
        }
    }
}

/// What is left to the limit; below nothing where the guard holds.
fn room(guard: &GuardReport) -> i128 {
    let (actual, limit) = (i128::from(guard.actual), i128::from(guard.limit));
    if guard.guard.holds_from_below() {
        actual - limit
    } else {
        limit - actual
    }
}

fn measure(guard: &GuardReport) -> Measure {
    Measure {
        limit: guard.limit,
        actual: guard.actual,
        held: guard.held,
    }
}

impl<'r> ReportDiff<'r> {
    /// Compares the reports of two runs.
    pub fn between(before: &'r Report, after: &'r Report) -> Self {
        let guard = |report: &'r Report, name: Guard| {
            let mut guards = report.guards.iter();
            guards.find(|guard| guard.guard == name)
        };
        let mut names: Vec<Guard> = after.guards.iter().map(|g| g.guard).collect();
        for earlier in &before.guards {
            if !names.contains(&earlier.guard) {
                names.push(earlier.guard);
            }
        }
        Self {
            schema: DIFF_SCHEMA,
            before: RunSide::of(before),
            after: RunSide::of(after),
            guards: names
                .into_iter()
                .map(|name| GuardMove::between(name, guard(before, name), guard(after, name)))
                .collect(),
            actions: Changes::between(&before.actions, &after.actions, |action| {
                // What is created has no account yet.
                let subject = match &action.opsera_id {
                    Some(id) => id.as_str(),
                    None => action.email.as_str(),
                };
                (action.kind, subject)
            }),
            waiting: Changes::between(&before.waiting, &after.waiting, |row| &row.opsera_id),
            findings: Changes::between(&before.findings, &after.findings, |finding| {
                (finding.kind, finding.email.as_str())
            }),
        }
    }

    /// Whether the two runs said the same about everybody.
    pub fn nobody_changed(&self) -> bool {
        self.actions.is_empty() && self.waiting.is_empty() && self.findings.is_empty()
    }
}
