//! `rolecall plan approve` and `rolecall plan reject`.

use serde_json::json;

use crate::audit::AuditWriter;
use crate::cli::{GlobalArgs, TableFormat};
use crate::commands::desk::{Desk, counted};
use crate::domain::approval::{
    Circumstances, Wanted, good_until, look_again, may_approve, may_reject, run_that_applies,
};
use crate::domain::time::time_for_people;
use crate::domain::{Decider, ExitStatus, HeldPlan, PlanId, PlanState, text::for_terminal};
use crate::output;
use crate::store::RunLimits;

/// What an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Approve,
    Reject,
}

/// A decision that is asked for.
pub(super) struct Asked {
    /// The plan's id, or the beginning of it.
    pub(super) given: String,
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
}

pub(super) async fn run(
    global: &GlobalArgs,
    asked: Asked,
    format: TableFormat,
) -> anyhow::Result<ExitStatus> {
    let (desk, audit_writer) = Desk::decide(global).await?;
    let decided = decide(&desk, &audit_writer, &asked).await;
    desk.store.close().await;
    let plan = decided?;
    let ttl = desk.settings.policy.guards.approval_ttl;
    let text = match format {
        TableFormat::Json => format!(
            "{:#}\n",
            json!({
                "schema": "rolecall.decision/1",
                "plan_id": plan.id,
                "state": plan.state.as_str(),
                "decided_at": plan.decided_at,
                "decided_by": plan.decided_by,
                "reason": plan.reason,
                "good_until": good_until(&plan, ttl),
                "next": match plan.state {
                    PlanState::Approved => run_that_applies(&plan),
                    _ => look_again(&plan),
                },
                "actions": plan.actions,
                "done": plan.done,
            })
        ),
        TableFormat::Table => words(&plan, ttl),
    };
    output::deliver(None, global.colour(), &text)?;
    Ok(ExitStatus::Done)
}

async fn decide(
    desk: &Desk,
    audit_writer: &AuditWriter,
    asked: &Asked,
) -> anyhow::Result<HeldPlan> {
    let id = desk.plan_named(&asked.given).await?;
    let known = desk.store.find_plan(&id).await?;
    let wanted = match &known {
        Some(plan) => {
            desk.store
                .latest_plan(RunLimits {
                    kinds: &plan.kinds,
                    people: plan.people.as_ref(),
                })
                .await?
        }
        None => None,
    };
    let now = desk.clock.now();
    let circumstances = Circumstances {
        ttl: desk.settings.policy.guards.approval_ttl,
        now,
        wanted: wanted.map_or(Wanted::Unknown, Wanted::Plan),
    };
    let decider = Decider {
        by: audit_writer.actor.to_string(),
        reason: asked.reason.clone(),
        at: now,
    };
    let (state, check): (_, fn(&PlanId, Option<&HeldPlan>, &Circumstances) -> _) =
        match asked.decision {
            Decision::Approve => (PlanState::Approved, may_approve),
            Decision::Reject => (PlanState::Rejected, may_reject),
        };
    let check = |plan: Option<&HeldPlan>| check(&id, plan, &circumstances);
    Ok(desk
        .store
        .decide_plan(audit_writer, &id, state, &decider, check)
        .await??)
}

fn words(plan: &HeldPlan, ttl: std::time::Duration) -> String {
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
    if let Some(reason) = &plan.reason {
        text.push_str("Reason: ");
        text.push_str(&for_terminal(reason));
        text.push('\n');
    }
    text
}
