//! Runs: each leaves a row, also when it fails or is killed.

use std::time::Duration;

use chrono::TimeDelta;
use sqlx::Row as _;

use super::audit::append;
use super::snapshot::{Pull, latest_complete};
use super::{Place, Store, StoreError};
use crate::audit::{Event, Head, NewEntry, Scribe};
use crate::domain::time::format_time;
use crate::domain::{Mode, Outcome, PlanId, Report, RunId, time::Timestamp};

/// The window of `guards.max_deactivations_7d`, with a day to spare.
const COUNTED_BY_G3: TimeDelta = TimeDelta::days(8);

/// A run as `status` shows it.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// `dry_run` or `apply`.
    pub mode: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; `None`: it is under way, or was killed and not yet noticed.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Its plan.
    pub plan_id: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Its report without the lists of people.
    pub report: Option<Report>,
}

/// What is written down when a run ends.
#[derive(Clone, Copy, Debug)]
pub struct FinishedRun<'r> {
    /// The whole report; the lists of people are left out of the store.
    pub report: &'r Report,
}

impl Store {
    /// Opens the row of a run and announces it in the audit log, in one transaction. Rows of
    /// runs that never ended were killed; they are closed as failed.
    pub async fn begin_run(
        &self,
        scribe: &Scribe,
        run: &RunId,
        mode: Mode,
        kinds: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE runs SET finished_at = ?1, outcome = 'failed',
                 error = 'the process ended before the run did'
             WHERE finished_at IS NULL",
        )
        .bind(format_time(at))
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO runs (id, mode, kinds, started_at) VALUES (?1, ?2, ?3, ?4)")
            .bind(run.as_str())
            .bind(mode_name(mode))
            .bind(kinds)
            .bind(format_time(at))
            .execute(&mut *tx)
            .await?;
        let entry = NewEntry::new(Event::RunStarted)
            .in_run(run)
            .evidence(serde_json::json!({ "mode": mode_name(mode), "only": kinds }));
        append(&mut tx, scribe, entry).await?;
        self.commit(tx).await
    }

    /// Closes the row of a run and says so in the audit log. Gives the log's new end, which is
    /// the run's checkpoint (§8).
    pub async fn finish_run(
        &self,
        scribe: &Scribe,
        finished: FinishedRun<'_>,
    ) -> Result<Head, StoreError> {
        let report = finished.report;
        let mut tx = self.begin().await?;
        let entry = NewEntry::new(Event::RunFinished)
            .in_run(&report.run_id)
            .because(report.outcome.as_str())
            .evidence(serde_json::json!({
                "plan_id": report.plan_id,
                "summary": report.summary,
                "error": report.error,
            }));
        let head = append(&mut tx, scribe, entry).await?;
        let kept = Report {
            audit_head: Some(head.hash.clone()),
            guards: report
                .guards
                .iter()
                .map(|guard| crate::domain::GuardReport {
                    concerned: Vec::new(),
                    ..guard.clone()
                })
                .collect(),
            actions: Vec::new(),
            waiting: Vec::new(),
            findings: Vec::new(),
            ..report.clone()
        };
        let json = serde_json::to_string(&kept)
            .map_err(|error| StoreError::corrupt("runs", "report", &report.run_id, error))?;
        let closed = sqlx::query(
            "UPDATE runs SET finished_at = ?2, outcome = ?3, plan_id = ?4, report = ?5, error = ?6
             WHERE id = ?1 AND finished_at IS NULL",
        )
        .bind(report.run_id.as_str())
        .bind(format_time(report.finished_at))
        .bind(report.outcome.as_str())
        .bind(report.plan_id.as_ref().map(PlanId::as_str))
        .bind(json)
        .bind(report.error.as_deref())
        .execute(&mut *tx)
        .await?;
        if closed.rows_affected() != 1 {
            return Err(self.conflict(format!("run {} should still be open", report.run_id)));
        }
        self.commit(tx).await?;
        Ok(head)
    }

    /// Writes one entry of a run into the audit log.
    pub async fn note(&self, scribe: &Scribe, entry: NewEntry) -> Result<Head, StoreError> {
        let mut tx = self.begin().await?;
        let head = append(&mut tx, scribe, entry).await?;
        self.commit(tx).await?;
        Ok(head)
    }

    /// ACTIVE humans in the last run that G1 and G2 did not hold: what G2 compares with.
    pub async fn accepted_active(&self) -> Result<Option<u64>, StoreError> {
        let active: Option<i64> = sqlx::query_scalar(
            "SELECT opa_active FROM runs WHERE opa_accepted = 1 ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await?;
        Ok(active.and_then(|active| u64::try_from(active).ok()))
    }

    /// Notes that G1 and G2 accepted the source of this run: the new baseline of G2.
    pub async fn accept_source(&self, run: &RunId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE runs SET opa_accepted = 1 WHERE id = ?1")
            .bind(run.as_str())
            .execute(&mut *tx)
            .await?;
        self.commit(tx).await
    }

    /// The pull that is the snapshot today, with the time it was completed.
    pub async fn latest_pull(&self) -> Result<Option<(Pull, Timestamp)>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, pulled_at FROM runs WHERE pulled_at IS NOT NULL ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            let at: String = row.get(1);
            Ok((Pull(row.get(0)), super::time("runs", "pulled_at", &at)?))
        })
        .transpose()
    }

    /// The latest runs, newest first.
    pub async fn list_runs(&self, limit: u32) -> Result<Vec<RunRow>, StoreError> {
        sqlx::query(
            "SELECT id, mode, started_at, finished_at, outcome, plan_id, error, report
             FROM runs ORDER BY seq DESC LIMIT ?1",
        )
        .bind(limit)
        .fetch_all(self.reader())
        .await?
        .iter()
        .map(|row| {
            let started: String = row.get(2);
            let finished: Option<String> = row.get(3);
            let report: Option<String> = row.get(7);
            let id: String = row.get(0);
            Ok(RunRow {
                mode: row.get(1),
                started_at: super::time("runs", "started_at", &started)?,
                finished_at: finished
                    .map(|text| super::time("runs", "finished_at", &text))
                    .transpose()?,
                outcome: row.get(4),
                plan_id: row.get(5),
                error: row.get(6),
                report: report
                    .map(|text| {
                        serde_json::from_str(&text)
                            .map_err(|error| StoreError::corrupt("runs", "report", &id, error))
                    })
                    .transpose()?,
                id: RunId::new(id),
            })
        })
        .collect()
    }

    /// The plan of the latest run of these kinds that came as far as a plan.
    pub async fn latest_plan(&self, kinds: &str) -> Result<Option<PlanId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar(
            "SELECT plan_id FROM runs WHERE kinds = ?1 AND plan_id IS NOT NULL
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(kinds)
        .fetch_optional(self.reader())
        .await?;
        Ok(id.map(PlanId::new))
    }

    /// When a run last ended with one of `outcomes`.
    pub async fn last_finished(
        &self,
        outcomes: &[Outcome],
    ) -> Result<Option<Timestamp>, StoreError> {
        let names: Vec<&str> = outcomes.iter().map(|outcome| outcome.as_str()).collect();
        let text: Option<String> = sqlx::query_scalar(
            "SELECT finished_at FROM runs
             WHERE outcome IN (SELECT value FROM json_each(?1)) ORDER BY seq DESC LIMIT 1",
        )
        .bind(serde_json::json!(names).to_string())
        .fetch_optional(self.reader())
        .await?;
        text.map(|text| super::time("runs", "finished_at", &text))
            .transpose()
    }

    /// Removes runs, finished actions and decided plans older than `store.retain`. The audit log
    /// is kept for ever, as are the snapshot, the baseline of G2 and every open action.
    pub async fn prune(&self, retain: Duration, now: Timestamp) -> Result<u64, StoreError> {
        let Some(oldest) = TimeDelta::from_std(retain)
            .ok()
            .and_then(|retain| now.checked_sub_signed(retain))
        else {
            return Ok(0);
        };
        let mut tx = self.begin().await?;
        let latest = latest_complete(&mut tx).await?;
        let oldest = format_time(oldest);
        let mut removed = sqlx::query(
            "DELETE FROM actions WHERE updated_at < ?1 AND state NOT IN ('planned', 'in_flight')
                 AND (next_attempt_at IS NULL OR next_attempt_at < ?1)
                 AND NOT (kind = 'deactivate' AND state = 'succeeded' AND updated_at >= ?2)",
        )
        .bind(&oldest)
        // What G3 counts outlives any `retain`, or a short one would loosen the guard.
        .bind(format_time(now - COUNTED_BY_G3))
        .execute(&mut *tx)
        .await?
        .rows_affected();
        removed += sqlx::query(
            "DELETE FROM plans WHERE last_held_at < ?1 AND coalesce(decided_at, '') < ?1",
        )
        .bind(&oldest)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        removed += sqlx::query(
            "DELETE FROM runs WHERE started_at < ?1 AND finished_at IS NOT NULL AND seq <> ?2
                 AND seq <> coalesce((SELECT max(seq) FROM runs WHERE opa_accepted = 1), 0)",
        )
        .bind(&oldest)
        .bind(latest)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        self.commit(tx).await?;
        Ok(removed)
    }

    /// An update that must change exactly one row did not find it.
    pub(super) fn conflict(&self, what: String) -> StoreError {
        StoreError::Conflict {
            place: Place::from(self.path()),
            what,
        }
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::DryRun => "dry_run",
        Mode::Apply => "apply",
    }
}
