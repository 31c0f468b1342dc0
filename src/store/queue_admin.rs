//! The queue as an operator sees it: what is in it, and the two decisions about single actions.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::audit::append;
use super::fields::Fields;
use super::{RunLock, Store, StoreError};
use crate::audit::{AuditWriter, Event, NewEntry};
use crate::domain::time::format_time;
use crate::domain::{ActionKind, ActionState, KindSet, PlannedAction, RunId, time::Timestamp};

/// A row as `queue list` shows it.
#[derive(Clone, Debug)]
pub struct QueueRow {
    /// Its number.
    pub id: i64,
    /// The run that planned it last.
    pub run_id: RunId,
    /// What is to be done.
    pub action: PlannedAction,
    /// Where it stands.
    pub state: ActionState,
    /// Write requests sent for it.
    pub attempts: u32,
    /// When it may be tried again, for refused and cancelled ones.
    pub next_attempt_at: Option<Timestamp>,
    /// The status Opsera answered with last.
    pub http_status: Option<u16>,
    /// Why, or the server's words.
    pub message: Option<String>,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// Which rows of the queue are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueView {
    /// What is open, and what did not come to an end that anybody wanted: failed in the latest
    /// run, refused, cancelled.
    Unsettled,
    /// Every action that is not pruned.
    All,
}

/// What an operator's decision about one action came to.
#[derive(Clone, Debug)]
pub enum QueueOutcome {
    /// It was carried out on this action, which is shown as it was before.
    Done(Box<QueueRow>),
    /// There is no such action.
    Unknown,
    /// In this action's state the decision makes no sense.
    Impossible(Box<QueueRow>),
    /// The run that planned the action has not ended: it is under way, or was killed.
    InRun(Box<QueueRow>),
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.run_id, a.action, a.state, a.attempts, a.next_attempt_at, ",
            "a.http_status, a.message, a.updated_at FROM actions a ",
            $rest
        )
    };
}

/// `?1` whether all are wanted, `?2` how many at most, `?3` by kind when it was last planned.
const LIST: &str = select!(
            "WHERE ?1 OR a.state IN ('planned', 'in_flight')
                OR (a.state IN ('failed', 'rejected', 'cancelled')
                    AND NOT EXISTS (SELECT 1 FROM actions n WHERE n.identity = a.identity AND n.id > a.id)
                    AND coalesce(a.next_attempt_at, a.updated_at) >= coalesce(
                        (SELECT l.value FROM json_each(?3) l WHERE l.key = a.kind), ''))
             ORDER BY a.id DESC LIMIT ?2"
        );

impl Store {
    /// The actions of the queue, the latest first, at most `limit`.
    pub async fn list_queue(
        &self,
        view: QueueView,
        limit: u32,
    ) -> Result<Vec<QueueRow>, StoreError> {
        let last_planned = self.last_planned().await?;
        // A refusal or failure is over once a later run has planned the same kind of action: that
        // run either has a newer row for the same work, or does not want it any more.
        sqlx::query(LIST)
            .bind(view == QueueView::All)
            .bind(limit)
            .bind(json!(last_planned).to_string())
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(queue_row)
            .collect()
    }

    /// When the latest run that planned a kind of action for everybody and applied its plan began,
    /// by kind.
    async fn last_planned(&self) -> Result<BTreeMap<&'static str, String>, StoreError> {
        let mut last = BTreeMap::new();
        for kind in ActionKind::ALL.iter().copied() {
            let kinds: Vec<String> = KindSet::with(kind).iter().map(KindSet::to_string).collect();
            let started = sqlx::query(
                "SELECT id, started_at FROM runs
                 WHERE mode = 'apply' AND plan_id IS NOT NULL AND outcome <> 'held'
                   AND people IS NULL AND kinds IN (SELECT value FROM json_each(?1))
                 ORDER BY seq DESC LIMIT 1",
            )
            .bind(json!(kinds).to_string())
            .fetch_optional(self.reader())
            .await?;
            if let Some(started) = started {
                let row = Fields::of(&started, "runs", "id");
                last.insert(kind.as_str(), format_time(row.time("started_at")?));
            }
        }
        Ok(last)
    }

    /// How many actions are in each state, finished ones that are not pruned included.
    pub async fn count_queue(&self) -> Result<Vec<(ActionState, u64)>, StoreError> {
        sqlx::query("SELECT state, count(*) AS depth FROM actions GROUP BY state ORDER BY state")
            .fetch_all(self.reader())
            .await?
            .iter()
            .map(|row| {
                let row = Fields::of(row, "actions", "state");
                Ok((row.text("state")?, row.number("depth")?))
            })
            .collect()
    }

    /// Lets the next run try one refused or cancelled action again, and says so in the audit log.
    pub async fn release_action(
        &self,
        audit_writer: &AuditWriter,
        id: i64,
    ) -> Result<QueueOutcome, StoreError> {
        let mut tx = self.begin().await?;
        let Some(row) = find(&mut tx, id).await? else {
            return Ok(QueueOutcome::Unknown);
        };
        if !row.state.can_become(ActionState::Released) {
            return Ok(QueueOutcome::Impossible(Box::new(row)));
        }
        release(&mut tx, audit_writer, &row).await?;
        self.commit(tx).await?;
        Ok(QueueOutcome::Done(Box::new(row)))
    }

    /// Lets the next run try every refused or cancelled action again. Gives how many that are.
    pub async fn release_refused(&self, audit_writer: &AuditWriter) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(select!(
            "WHERE a.state IN ('rejected', 'cancelled') ORDER BY a.id"
        ))
        .fetch_all(&mut *tx)
        .await?;
        let mut released = 0;
        for row in &rows {
            release(&mut tx, audit_writer, &queue_row(row)?).await?;
            released += 1;
        }
        self.commit(tx).await?;
        Ok(released)
    }

    /// Takes a planned action out of the queue until `until`, and says so in the audit log. An
    /// action of a run that has not ended is not touched, unless `lock` shows that no run is
    /// under way: the worker must find the row as it left it.
    pub async fn cancel_action(
        &self,
        audit_writer: &AuditWriter,
        id: i64,
        until: Timestamp,
        lock: Option<&RunLock>,
    ) -> Result<QueueOutcome, StoreError> {
        let mut tx = self.begin().await?;
        let Some(row) = find(&mut tx, id).await? else {
            return Ok(QueueOutcome::Unknown);
        };
        if !row.state.can_become(ActionState::Cancelled) {
            return Ok(QueueOutcome::Impossible(Box::new(row)));
        }
        let is_open: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND finished_at IS NULL)",
        )
        .bind(row.run_id.as_str())
        .fetch_one(&mut *tx)
        .await?;
        if is_open && lock.is_none() {
            return Ok(QueueOutcome::InRun(Box::new(row)));
        }
        let words = format!("cancelled by {}", audit_writer.actor);
        sqlx::query(
            "UPDATE actions SET state = 'cancelled', next_attempt_at = ?2, updated_at = ?3, message = ?4
             WHERE id = ?1",
        )
        .bind(id)
        .bind(format_time(until))
        .bind(format_time(audit_writer.clock.now()))
        .bind(&words)
        .execute(&mut *tx)
        .await?;
        let entry = decision_entry(&row, words).evidence(json!({
            "action": id,
            "kind": row.action.kind(),
            "was": row.state,
            "until": format_time(until),
        }));
        append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await?;
        Ok(QueueOutcome::Done(Box::new(row)))
    }
}

async fn release(
    conn: &mut SqliteConnection,
    audit_writer: &AuditWriter,
    row: &QueueRow,
) -> Result<(), StoreError> {
    let words = format!("released for another try by {}", audit_writer.actor);
    let message = match &row.message {
        Some(earlier) => format!("{earlier} — {words}"),
        None => words.clone(),
    };
    sqlx::query(
        "UPDATE actions SET state = 'released', next_attempt_at = NULL, updated_at = ?2, message = ?3
         WHERE id = ?1",
    )
    .bind(row.id)
    .bind(format_time(audit_writer.clock.now()))
    .bind(message)
    .execute(&mut *conn)
    .await?;
    let entry = decision_entry(row, words).evidence(json!({
        "action": row.id,
        "kind": row.action.kind(),
        "was": row.state,
        "until": row.next_attempt_at.map(format_time),
    }));
    append(conn, audit_writer, entry).await?;
    Ok(())
}

/// Both decisions keep an action from being tried, or stop keeping it: the one of the log's events
/// that speaks of an action without a request.
fn decision_entry(row: &QueueRow, words: String) -> NewEntry {
    NewEntry::new(Event::ActionSkipped)
        .about(Some(&row.action.email), row.action.opsera_id())
        .because(words)
}

async fn find(conn: &mut SqliteConnection, id: i64) -> Result<Option<QueueRow>, StoreError> {
    sqlx::query(select!("WHERE a.id = ?1"))
        .bind(id)
        .fetch_optional(conn)
        .await?
        .as_ref()
        .map(queue_row)
        .transpose()
}

fn queue_row(row: &SqliteRow) -> Result<QueueRow, StoreError> {
    let row = Fields::of(row, "actions", "id");
    Ok(QueueRow {
        id: row.get("id")?,
        run_id: RunId::new(row.get::<String>("run_id")?),
        action: row.json("action")?,
        state: row.text("state")?,
        attempts: row.number("attempts")?,
        next_attempt_at: row.maybe_time("next_attempt_at")?,
        http_status: row.maybe_number("http_status")?,
        message: row.get("message")?,
        updated_at: row.time("updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SystemClock;

    /// What SQLite does for a statement, step by step.
    async fn steps(store: &Store, statement: &'static str) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(explain))
            .fetch_all(store.reader())
            .await
            .unwrap();
        steps.into_iter().map(|step| step.3).collect()
    }

    #[tokio::test]
    async fn nothing_that_is_done_per_row_reads_a_whole_table() {
        let directory = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let store = Store::open(&directory.path().join("s.db"), &*clock)
            .await
            .unwrap();
        for step in steps(&store, LIST).await {
            // The list of kinds is a parameter, and a short one.
            let reads_all = step.starts_with("SCAN")
                && !step.starts_with("SCAN a")
                && !step.starts_with("SCAN l VIRTUAL TABLE");
            assert!(!reads_all, "{step} in {LIST}");
        }
        let later = steps(&store, LIST).await;
        assert!(
            later.iter().any(
                |step| step.contains("actions_by_identity (identity=? AND id>?)")
                    || step.contains("actions_by_identity (identity=? AND rowid>?)")
            ),
            "{later:?}"
        );
        store.close().await;
    }
}
