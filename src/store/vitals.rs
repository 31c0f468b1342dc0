//! How the store is, in numbers: what health and metrics show of it.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::domain::{Outcome, Report, time::Timestamp, time::format_time};

/// The outcomes after which everything that could be done was done.
const SUCCESSES: [Outcome; 2] = [Outcome::InSync, Outcome::Applied];
/// The outcomes of a run that came to its end, whatever the guards or Opsera said to it.
const COMPLETE: [Outcome; 4] = [
    Outcome::InSync,
    Outcome::Applied,
    Outcome::Held,
    Outcome::Partial,
];

/// What of the runs and the queue outlives a process. Times are those of runs that apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
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
    /// The last run that ended, without its lists of people.
    pub last_report: Option<Report>,
    /// Actions by state, for the states that are not final.
    pub queue: BTreeMap<String, u64>,
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
    pub async fn read_vitals(&self) -> Result<Vitals, StoreError> {
        let mut conn = self.reader().acquire().await?;
        let attempt: Option<String> = sqlx::query_scalar(
            "SELECT started_at FROM runs WHERE mode = 'apply' ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(&mut *conn)
        .await?;
        let finished = "SELECT finished_at FROM runs
             WHERE mode = 'apply' AND outcome IN (SELECT value FROM json_each(?1))
             ORDER BY seq DESC LIMIT 1";
        let success: Option<String> = sqlx::query_scalar(finished)
            .bind(names(&SUCCESSES))
            .fetch_optional(&mut *conn)
            .await?;
        let complete: Option<String> = sqlx::query_scalar(finished)
            .bind(names(&COMPLETE))
            .fetch_optional(&mut *conn)
            .await?;
        let read = "SELECT finished_at FROM runs
             WHERE json_extract(report, ?1) = 1 ORDER BY seq DESC LIMIT 1";
        let opa: Option<String> = sqlx::query_scalar(read)
            .bind("$.opa.complete")
            .fetch_optional(&mut *conn)
            .await?;
        let opsera: Option<String> = sqlx::query_scalar(read)
            .bind("$.opsera.complete")
            .fetch_optional(&mut *conn)
            .await?;
        let last: Option<(String, String)> = sqlx::query_as(
            "SELECT id, report FROM runs
             WHERE report IS NOT NULL AND mode = 'apply' ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(&mut *conn)
        .await?;
        let queue = sqlx::query(
            "SELECT state, count(*) FROM actions
             WHERE state IN ('planned', 'in_flight', 'rejected', 'cancelled') GROUP BY state",
        )
        .fetch_all(&mut *conn)
        .await?;
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM plans WHERE state = 'held'")
            .fetch_one(&mut *conn)
            .await?;
        let finished_at =
            |text: Option<String>| text.map(|text| super::time("runs", "finished_at", &text));
        Ok(Vitals {
            last_attempt: attempt
                .map(|text| super::time("runs", "started_at", &text))
                .transpose()?,
            last_success: finished_at(success).transpose()?,
            last_complete: finished_at(complete).transpose()?,
            last_opa_read: finished_at(opa).transpose()?,
            last_opsera_read: finished_at(opsera).transpose()?,
            last_report: last
                .map(|(id, text)| {
                    serde_json::from_str(&text)
                        .map_err(|error| StoreError::corrupt("runs", "report", id, error))
                })
                .transpose()?,
            queue: queue
                .iter()
                .map(|row| (row.get(0), u64::try_from(row.get::<i64, _>(1)).unwrap_or(0)))
                .collect(),
            held_plans: u64::try_from(held).unwrap_or(0),
        })
    }
}

fn names(outcomes: &[Outcome]) -> String {
    let names: Vec<&str> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
    serde_json::json!(names).to_string()
}
