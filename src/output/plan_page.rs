//! A held plan as the page that a reviewer reads before deciding: the screen of a dry run, with the
//! decision in place of the run.

use std::io;
use std::time::Duration;

use super::page::{Cell, Page, Severity, guard_section};
use super::page_rows::action_sections;
use super::phrases::{NextStep, by_and_for, capitalized, holding, would_be};
use super::render::TableStyle;
use super::table;
use crate::domain::approval::{good_until, look_again, run_that_applies};
use crate::domain::text::{counted, number};
use crate::domain::time::{Timestamp, time_for_people};
use crate::domain::{ActionReport, HeldPlan, PeopleFilter, PlanState};

/// A held plan, with what a reader must know beside it.
#[derive(Clone, Copy, Debug)]
pub struct PlanView<'p> {
    /// The plan.
    pub plan: &'p HeldPlan,
    /// Its actions.
    pub actions: &'p [ActionReport],
    /// `guards.approval_ttl`
    pub ttl: Duration,
    /// When it is looked at.
    pub now: Timestamp,
}

/// Writes a held plan for a terminal.
///
/// # Errors
/// What `out` fails with.
pub fn render_plan(
    plan: PlanView<'_>,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    table::render(&plan.page(), style, out)
}

impl<'p> PlanView<'p> {
    pub(super) fn page(self) -> Page<'p> {
        let mut sections = action_sections(&self.actions.iter().collect::<Vec<_>>());
        sections.extend(guard_section(&self.plan.guards));
        Page {
            title: format!("rolecall, plan {}", self.plan.id),
            verdict: self.verdict(),
            severity: match self.plan.state {
                PlanState::Held | PlanState::Rejected => Severity::Warning,
                PlanState::Used => Severity::Good,
                PlanState::Approved | PlanState::Superseded => Severity::Plain,
            },
            error: None,
            fields: self.fields(),
            sections,
            whole: format!("rolecall plan show {} --format json", self.plan.id),
            next: self.next_steps(),
        }
    }

    /// Until when a decision is due or good.
    fn until(self) -> Option<Timestamp> {
        good_until(self.plan, self.ttl)
    }

    fn is_over(self) -> bool {
        self.until().is_some_and(|until| until <= self.now)
    }

    fn verdict(self) -> String {
        let plan = self.plan;
        let id = &plan.id;
        let by = plan.decided_by.as_deref().unwrap_or("somebody");
        let by = by_and_for(by, plan.reviewer.as_deref());
        let said = match plan.state {
            PlanState::Held if self.is_over() => {
                format!("Plan {id} is expired: it was held too long ago to be approved.")
            }
            PlanState::Held => format!(
                "Plan {id} is held: {}. Nothing of it is done until somebody approves it.",
                self.why_held()
            ),
            PlanState::Approved if self.is_over() => {
                format!("Plan {id} was approved by {by}, but the approval has lapsed.")
            }
            PlanState::Approved => format!(
                "Plan {id} is approved by {by}: the next `{}` applies what is not done yet.",
                run_that_applies(plan)
            ),
            PlanState::Used => {
                format!("Plan {id} is used: everything in it is done, as {by} approved it.")
            }
            PlanState::Rejected => {
                format!("Plan {id} is rejected by {by}: nothing of it is done.")
            }
            PlanState::Superseded => {
                format!("Plan {id} is superseded: a later run wants something else.")
            }
        };
        let content = if self.actions.is_empty() {
            "It has no actions: the guards doubt the source itself, and approving it accepts that \
             the source has so few people."
                .to_owned()
        } else {
            format!("{}.", capitalized(&would_be(self.actions)))
        };
        format!("{said} {content}")
    }

    fn why_held(self) -> String {
        let guards = holding(&self.plan.guards);
        match (&self.plan.undoes, guards) {
            (Some(run), None) => format!("it takes back what run {run} changed"),
            (Some(run), Some(guards)) => {
                format!("it takes back what run {run} changed; {guards}")
            }
            (None, guards) => guards.unwrap_or_else(|| "a guard holds it".to_owned()),
        }
    }

    fn fields(self) -> Vec<(&'static str, Cell<'p>)> {
        let plan = self.plan;
        let mut fields = vec![
            ("Plan", Cell::trusted(plan.id.as_str())),
            (
                "Actions",
                Cell::trusted(format!(
                    "{}, {} done",
                    counted(plan.actions, "action", "actions"),
                    number(plan.done)
                )),
            ),
        ];
        match &plan.undoes {
            Some(run) => fields.push(("Undo of run", Cell::trusted(run.as_str()))),
            None => fields.push(("Run", Cell::trusted(plan.run_id.as_str()))),
        }
        fields.push(("First held", Cell::trusted(time_for_people(plan.held_at))));
        fields.push((
            "Last held",
            Cell::trusted(time_for_people(plan.last_held_at)),
        ));
        if !plan.kinds.is_all() {
            let kinds = plan.kinds.to_string().replace(',', ", ");
            fields.push(("Limited to", Cell::trusted(kinds)));
        }
        if let Some(people) = &plan.people {
            fields.push(("Only people", Cell::untrusted(addresses(people))));
        }
        if let Some(by) = &plan.decided_by {
            let at = plan.decided_at.map_or_else(String::new, time_for_people);
            fields.push(("Decided", Cell::untrusted(format!("{at} by {by}"))));
        }
        if let Some(reviewer) = &plan.reviewer {
            fields.push(("Reviewer", Cell::untrusted(reviewer.as_str())));
        }
        if let Some(reason) = &plan.reason {
            fields.push(("Reason", Cell::untrusted(reason.as_str())));
        }
        if let Some(until) = self.until() {
            let name = match plan.state {
                PlanState::Held => "Decide by",
                _ => "Good until",
            };
            fields.push((name, Cell::trusted(time_for_people(until))));
        }
        fields
    }

    fn next_steps(self) -> Vec<NextStep> {
        let plan = self.plan;
        let id = &plan.id;
        let with_reason = |verb: &str| format!("rolecall plan {verb} {id} --reason \"…\"");
        let again = || NextStep::new("see what is wanted now", look_again(plan));
        match plan.state {
            PlanState::Held if !self.is_over() => vec![
                NextStep::new("let it pass, exactly as it is", with_reason("approve")),
                NextStep::new("turn it down", with_reason("reject")),
                NextStep::new(
                    "look and decide in a browser",
                    format!("rolecall review {id}"),
                ),
                NextStep::new(
                    "everything about one of the people",
                    "rolecall explain EMAIL",
                ),
            ],
            PlanState::Approved if !self.is_over() => vec![
                NextStep::new("apply it", run_that_applies(plan)),
                NextStep::new("take the approval back", with_reason("reject")),
            ],
            PlanState::Rejected if !self.is_over() => {
                vec![NextStep::new(
                    "take the rejection back",
                    with_reason("approve"),
                )]
            }
            PlanState::Used => Vec::new(),
            PlanState::Held | PlanState::Approved | PlanState::Rejected | PlanState::Superseded => {
                vec![again()]
            }
        }
    }
}

fn addresses(people: &PeopleFilter) -> String {
    people.addresses().collect::<Vec<_>>().join(", ")
}
