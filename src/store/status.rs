//! How the store is, in numbers: what health and metrics show of it.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;

use super::fields::Fields;
use super::{Store, StoreError};
use crate::domain::{ActionState, Mode, Outcome, Report, time::Timestamp, time::format_time};

/// What of the runs and the queue outlives a process. Times are those of runs that apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStatus {
    /// When a run last started.
    pub last_attempt: Option<Timestamp>,
    /// When a run last did everything there was to do.
    pub last_success: Option<Timestamp>,
    /// When a run last came to its end: in sync, applied, held or partial.
    pub last_complete: Option<Timestamp>,
    /// When OPA was last read to its end.
    pub last_opa_read: Option<Timestamp>,
    /// When Opsera was last read to its end.
    pub last_opsera_read: Option<Timestamp>,
    /// The last run that read both directories completely, without its lists of people. One that
    /// was interrupted has no sizes to show.
    pub last_report: Option<Report>,
    /// Actions by state, for the states that are not final.
    pub queue: BTreeMap<ActionState, u64>,
    /// Plans that wait for a decision.
    pub held_plans: u64,
}

impl Store {
    /// Writes a row and makes it durable: the proof that runs will be able to.
    ///
    /// # Errors
    /// The volume is read-only or full, or another process keeps the store busy.
    pub async fn probe(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES ('probed_at', ?1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(format_time(now))
        .execute(&mut *tx)
        .await
        .map_err(|error| self.explain(error))?;
        self.commit(tx).await
    }

    /// Reads how the store is.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not one that this program writes.
    pub async fn read_status(&self) -> Result<StoreStatus, StoreError> {
        let mut conn = self.reader().acquire().await?;
        let newest = |row: Option<SqliteRow>, column: &'static str| {
            row.map(|row| Fields::of(&row, "runs", "id").time(column))
                .transpose()
        };
        let attempt = sqlx::query(
            "SELECT id, started_at FROM runs WHERE mode = 'apply' ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(&mut *conn)
        .await?;
        let finished = "SELECT id, finished_at FROM runs
             WHERE mode = 'apply' AND outcome IN (SELECT value FROM json_each(?1))
             ORDER BY seq DESC LIMIT 1";
        let success = sqlx::query(finished)
            .bind(names(|outcome| outcome.is_success(Mode::Apply)))
            .fetch_optional(&mut *conn)
            .await?;
        let complete = sqlx::query(finished)
            .bind(names(Outcome::is_complete))
            .fetch_optional(&mut *conn)
            .await?;
        // A report that is no JSON has told nothing, and reading it must not fail here.
        let read = "SELECT id, finished_at FROM runs
             WHERE iif(json_valid(report), json_extract(report, ?1), 0) = 1
             ORDER BY seq DESC LIMIT 1";
        let opa = sqlx::query(read)
            .bind("$.opa.complete")
            .fetch_optional(&mut *conn)
            .await?;
        let opsera = sqlx::query(read)
            .bind("$.opsera.complete")
            .fetch_optional(&mut *conn)
            .await?;
        let last = sqlx::query(
            "SELECT id, report FROM runs
             WHERE report IS NOT NULL AND mode = 'apply'
               AND iif(json_valid(report), json_extract(report, '$.opa.complete')
                       AND json_extract(report, '$.opsera.complete'), 1) = 1
             ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(&mut *conn)
        .await?;
        let queue = sqlx::query(
            "SELECT state, count(*) AS depth FROM actions
             WHERE state IN ('planned', 'in_flight', 'rejected', 'cancelled') GROUP BY state",
        )
        .fetch_all(&mut *conn)
        .await?;
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM plans WHERE state = 'held'")
            .fetch_one(&mut *conn)
            .await?;
        Ok(StoreStatus {
            last_attempt: newest(attempt, "started_at")?,
            last_success: newest(success, "finished_at")?,
            last_complete: newest(complete, "finished_at")?,
            last_opa_read: newest(opa, "finished_at")?,
            last_opsera_read: newest(opsera, "finished_at")?,
            last_report: last
                .map(|row| Fields::of(&row, "runs", "id").json("report"))
                .transpose()?,
            queue: queue
                .iter()
                .map(|row| {
                    let row = Fields::of(row, "actions", "state");
                    Ok((row.text("state")?, row.number("depth")?))
                })
                .collect::<Result<_, StoreError>>()?,
            held_plans: u64::try_from(held).unwrap_or(0),
        })
    }
}

fn names(wanted: impl Fn(Outcome) -> bool) -> String {
    let names: Vec<&str> = Outcome::ALL
        .iter()
        .filter(|outcome| wanted(**outcome))
        .map(|outcome| outcome.as_str())
        .collect();
    serde_json::json!(names).to_string()
}
