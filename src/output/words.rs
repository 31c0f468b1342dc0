//! What a run says in plain words: the headline and the next commands.

use crate::domain::ActionKind;
use crate::domain::{ActionReport, ActionStatus, Mode, Outcome, Report};

/// A command that the reader may want to run next, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextStep {
    pub(super) purpose: &'static str,
    pub(super) command: String,
}

/// `1 account`, `3 accounts`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// One sentence or a few: what happened, and whether anything was written.
pub(super) fn headline(report: &Report) -> String {
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
    sentences.join(" ")
}

/// What the reader can do next, most useful first.
pub(super) fn next_steps(report: &Report) -> Vec<NextStep> {
    let step = |purpose, command: &str| NextStep {
        purpose,
        command: command.to_owned(),
    };
    match (report.outcome, &report.plan_id) {
        (Outcome::Held, Some(plan)) => vec![
            step("look at the plan", &format!("rolecall plan show {plan}")),
            step(
                "let it pass, exactly as it is",
                &format!("rolecall plan approve {plan} --reason \"…\""),
            ),
            step("turn it down", &format!("rolecall plan reject {plan}")),
        ],
        (Outcome::ChangesPending, _) => vec![step("make these changes", "rolecall sync")],
        (Outcome::Partial, _) => vec![step("see what is left", "rolecall queue list")],
        (Outcome::Failed, _) => vec![step("find out what is wrong", "rolecall check")],
        _ => Vec::new(),
    }
}

fn planned(report: &Report) -> String {
    sentence_of(
        |kind| count(report, |action| action.kind == kind),
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
            count(report, |action| {
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
    let parts: Vec<String> = [
        ActionKind::Deactivate,
        ActionKind::SetRole,
        ActionKind::Create,
    ]
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
        let count = count(report, |action| action.status == status);
        (count > 0).then(|| format!("{count} {words}"))
    })
    .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("; {}", parts.join(", "))
    }
}

fn held(report: &Report) -> String {
    let guards: Vec<&str> = report
        .guards
        .iter()
        .filter(|guard| guard.held)
        .map(|guard| guard.guard.as_str())
        .collect();
    let by = if guards.is_empty() {
        "a guard".to_owned()
    } else {
        guards.join(", ")
    };
    let when = match report.mode {
        Mode::DryRun => "Dry run, held",
        Mode::Apply => "Held",
    };
    format!("{when} by {by}: {}.", planned(report))
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

fn count(report: &Report, wanted: impl Fn(&ActionReport) -> bool) -> u64 {
    let found = report.actions.iter().filter(|action| wanted(action));
    u64::try_from(found.count()).unwrap_or(u64::MAX)
}
