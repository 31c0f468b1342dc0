//! `rolecall plan show`: what a careful reviewer wants to read before deciding.
//!
//! What cannot be undone comes first; people of one kind and one reason stand together, each with
//! the records the decision rests on.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::{GlobalArgs, TableFormat};
use crate::commands::desk::{Desk, age, counted};
use crate::domain::approval::{Refusal, good_until, look_again};
use crate::domain::time::time_for_people;
use crate::domain::{
    ActionKind, ExitStatus, GuardReport, HeldPlan, PlanState, PlannedAction, text::for_terminal,
    time::Timestamp,
};
use crate::output;
use crate::output::Listing;

/// The kinds in the order in which a reviewer weighs them.
const WEIGHED: [ActionKind; 3] = [
    ActionKind::Deactivate,
    ActionKind::SetRole,
    ActionKind::Create,
];

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
    let until = good_until(&plan, ttl);
    let text = match format {
        TableFormat::Json => format!("{:#}\n", document(&plan, &actions, until)),
        TableFormat::Table => page(global, &plan, &actions, until, desk.clock.now())?,
    };
    output::deliver(None, global.colour(), &text)?;
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
        "held_at": plan.held_at,
        "last_held_at": plan.last_held_at,
        "good_until": until,
        "decided_at": plan.decided_at,
        "decided_by": plan.decided_by,
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

fn page(
    global: &GlobalArgs,
    plan: &HeldPlan,
    actions: &Actions,
    until: Option<Timestamp>,
    now: Timestamp,
) -> anyhow::Result<String> {
    let mut text = String::new();
    heading(&mut text, plan, until, now);
    let held: Vec<&GuardReport> = plan.guards.iter().filter(|guard| guard.held).collect();
    if !held.is_empty() {
        line(&mut text, "\nHeld by");
        text.push_str(&guards(global, &held)?);
    }
    if actions.is_empty() {
        line(
            &mut text,
            "\nThe plan has no actions: the guards doubt the source itself, and approving it accepts \
             that the Team has so few people.",
        );
    }
    for kind in WEIGHED {
        section(&mut text, kind, actions, now);
    }
    if let PlanState::Held = plan.state {
        line(&mut text, "\nNext");
        if until.is_some_and(|until| until > now) {
            line(
                &mut text,
                &format!("  rolecall plan approve {} --reason \"…\"", plan.id),
            );
            line(&mut text, &format!("  rolecall plan reject {}", plan.id));
        } else {
            line(&mut text, &format!("  {}", look_again(plan)));
        }
    }
    Ok(text)
}

fn heading(text: &mut String, plan: &HeldPlan, until: Option<Timestamp>, now: Timestamp) {
    let is_over = until.is_some_and(|until| until <= now);
    let state = match plan.state {
        PlanState::Held if is_over => "expired: it was held too long ago to be approved",
        PlanState::Held => "held: nothing of it is done until somebody approves it",
        PlanState::Approved if is_over => "approved, but the approval has lapsed",
        PlanState::Approved => "approved: the next sync applies what is not done yet",
        PlanState::Used => "used: everything in it is done",
        PlanState::Rejected => "rejected",
        PlanState::Superseded => "superseded: a later run wants something else",
    };
    line(
        text,
        &format!("\u{1b}[1mPlan {}\u{1b}[0m  {state}", plan.id),
    );
    let total = counted(plan.actions, "action", "actions");
    let mut facts = vec![
        ("Actions", format!("{total}, {} done", plan.done)),
        (
            "First held",
            format!(
                "{} ({})",
                time_for_people(plan.held_at),
                age(plan.held_at, now)
            ),
        ),
        (
            "Last held",
            format!(
                "{} by run {}",
                time_for_people(plan.last_held_at),
                plan.run_id
            ),
        ),
    ];
    if !plan.kinds.is_all() {
        let kinds = plan.kinds.to_string().replace(',', ", ");
        facts.push(("Limited to", kinds));
    }
    if let Some(people) = &plan.people {
        let people: Vec<&str> = people.addresses().collect();
        facts.push(("Only people", people.join(", ")));
    }
    if let Some(by) = &plan.decided_by {
        let at = plan.decided_at.map_or_else(String::new, time_for_people);
        facts.push(("Decided", format!("{at} by {by}")));
    }
    if let Some(reason) = &plan.reason {
        facts.push(("Reason", reason.clone()));
    }
    if let Some(until) = until {
        let name = match plan.state {
            PlanState::Held => "Decide by",
            _ => "Good until",
        };
        facts.push((name, time_for_people(until)));
    }
    for (name, fact) in facts {
        line(text, &format!("{name:<11} {}", for_terminal(&fact)));
    }
}

fn guards(global: &GlobalArgs, held: &[&GuardReport]) -> anyhow::Result<String> {
    let mut listing = Listing::new(["guard", "limit", "actual", "which_is"]);
    for guard in held {
        listing.push([
            json!(guard.guard),
            json!(guard.limit),
            json!(guard.actual),
            json!(guard.basis),
        ]);
    }
    let mut table = Vec::new();
    listing.write_table(crate::commands::style(global), &mut table)?;
    Ok(String::from_utf8_lossy(&table).into_owned())
}

fn section(text: &mut String, kind: ActionKind, actions: &Actions, now: Timestamp) {
    let mut by_reason: BTreeMap<&str, Vec<(&PlannedAction, bool)>> = BTreeMap::new();
    for (action, is_done) in actions.iter().filter(|(action, _)| action.kind() == kind) {
        let group = by_reason.entry(&action.reason).or_default();
        group.push((action, *is_done));
    }
    if by_reason.is_empty() {
        return;
    }
    let count = as_count(by_reason.values().map(Vec::len).sum());
    let title = match kind {
        ActionKind::Deactivate => {
            let accounts = counted(count, "account", "accounts");
            format!("Deactivate {accounts} (cannot be undone)")
        }
        ActionKind::SetRole => {
            format!(
                "Set the site role of {}",
                counted(count, "account", "accounts")
            )
        }
        ActionKind::Create => format!("Create {}", counted(count, "account", "accounts")),
    };
    line(text, &format!("\n\u{1b}[1m{title}\u{1b}[0m"));
    for (reason, group) in by_reason {
        let people = counted(as_count(group.len()), "person", "people");
        line(
            text,
            &format!("  {} — {people}", for_terminal(&explained(reason))),
        );
        for (action, is_done) in group {
            person(text, action, is_done, now);
        }
    }
}

fn as_count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A reason in words a reviewer need not look up.
fn explained(reason: &str) -> String {
    match reason {
        "disabled" => "disabled in OPA".to_owned(),
        "deleted" => "deleted in OPA".to_owned(),
        "absent" => "absent: no OPA record has the address".to_owned(),
        "not_in_required_group" => {
            "not_in_required_group: ACTIVE in OPA, but in none of scope.required_groups".to_owned()
        }
        other => other.to_owned(),
    }
}

fn person(text: &mut String, action: &PlannedAction, is_done: bool, now: Timestamp) {
    let mut words = for_terminal(&action.email).into_owned();
    if let Some(to) = action.to() {
        match action.kind() {
            ActionKind::SetRole => {
                let from = action.from().unwrap_or("unknown role");
                let _ = write!(words, "  {} → {to}", for_terminal(from));
            }
            _ => {
                let _ = write!(words, "  as {to}");
            }
        }
    }
    if is_done {
        words.push_str("  (done)");
    }
    line(text, &format!("    {words}"));
    if let Some(id) = action.opsera_id() {
        line(
            text,
            &format!("      Opsera account {}", for_terminal(id.as_str())),
        );
    }
    for fact in evidence(&action.evidence, now) {
        line(text, &format!("      {}", for_terminal(&fact)));
    }
}

/// The records behind a decision, a line each.
fn evidence(evidence: &Value, now: Timestamp) -> Vec<String> {
    let field = |record: &Value, name: &str| record[name].as_str().unwrap_or("?").to_owned();
    let list = |name: &str| -> Option<Vec<&str>> {
        let values = evidence.get(name)?.as_array()?;
        Some(values.iter().filter_map(Value::as_str).collect())
    };
    let mut facts = Vec::new();
    for record in evidence["opa_records"].as_array().into_iter().flatten() {
        facts.push(format!(
            "OPA record {} (id {}) is {}, address {}",
            field(record, "name"),
            field(record, "id"),
            field(record, "status"),
            field(record, "email"),
        ));
    }
    if let Some(since) = evidence["absent_since"].as_str() {
        let when = since.parse::<Timestamp>();
        facts.push(when.map_or_else(
            |_| format!("missing since {since}"),
            |at| format!("missing since {} ({})", time_for_people(at), age(at, now)),
        ));
    }
    if let Some(names) = list("names_once_known") {
        facts.push(if names.is_empty() {
            "no OPA record with this address was ever seen".to_owned()
        } else {
            format!("once known in OPA as {}", names.join(", "))
        });
    }
    if let Some(groups) = list("groups") {
        facts.push(if groups.is_empty() {
            "in no group that decides anything".to_owned()
        } else {
            format!("groups: {}", groups.join(", "))
        });
    }
    if let Some(required) = list("required_groups") {
        facts.push(format!("required: one of {}", required.join(", ")));
    }
    facts
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
