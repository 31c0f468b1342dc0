//! The messages themselves, in both formats.

use serde_json::{Value, json};

use super::escape::{entities, escape, without_markup};
use crate::domain::time::{Timestamp, time_for_people};
use crate::domain::{ActionReport, ActionStatus, Finding, Report};
use crate::settings::NotifyFormat;

/// Findings that one message names; the rest are counted.
const NAMED_FINDINGS: usize = 10;
/// Refused actions that one message names.
const NAMED_ACTIONS: usize = 10;
/// Characters of an error, of a finding's detail, of a name.
const LONG: usize = 600;
const DETAIL: usize = 300;
const NAME: usize = 120;

/// What a message is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'n> {
    /// A guard holds the plan.
    Held,
    /// The run could not be done.
    Failed,
    /// Some actions were not done.
    Partial,
    /// All is done but what Opsera has refused, and that rests until it may be tried again.
    Refused,
    /// The first run that went well after one that did not.
    Recovered,
    /// Opsera's token ends then, or has ended.
    TokenEnds {
        /// When.
        at: Timestamp,
        /// The time of the message.
        now: Timestamp,
    },
    /// Findings that nobody was told of.
    NewFindings(&'n [Finding]),
}

impl Event<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Recovered => "recovered",
            Self::TokenEnds { .. } => "token_ends",
            Self::NewFindings(_) => "findings",
        }
    }
}

/// The body of the message, as JSON in the format that `notify.format` asks for.
pub(super) fn body(format: NotifyFormat, team: &str, event: Event<'_>, report: &Report) -> String {
    let text = text(team, event, report);
    match format {
        // Whatever slipped through, Slack is told not to look for markup.
        NotifyFormat::Slack => json!({ "text": entities(&text), "mrkdwn": false }).to_string(),
        NotifyFormat::Json => without_markup(&fields(team, event, report, &text)),
    }
}

fn text(team: &str, event: Event<'_>, report: &Report) -> String {
    let what = match event {
        Event::Held => held(report),
        Event::Failed => format!(
            "failed: the run could not be done: {}",
            escape(
                report.error.as_deref().unwrap_or("no reason is known"),
                LONG
            )
        ),
        Event::Partial => partial(report),
        Event::Refused => refused(report),
        Event::Recovered => format!(
            "recovered: the last run went well ({})",
            report.outcome.as_str().replace('_', " ")
        ),
        Event::TokenEnds { at, now } => token_ends(at, now),
        Event::NewFindings(findings) => new_findings(findings),
    };
    format!("rolecall, Team {}: {what}", escape(team, NAME))
}

/// What was not done, and what becomes of it: a refusal rests until `retry.rejected_retry` has
/// passed or somebody says that it may be tried again, the rest is planned again by the next run.
fn partial(report: &Report) -> String {
    let mut text = format!(
        "partial: {} of {} actions were not done ({})",
        report.actions.len().saturating_sub(count_done(report)),
        report.actions.len(),
        statuses(report)
            .iter()
            .map(|(status, count)| format!("{count} {}", status.replace('_', " ")))
            .collect::<Vec<_>>()
            .join(", ")
    );
    let refused: Vec<_> = with_status(report, ActionStatus::Rejected);
    if !refused.is_empty() {
        text.push('\n');
        text.push_str(&refused.len().to_string());
        text.push_str(" refused by Opsera, which the next run does not try again:");
        for action in refused.iter().take(NAMED_ACTIONS) {
            text.push_str("\n• ");
            text.push_str(&escape(&action.email, NAME));
            if let Some(message) = &action.message {
                text.push_str(" — ");
                text.push_str(&escape(message, DETAIL));
            }
        }
        let left_out = refused.len().saturating_sub(NAMED_ACTIONS);
        if left_out > 0 {
            text.push_str("\n• and ");
            text.push_str(&left_out.to_string());
            text.push_str(" more");
        }
        text.push_str(
            "\nPut right what Opsera names, find the number with: rolecall queue list, then: \
             rolecall queue retry NUMBER",
        );
    }
    let due = [
        ActionStatus::Failed,
        ActionStatus::Skipped,
        ActionStatus::NotTried,
    ]
    .map(|status| with_status(report, status).len())
    .iter()
    .sum::<usize>();
    if due > 0 {
        text.push_str("\nThe next run plans the other ");
        text.push_str(&due.to_string());
        text.push_str(" again");
    }
    text
}

fn with_status(report: &Report, status: ActionStatus) -> Vec<&ActionReport> {
    let actions = report.actions.iter();
    actions.filter(|action| action.status == status).collect()
}

fn held(report: &Report) -> String {
    let plan = report
        .plan_id
        .as_ref()
        .map_or("", crate::domain::PlanId::as_str);
    let guards: Vec<String> = report
        .guards
        .iter()
        .filter(|guard| guard.held)
        .map(|guard| {
            let name = guard.guard.as_str().replace('_', " ");
            format!("{name} is {}, the limit is {}", guard.actual, guard.limit)
        })
        .collect();
    if let Some(rejection) = &report.rejection {
        let reason = rejection.reason.as_deref().unwrap_or("no reason given");
        return format!(
            "held: the plan {plan} ({} actions) was rejected by {} ({}) and nothing of it is done \
             until {}. {}. Look at it with: rolecall plan show {plan}",
            report.actions.len(),
            escape(&rejection.by, NAME),
            escape(reason, DETAIL),
            time_for_people(rejection.until),
            guards.join("; ")
        );
    }
    format!(
        "held: nothing of the plan {plan} ({} actions) is done until somebody approves it. {}. \
         Look at it with: rolecall plan show {plan}",
        report.actions.len(),
        guards.join("; ")
    )
}

fn refused(report: &Report) -> String {
    let count = report.summary.refused;
    let (s, they) = if count == 1 {
        ("", "it is")
    } else {
        ("s", "they are")
    };
    format!(
        "refused: Opsera has refused {count} action{s}, and {they} not tried again yet; mostly a leaver \
         still owns something in Opsera. Its words: rolecall queue list. After the transfer: \
         rolecall queue retry"
    )
}

fn token_ends(at: Timestamp, now: Timestamp) -> String {
    let shown = time_for_people(at);
    let when = match (at - now).num_days() {
        _ if at <= now => format!("ended at {shown}, and no run can do anything"),
        0 => format!("ends at {shown}, within a day"),
        1 => format!("ends at {shown}, in 1 day"),
        days => format!("ends at {shown}, in {days} days"),
    };
    format!(
        "token: Opsera's token {when}. Make a new one with the scope api, set opsera.token_file, \
         and try it with: rolecall check"
    )
}

fn new_findings(findings: &[Finding]) -> String {
    let mut text = format!(
        "{} new finding{}, left alone until somebody looks:",
        findings.len(),
        if findings.len() == 1 { "" } else { "s" }
    );
    for finding in findings.iter().take(NAMED_FINDINGS) {
        text.push_str("\n• ");
        text.push_str(&finding.kind.as_str().replace('_', " "));
        text.push_str(": ");
        text.push_str(&escape(&finding.email, NAME));
        text.push_str(" — ");
        text.push_str(&escape(&finding.detail, DETAIL));
    }
    let left_out = findings.len().saturating_sub(NAMED_FINDINGS);
    if left_out > 0 {
        text.push_str("\n• and ");
        text.push_str(&left_out.to_string());
        text.push_str(" more, which the report names");
    }
    text
}

fn fields(team: &str, event: Event<'_>, report: &Report, text: &str) -> Value {
    let findings = match event {
        Event::NewFindings(findings) => findings,
        Event::Held
        | Event::Failed
        | Event::Partial
        | Event::Refused
        | Event::Recovered
        | Event::TokenEnds { .. } => &[],
    };
    let guards: Vec<Value> = report
        .guards
        .iter()
        .filter(|guard| guard.held)
        .map(|guard| json!({ "guard": guard.guard, "actual": guard.actual, "limit": guard.limit }))
        .collect();
    let named: Vec<Value> = findings
        .iter()
        .take(NAMED_FINDINGS)
        .map(|finding| {
            json!({
                "kind": finding.kind.as_str(),
                "email": escape(&finding.email, NAME),
                "detail": escape(&finding.detail, DETAIL),
            })
        })
        .collect();
    let actions: serde_json::Map<String, Value> = statuses(report)
        .into_iter()
        .map(|(status, count)| (status.to_owned(), json!(count)))
        .collect();
    json!({
        "schema": "rolecall.notification/1",
        "event": event.name(),
        "text": text,
        "team": escape(team, NAME),
        "run_id": report.run_id,
        "plan_id": report.plan_id,
        "outcome": report.outcome,
        "finished_at": report.finished_at,
        "error": report.error.as_deref().map(|error| escape(error, LONG)),
        "actions": actions,
        "guards": guards,
        "findings": named,
        "findings_left_out": findings.len().saturating_sub(named.len()),
    })
}

fn statuses(report: &Report) -> Vec<(&'static str, usize)> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for action in &report.actions {
        let status = action.status.as_str();
        match counts.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => counts.push((status, 1)),
        }
    }
    counts
}

fn count_done(report: &Report) -> usize {
    let is_done = |status| matches!(status, ActionStatus::Succeeded | ActionStatus::Already);
    report
        .actions
        .iter()
        .filter(|action| is_done(action.status))
        .count()
}
