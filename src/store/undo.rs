//! What a run did, for taking it back, and which role changes somebody approved to take back.

use std::time::Duration;

use super::fields::Fields;
use super::plans::is_fresh;
use super::{Store, StoreError};
use crate::domain::{PlanId, PlannedAction, RunId, time::Timestamp};

/// A run that somebody may want to take back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoableRun {
    /// Its id.
    pub id: RunId,
    /// When it started.
    pub started_at: Timestamp,
}

/// A role change of an approved undo that is not used up.
#[derive(Clone, Debug)]
pub struct ApprovedRestore {
    /// The plan that was approved.
    pub plan: PlanId,
    /// The run it takes back.
    pub undoes: RunId,
    /// From what the run set to what was there before.
    pub action: PlannedAction,
    /// How far it is.
    pub progress: RestoreProgress,
}

/// How far an approved restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreProgress {
    /// No request was sent for it.
    Untried,
    /// A request was sent, and it is not known to have had its effect.
    Tried,
    /// It is done; others of its plan are not.
    Done,
}

impl Store {
    /// A run whose row is still kept.
    pub async fn find_undoable_run(&self, id: &RunId) -> Result<Option<UndoableRun>, StoreError> {
        sqlx::query("SELECT id, started_at FROM runs WHERE id = ?1")
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?
            .map(|row| undoable(&row))
            .transpose()
    }

    /// The latest run that was allowed to write.
    pub async fn latest_applying_run(&self) -> Result<Option<UndoableRun>, StoreError> {
        sqlx::query(
            "SELECT id, started_at FROM runs WHERE mode = 'apply' ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await?
        .map(|row| undoable(&row))
        .transpose()
    }

    /// The latest run that changed a role.
    pub async fn latest_role_change(&self) -> Result<Option<UndoableRun>, StoreError> {
        sqlx::query(
            "SELECT r.id, r.started_at FROM runs r
             WHERE EXISTS (SELECT 1 FROM actions a INDEXED BY actions_by_run
                           WHERE a.run_id = r.id AND a.kind = 'set_role' AND a.state = 'succeeded')
             ORDER BY r.seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await?
        .map(|row| undoable(&row))
        .transpose()
    }

    /// The actions of `run` that succeeded, in the order in which they were applied.
    pub async fn list_done_in_run(&self, run: &RunId) -> Result<Vec<PlannedAction>, StoreError> {
        sqlx::query(
            "SELECT id, action FROM actions INDEXED BY actions_by_run
             WHERE run_id = ?1 AND state = 'succeeded' ORDER BY position",
        )
        .bind(run.as_str())
        .fetch_all(self.reader())
        .await?
        .iter()
        .map(|row| Fields::of(row, "actions", "id").json("action"))
        .collect()
    }

    /// The restores of approved undos that are not used up and whose approval is younger than
    /// `ttl`, the latest approval last.
    pub async fn list_approved_restores(
        &self,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Vec<ApprovedRestore>, StoreError> {
        let rows = sqlx::query(
            "SELECT p.id AS plan_id, p.undoes, p.decided_at, a.action,
                    a.done_at IS NOT NULL AS is_done,
                    EXISTS (SELECT 1 FROM actions x
                            WHERE x.identity = a.identity AND x.attempts > 0
                              AND x.updated_at >= p.decided_at) AS was_tried
             FROM plans p JOIN plan_actions a ON a.plan_id = p.id
             WHERE p.state = 'approved' AND p.undoes IS NOT NULL
             ORDER BY p.decided_at, a.position",
        )
        .fetch_all(self.reader())
        .await?;
        let mut restores = Vec::new();
        for row in &rows {
            let row = Fields::of(row, "plan_actions", "plan_id");
            if is_fresh(row.maybe_time("decided_at")?, ttl, now) {
                restores.push(ApprovedRestore {
                    plan: PlanId::new(row.get::<String>("plan_id")?),
                    undoes: RunId::new(row.get::<String>("undoes")?),
                    action: row.json("action")?,
                    progress: match (row.get("is_done")?, row.get("was_tried")?) {
                        (true, _) => RestoreProgress::Done,
                        (false, true) => RestoreProgress::Tried,
                        (false, false) => RestoreProgress::Untried,
                    },
                });
            }
        }
        Ok(restores)
    }
}

fn undoable(row: &sqlx::sqlite::SqliteRow) -> Result<UndoableRun, StoreError> {
    let row = Fields::of(row, "runs", "id");
    Ok(UndoableRun {
        id: RunId::new(row.get::<String>("id")?),
        started_at: row.time("started_at")?,
    })
}
