//! `rolecall plan approve` and `rolecall plan reject`, and what every decision prints.

use std::time::Duration;

use serde_json::json;

use crate::cli::{GlobalArgs, TableFormat};
use crate::commands::desk::Desk;
use crate::domain::approval::{good_until, look_again, run_that_applies};
use crate::domain::text::counted;
use crate::domain::time::time_for_people;
use crate::domain::{ExitStatus, HeldPlan, PlanId, PlanState, text::for_terminal};
use crate::output;
use crate::review::{Asked, Decision, Decisions};

/// A decision as it is given on the command line.
pub(super) struct Given<'g> {
    /// The plan's id, or the beginning of it.
    pub(super) id: &'g str,
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
    pub(super) reviewer: Option<String>,
}

pub(super) async fn run(
    global: &GlobalArgs,
    given: Given<'_>,
    format: TableFormat,
) -> anyhow::Result<ExitStatus> {
    let (desk, audit_writer) = Desk::decide(global).await?;
    let named = desk.plan_named(given.id).await;
    let decisions = desk.decisions(audit_writer);
    let decided = decide(&decisions, named, given).await;
    decisions.store.close().await;
    tell(global, &decided?, decisions.ttl, format)?;
    Ok(ExitStatus::Done)
}

async fn decide(
    decisions: &Decisions,
    named: anyhow::Result<PlanId>,
    given: Given<'_>,
) -> anyhow::Result<HeldPlan> {
    let asked = Asked {
        id: named?,
        decision: given.decision,
        reason: given.reason,
        reviewer: given.reviewer,
    };
    Ok(decisions.decide(&asked).await??)
}

/// Prints a decision that is recorded.
pub(in crate::commands) fn tell(
    global: &GlobalArgs,
    plan: &HeldPlan,
    ttl: Duration,
    format: TableFormat,
) -> anyhow::Result<()> {
    let text = match format {
        TableFormat::Json => format!(
            "{:#}\n",
            json!({
                "schema": "rolecall.decision/1",
                "plan_id": plan.id,
                "state": plan.state.as_str(),
                "decided_at": plan.decided_at,
                "decided_by": plan.decided_by,
                "reviewer": plan.reviewer,
                "reason": plan.reason,
                "good_until": good_until(plan, ttl),
                "next": match plan.state {
                    PlanState::Approved => run_that_applies(plan),
                    _ => look_again(plan),
                },
                "actions": plan.actions,
                "done": plan.done,
            })
        ),
        TableFormat::Table => words(plan, ttl),
    };
    Ok(output::deliver(None, global.colour(), &text)?)
}

fn words(plan: &HeldPlan, ttl: Duration) -> String {
    let until = good_until(plan, ttl).map_or_else(String::new, time_for_people);
    let by = for_terminal(plan.decided_by.as_deref().unwrap_or_default());
    let mut text = match plan.state {
        PlanState::Approved => {
            let left = plan.actions.saturating_sub(plan.done);
            let covers = if plan.actions == 0 {
                "It has no actions; what is approved is that the source has so few people."
                    .to_owned()
            } else {
                format!(
                    "It covers these {} and not one person more.",
                    counted(left, "action", "actions")
                )
            };
            format!(
                "Plan {} is approved by {by}. {covers}\nThe next `{}` applies it; the approval is \
                 good until {until}.\n",
                plan.id,
                run_that_applies(plan),
            )
        }
        _ => format!(
            "Plan {} is rejected by {by}: nothing of it is done while a guard holds it.\nThat \
             stands until {until}; to see what is wanted then, run `{}`.\nTo take it back: \
             rolecall plan approve {} --reason \"…\"\n",
            plan.id,
            look_again(plan),
            plan.id,
        ),
    };
    for (name, said) in [("Reason", &plan.reason), ("Reviewer", &plan.reviewer)] {
        if let Some(said) = said {
            text.push_str(&format_args!("{name}: {}\n", for_terminal(said)).to_string());
        }
    }
    text
}
