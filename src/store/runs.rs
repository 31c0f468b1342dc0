//! Runs: each leaves a row, also when it fails or is killed.

use std::time::Duration;

use chrono::TimeDelta;
use sqlx::SqliteConnection;

use super::audit::append;
use super::fields::Fields;
use super::reports::keep_rows;
use super::snapshot::{Pull, unsigned};
use super::{Store, StoreError, StorePath};
use crate::audit::{AuditWriter, Event, Head, NewEntry};
use crate::domain::time::format_time;
use crate::domain::{
    GuardReport, Key, KindSet, Mode, Outcome, PeopleFilter, PlanId, Report, RunId, time::Timestamp,
};

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

/// What a run was limited to.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits<'r> {
    /// `--only`
    pub kinds: &'r KindSet,
    /// `--person`; `None`: everybody.
    pub people: Option<&'r PeopleFilter>,
}

impl RunLimits<'_> {
    /// The form in the store.
    pub(super) fn people_json(&self) -> Option<String> {
        self.people
            .map(|people| serde_json::json!(people).to_string())
    }
}

/// What the last accepted run read of the two directories (G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedSource {
    /// ACTIVE humans.
    pub opa_active: u64,
    /// Listed accounts; `None`: that run was one of a version that did not count them.
    pub opsera_listed: Option<u64>,
    /// Deactivations of this program that succeeded in that run or later.
    pub deactivated_since: u64,
}

/// What is written down when a run ends.
#[derive(Clone, Copy, Debug)]
pub struct FinishedRun<'r> {
    /// The whole report.
    pub report: &'r Report,
}

impl Store {
    /// Opens the row of a run and announces it in the audit log, in one transaction. Rows of
    /// runs that never ended were killed; they are closed as failed.
    pub async fn begin_run(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        mode: Mode,
        limits: RunLimits<'_>,
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
        sqlx::query(
            "INSERT INTO runs (id, mode, kinds, people, started_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(run.as_str())
        .bind(Mode::as_str(mode))
        .bind(limits.kinds.to_string())
        .bind(limits.people_json())
        .bind(format_time(at))
        .execute(&mut *tx)
        .await?;
        let entry = NewEntry::new(Event::RunStarted)
            .in_run(run)
            .evidence(serde_json::json!({ "mode": Mode::as_str(mode), "only": limits.kinds.to_string(), "people": limits.people }));
        append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await
    }

    /// Closes the row of a run and says so in the audit log. Gives the log's new end, which is
    /// the run's checkpoint (§8).
    pub async fn finish_run(
        &self,
        audit_writer: &AuditWriter,
        finished: FinishedRun<'_>,
    ) -> Result<Head, StoreError> {
        let mut tx = self.begin().await?;
        let head = self
            .write_end(&mut tx, audit_writer, finished.report, false)
            .await?;
        self.commit(tx).await?;
        Ok(head)
    }

    /// Corrects how a run that is closed already ended, in its row and in the audit log: one more
    /// `run_finished`, which is the one that counts. Gives the log's new end.
    pub async fn correct_run(
        &self,
        audit_writer: &AuditWriter,
        finished: FinishedRun<'_>,
    ) -> Result<Head, StoreError> {
        let mut tx = self.begin().await?;
        let head = self
            .write_end(&mut tx, audit_writer, finished.report, true)
            .await?;
        self.commit(tx).await?;
        Ok(head)
    }

    async fn write_end(
        &self,
        conn: &mut SqliteConnection,
        audit_writer: &AuditWriter,
        report: &Report,
        is_closed: bool,
    ) -> Result<Head, StoreError> {
        let entry = NewEntry::new(Event::RunFinished)
            .in_run(&report.run_id)
            .because(report.outcome.as_str())
            .evidence(serde_json::json!({
                "plan_id": report.plan_id,
                "summary": report.summary,
                "error": report.error,
            }));
        let head = append(conn, audit_writer, entry).await?;
        let kept = without_people(report, &head);
        let json = serde_json::to_string(&kept)
            .map_err(|error| StoreError::corrupt("runs", "report", &report.run_id, error))?;
        let rows = keep_rows(conn, report).await?;
        let closed = sqlx::query(
            "UPDATE runs SET finished_at = ?2, outcome = ?3, plan_id = ?4, report = ?5, error = ?6,
                 report_rows = ?7
             WHERE id = ?1 AND (finished_at IS NOT NULL) = ?8",
        )
        .bind(report.run_id.as_str())
        .bind(format_time(report.finished_at))
        .bind(report.outcome.as_str())
        .bind(report.plan_id.as_ref().map(PlanId::as_str))
        .bind(json)
        .bind(report.error.as_deref())
        .bind(rows)
        .bind(is_closed)
        .execute(conn)
        .await?;
        if closed.rows_affected() == 1 {
            return Ok(head);
        }
        let state = if is_closed { "closed" } else { "still be open" };
        Err(self.conflict(format!("run {} should {state}", report.run_id)))
    }

    /// Writes one entry of a run into the audit log.
    pub async fn note(
        &self,
        audit_writer: &AuditWriter,
        entry: NewEntry,
    ) -> Result<Head, StoreError> {
        let mut tx = self.begin().await?;
        let head = append(&mut tx, audit_writer, entry).await?;
        self.commit(tx).await?;
        Ok(head)
    }

    /// What the last run read whose source G1 and G2 accepted: what G2 compares with.
    pub async fn accepted_source(&self) -> Result<Option<AcceptedSource>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, opa_active, opsera_listed,
                    (SELECT count(*) FROM runs later CROSS JOIN actions a INDEXED BY actions_by_run
                          ON a.run_id = later.id
                     WHERE later.seq >= r.seq AND a.kind = 'deactivate' AND a.state = 'succeeded')
                        AS deactivated
             FROM runs r WHERE r.seq = (SELECT max(seq) FROM runs WHERE opa_accepted = 1)",
        )
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            let row = Fields::of(&row, "runs", "seq");
            Ok(AcceptedSource {
                opa_active: row.number("opa_active")?,
                opsera_listed: row.maybe_number("opsera_listed")?,
                deactivated_since: row.number("deactivated")?,
            })
        })
        .transpose()
    }

    /// Notes that G1 and G2 accepted the source of this run: the new baseline of G2.
    pub async fn accept_source(&self, run: &RunId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE runs SET opa_accepted = 1, opsera_listed =
                 (SELECT s.accounts FROM snapshots s WHERE s.pull = runs.seq)
             WHERE id = ?1",
        )
        .bind(run.as_str())
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await
    }

    /// Whether a person or an account of `pull` has `key`, or anybody ever did.
    pub async fn knows_key(&self, pull: Pull, key: &Key) -> Result<bool, StoreError> {
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM opsera.accounts WHERE key = ?1)
                 OR EXISTS (SELECT 1 FROM main.people WHERE key = ?1)
                 OR EXISTS (SELECT 1 FROM ledger.carriers WHERE key = ?1)",
        )
        .bind(key.as_str())
        .fetch_one(&self.snapshot(pull).await?)
        .await?;
        Ok(found)
    }

    /// Accounts in the Opsera listing of `pull`, known also when the snapshot is lost; 0 if the
    /// store does not name that snapshot.
    pub async fn count_listed_accounts(&self, pull: Pull) -> Result<u64, StoreError> {
        let listed: Option<i64> =
            sqlx::query_scalar("SELECT accounts FROM snapshots WHERE pull = ?1")
                .bind(pull.0)
                .fetch_optional(self.reader())
                .await?;
        Ok(unsigned(listed.unwrap_or(0)))
    }

    /// The pull that is the snapshot today, with the time it was completed.
    pub async fn latest_pull(&self) -> Result<Option<(Pull, Timestamp)>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, pulled_at FROM runs WHERE pulled_at IS NOT NULL ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| {
            let row = Fields::of(&row, "runs", "seq");
            Ok((Pull(row.get("seq")?), row.time("pulled_at")?))
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
        .map(run_row)
        .collect()
    }

    /// The runs that began from `since` on and before `until`, oldest first, without their reports:
    /// there may be tens of thousands.
    pub async fn list_runs_begun(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<RunRow>, StoreError> {
        sqlx::query(
            "SELECT id, mode, started_at, finished_at, outcome, plan_id, error,
                    NULL AS report
             FROM runs WHERE started_at >= ?1 AND started_at < ?2 ORDER BY seq",
        )
        .bind(format_time(since))
        .bind(format_time(until))
        .fetch_all(self.reader())
        .await?
        .iter()
        .map(run_row)
        .collect()
    }

    /// The plan of the latest run of these kinds that came as far as a plan.
    pub async fn latest_plan(&self, limits: RunLimits<'_>) -> Result<Option<PlanId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar(
            "SELECT plan_id FROM runs WHERE kinds = ?1 AND people IS ?2 AND plan_id IS NOT NULL
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(limits.kinds.to_string())
        .bind(limits.people_json())
        .fetch_optional(self.reader())
        .await?;
        Ok(id.map(PlanId::new))
    }

    /// When a run last did everything there was to do ([`Outcome::is_success`]).
    pub async fn last_success(&self) -> Result<Option<Timestamp>, StoreError> {
        sqlx::query(
            "SELECT id, finished_at FROM runs
             WHERE mode = 'apply' AND outcome IN (SELECT value FROM json_each(?1))
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(serde_json::json!(Outcome::successes()).to_string())
        .fetch_optional(self.reader())
        .await?
        .map(|row| Fields::of(&row, "runs", "id").time("finished_at"))
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
            place: StorePath::from(self.path()),
            what,
        }
    }
}

/// What of the report stands in the run's row: the lists of people are kept beside it.
fn without_people(report: &Report, head: &Head) -> Report {
    Report {
        audit_head: Some(head.hash.clone()),
        guards: report
            .guards
            .iter()
            .map(GuardReport::without_people)
            .collect(),
        actions: Vec::new(),
        waiting: Vec::new(),
        findings: Vec::new(),
        // Each by itself: a clone of the report would clone the lists first.
        schema: report.schema.clone(),
        run_id: report.run_id.clone(),
        plan_id: report.plan_id.clone(),
        mode: report.mode,
        outcome: report.outcome,
        started_at: report.started_at,
        finished_at: report.finished_at,
        origin: report.origin.clone(),
        rejection: report.rejection.clone(),
        approval: report.approval.clone(),
        failed_on: report.failed_on,
        opa: report.opa,
        opsera: report.opsera,
        summary: report.summary,
        error: report.error.clone(),
    }
}

fn run_row(row: &sqlx::sqlite::SqliteRow) -> Result<RunRow, StoreError> {
    let row = Fields::of(row, "runs", "id");
    let report: Option<String> = row.get("report")?;
    Ok(RunRow {
        id: RunId::new(row.get::<String>("id")?),
        mode: row.get("mode")?,
        started_at: row.time("started_at")?,
        finished_at: row.maybe_time("finished_at")?,
        outcome: row.get("outcome")?,
        plan_id: row.get("plan_id")?,
        error: row.get("error")?,
        report: report.map(|_| row.json("report")).transpose()?,
    })
}

/// The last complete pull; 0 before there is one.
async fn latest_complete(conn: &mut sqlx::SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM runs WHERE pulled_at IS NOT NULL")
        .fetch_one(conn)
        .await
}
