//! `rolecall plan show`: what a careful reviewer wants to read before deciding.

use serde_json::{Value, json};

use crate::cli::{GlobalArgs, TableFormat};
use crate::commands::desk::Desk;
use crate::domain::approval::{Refusal, good_until};
use crate::domain::{ExitStatus, HeldPlan, PlannedAction, time::Timestamp};
use crate::output::{self, PlanView, TableStyle};
use crate::review::reported;

type Actions = Vec<(PlannedAction, bool)>;

pub(super) async fn run(
    global: &GlobalArgs,
    given: &str,
    format: TableFormat,
) -> anyhow::Result<ExitStatus> {
    let desk = Desk::look_at_store(global).await?;
    let found = find(&desk, given).await;
    desk.store.close().await;
    let (plan, actions) = found?;
    let ttl = desk.settings.policy.guards.approval_ttl;
    match format {
        TableFormat::Json => {
            let document = document(&plan, &actions, good_until(&plan, ttl));
            output::deliver(None, global.colour(), &format!("{document:#}\n"))?;
        }
        TableFormat::Table => {
            let shown = reported(&plan, &actions);
            let view = PlanView {
                plan: &plan,
                actions: &shown,
                ttl,
                now: desk.clock.now(),
            };
            // Whoever decides sees everybody, however long the list.
            let style = TableStyle {
                rows_per_list: None,
                ..crate::commands::style(global)
            };
            let mut sink = output::Sink::stdout(global.colour());
            output::render_plan(view, style, &mut sink)?;
            sink.finish()?;
        }
    }
    Ok(ExitStatus::Done)
}

async fn find(desk: &Desk, given: &str) -> anyhow::Result<(HeldPlan, Actions)> {
    let id = desk.plan_named(given).await?;
    let Some(plan) = desk.store.find_plan(&id).await? else {
        return Err(Refusal::Unknown { id }.into());
    };
    let actions = desk.store.list_plan_actions(&id).await?;
    Ok((plan, actions))
}

fn document(plan: &HeldPlan, actions: &Actions, until: Option<Timestamp>) -> Value {
    json!({
        "schema": "rolecall.plan/1",
        "plan_id": plan.id,
        "state": plan.state.as_str(),
        "kinds": plan.kinds,
        "people": plan.people,
        "run_id": plan.run_id,
        "undoes": plan.undoes,
        "held_at": plan.held_at,
        "last_held_at": plan.last_held_at,
        "good_until": until,
        "decided_at": plan.decided_at,
        "decided_by": plan.decided_by,
        "reviewer": plan.reviewer,
        "reason": plan.reason,
        "done": plan.done,
        "guards": plan.guards,
        "actions": actions.iter().map(|(action, is_done)| json!({
            "kind": action.kind(),
            "email": action.email,
            "opsera_id": action.opsera_id(),
            "from": action.from(),
            "to": action.to(),
            "reason": action.reason,
            "evidence": action.evidence,
            "done": is_done,
        })).collect::<Vec<_>>(),
    })
}
