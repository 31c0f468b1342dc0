//! What the run that made a snapshot said of its plan, for who asks later.

use std::time::Duration;

use super::fields::Fields;
use super::plans::is_fresh;
use super::snapshot::{Pull, json};
use super::{Store, StoreError};
use crate::domain::{ActionIdentity, KindSet, PlanId, PlannedAction, Report, time::Timestamp};

impl Store {
    /// The report, without its lists of people, of the run that made `pull`; `None` where that run
    /// was limited by `--only` or `--person`, or has not ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn find_report_on_everybody(&self, pull: Pull) -> Result<Option<Report>, StoreError> {
        let row = sqlx::query(
            "SELECT id, report FROM runs
             WHERE seq = ?1 AND kinds = ?2 AND people IS NULL AND report IS NOT NULL",
        )
        .bind(pull.0)
        .bind(KindSet::all().to_string())
        .fetch_optional(self.reader())
        .await?;
        row.map(|row| Fields::of(&row, "runs", "id").json("report"))
            .transpose()
    }

    /// Whether each of these actions is part of the plan that was held under `plan`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn holds_actions(
        &self,
        plan: &PlanId,
        actions: &[PlannedAction],
    ) -> Result<bool, StoreError> {
        let identities: Vec<ActionIdentity> = actions.iter().map(PlannedAction::identity).collect();
        let texts: Vec<&str> = identities.iter().map(ActionIdentity::as_str).collect();
        let found = sqlx::query_scalar(
            "SELECT NOT EXISTS (
                 SELECT 1 FROM json_each(?2) w
                 WHERE NOT EXISTS (SELECT 1 FROM plan_actions a
                                   WHERE a.plan_id = ?1 AND a.identity = w.value))",
        );
        Ok(found
            .bind(plan.as_str())
            .bind(json(&texts)?)
            .fetch_one(self.reader())
            .await?)
    }

    /// Whether an approval younger than `ttl` waits for the next run.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn has_approved_plan(
        &self,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = sqlx::query("SELECT id, decided_at FROM plans WHERE state = 'approved'")
            .fetch_all(self.reader())
            .await?;
        for row in &rows {
            let decided_at = Fields::of(row, "plans", "id").maybe_time("decided_at")?;
            if is_fresh(decided_at, ttl, now) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
