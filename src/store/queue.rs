//! The rows of the action queue (§7): every move is one short transaction that also writes the
//! audit entry of the move, and that changes exactly one row or fails.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::SqliteConnection;

use super::audit::append;
use super::fields::Fields;
use super::memory::{RoleSource, remember_created, remember_role};
use super::plans::use_up;
use super::{Store, StoreError};
use crate::audit::{AuditWriter, Event, NewEntry};
use crate::domain::time::format_time;
use crate::domain::{
    ActionKind, ActionOutcome, ActionState, Change, Effect, Plan, PlannedAction, RunId,
    time::Timestamp,
};

/// An action in the queue.
#[derive(Clone, Debug)]
pub struct QueuedAction {
    /// Its row.
    pub id: i64,
    /// Its place in the plan.
    pub position: usize,
    /// What is to be done.
    pub action: PlannedAction,
    /// Write requests sent for it so far.
    pub attempts: u32,
}

/// Why an action of a plan is not tried in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Opsera refused it, and `retry.rejected_retry` has not passed.
    Rejected {
        /// Opsera's words.
        words: String,
        /// When it may be tried again.
        until: Timestamp,
    },
    /// An operator cancelled it, and `retry.rejected_retry` has not passed.
    Cancelled {
        /// Who and when.
        words: String,
        /// When it may be tried again.
        until: Timestamp,
    },
    /// An earlier request for it had no outcome, and the account cannot be read.
    Unsettled,
}

impl Store {
    /// What of `plan` is not to be tried now, by position.
    pub async fn list_refusals(
        &self,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<BTreeMap<usize, Refusal>, StoreError> {
        let mut conn = self.reader().acquire().await?;
        refusals(&mut conn, plan, now).await
    }

    /// Puts a plan into the queue, in one transaction: rows of earlier runs that are not in it
    /// become superseded (A7), rows that are in it are taken over. Gives what is not to be tried.
    pub async fn enqueue(
        &self,
        run: &RunId,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<BTreeMap<usize, Refusal>, StoreError> {
        let mut tx = self.begin().await?;
        let refused = refusals(&mut tx, plan, now).await?;
        let identities: Vec<String> = plan
            .actions()
            .iter()
            .map(|action| action.identity().as_str().to_owned())
            .collect();
        sqlx::query(
            "UPDATE actions SET state = 'superseded', updated_at = ?2,
                 message = 'a later run does not want it any more'
             WHERE state = 'planned' AND identity NOT IN (SELECT value FROM json_each(?1))",
        )
        .bind(json!(identities).to_string())
        .bind(format_time(now))
        .execute(&mut *tx)
        .await?;
        for (position, action) in plan.actions().iter().enumerate() {
            if !refused.contains_key(&position) {
                enqueue_one(&mut tx, run, plan, position, action, now).await?;
            }
        }
        self.commit(tx).await?;
        Ok(refused)
    }

    /// The next planned action of `run` after `after`, leaving out `kinds_left_out`.
    pub async fn next_planned(
        &self,
        run: &RunId,
        after: Option<usize>,
        kinds_left_out: &[ActionKind],
    ) -> Result<Option<QueuedAction>, StoreError> {
        let left_out: Vec<&str> = kinds_left_out.iter().map(|kind| kind.as_str()).collect();
        let row = sqlx::query(
            "SELECT id, position, action, attempts FROM actions
             WHERE run_id = ?1 AND state = 'planned' AND position > ?2
               AND kind NOT IN (SELECT value FROM json_each(?3))
             ORDER BY position LIMIT 1",
        )
        .bind(run.as_str())
        .bind(
            after
                .and_then(|after| i64::try_from(after).ok())
                .unwrap_or(-1),
        )
        .bind(json!(left_out).to_string())
        .fetch_optional(self.writer())
        .await?;
        row.map(|row| queued(&row)).transpose()
    }

    /// Every planned deactivation of `run`, for the check of the listing before the first one.
    pub async fn list_planned_deactivations(
        &self,
        run: &RunId,
    ) -> Result<Vec<QueuedAction>, StoreError> {
        sqlx::query(
            "SELECT id, position, action, attempts FROM actions
             WHERE run_id = ?1 AND state = 'planned' AND kind = 'deactivate' ORDER BY position",
        )
        .bind(run.as_str())
        .fetch_all(self.writer())
        .await?
        .iter()
        .map(queued)
        .collect()
    }

    /// Actions whose request was sent and whose outcome nobody wrote down (A7).
    pub async fn list_in_flight(&self) -> Result<Vec<QueuedAction>, StoreError> {
        sqlx::query(
            "SELECT id, position, action, attempts FROM actions WHERE state = 'in_flight' ORDER BY id",
        )
        .fetch_all(self.writer())
        .await?
        .iter()
        .map(queued)
        .collect()
    }

    /// Announces a request: the row becomes `in_flight`, the audit log says so, and both are
    /// durable once this returns (A1). A role that is about to change is uncertain from here on.
    pub async fn reserve(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        queued: &QueuedAction,
    ) -> Result<u32, StoreError> {
        let now = audit_writer.clock.now();
        let mut tx = self.begin().await?;
        let attempts = queued.attempts.saturating_add(1);
        let moved = sqlx::query(
            "UPDATE actions SET state = 'in_flight', attempts = ?2, updated_at = ?3
             WHERE id = ?1 AND state IN ('planned', 'in_flight') AND attempts = ?4",
        )
        .bind(queued.id)
        .bind(attempts)
        .bind(format_time(now))
        .bind(queued.attempts)
        .execute(&mut *tx)
        .await?;
        self.exactly_one(moved.rows_affected(), queued.id, "planned")?;
        if let Change::SetRole { opsera_id, .. } = &queued.action.change {
            remember_role(&mut tx, opsera_id, None, RoleSource::Set, now).await?;
        }
        let mut evidence = json!({ "action": queued.id, "attempt": attempts });
        if let Some(map) = evidence.as_object_mut() {
            map.insert("kind".into(), json!(queued.action.kind()));
            map.insert("because".into(), queued.action.evidence.to_value());
        }
        let entry = entry(Event::ActionStarted, run, &queued.action).evidence(evidence);
        append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await?;
        Ok(attempts)
    }

    /// Writes down what came of one request that will be repeated: the row stays `in_flight`.
    pub async fn note_attempt(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        queued: &QueuedAction,
        http_status: Option<u16>,
        words: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let entry = entry(Event::ActionFailed, run, &queued.action)
            .evidence(json!({ "action": queued.id, "attempt": queued.attempts, "repeated": true }))
            .outcome(http_status, Some(words.to_owned()));
        append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await
    }

    /// Ends an action: its row, what is remembered of the role, the approval it uses up and the
    /// audit entry, in one transaction.
    pub async fn close_action(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        queued: &QueuedAction,
        outcome: &ActionOutcome,
    ) -> Result<(), StoreError> {
        let now = audit_writer.clock.now();
        if outcome.state.is_open() || !ActionState::InFlight.can_become(outcome.state) {
            return Err(self.conflict(format!("action {} cannot end {}", queued.id, outcome.state)));
        }
        let mut tx = self.begin().await?;
        let moved = sqlx::query(
            "UPDATE actions SET state = ?2, http_status = ?3, message = ?4, next_attempt_at = ?5,
                 updated_at = ?6
             WHERE id = ?1 AND state IN ('planned', 'in_flight')",
        )
        .bind(queued.id)
        .bind(outcome.state.as_str())
        .bind(outcome.http_status)
        .bind(&outcome.message)
        .bind(outcome.next_attempt_at.map(format_time))
        .bind(format_time(now))
        .execute(&mut *tx)
        .await?;
        self.exactly_one(moved.rows_affected(), queued.id, "planned or in flight")?;
        self.remember_effect(&mut tx, queued, outcome, now).await?;
        let mut evidence = json!({ "action": queued.id, "attempt": queued.attempts });
        if let (Some(map), Some(seen)) = (evidence.as_object_mut(), &outcome.seen) {
            map.insert("seen".into(), seen.clone());
        }
        let entry = entry(outcome.state.into(), run, &queued.action)
            .evidence(evidence)
            .outcome(outcome.http_status, outcome.message.clone());
        append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await
    }

    async fn remember_effect(
        &self,
        conn: &mut SqliteConnection,
        queued: &QueuedAction,
        outcome: &ActionOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if outcome.state.is_done() {
            use_up(conn, queued.action.identity().as_str(), now).await?;
        }
        match (&queued.action.change, &outcome.effect) {
            (Change::SetRole { opsera_id, to, .. }, Effect::Happened) => {
                remember_role(conn, opsera_id, Some(*to), RoleSource::Set, now).await
            }
            (
                Change::SetRole {
                    opsera_id, from, ..
                },
                Effect::DidNotHappen,
            ) => restore_role(conn, opsera_id, from.as_deref(), now).await,
            (Change::Create { to, .. }, Effect::Happened) => match &outcome.created_id {
                Some(id) => remember_role(conn, id, Some(*to), RoleSource::Created, now).await,
                None => remember_created(conn, &queued.action.key, *to, now).await,
            },
            _ => Ok(()),
        }
    }

    /// Puts an action back that Opsera certainly did not carry out, for a later run.
    pub async fn requeue(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        queued: &QueuedAction,
        http_status: Option<u16>,
        words: &str,
    ) -> Result<(), StoreError> {
        let now = audit_writer.clock.now();
        let mut tx = self.begin().await?;
        let moved = sqlx::query(
            "UPDATE actions SET state = 'planned', http_status = ?2, message = ?3, updated_at = ?4
             WHERE id = ?1 AND state = 'in_flight'",
        )
        .bind(queued.id)
        .bind(http_status)
        .bind(words)
        .bind(format_time(now))
        .execute(&mut *tx)
        .await?;
        self.exactly_one(moved.rows_affected(), queued.id, "in flight")?;
        if let Change::SetRole {
            opsera_id, from, ..
        } = &queued.action.change
        {
            restore_role(&mut tx, opsera_id, from.as_deref(), now).await?;
        }
        let entry = entry(Event::ActionFailed, run, &queued.action)
            .evidence(json!({ "action": queued.id, "attempt": queued.attempts, "repeated": false }))
            .outcome(http_status, Some(words.to_owned()));
        append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await
    }

    /// Deactivations that succeeded since `since`, for the weekly budget of G3.
    pub async fn count_deactivated_since(&self, since: Timestamp) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM actions
             WHERE kind = 'deactivate' AND state = 'succeeded' AND updated_at >= ?1",
        )
        .bind(format_time(since))
        .fetch_one(self.reader())
        .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn exactly_one(&self, rows: u64, id: i64, state: &str) -> Result<(), StoreError> {
        if rows == 1 {
            Ok(())
        } else {
            Err(self.conflict(format!("action {id} should have been {state}")))
        }
    }
}

async fn refusals(
    conn: &mut SqliteConnection,
    plan: &Plan,
    now: Timestamp,
) -> Result<BTreeMap<usize, Refusal>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, identity, state, message, next_attempt_at FROM actions
         WHERE state = 'in_flight' OR (state IN ('rejected', 'cancelled') AND next_attempt_at > ?1)
         ORDER BY id",
    )
    .bind(format_time(now))
    .fetch_all(conn)
    .await?;
    let mut by_identity = BTreeMap::new();
    for row in rows {
        let row = Fields::of(&row, "actions", "id");
        let identity: String = row.get("identity")?;
        let words = row.get::<Option<String>>("message")?.unwrap_or_default();
        let until = row.maybe_time("next_attempt_at")?;
        let refusal = match (row.text("state")?, until) {
            (ActionState::Rejected, Some(until)) => Refusal::Rejected { words, until },
            (ActionState::Cancelled, Some(until)) => Refusal::Cancelled { words, until },
            _ => Refusal::Unsettled,
        };
        by_identity.insert(identity, refusal);
    }
    Ok(plan
        .actions()
        .iter()
        .enumerate()
        .filter_map(|(position, action)| {
            by_identity
                .get(action.identity().as_str())
                .map(|refusal| (position, refusal.clone()))
        })
        .collect())
}

async fn enqueue_one(
    conn: &mut SqliteConnection,
    run: &RunId,
    plan: &Plan,
    position: usize,
    action: &PlannedAction,
    now: Timestamp,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(action)
        .map_err(|error| StoreError::corrupt("actions", "action", plan.id(), error))?;
    let position = i64::try_from(position)
        .map_err(|error| StoreError::corrupt("actions", "position", plan.id(), error))?;
    sqlx::query(
        "INSERT INTO actions (run_id, plan_id, position, identity, kind, opsera_id, key, email,
                              action, state, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'planned', ?10, ?10)
         ON CONFLICT (identity) WHERE state IN ('planned', 'in_flight') DO UPDATE SET
             run_id = excluded.run_id, plan_id = excluded.plan_id, position = excluded.position,
             key = excluded.key, email = excluded.email, action = excluded.action, attempts = 0,
             http_status = NULL, message = NULL, updated_at = excluded.updated_at
         WHERE state = 'planned'",
    )
    .bind(run.as_str())
    .bind(plan.id().as_str())
    .bind(position)
    .bind(action.identity().as_str())
    .bind(action.kind().as_str())
    .bind(action.opsera_id().map(crate::domain::OpseraId::as_str))
    .bind(action.key.as_str())
    .bind(&action.email)
    .bind(json)
    .bind(format_time(now))
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes back the uncertainty about a role that certainly was not changed: it is what it was. One
/// that was not known before may have been uncertain already, and stays so: `adopt` must not take
/// it for granted.
async fn restore_role(
    conn: &mut SqliteConnection,
    account: &crate::domain::OpseraId,
    from: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match from.and_then(|from| from.parse().ok()) {
        Some(role) => remember_role(conn, account, Some(role), RoleSource::Set, now).await,
        None => Ok(()),
    }
}

fn entry(event: Event, run: &RunId, action: &PlannedAction) -> NewEntry {
    NewEntry::new(event)
        .in_run(run)
        .about(Some(&action.email), action.opsera_id())
        .because(action.reason.clone())
        .change(
            before(action),
            Some(match &action.change {
                Change::SetRole { to, .. } => json!({ "site_role": to }),
                Change::Create { to, .. } => json!({ "active": true, "site_role": to }),
                Change::Deactivate { .. } => json!({ "active": false }),
            }),
        )
}

fn before(action: &PlannedAction) -> Option<Value> {
    match &action.change {
        Change::SetRole { from, .. } => Some(json!({ "site_role": from })),
        Change::Create { .. } => None,
        Change::Deactivate { .. } => Some(json!({ "active": true })),
    }
}

pub(super) fn queued(row: &sqlx::sqlite::SqliteRow) -> Result<QueuedAction, StoreError> {
    let row = Fields::of(row, "actions", "id");
    Ok(QueuedAction {
        id: row.get("id")?,
        position: row.number("position")?,
        action: row.json("action")?,
        attempts: row.number("attempts")?,
    })
}

/// When something refused at `now` may be tried again.
pub fn retry_at(now: Timestamp, after: std::time::Duration) -> Timestamp {
    crate::domain::time::after(now, after)
}
