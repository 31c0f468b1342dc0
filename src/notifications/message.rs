//! What a message says, whatever its format: enough to decide whether to get up.
//!
//! Every text in it is escaped. People are in it only where `notify.include_people` lets them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::escape::escape;
use super::event::Event;
use crate::domain::text::counted;
use crate::domain::time::{Timestamp, after, time_for_people};
use crate::domain::{ActionKind, ActionReport, ActionStatus, Report};

/// People that one message names; the rest are counted.
const NAMED: usize = 10;
/// Characters of an error, of a finding's detail, of a name.
pub(super) const LONG: usize = 600;
const DETAIL: usize = 300;
const NAME: usize = 120;

/// What a message depends on beside the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audience<'a> {
    /// `opa.team`
    pub(super) team: &'a str,
    /// `notify.include_people`
    pub(super) include_people: bool,
    /// `guards.approval_ttl`
    pub(super) approval_ttl: Duration,
}

/// One message.
#[derive(Debug)]
pub(super) struct Message<'m> {
    pub(super) event: Event<'m>,
    pub(super) report: &'m Report,
    pub(super) team: String,
    /// What happened, in one sentence.
    pub(super) headline: String,
    /// What is to be known of it: a name and a value.
    pub(super) facts: Vec<(String, String)>,
    /// The people concerned, one a line.
    pub(super) people: Vec<Named>,
    /// How many more there are.
    pub(super) left_out: usize,
    /// Until when a decision is possible.
    pub(super) deadline: Option<Timestamp>,
    /// What to type, in order.
    pub(super) commands: Vec<String>,
    /// Where to type it.
    pub(super) host: Option<String>,
}

/// Somebody, and why they are named.
#[derive(Debug)]
pub(super) struct Named {
    /// The kind of the finding or action.
    pub(super) kind: &'static str,
    pub(super) email: String,
    pub(super) words: String,
}

impl Named {
    fn line(&self) -> String {
        let kind = self.kind.replace('_', " ");
        let separator = if self.words.is_empty() { "" } else { " — " };
        format!("{kind}: {}{separator}{}", self.email, self.words)
    }
}

impl<'m> Message<'m> {
    pub(super) fn new(audience: Audience<'_>, event: Event<'m>, report: &'m Report) -> Self {
        let mut message = Self {
            event,
            report,
            team: escape(audience.team, NAME),
            headline: String::new(),
            facts: Vec::new(),
            people: Vec::new(),
            left_out: 0,
            deadline: None,
            commands: Vec::new(),
            host: report.origin.host.as_deref().map(|host| escape(host, NAME)),
        };
        match event {
            Event::Held => message.held(audience.approval_ttl),
            Event::Failed => message.failed(),
            Event::Partial => message.partial(),
            Event::Refused => message.refused(),
            Event::Recovered => message.recovered(),
            Event::TokenEnds { at, now } => message.token_ends(at, now),
            Event::TokenRenewed => {
                "token: Opsera's token was renewed".clone_into(&mut message.headline);
            }
            Event::NewFindings(_) => message.new_findings(),
        }
        if audience.include_people {
            message.left_out = message.people.len().saturating_sub(NAMED);
            message.people.truncate(NAMED);
        } else {
            message.left_out = message.people.len();
            message.people.clear();
        }
        message
    }

    /// What happened, and where, in one line.
    pub(super) fn title(&self) -> String {
        format!("rolecall, Team {}: {}", self.team, self.headline)
    }

    /// The facts, one a line.
    pub(super) fn fact_lines(&self) -> Vec<String> {
        let facts = self.facts.iter();
        facts
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    /// The whole as plain lines.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.title()];
        lines.extend(self.fact_lines());
        lines.extend(
            self.people_lines()
                .into_iter()
                .map(|line| format!("• {line}")),
        );
        if !self.commands.is_empty() {
            lines.push(format!(
                "{} {}",
                self.place(),
                self.commands.join(", then: ")
            ));
        }
        lines.join("\n")
    }

    /// The people, and how many more there are.
    pub(super) fn people_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.people.iter().map(Named::line).collect();
        if !lines.is_empty() && self.left_out > 0 {
            lines.push(format!("and {} more", self.left_out));
        }
        lines
    }

    /// Where the commands are to be typed.
    pub(super) fn place(&self) -> String {
        match &self.host {
            Some(host) => format!("On {host}:"),
            None => "Look at it with:".to_owned(),
        }
    }

    fn fact(&mut self, name: &str, value: String) {
        self.facts.push((name.to_owned(), value));
    }

    fn held(&mut self, approval_ttl: Duration) {
        let plan = self
            .report
            .plan_id
            .as_ref()
            .map_or("", |plan| plan.as_str());
        let actions = self.report.actions.len();
        let guards: Vec<String> = self
            .report
            .guards
            .iter()
            .filter(|guard| guard.held)
            .map(|guard| {
                let name = guard.guard.as_str().replace('_', " ");
                format!("{name} is {}, the limit is {}", guard.actual, guard.limit)
            })
            .collect();
        self.headline = match &self.report.rejection {
            Some(rejection) => format!(
                "held: the plan {plan} ({actions} actions) was rejected by {} ({}) and nothing of it \
                 is done until {}",
                escape(&rejection.by, NAME),
                escape(
                    rejection.reason.as_deref().unwrap_or("no reason given"),
                    DETAIL
                ),
                time_for_people(rejection.until),
            ),
            None => format!(
                "held: nothing of the plan {plan} ({actions} actions) is done until somebody \
                 approves it"
            ),
        };
        let changes = changes(self.report);
        if !changes.is_empty() {
            self.fact("Plan", changes);
        }
        self.fact("Guards", guards.join("; "));
        if self.report.rejection.is_none() {
            let deadline = after(self.report.finished_at, approval_ttl);
            self.deadline = Some(deadline);
            self.fact(
                "Can be approved until",
                format!(
                    "{}; each later run that wants the same plan puts this off",
                    time_for_people(deadline)
                ),
            );
        }
        self.name_those(|action| action.kind == ActionKind::Deactivate);
        self.name_those(|action| action.kind != ActionKind::Deactivate);
        self.commands.push(format!("rolecall plan show {plan}"));
    }

    fn failed(&mut self) {
        let error = self.report.error.as_deref();
        self.headline = format!(
            "failed: the run could not be done: {}",
            escape(error.unwrap_or("no reason is known"), LONG)
        );
        self.commands.push("rolecall check".to_owned());
    }

    /// A refusal rests until `retry.rejected_retry` has passed or somebody says that it may be
    /// tried again; the rest is planned again by the next run.
    fn partial(&mut self) {
        let statuses = statuses(self.report);
        let done = ["succeeded", "already"]
            .iter()
            .filter_map(|status| statuses.get(status));
        let actions = self.report.actions.len();
        let counts: Vec<String> = statuses
            .iter()
            .map(|(status, count)| format!("{count} {}", status.replace('_', " ")))
            .collect();
        self.headline = format!(
            "partial: {} of {actions} actions were not done ({})",
            actions.saturating_sub(done.sum()),
            counts.join(", ")
        );
        let with = |status: ActionStatus| statuses.get(status.as_str()).copied().unwrap_or(0);
        let refused = with(ActionStatus::Rejected);
        if refused > 0 {
            self.fact(
                "Refusals",
                format!("{refused} refused by Opsera, which the next run does not try again"),
            );
            self.name_those(|action| action.status == ActionStatus::Rejected);
            self.commands.push("rolecall queue list".to_owned());
            self.commands.push("rolecall queue retry NUMBER".to_owned());
        }
        let due =
            with(ActionStatus::Failed) + with(ActionStatus::Skipped) + with(ActionStatus::NotTried);
        if due > 0 {
            self.fact("Still due", format!("the next run plans {due} again"));
            self.name_those(|action| {
                matches!(
                    action.status,
                    ActionStatus::Failed | ActionStatus::Skipped | ActionStatus::NotTried
                )
            });
            if refused == 0 {
                self.commands.push("rolecall report latest".to_owned());
            }
        }
    }

    fn refused(&mut self) {
        let count = self.report.summary.refused;
        let (s, they) = if count == 1 {
            ("", "it is")
        } else {
            ("s", "they are")
        };
        self.headline = format!(
            "refused: Opsera has refused {count} action{s}, and {they} not tried again yet; mostly a \
             leaver still owns something in Opsera"
        );
        self.commands.push("rolecall queue list".to_owned());
        self.commands.push("rolecall queue retry NUMBER".to_owned());
    }

    fn recovered(&mut self) {
        let outcome = self.report.outcome.as_str().replace('_', " ");
        self.headline = format!("recovered: the last run went well ({outcome})");
        let changes = changes(self.report);
        if !changes.is_empty() {
            self.fact("Done", changes);
        }
    }

    fn token_ends(&mut self, at: Timestamp, now: Timestamp) {
        let shown = time_for_people(at);
        let when = match (at - now).num_days() {
            _ if at <= now => format!("ended at {shown}, and no run can do anything"),
            0 => format!("ends at {shown}, within a day"),
            1 => format!("ends at {shown}, in 1 day"),
            days => format!("ends at {shown}, in {days} days"),
        };
        self.headline = format!(
            "token: Opsera's token {when}. Make a new one with the scope api, set opsera.token_file, \
             and try it"
        );
        self.deadline = Some(at);
        self.commands.push("rolecall check".to_owned());
    }

    fn new_findings(&mut self) {
        let findings = self.event.findings();
        self.headline = format!(
            "{} new finding{}, left alone until somebody looks",
            findings.len(),
            if findings.len() == 1 { "" } else { "s" }
        );
        for (kind, count) in self.event.kinds() {
            self.fact(&kind.replace('_', " "), count.to_string());
        }
        self.people = findings
            .iter()
            .map(|finding| Named {
                kind: finding.kind.as_str(),
                email: escape(&finding.email, NAME),
                words: escape(&finding.detail, DETAIL),
            })
            .collect();
        self.commands.push("rolecall report latest".to_owned());
    }

    fn name_those(&mut self, wanted: impl Fn(&ActionReport) -> bool) {
        let those = self.report.actions.iter().filter(|action| wanted(action));
        self.people.extend(those.map(|action| Named {
            kind: action.kind.as_str(),
            email: escape(&action.email, NAME),
            words: escape(action.message.as_deref().unwrap_or(&action.reason), DETAIL),
        }));
    }
}

/// `2 deactivations, 1 role change`; empty where there is nothing.
fn changes(report: &Report) -> String {
    let summary = &report.summary;
    [
        (summary.deactivate, "deactivation", "deactivations"),
        (summary.set_role, "role change", "role changes"),
        (summary.create, "creation", "creations"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, one, many)| counted(count, one, many))
    .collect::<Vec<_>>()
    .join(", ")
}

/// How many actions have which status.
pub(super) fn statuses(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for action in &report.actions {
        *counts.entry(action.status.as_str()).or_default() += 1;
    }
    counts
}
