//! How a plan comes to be held (§6): a guard holds it, or somebody wants to take a run back.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::audit::append;
use super::plan_actions;
use super::plans::{find, is_fresh};
use super::{RunLimits, Store, StoreError};
use crate::audit::{AuditWriter, Event, NewEntry};
use crate::domain::time::format_time;
use crate::domain::{GuardReport, KindSet, Plan, PlanState, RunId, time::Timestamp};

impl Store {
    /// Stores a plan that a guard holds, so that somebody can look at it and decide, and notes it
    /// in the audit log. A rejection younger than `ttl` stands, and so does an approval that was
    /// given while this run was looking at its guards.
    pub async fn hold_plan(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        limits: RunLimits<'_>,
        plan: &Plan,
        guards: &[GuardReport],
        ttl: Duration,
    ) -> Result<PlanState, StoreError> {
        let holding: Vec<&str> = guards
            .iter()
            .filter(|guard| guard.held)
            .map(|guard| guard.guard.as_str())
            .collect();
        let entry = NewEntry::new(Event::PlanHeld)
            .in_run(run)
            .because(holding.join(", "))
            .evidence(evidence_of(plan, guards));
        let hold = Hold {
            run,
            undoes: None,
            limits,
            plan,
            guards,
            ttl,
            entry,
        };
        self.hold(audit_writer, hold).await
    }

    /// Stores a plan that takes back the role changes of `run`, as [`Store::hold_plan`] does: it
    /// waits for a decision whatever the guards say.
    pub async fn hold_undo(
        &self,
        audit_writer: &AuditWriter,
        run: &RunId,
        plan: &Plan,
        guards: &[GuardReport],
        ttl: Duration,
    ) -> Result<PlanState, StoreError> {
        let mut evidence = evidence_of(plan, guards);
        if let Some(map) = evidence.as_object_mut() {
            map.insert("undoes".into(), serde_json::json!(run));
        }
        // No run holds it: somebody asked for it.
        let entry = NewEntry::new(Event::PlanHeld)
            .because(format!("undo of run {run}"))
            .evidence(evidence);
        let hold = Hold {
            run,
            undoes: Some(run),
            limits: RunLimits {
                kinds: &KindSet::all(),
                people: None,
            },
            plan,
            guards,
            ttl,
            entry,
        };
        self.hold(audit_writer, hold).await
    }

    async fn hold(
        &self,
        audit_writer: &AuditWriter,
        hold: Hold<'_>,
    ) -> Result<PlanState, StoreError> {
        let now = audit_writer.clock.now();
        let id = hold.plan.id();
        let guards_json = serde_json::to_string(hold.guards)
            .map_err(|error| StoreError::corrupt("plans", "guards", id, error))?;
        let mut tx = self.begin().await?;
        let former = find(&mut tx, id).await?;
        let standing = former.as_ref().filter(|former| {
            let stands = match former.state {
                PlanState::Rejected => true,
                // One that is used in part did not cover this run's plan, or it were not held.
                PlanState::Approved => former.done == 0,
                PlanState::Held | PlanState::Used | PlanState::Superseded => false,
            };
            stands && is_fresh(former.decided_at, hold.ttl, now)
        });
        let state = standing.map_or(PlanState::Held, |standing| standing.state);
        let open = former
            .as_ref()
            .filter(|former| former.state == PlanState::Held);
        // A run that wants the same work does not make an undo its own.
        let stays_an_undo =
            hold.undoes.is_none() && open.is_some_and(|former| former.undoes.is_some());
        if standing.is_some() || stays_an_undo {
            sqlx::query(
                "UPDATE plans SET run_id = ?2, guards = ?3, last_held_at = ?4 WHERE id = ?1",
            )
            .bind(id.as_str())
            .bind(hold.run.as_str())
            .bind(&guards_json)
            .bind(format_time(now))
            .execute(&mut *tx)
            .await?;
        } else {
            let held_at = open.map_or(now, |former| former.held_at);
            let times = Times { held_at, now };
            write_held(&mut tx, &hold, &guards_json, times).await?;
        }
        append(&mut tx, audit_writer, hold.entry).await?;
        self.commit(tx).await?;
        Ok(state)
    }
}

/// A plan on its way into the store.
struct Hold<'h> {
    run: &'h RunId,
    undoes: Option<&'h RunId>,
    limits: RunLimits<'h>,
    plan: &'h Plan,
    guards: &'h [GuardReport],
    ttl: Duration,
    entry: NewEntry,
}

/// Since when it is held, and when it was held last.
struct Times {
    held_at: Timestamp,
    now: Timestamp,
}

fn evidence_of(plan: &Plan, guards: &[GuardReport]) -> serde_json::Value {
    serde_json::json!({
        "plan_id": plan.id(),
        "actions": plan.actions().len(),
        "guards": guards.iter().filter(|guard| guard.held).map(|guard| {
            serde_json::json!({ "guard": guard.guard, "limit": guard.limit, "actual": guard.actual })
        }).collect::<Vec<_>>(),
    })
}

async fn write_held(
    conn: &mut SqliteConnection,
    hold: &Hold<'_>,
    guards: &str,
    times: Times,
) -> Result<(), StoreError> {
    let plan = hold.plan;
    // The id is a digest of the actions, but what was shown with them (names, evidence) may have
    // changed, and an approval that lapsed is not the next one's: the plan is then written anew.
    let are_stored = plan_actions::are_stored(conn, plan).await?;
    if !are_stored {
        sqlx::query("DELETE FROM plans WHERE id = ?1")
            .bind(plan.id().as_str())
            .execute(&mut *conn)
            .await?;
    }
    sqlx::query(
        "INSERT INTO plans (id, state, run_id, kinds, people, guards, held_at, last_held_at, undoes)
         VALUES (?1, 'held', ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, run_id = excluded.run_id,
             kinds = excluded.kinds, people = excluded.people, guards = excluded.guards,
             held_at = excluded.held_at, last_held_at = excluded.last_held_at,
             undoes = excluded.undoes,
             decided_at = NULL, decided_by = NULL, reviewer = NULL, reason = NULL",
    )
    .bind(plan.id().as_str())
    .bind(hold.run.as_str())
    .bind(hold.limits.kinds.to_string())
    .bind(hold.limits.people_json())
    .bind("[]")
    .bind(format_time(times.held_at))
    .bind(format_time(times.now))
    .bind(hold.undoes.map(RunId::as_str))
    .execute(&mut *conn)
    .await?;
    if !are_stored {
        plan_actions::write(conn, plan).await?;
    }
    // Last: they name everybody whom a guard concerns, and SQLite reads the whole row of the plan
    // to check the foreign key of each action.
    sqlx::query("UPDATE plans SET guards = ?2 WHERE id = ?1")
        .bind(plan.id().as_str())
        .bind(guards)
        .execute(conn)
        .await?;
    Ok(())
}
