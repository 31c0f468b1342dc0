//! `rolecall queue`: what is waiting or stuck, and the decisions about single actions.

use serde_json::{Value, json};

use super::desk::{Desk, Look, tell_no_run_yet};
use crate::audit::AuditWriter;
use crate::cli::{GlobalArgs, QueueArgs, QueueCommand, TableFormat};
use crate::domain::{
    ActionKind, ActionState, ExitStatus, text::for_terminal, time::Timestamp, time::time_for_people,
};
use crate::output;
use crate::output::Listing;
use crate::store::{QueueOutcome, QueueRow, QueueView, RunLock, StoreError, retry_at};

pub(super) async fn run(global: &GlobalArgs, args: &QueueArgs) -> anyhow::Result<ExitStatus> {
    match &args.command {
        QueueCommand::List { all, limit, format } => {
            let view = if *all {
                QueueView::All
            } else {
                QueueView::Unsettled
            };
            list(global, view, *limit, format.or_fitting()).await
        }
        QueueCommand::Retry { id, format } => {
            rule(global, id, Wish::Retry, format.or_fitting()).await
        }
        QueueCommand::Cancel { id, format } => {
            rule(global, id, Wish::Cancel, format.or_fitting()).await
        }
    }
}

async fn list(
    global: &GlobalArgs,
    view: QueueView,
    limit: u32,
    format: TableFormat,
) -> anyhow::Result<ExitStatus> {
    let desk = match Desk::look(global).await? {
        Look::Open(desk) => desk,
        Look::NoRunYet(settings) => {
            tell_no_run_yet(global, &settings, format, &json!([]))?;
            return Ok(ExitStatus::Done);
        }
    };
    let rows = desk.store.list_queue(view, limit).await;
    desk.store.close().await;
    let listing = match format {
        TableFormat::Table => for_people(&rows?),
        TableFormat::Json => for_programs(&rows?),
    };
    super::print_listing(global, &listing, format)?;
    Ok(ExitStatus::Done)
}

fn for_people(rows: &[QueueRow]) -> Listing {
    let mut listing = Listing::new(["id", "state", "what", "address", "because", "note"]);
    for row in rows {
        listing.push([
            json!(row.id),
            json!(row.state),
            json!(what(row)),
            json!(row.action.email),
            json!(row.action.reason),
            json!(note(row)),
        ]);
    }
    listing
}

fn for_programs(rows: &[QueueRow]) -> Listing {
    let mut listing = Listing::new([
        "id",
        "state",
        "kind",
        "email",
        "opsera_id",
        "from",
        "to",
        "reason",
        "run_id",
        "attempts",
        "http_status",
        "message",
        "next_attempt_at",
        "updated_at",
    ]);
    for row in rows {
        let action = &row.action;
        listing.push([
            json!(row.id),
            json!(row.state),
            json!(action.kind()),
            json!(action.email),
            json!(action.opsera_id()),
            json!(action.from()),
            json!(action.to()),
            json!(action.reason),
            json!(row.run_id),
            json!(row.attempts),
            json!(row.http_status),
            json!(row.message),
            json!(row.next_attempt_at),
            json!(row.updated_at),
        ]);
    }
    listing
}

/// What an action does, in a few words.
fn what(row: &QueueRow) -> String {
    let to = row
        .action
        .to()
        .map(crate::domain::SiteRole::as_str)
        .unwrap_or_default();
    match row.action.kind() {
        ActionKind::Deactivate => "deactivate".to_owned(),
        ActionKind::SetRole => format!("set role {to}"),
        ActionKind::Create => format!("create as {to}"),
    }
}

/// Why an action is where it is, and what happens next: for people, here and in `status`.
pub(super) fn note(row: &QueueRow) -> String {
    let said = row.message.as_deref().unwrap_or_default();
    let until = row.next_attempt_at.map(time_for_people).unwrap_or_default();
    match row.state {
        ActionState::Planned if said.is_empty() => "the next run plans it afresh".to_owned(),
        ActionState::Planned => format!("{said}; the next run plans it afresh"),
        ActionState::InFlight => {
            "its request has no recorded outcome: the next run settles it by reading the account"
                .to_owned()
        }
        ActionState::Failed => format!("{said}; the next run tries again"),
        ActionState::Rejected => {
            format!("refused by Opsera: {said}; not tried again before {until}")
        }
        ActionState::Cancelled => format!("{said}; not tried again before {until}"),
        ActionState::Succeeded
        | ActionState::Already
        | ActionState::Skipped
        | ActionState::Superseded
        | ActionState::Released => said.to_owned(),
    }
}

/// What an operator wants of one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Retry,
    Cancel,
}

async fn rule(
    global: &GlobalArgs,
    id: &str,
    wish: Wish,
    format: TableFormat,
) -> anyhow::Result<ExitStatus> {
    let (desk, audit_writer) = Desk::decide(global).await?;
    let until = retry_at(desk.clock.now(), desk.settings.retry.rejected_retry);
    let outcome = match id.trim().parse() {
        // An id that is no number names no action, as one that was never given.
        Err(_) => Ok(QueueOutcome::Unknown),
        Ok(number) => match wish {
            Wish::Retry => desk.store.release_action(&audit_writer, number).await,
            Wish::Cancel => cancel(&desk, &audit_writer, number, until).await,
        },
    };
    desk.store.close().await;
    let text = match outcome? {
        QueueOutcome::Done(row) if format == TableFormat::Json => ruling(&row, wish, until),
        QueueOutcome::Done(row) => match wish {
            Wish::Retry => format!(
                "{} may be tried again: the next `rolecall sync` does so if it is still due.\n",
                named(&row)
            ),
            Wish::Cancel => format!(
                "{} is cancelled: it is not tried before {}, or until `rolecall queue retry {}`.\n\
                 To keep it from being done for good, protect the address (protect.emails).\n",
                named(&row),
                time_for_people(until),
                row.id,
            ),
        },
        QueueOutcome::Unknown => anyhow::bail!(
            "there is no action {} in the queue: `rolecall queue list` shows the ids",
            for_terminal(id.trim())
        ),
        QueueOutcome::Impossible(row) => anyhow::bail!(impossible(&row, wish)),
        QueueOutcome::InRun(row) => {
            let words = format!(
                "a run that is under way carries {} out: wait for the end of the run, or interrupt it, \
                 before you cancel the action",
                named(&row)
            );
            output::note(&format!("rolecall: {words}\n"), global.colour());
            return Ok(ExitStatus::AnotherRun);
        }
    };
    output::deliver(None, global.colour(), &text)?;
    Ok(ExitStatus::Done)
}

/// A decision for programs. `row` is as it was before.
fn ruling(row: &QueueRow, wish: Wish, until: Timestamp) -> String {
    let (state, not_before) = match wish {
        Wish::Retry => (ActionState::Released, None),
        Wish::Cancel => (ActionState::Cancelled, Some(until)),
    };
    let document = json!({
        "schema": "rolecall.queue_decision/1",
        "id": row.id,
        "was": row.state,
        "state": state,
        "kind": row.action.kind(),
        "email": row.action.email,
        "opsera_id": row.action.opsera_id(),
        "not_before": not_before,
    });
    format!("{document:#}\n")
}

async fn cancel(
    desk: &Desk,
    audit_writer: &AuditWriter,
    id: i64,
    until: Timestamp,
) -> Result<QueueOutcome, StoreError> {
    let outcome = desk
        .store
        .cancel_action(audit_writer, id, until, None)
        .await?;
    if !matches!(outcome, QueueOutcome::InRun(_)) {
        return Ok(outcome);
    }
    // The lock tells a run that is under way from one that was killed.
    match RunLock::acquire(desk.store.path(), &*desk.clock) {
        Ok(lock) => {
            let outcome = desk
                .store
                .cancel_action(audit_writer, id, until, Some(&lock))
                .await;
            drop(lock);
            outcome
        }
        Err(_) => Ok(outcome),
    }
}

fn named(row: &QueueRow) -> String {
    let email = for_terminal(&row.action.email);
    format!("Action {} ({} {email})", row.id, what(row))
}

/// Why the state of an action does not allow the wish, and what does instead.
fn impossible(row: &QueueRow, wish: Wish) -> String {
    let instead = match (wish, row.state) {
        (Wish::Retry, ActionState::Planned | ActionState::Failed) => {
            "the next run tries it anyway if it is still due"
        }
        (_, ActionState::InFlight) => {
            "its request was sent, and the next run settles it by reading the account"
        }
        (Wish::Retry, ActionState::Released) => {
            "it was released already, and the next run tries it"
        }
        (Wish::Cancel, ActionState::Cancelled) => "it is not tried again until its time has passed",
        (Wish::Cancel, ActionState::Rejected) => {
            "Opsera refused it, and it is not tried again until its time has passed; protect the \
             address (protect.emails) to stop it for good"
        }
        (Wish::Cancel, ActionState::Failed | ActionState::Released) => {
            "it is over, and the next run plans it afresh; protect the address (protect.emails) to \
             stop that"
        }
        _ => "it is over",
    };
    let verb = match wish {
        Wish::Retry => "retried",
        Wish::Cancel => "cancelled",
    };
    format!(
        "action {} ({} {}) cannot be {verb} because it is {}: {instead}",
        row.id,
        what(row),
        for_terminal(&row.action.email),
        row.state.in_words(),
    )
}

/// The fields of a stuck action that `status` shows to programs.
pub(super) fn brief(row: &QueueRow) -> Value {
    json!({
        "id": row.id,
        "state": row.state,
        "kind": row.action.kind(),
        "email": row.action.email,
        "message": row.message,
        "next_attempt_at": row.next_attempt_at,
        "updated_at": row.updated_at,
    })
}
