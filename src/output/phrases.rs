//! What a run says in plain words: the verdict, a guard in one clause, and the next commands.

use crate::domain::text::{counted, number};
use crate::domain::time::time_for_people;
use crate::domain::{
    ActionKind, ActionReport, ActionStatus, Approval, FailedOn, Guard, GuardReport, History, Mode,
    Outcome, PlanId, Rejection, Report,
};

/// The kinds in the order in which people weigh them: what cannot be undone first.
pub(super) const WEIGHED: [ActionKind; 3] = [
    ActionKind::Deactivate,
    ActionKind::SetRole,
    ActionKind::Create,
];

/// A command that the reader may want to run next, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextStep {
    pub(super) purpose: &'static str,
    pub(super) command: String,
}

impl NextStep {
    pub(super) fn new(purpose: &'static str, command: impl Into<String>) -> Self {
        Self {
            purpose,
            command: command.into(),
        }
    }
}

/// One sentence or a few: what happened, and whether anything was written.
pub fn verdict(report: &Report) -> String {
    let said = match report.outcome {
        Outcome::InSync => format!(
            "In sync: nothing to do for {}.",
            counted(report.opsera.managed, "managed account", "managed accounts")
        ),
        Outcome::ChangesPending => format!("Dry run: {}.", planned(report)),
        Outcome::Held => held(report),
        Outcome::Applied => format!("Done: {}{}.", done(report), left_over(report)),
        Outcome::Partial => format!(
            "Finished, but not everything was done: {}{}.",
            done(report),
            left_over(report)
        ),
        Outcome::Failed => failed(report),
    };
    let mut sentences = vec![said];
    sentences.extend(report.rejection.as_ref().map(rejected));
    sentences.extend(report.approval.as_ref().map(approved));
    if !may_have_written(report) {
        sentences.push("Nothing was written to Opsera.".to_owned());
    }
    if report.summary.waiting > 0 {
        sentences.push(format!(
            "{} for the grace period to pass.",
            counted(report.summary.waiting, "account waits", "accounts wait")
        ));
    }
    if report.summary.findings > 0 {
        sentences.push(format!(
            "{} a look.",
            counted(report.summary.findings, "finding needs", "findings need")
        ));
    }
    if let Some(store) = &report.origin.store
        && store.history == History::Empty
    {
        sentences.push(format!(
            "This was the first run on an empty store ({}): no grace period, earlier address or \
             decision is known yet.",
            store.path
        ));
    }
    sentences.join(" ")
}

/// What the reader can do next, most useful first.
pub(super) fn next_steps(report: &Report) -> Vec<NextStep> {
    match (report.outcome, &report.plan_id) {
        (Outcome::Held, Some(plan)) => decisions(plan, report.rejection.is_some()),
        (Outcome::ChangesPending, _) => vec![NextStep::new("make these changes", "rolecall sync")],
        (Outcome::Partial, _) => vec![NextStep::new("see what is left", "rolecall queue list")],
        (Outcome::Failed, _) => vec![match report.failed_on {
            Some(FailedOn::Interrupted) if report.mode == Mode::DryRun => {
                NextStep::new("do it again, to its end", "rolecall sync --dry-run")
            }
            Some(FailedOn::Interrupted) => {
                NextStep::new("do the rest; what was done stays done", "rolecall sync")
            }
            _ => NextStep::new("find out what is wrong", "rolecall check"),
        }],
        _ => Vec::new(),
    }
}

/// What can be decided about a held plan. A plan that is rejected is not offered for approval: who
/// wants to take the rejection back is told so by `plan show`.
fn decisions(plan: &PlanId, is_rejected: bool) -> Vec<NextStep> {
    let look = NextStep::new("look at the plan", format!("rolecall plan show {plan}"));
    if is_rejected {
        return vec![look];
    }
    vec![
        look,
        NextStep::new(
            "let it pass, exactly as it is",
            format!("rolecall plan approve {plan} --reason \"…\""),
        ),
        NextStep::new("turn it down", format!("rolecall plan reject {plan}")),
    ]
}

/// `8 deactivations, the limit is 3`: a guard's actual value against its limit.
pub(super) fn measured(guard: &GuardReport) -> String {
    let actual = |one, many| counted(guard.actual, one, many);
    let limit = number(guard.limit);
    match guard.guard {
        Guard::MaxDeactivations | Guard::MaxDeactivationsPercent => format!(
            "{}, the limit is {limit}",
            actual("deactivation", "deactivations")
        ),
        Guard::MaxDeactivations7d => format!(
            "{} within 7 days, the limit is {limit}",
            actual("deactivation", "deactivations")
        ),
        Guard::MaxRoleChanges | Guard::MaxRoleChangesPercent => format!(
            "{}, the limit is {limit}",
            actual("role change", "role changes")
        ),
        Guard::MaxCreations => {
            format!("{}, the limit is {limit}", actual("creation", "creations"))
        }
        Guard::MaxAdministratorGrants => format!(
            "{}, the limit is {limit}",
            actual("new Administrator", "new Administrators")
        ),
        Guard::MinAdministrators => format!(
            "{} left, the least is {limit}",
            actual("Administrator", "Administrators")
        ),
        Guard::MinOpaUsers => format!(
            "{} in OPA, the least is {limit}",
            actual("active person", "active people")
        ),
        Guard::MaxOpaDropPercent => format!(
            "{} fewer in OPA, the limit is {limit}",
            actual("active person", "active people")
        ),
        Guard::MaxOpseraDropPercent => format!(
            "{} fewer in Opsera, the limit is {limit}",
            actual("account", "accounts")
        ),
        Guard::MaxExpiredProtections => format!(
            "{} whose protection has ended, the limit is {limit}",
            actual("account", "accounts")
        ),
    }
}

/// The system's user who decided, and whom they decided for: the first is known, the second said.
pub fn by_and_for(by: &str, reviewer: Option<&str>) -> String {
    match reviewer {
        Some(reviewer) => format!("{by} (reviewer: {reviewer})"),
        None => by.to_owned(),
    }
}

fn approved(approval: &Approval) -> String {
    let reason = approval.reason.as_deref().unwrap_or("no reason");
    format!(
        "Plan {} was approved by {} at {} because: {reason}.",
        approval.plan_id,
        by_and_for(&approval.by, approval.reviewer.as_deref()),
        time_for_people(approval.at),
    )
}

fn rejected(rejection: &Rejection) -> String {
    let reason = rejection.reason.as_ref().map_or_else(
        || " without a reason".to_owned(),
        |reason| format!(" because: {reason}"),
    );
    format!(
        "The plan was rejected by {} at {}{reason}; that stands until {}.",
        by_and_for(&rejection.by, rejection.reviewer.as_deref()),
        time_for_people(rejection.at),
        time_for_people(rejection.until),
    )
}

fn planned(report: &Report) -> String {
    would_be(&report.actions)
}

/// `3 accounts would be deactivated, 5 roles would be changed`.
pub(super) fn would_be(actions: &[ActionReport]) -> String {
    sentence_of(
        |kind| count(actions, |action| action.kind == kind),
        |kind| match kind {
            ActionKind::Deactivate => "would be deactivated",
            ActionKind::SetRole => "would be changed",
            ActionKind::Create => "would be created",
        },
        "nothing would be changed",
    )
}

fn done(report: &Report) -> String {
    sentence_of(
        |kind| {
            count(&report.actions, |action| {
                action.kind == kind && action.status == ActionStatus::Succeeded
            })
        },
        |kind| match kind {
            ActionKind::Deactivate => "deactivated",
            ActionKind::SetRole => "changed",
            ActionKind::Create => "created",
        },
        "nothing was changed",
    )
}

/// `3 accounts deactivated, 5 roles changed, 1 account created`: what cannot be undone first.
fn sentence_of(
    count_of: impl Fn(ActionKind) -> u64,
    verb: impl Fn(ActionKind) -> &'static str,
    nothing: &str,
) -> String {
    let parts: Vec<String> = WEIGHED
        .into_iter()
        .filter_map(|kind| {
            let (one, many) = match kind {
                ActionKind::SetRole => ("role", "roles"),
                ActionKind::Deactivate | ActionKind::Create => ("account", "accounts"),
            };
            let count = count_of(kind);
            (count > 0).then(|| format!("{} {}", counted(count, one, many), verb(kind)))
        })
        .collect();
    if parts.is_empty() {
        nothing.to_owned()
    } else {
        parts.join(", ")
    }
}

/// `; 1 already done, 2 failed, 1 not tried`, or nothing.
fn left_over(report: &Report) -> String {
    let parts: Vec<String> = [
        (ActionStatus::Already, "already done"),
        (ActionStatus::Failed, "failed"),
        (ActionStatus::Rejected, "refused by Opsera"),
        (ActionStatus::Skipped, "skipped"),
        (ActionStatus::NotTried, "not tried"),
        (ActionStatus::Planned, "not tried"),
        (ActionStatus::Held, "held"),
    ]
    .into_iter()
    .filter_map(|(status, words)| {
        let count = count(&report.actions, |action| action.status == status);
        (count > 0).then(|| format!("{} {words}", number(count)))
    })
    .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("; {}", parts.join(", "))
    }
}

/// What holds a plan, in numbers.
pub(super) fn holding(guards: &[GuardReport]) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    for guard in guards.iter().filter(|guard| guard.held) {
        let measured = measured(guard);
        if !words.contains(&measured) {
            words.push(measured);
        }
    }
    (!words.is_empty()).then(|| words.join("; "))
}

fn held(report: &Report) -> String {
    let why = holding(&report.guards).unwrap_or_else(|| "by a guard".to_owned());
    let when = match report.mode {
        Mode::DryRun => "Dry run, held",
        Mode::Apply => "Held",
    };
    format!("{when}: {why}. {}.", capitalized(&planned(report)))
}

fn failed(report: &Report) -> String {
    if report.plan_id.is_none() && report.actions.is_empty() {
        return "Failed: nothing was planned.".to_owned();
    }
    format!(
        "Failed: the run stopped early; {}{}.",
        done(report),
        left_over(report)
    )
}

/// Whether any request that writes may have gone out.
fn may_have_written(report: &Report) -> bool {
    report.mode == Mode::Apply
        && report
            .actions
            .iter()
            .any(|action| action.attempts > 0 || action.status == ActionStatus::Succeeded)
}

pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn count(actions: &[ActionReport], wanted: impl Fn(&ActionReport) -> bool) -> u64 {
    let found = actions.iter().filter(|action| wanted(action));
    u64::try_from(found.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, words) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), words);
        }
    }
}
