//! The guards: as the run met them that read the snapshot, or else as the next run would.
//!
//! To foretell them, everybody is planned for, which takes seconds where there are a million people.
//! So the verdict of that run is told, with its name, as long as nothing has happened since that
//! would make another one of it.

use super::gather::Question;
use super::model::GuardsView;
use super::words;
use crate::domain::{GuardReport, KindSet, PlannedAction};
use crate::reconcile::{PlanScope, PullOfPlan, RunError, judge, most_creations, plan_from_store};
use crate::store::{Pull, Store, StoreError};

pub(super) async fn view(
    store: &Store,
    pull: Pull,
    question: Question<'_>,
    own: &[PlannedAction],
) -> Result<GuardsView, RunError> {
    match as_met(store, pull, question, own).await? {
        Some(view) => Ok(view),
        None => foretold(store, pull, question, own).await,
    }
}

/// The verdict of the run that made the pull. `None` where that run was limited or never ended,
/// where its settings were others, where an approval waits for the next one, and where this person's
/// change was no part of its plan.
async fn as_met(
    store: &Store,
    pull: Pull,
    question: Question<'_>,
    own: &[PlannedAction],
) -> Result<Option<GuardsView>, StoreError> {
    let Some(report) = store.find_report_on_everybody(pull).await? else {
        return Ok(None);
    };
    let Some(plan_id) = report.plan_id else {
        return Ok(None);
    };
    let ttl = question.policy.guards.approval_ttl;
    if report.origin.settings_digest.as_deref() != Some(question.settings_digest)
        || store.has_approved_plan(ttl, question.now).await?
        || !(own.is_empty() || store.holds_actions(&plan_id, own).await?)
    {
        return Ok(None);
    }
    let summary = report.summary;
    let changes = summary.deactivate.saturating_add(summary.set_role);
    Ok(Some(GuardsView {
        plan_id,
        met_by_run: Some(report.run_id),
        met_at: Some(report.finished_at),
        actions: usize::try_from(changes).unwrap_or(usize::MAX),
        creations_at_most: summary.create,
        concerns_this_person: !own.is_empty(),
        held: report.guards.iter().any(|guard| guard.held),
        holding: holding(report.guards),
        approval: report.approval.map(|approval| {
            approved(
                approval.plan_id.as_str(),
                Some(&approval.by),
                Some(words::time(approval.at)),
                approval.reason.as_deref(),
            )
        }),
    }))
}

/// The verdict that the next run would meet, if the directories stayed as in the snapshot.
async fn foretold(
    store: &Store,
    pull: Pull,
    question: Question<'_>,
    own: &[PlannedAction],
) -> Result<GuardsView, RunError> {
    let Question { policy, now, .. } = question;
    let scope = PlanScope {
        policy,
        kinds: &KindSet::all(),
        people: None,
        now,
        clock_is_trusted: store.last_clock_is_trusted().await?,
        pull: PullOfPlan::StillToCome,
    };
    let planned = plan_from_store(store, pull, scope, None, Vec::new()).await?;
    let plan = &planned.plan;
    let verdict = judge(
        store,
        pull,
        &policy.guards,
        plan,
        planned.input.clone(),
        &planned.restored,
        now,
    )
    .await?;
    let concerns_this_person = own.iter().any(|action| {
        plan.actions()
            .iter()
            .any(|planned| planned.identity() == action.identity())
    });
    Ok(GuardsView {
        plan_id: plan.id().clone(),
        met_by_run: None,
        met_at: None,
        actions: plan.actions().len(),
        creations_at_most: most_creations(store, pull, policy).await?,
        concerns_this_person,
        held: verdict.is_held(),
        holding: holding(verdict.guards),
        approval: verdict.approval.as_ref().map(|found| {
            approved(
                found.id.as_str(),
                found.decided_by.as_deref(),
                found.decided_at.map(words::time),
                found.reason.as_deref(),
            )
        }),
    })
}

/// The guards that hold a plan, or that an approval lets it pass.
fn holding(mut guards: Vec<GuardReport>) -> Vec<GuardReport> {
    guards.retain(|guard| guard.held || guard.approved_by_plan.is_some());
    guards
}

fn approved(plan: &str, by: Option<&str>, at: Option<String>, reason: Option<&str>) -> String {
    format!(
        "plan {plan} was approved by {} at {}: {}",
        by.unwrap_or("somebody"),
        at.unwrap_or_default(),
        reason.unwrap_or("no reason given"),
    )
}
