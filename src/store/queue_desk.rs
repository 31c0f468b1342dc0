//! The queue as an operator sees it: what is in it, and the two decisions about single actions.

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::audit::{Actor, format_time};
use crate::clock::Timestamp;
use crate::ids::RunId;
use crate::plan::PlannedAction;

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
    pub state: String,
    /// Write requests sent for it.
    pub attempts: u32,
    /// When it may be tried again, for refused and cancelled ones.
    pub next_attempt_at: Option<Timestamp>,
    /// Why, or the server's words.
    pub message: Option<String>,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// What an operator's decision about one action came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It was carried out.
    Done,
    /// There is no such action.
    Unknown,
    /// The action is in this state, in which the decision makes no sense.
    Impossible(String),
}

impl Store {
    /// The actions of the queue, the latest first; without `finished`, only those that are open
    /// or were refused.
    pub async fn list_queue(
        &self,
        finished: bool,
        limit: u32,
    ) -> Result<Vec<QueueRow>, StoreError> {
        sqlx::query(
            "SELECT id, run_id, action, state, attempts, next_attempt_at, message, updated_at
             FROM actions
             WHERE ?1 OR state IN ('planned', 'in_flight', 'rejected', 'cancelled')
             ORDER BY id DESC LIMIT ?2",
        )
        .bind(finished)
        .bind(limit)
        .fetch_all(self.reader())
        .await?
        .iter()
        .map(|row| {
            let id: i64 = row.get(0);
            let action: String = row.get(2);
            let updated: String = row.get(7);
            Ok(QueueRow {
                id,
                run_id: RunId::new(row.get::<String, _>(1)),
                action: serde_json::from_str(&action)
                    .map_err(|error| StoreError::corrupt("actions", "action", id, error))?,
                state: row.get(3),
                attempts: row.get(4),
                next_attempt_at: row
                    .get::<Option<String>, _>(5)
                    .map(|text| super::time("actions", "next_attempt_at", &text))
                    .transpose()?,
                message: row.get(6),
                updated_at: super::time("actions", "updated_at", &updated)?,
            })
        })
        .collect()
    }

    /// Lets the next run try a refused or cancelled action again: one, or all of them. Gives how
    /// many that are.
    pub async fn release_refused(
        &self,
        actor: &Actor,
        now: Timestamp,
        id: Option<i64>,
    ) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let released = sqlx::query(
            "UPDATE actions SET state = 'released', next_attempt_at = NULL, updated_at = ?1,
                 message = coalesce(message, '') || ' — released by ' || ?2
             WHERE state IN ('rejected', 'cancelled') AND (?3 IS NULL OR id = ?3)",
        )
        .bind(format_time(now))
        .bind(format!("{}@{}", actor.user, actor.host))
        .bind(id)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        self.commit(tx).await?;
        Ok(released)
    }

    /// Takes a planned or refused action out of the queue until `until`.
    pub async fn cancel_action(
        &self,
        actor: &Actor,
        now: Timestamp,
        id: i64,
        until: Timestamp,
    ) -> Result<Ruling, StoreError> {
        let mut tx = self.begin().await?;
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM actions WHERE id = ?1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let ruling = match state.as_deref() {
            None => Ruling::Unknown,
            Some("planned") => {
                sqlx::query(
                    "UPDATE actions SET state = 'cancelled', next_attempt_at = ?2, updated_at = ?3,
                         message = 'cancelled by ' || ?4
                     WHERE id = ?1",
                )
                .bind(id)
                .bind(format_time(until))
                .bind(format_time(now))
                .bind(format!("{}@{}", actor.user, actor.host))
                .execute(&mut *tx)
                .await?;
                Ruling::Done
            }
            Some(other) => Ruling::Impossible(other.to_owned()),
        };
        self.commit(tx).await?;
        Ok(ruling)
    }

    /// Where one action stands.
    pub async fn find_action_state(&self, id: i64) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT state FROM actions WHERE id = ?1")
                .bind(id)
                .fetch_optional(self.reader())
                .await?,
        )
    }
}
