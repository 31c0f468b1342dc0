//! Held plans and the decisions about them (§6). How a plan comes to be held is in `plan_holds`.
//!
//! An approval is bound to a plan's exact actions, and used up one action at a time: a later run
//! may do what was approved and is not yet done, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::SqliteConnection;

use super::audit::append;
use super::fields::Fields;
use super::{RunLimits, Store, StoreError};
use crate::audit::{AuditWriter, Event, NewEntry};
use crate::domain::time::{after, format_time};
use crate::domain::{
    Decider, HeldPlan, Plan, PlanId, PlanState, PlannedAction, RunId, time::Timestamp,
};

impl Store {
    /// Held plans that a later run of the same kinds does not want any more. What takes a run back
    /// was not wanted by a run, so no run makes it superfluous.
    pub async fn supersede_plans(
        &self,
        limits: RunLimits<'_>,
        wanted: Option<&PlanId>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE plans SET state = 'superseded'
             WHERE state = 'held' AND undoes IS NULL AND kinds = ?1 AND people IS ?2 AND id <> ?3",
        )
        .bind(limits.kinds.to_string())
        .bind(limits.people_json())
        .bind(wanted.map_or("", PlanId::as_str))
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await
    }

    /// The approved plan, if there is one, whose approval is younger than `ttl` and whose actions
    /// that are not done yet contain every action of `plan`. An empty plan is only covered by its
    /// own approval: it is part of everything.
    pub async fn find_covering_approval(
        &self,
        plan: &Plan,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<HeldPlan>, StoreError> {
        let mut conn = self.reader().acquire().await?;
        let may_be_covered: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM plans WHERE state = 'approved')")
                .fetch_one(&mut *conn)
                .await?;
        // The plan may be long, and mostly nobody has approved anything.
        if !may_be_covered {
            return Ok(None);
        }
        let wanted: BTreeSet<_> = plan.actions().iter().map(PlannedAction::identity).collect();
        let identities: Vec<&str> = wanted
            .iter()
            .map(crate::domain::ActionIdentity::as_str)
            .collect();
        let json = serde_json::json!(identities).to_string();
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT p.id FROM plans p
             WHERE p.state = 'approved'
               AND NOT EXISTS (
                   SELECT 1 FROM json_each(?1) w
                   WHERE NOT EXISTS (SELECT 1 FROM plan_actions a
                                     WHERE a.plan_id = p.id AND a.identity = w.value AND a.done_at IS NULL))
             ORDER BY p.decided_at DESC",
        )
        .bind(json)
        .fetch_all(&mut *conn)
        .await?;
        for id in ids {
            let id = PlanId::new(id);
            if wanted.is_empty() && id != *plan.id() {
                continue;
            }
            if let Some(approved) = find(&mut conn, &id).await?
                && is_fresh(approved.decided_at, ttl, now)
            {
                return Ok(Some(approved));
            }
        }
        Ok(None)
    }

    /// Writes a decision down, in the store and in the audit log, in one transaction. `check`
    /// looks at the plan as it is inside that transaction and may refuse.
    pub async fn decide_plan<E>(
        &self,
        audit_writer: &AuditWriter,
        id: &PlanId,
        decision: PlanState,
        decider: &Decider,
        check: impl FnOnce(Option<&HeldPlan>) -> Result<(), E> + Send,
    ) -> Result<Result<HeldPlan, E>, StoreError> {
        let mut tx = self.begin().await?;
        let plan = find(&mut tx, id).await?;
        if let Err(refusal) = check(plan.as_ref()) {
            return Ok(Err(refusal));
        }
        sqlx::query(
            "UPDATE plans SET state = ?2, decided_at = ?3, decided_by = ?4, reason = ?5, reviewer = ?6
             WHERE id = ?1",
        )
        .bind(id.as_str())
        .bind(decision.as_str())
        .bind(format_time(decider.at))
        .bind(&decider.by)
        .bind(decider.reason.as_deref())
        .bind(decider.reviewer.as_deref())
        .execute(&mut *tx)
        .await?;
        let event = match decision {
            PlanState::Approved => Event::PlanApproved,
            _ => Event::PlanRejected,
        };
        let mut evidence = serde_json::json!({
            "plan_id": id,
            "by": decider.by,
            "actions": plan.as_ref().map(|plan| plan.actions),
        });
        if let (Some(map), Some(reviewer)) = (evidence.as_object_mut(), &decider.reviewer) {
            map.insert("reviewer".into(), serde_json::json!(reviewer));
        }
        let mut entry = NewEntry::new(event).evidence(evidence);
        entry.reason.clone_from(&decider.reason);
        append(&mut tx, audit_writer, entry).await?;
        let after = find(&mut tx, id)
            .await?
            .ok_or_else(|| self.conflict(format!("plan {id} should be there")))?;
        self.commit(tx).await?;
        Ok(Ok(after))
    }

    /// Notes that an approved plan without actions has had its effect: the run went through.
    pub async fn use_up_empty_approval(&self, id: &PlanId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE plans SET state = 'used' WHERE id = ?1 AND state = 'approved'
               AND NOT EXISTS (SELECT 1 FROM plan_actions a WHERE a.plan_id = plans.id)",
        )
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        self.commit(tx).await
    }

    /// One plan.
    pub async fn find_plan(&self, id: &PlanId) -> Result<Option<HeldPlan>, StoreError> {
        let mut conn = self.reader().acquire().await?;
        find(&mut conn, id).await
    }

    /// Every plan that was ever held and is not pruned, the latest first.
    pub async fn list_plans(&self) -> Result<Vec<HeldPlan>, StoreError> {
        let mut conn = self.reader().acquire().await?;
        let rows = sqlx::query("SELECT id FROM plans ORDER BY last_held_at DESC, id")
            .fetch_all(&mut *conn)
            .await?;
        let mut plans = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: String = Fields::of(row, "plans", "id").get("id")?;
            plans.extend(find(&mut conn, &PlanId::new(id)).await?);
        }
        Ok(plans)
    }

    /// The actions of a held plan in the order in which they would be applied, each with whether
    /// it is done.
    pub async fn list_plan_actions(
        &self,
        id: &PlanId,
    ) -> Result<Vec<(PlannedAction, bool)>, StoreError> {
        sqlx::query(
            "SELECT plan_id, action, done_at IS NOT NULL AS is_done FROM plan_actions
             WHERE plan_id = ?1 ORDER BY position",
        )
        .bind(id.as_str())
        .fetch_all(self.reader())
        .await?
        .iter()
        .map(|row| {
            let row = Fields::of(row, "plan_actions", "plan_id");
            Ok((row.json("action")?, row.get("is_done")?))
        })
        .collect()
    }
}

/// Notes that an action of approved plans has succeeded, and which plans are used up by it.
pub(super) async fn use_up(
    conn: &mut SqliteConnection,
    identity: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE plan_actions SET done_at = ?2
         WHERE identity = ?1 AND done_at IS NULL
           AND plan_id IN (SELECT id FROM plans WHERE state = 'approved')",
    )
    .bind(identity)
    .bind(format_time(now))
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "UPDATE plans SET state = 'used' WHERE state = 'approved'
           AND id IN (SELECT plan_id FROM plan_actions WHERE identity = ?1)
           AND NOT EXISTS (SELECT 1 FROM plan_actions a WHERE a.plan_id = plans.id AND a.done_at IS NULL)",
    )
    .bind(identity)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether something that happened at `at` is still good at `now`. What seems to have happened in
/// the future was written by a clock that was ahead, so nobody knows when it ends.
pub(super) fn is_fresh(at: Option<Timestamp>, ttl: Duration, now: Timestamp) -> bool {
    at.is_some_and(|at| {
        let ahead = at.signed_duration_since(now) > crate::rules::clock_trust::TOLERANCE;
        !ahead && now < after(at, ttl)
    })
}

pub(super) async fn find(
    conn: &mut SqliteConnection,
    id: &PlanId,
) -> Result<Option<HeldPlan>, StoreError> {
    let row = sqlx::query(
        "SELECT id, state, run_id, kinds, people, guards, held_at, last_held_at, decided_at, decided_by, reason,
                reviewer, undoes,
                (SELECT count(*) FROM plan_actions a WHERE a.plan_id = p.id) AS actions,
                (SELECT count(*) FROM plan_actions a
                 WHERE a.plan_id = p.id AND a.done_at IS NOT NULL) AS done
         FROM plans p WHERE id = ?1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let row = Fields::of(&row, "plans", "id");
        Ok(HeldPlan {
            id: id.clone(),
            state: row.text("state")?,
            run_id: RunId::new(row.get::<String>("run_id")?),
            undoes: row.get::<Option<String>>("undoes")?.map(RunId::new),
            kinds: row.text("kinds")?,
            people: row
                .get::<Option<String>>("people")?
                .map(|_| row.json("people"))
                .transpose()?,
            guards: row.json("guards")?,
            held_at: row.time("held_at")?,
            last_held_at: row.time("last_held_at")?,
            decided_at: row.maybe_time("decided_at")?,
            decided_by: row.get("decided_by")?,
            reviewer: row.get("reviewer")?,
            reason: row.get("reason")?,
            actions: row.number("actions")?,
            done: row.number("done")?,
        })
    })
    .transpose()
}
