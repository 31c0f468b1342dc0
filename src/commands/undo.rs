//! `rolecall undo`: a plan that takes back the role changes of a run, held until somebody decides.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::desk::Desk;
use crate::audit::AuditWriter;
use crate::cli::{GlobalArgs, TableFormat, UndoArgs};
use crate::domain::text::for_terminal;
use crate::domain::text::{counted, length};
use crate::domain::time::time_for_people;
use crate::domain::{ExitStatus, PlanState, PlannedAction, RunId};
use crate::output::{self, Listing};
use crate::reconcile::{Undo, undo};
use crate::store::{IdMatch, LockError, RunLock, StoreError, UndoableRun};

pub(super) async fn run(global: &GlobalArgs, args: &UndoArgs) -> anyhow::Result<ExitStatus> {
    let (desk, audit_writer) = Desk::decide(global).await?;
    let done = take_back(global, args, &desk, &audit_writer).await;
    desk.store.close().await;
    done
}

async fn take_back(
    global: &GlobalArgs,
    args: &UndoArgs,
    desk: &Desk,
    audit_writer: &AuditWriter,
) -> anyhow::Result<ExitStatus> {
    let usage = |words: &str| {
        output::note(&format!("error: {words}\n"), global.colour());
        Ok(ExitStatus::Usage)
    };
    // What a run is changing cannot be taken back meanwhile.
    let _lock = match RunLock::acquire(&desk.settings.store.path, &*desk.clock) {
        Ok(lock) => lock,
        Err(error @ LockError::Held { .. }) => {
            output::note(&format!("rolecall: {error}\n"), global.colour());
            return Ok(ExitStatus::AnotherRun);
        }
        Err(error) => return Err(error.into()),
    };
    let run = match find_run(desk, args.run.trim()).await? {
        Ok(run) => run,
        Err(words) => return usage(&words),
    };
    let policy = &desk.settings.policy;
    let found = undo(&desk.store, &run.id, policy, desk.clock.now()).await?;
    let state = if found.plan.actions().is_empty() {
        None
    } else {
        let ttl = policy.guards.approval_ttl;
        let held = desk
            .store
            .hold_undo(audit_writer, &run.id, &found.plan, &found.guards, ttl);
        Some(held.await?)
    };
    let latest_change = desk.store.latest_role_change().await?;
    match args.format.or_fitting() {
        TableFormat::Json => {
            let document = document(&run.id, &found, state);
            output::deliver(None, global.colour(), &format!("{document:#}\n"))?;
        }
        TableFormat::Table => {
            let mut text = verdict(&run, &found, state, latest_change.as_ref());
            if !found.plan.actions().is_empty() {
                text.push_str(&table(global, &found)?);
            }
            rest(&mut text, &run.id, &found);
            if let Some(state) = state {
                next(&mut text, &found, state);
            }
            output::deliver(None, global.colour(), &text)?;
        }
    }
    Ok(match state {
        Some(PlanState::Held | PlanState::Rejected) => ExitStatus::Held,
        _ => ExitStatus::Done,
    })
}

/// The run that `text` means, or why it means none.
async fn find_run(desk: &Desk, text: &str) -> Result<Result<UndoableRun, String>, StoreError> {
    if text == "latest" {
        let latest = desk.store.latest_applying_run().await?;
        return Ok(latest.ok_or_else(|| "no run has applied a plan yet".to_owned()));
    }
    let run = match desk.store.match_run_id(text).await? {
        IdMatch::One(run) => run,
        IdMatch::Nothing => {
            return Ok(Err(format!(
                "there is no run “{}”: `rolecall status` shows the latest",
                for_terminal(text)
            )));
        }
        IdMatch::Several(runs) => {
            let ids: Vec<&str> = runs.iter().map(RunId::as_str).collect();
            return Ok(Err(format!(
                "the ids of several runs begin with “{}”: {}",
                for_terminal(text),
                ids.join(", ")
            )));
        }
    };
    let kept = desk.store.find_undoable_run(&run).await?;
    Ok(kept.ok_or_else(|| {
        format!("what run {run} did is not kept any more (store.retain): the audit log tells it")
    }))
}

fn document(run: &RunId, found: &Undo, state: Option<PlanState>) -> Value {
    let people = |actions: &[PlannedAction]| -> Vec<Value> {
        actions
            .iter()
            .map(|action| json!({ "email": action.email, "opsera_id": action.opsera_id() }))
            .collect()
    };
    json!({
        "schema": "rolecall.undo/1",
        "run_id": run,
        "plan_id": state.map(|_| found.plan.id()),
        "state": state.map(PlanState::as_str),
        "actions": found.plan.actions().iter().map(|action| json!({
            "kind": action.kind(),
            "email": action.email,
            "opsera_id": action.opsera_id(),
            "from": action.from(),
            "to": action.to(),
        })).collect::<Vec<_>>(),
        "guards": found.guards,
        "left_out": found.left_out.iter().map(|(action, why)| json!({
            "email": action.email,
            "opsera_id": action.opsera_id(),
            "why": why.to_string(),
        })).collect::<Vec<_>>(),
        "no_undo": {
            "deactivated": people(&found.deactivated),
            "created": people(&found.created),
        },
        "set_again_by_rules": found.set_again,
    })
}

fn verdict(
    run: &UndoableRun,
    found: &Undo,
    state: Option<PlanState>,
    latest_change: Option<&UndoableRun>,
) -> String {
    let of_run = format!("run {} of {}", run.id, time_for_people(run.started_at));
    let id = found.plan.id();
    let accounts = counted(length(found.plan.actions()), "account", "accounts");
    match state {
        None => {
            let mut text = format!("Nothing to restore: {of_run} ");
            text.push_str(if found.left_out.is_empty() {
                "changed no role.\n"
            } else {
                "changed roles, and none of them can be taken back.\n"
            });
            if let Some(latest) = latest_change.filter(|latest| latest.id != run.id) {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    text,
                    "The latest run that changed a role is {} of {}.",
                    latest.id,
                    time_for_people(latest.started_at)
                );
            }
            text
        }
        Some(PlanState::Approved) => format!(
            "Plan {id} takes back what {of_run} changed, and is approved already: the next \
             `rolecall sync` applies it.\n"
        ),
        Some(PlanState::Rejected) => format!(
            "Plan {id} takes back what {of_run} changed, and was rejected: `rolecall plan show {id}` \
             says by whom and until when.\n"
        ),
        Some(_) => format!(
            "Plan {id} gives {accounts} the role back that they had before {of_run}. It is held: \
             nothing is done until somebody approves it.\n"
        ),
    }
}

fn table(global: &GlobalArgs, found: &Undo) -> anyhow::Result<String> {
    let mut listing = Listing::new(["account", "from", "to"]);
    for action in found.plan.actions() {
        listing.push([
            json!(action.email),
            json!(action.from()),
            json!(action.to()),
        ]);
    }
    let mut table = Vec::new();
    listing.write_table(super::style(global), &mut table)?;
    Ok(format!("\n{}", String::from_utf8_lossy(&table)))
}

/// What is not taken back, each by name.
fn rest(text: &mut String, run: &RunId, found: &Undo) {
    if !found.left_out.is_empty() {
        let roles = counted(length(&found.left_out), "role", "roles");
        let _ = writeln!(text, "\n{roles} left as they are");
        for (action, why) in &found.left_out {
            let _ = writeln!(text, "  {}: {why}", for_terminal(&action.email));
        }
    }
    for (actions, done, stays) in [
        (&found.deactivated, "deactivated", "deactivated"),
        (&found.created, "created", "there"),
    ] {
        if !actions.is_empty() {
            let accounts = counted(length(actions), "account", "accounts");
            let _ = writeln!(
                text,
                "\nNo undo for {accounts} that run {run} {done}; what was {done} stays {stays}"
            );
            for action in actions {
                let _ = writeln!(text, "  {}", for_terminal(&action.email));
            }
        }
    }
}

fn next(text: &mut String, found: &Undo, state: PlanState) {
    if !found.set_again.is_empty() {
        let people = counted(length(&found.set_again), "account", "accounts");
        let _ = writeln!(
            text,
            "\nCorrect the rules first: as they are, they give {people} the same role again, and the \
             run after\nthe undo would set it."
        );
    }
    if state == PlanState::Held {
        let id = found.plan.id();
        let _ = writeln!(
            text,
            "\nNext\n  rolecall plan show {id}\n  rolecall plan approve {id} --reason \"…\"\n  \
             rolecall review {id}"
        );
    }
}
