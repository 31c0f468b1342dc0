//! The actions of a held plan, as they were shown to whoever decides (§6).
//!
//! A plan of thousands of actions is held again by every run until somebody decides. Its actions are
//! then compared and not written again.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::StoreError;
use crate::domain::{Plan, PlannedAction};

/// Rows of one statement.
const ROWS: usize = 200;

/// Whether exactly these actions stand there, none of them done.
pub(super) async fn are_stored(
    conn: &mut SqliteConnection,
    plan: &Plan,
) -> Result<bool, StoreError> {
    let mut stored = 0;
    for actions in plan.actions().chunks(ROWS) {
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT action, done_at FROM plan_actions
             WHERE plan_id = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
        )
        .bind(plan.id().as_str())
        .bind(stored)
        .bind(i64::try_from(actions.len()).unwrap_or(i64::MAX))
        .fetch_all(&mut *conn)
        .await?;
        if rows.len() != actions.len() {
            return Ok(false);
        }
        for (action, (text, done_at)) in actions.iter().zip(&rows) {
            if done_at.is_some() || *text != json(plan, action)? {
                return Ok(false);
            }
        }
        stored += i64::try_from(rows.len()).unwrap_or(i64::MAX);
    }
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM plan_actions WHERE plan_id = ?1")
        .bind(plan.id().as_str())
        .fetch_one(conn)
        .await?;
    Ok(all == stored)
}

/// Writes the actions of a plan that has none yet.
pub(super) async fn write(conn: &mut SqliteConnection, plan: &Plan) -> Result<(), StoreError> {
    let mut position: i64 = 0;
    for actions in plan.actions().chunks(ROWS) {
        let statement = format!(
            "INSERT INTO plan_actions (plan_id, position, identity, action) VALUES {}",
            vec!["(?, ?, ?, ?)"; actions.len()].join(", ")
        );
        let mut insert = sqlx::query(AssertSqlSafe(statement));
        for action in actions {
            insert = insert
                .bind(plan.id().as_str())
                .bind(position)
                .bind(action.identity().as_str().to_owned())
                .bind(json(plan, action)?);
            position += 1;
        }
        insert.execute(&mut *conn).await?;
    }
    Ok(())
}

fn json(plan: &Plan, action: &PlannedAction) -> Result<String, StoreError> {
    serde_json::to_string(action)
        .map_err(|error| StoreError::corrupt("plan_actions", "action", plan.id(), error))
}
