//! `rolecall plan list`: held plans and what became of them, the latest first.

use serde_json::{Value, json};

use crate::cli::{GlobalArgs, TableFormat};
use crate::commands::desk::{Desk, Look, tell_no_run_yet};
use crate::domain::approval::good_until;
use crate::domain::time::time_for_people;
use crate::domain::{ExitStatus, HeldPlan, PlanState, time::Timestamp};
use crate::output::{self, Listing};
use crate::settings::OfflineSettings;

pub(super) async fn run(global: &GlobalArgs, format: TableFormat) -> anyhow::Result<ExitStatus> {
    let desk = match Desk::look(global).await? {
        Look::Open(desk) => desk,
        Look::NoRunYet(settings) => {
            tell_no_run_yet(global, &settings, format, &json!([]))?;
            return Ok(ExitStatus::Done);
        }
    };
    let plans = desk.store.list_plans().await;
    desk.store.close().await;
    let listing = match format {
        TableFormat::Table => for_people(&plans?, &desk.settings, desk.clock.now()),
        TableFormat::Json => for_programs(&plans?, &desk.settings),
    };
    crate::commands::print_listing(global, &listing, format)?;
    Ok(ExitStatus::Done)
}

fn for_people(plans: &[HeldPlan], settings: &OfflineSettings, now: Timestamp) -> Listing {
    let ttl = settings.policy.guards.approval_ttl;
    let mut listing = Listing::new([
        "plan",
        "state",
        "actions",
        "done",
        "last_held",
        "open_until",
        "held_by",
        "decided_by",
        "reason",
    ]);
    for plan in plans {
        let until = good_until(plan, ttl);
        let is_over = until.is_some_and(|until| until <= now);
        let state = match plan.state {
            PlanState::Held if is_over => "expired".to_owned(),
            PlanState::Approved if is_over => "approval lapsed".to_owned(),
            state => state.to_string(),
        };
        listing.push([
            json!(plan.id),
            json!(state),
            json!(plan.actions),
            json!(plan.done),
            json!(time_for_people(plan.last_held_at)),
            until
                .filter(|_| !is_over)
                .map_or(Value::Null, |until| json!(time_for_people(until))),
            json!(held_by(plan)),
            json!(
                plan.decided_by
                    .as_deref()
                    .map(|by| output::by_and_for(by, plan.reviewer.as_deref()))
            ),
            json!(plan.reason),
        ]);
    }
    listing
}

fn for_programs(plans: &[HeldPlan], settings: &OfflineSettings) -> Listing {
    let ttl = settings.policy.guards.approval_ttl;
    let mut listing = Listing::new([
        "plan_id",
        "state",
        "actions",
        "done",
        "kinds",
        "run_id",
        "undoes",
        "held_at",
        "last_held_at",
        "good_until",
        "guards",
        "decided_at",
        "decided_by",
        "reviewer",
        "reason",
    ]);
    for plan in plans {
        listing.push([
            json!(plan.id),
            json!(plan.state.as_str()),
            json!(plan.actions),
            json!(plan.done),
            json!(plan.kinds),
            json!(plan.run_id),
            json!(plan.undoes),
            json!(plan.held_at),
            json!(plan.last_held_at),
            json!(good_until(plan, ttl)),
            json!(guards(plan)),
            json!(plan.decided_at),
            json!(plan.decided_by),
            json!(plan.reviewer),
            json!(plan.reason),
        ]);
    }
    listing
}

/// What a plan waits for a decision for: the run it takes back, and the guards that hold it.
fn held_by(plan: &HeldPlan) -> String {
    let undo = plan.undoes.iter().map(|run| format!("undo of run {run}"));
    let guards = guards(plan).into_iter().map(str::to_owned);
    undo.chain(guards).collect::<Vec<_>>().join(", ")
}

/// The guards that hold it, by their names.
fn guards(plan: &HeldPlan) -> Vec<&str> {
    let held = plan.guards.iter().filter(|guard| guard.held);
    held.map(|guard| guard.guard.as_str()).collect()
}
