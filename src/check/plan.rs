//! What the next plan would be against each guard, by the last complete reading: nothing is asked
//! of a directory for it.

use super::model::CheckReport;
use crate::domain::text::error_chain;
use crate::domain::time::{Timestamp, time_for_people};
use crate::domain::{Guard, KindSet};
use crate::reconcile::{
    GuardVerdict, PlanScope, PullOfPlan, RunError, judge, most_creations, plan_from_store,
};
use crate::settings::OfflineSettings;
use crate::store::{Pull, Store, StoreError};

/// Runs that are searched for the one that read both directories last.
const RUNS_LOOKED_AT: u32 = 10;

const ASK: &str = "`rolecall sync --dry-run` tells what a run would do";

pub(super) async fn examine(
    report: &mut CheckReport,
    store: &Store,
    settings: &OfflineSettings,
    now: Timestamp,
) {
    let name = "plan";
    let (pull, at) = match last_reading(store, &settings.digest()).await {
        Ok(Reading::Usable(pull, at)) => (pull, at),
        Ok(Reading::Never) => {
            report.ok(name, format!("nothing was read completely yet: {ASK}"));
            return;
        }
        Ok(Reading::OtherSettings(at)) => {
            let at = time_for_people(at);
            let words = format!("the settings have changed since the last reading ({at}): {ASK}");
            report.ok(name, words);
            return;
        }
        Err(error) => {
            report.not_checked(name, error_chain(&error));
            return;
        }
    };
    match predict(store, pull, settings, now).await {
        Ok((verdict, creations)) => tell(report, &verdict, creations, at),
        Err(error) => report.not_checked(
            name,
            format!("the last reading cannot be used: {}", error_chain(&error)),
        ),
    }
}

enum Reading {
    Usable(Pull, Timestamp),
    Never,
    /// Memberships that these settings need may not have been read.
    OtherSettings(Timestamp),
}

async fn last_reading(store: &Store, digest: &str) -> Result<Reading, StoreError> {
    let Some((pull, at)) = store.latest_pull().await? else {
        return Ok(Reading::Never);
    };
    let runs = store.list_runs(RUNS_LOOKED_AT).await?;
    let mut reports = runs.into_iter().filter_map(|run| run.report);
    let last = reports.find(|report| report.opa.complete && report.opsera.complete);
    let same = last.is_some_and(|report| report.origin.settings_digest.as_deref() == Some(digest));
    Ok(if same {
        Reading::Usable(pull, at)
    } else {
        Reading::OtherSettings(at)
    })
}

/// The guards, and how many accounts may be created: which of them Opsera knows already is not
/// asked.
async fn predict(
    store: &Store,
    pull: Pull,
    settings: &OfflineSettings,
    now: Timestamp,
) -> Result<(GuardVerdict, u64), RunError> {
    let policy = &settings.policy;
    let scope = PlanScope {
        policy,
        kinds: &KindSet::all(),
        people: None,
        now,
        clock_is_trusted: store.last_clock_is_trusted().await?,
        pull: PullOfPlan::StillToCome,
    };
    let planned = plan_from_store(store, pull, scope, None, Vec::new()).await?;
    let input = planned.input.clone();
    let verdict = judge(
        store,
        pull,
        &policy.guards,
        &planned.plan,
        input,
        &planned.restored,
        now,
    )
    .await?;
    Ok((verdict, most_creations(store, pull, policy).await?))
}

fn tell(report: &mut CheckReport, verdict: &GuardVerdict, creations: u64, at: Timestamp) {
    let at = time_for_people(at);
    for guard in &verdict.guards {
        let name = format!("plan.{}", guard.guard);
        let (limit, actual) = (guard.limit, guard.actual);
        let words = if guard.guard.holds_from_below() {
            format!("today's plan would leave {actual}, the least is {limit}")
        } else if guard.guard == Guard::MaxCreations {
            format!("today's plan would be at most {creations} of {limit}")
        } else {
            format!("today's plan would be {actual} of {limit}")
        };
        let words = match &guard.basis {
            Some(basis) => format!("{words} ({basis}), as of {at}"),
            None => format!("{words}, as of {at}"),
        };
        match &guard.approved_by_plan {
            Some(plan) => report.ok(name, format!("{words}; plan {plan} is approved")),
            None if guard.held => report.warning(
                name,
                format!("{words}: the plan would be held"),
                "look at it with `rolecall sync --dry-run`, then `rolecall plan show`",
            ),
            None => report.ok(name, words),
        }
    }
}
