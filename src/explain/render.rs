//! The explanation for people at a terminal. Every text of a directory is stripped of what a
//! terminal would act on (§10).

use std::io;

use super::model::{AccountView, DecisionView, Explanation, GuardsView, HistoryView, RoleView};
use super::words::time;
use crate::domain::text::for_terminal;
use crate::output::{TableStyle, strong};

const LABEL: usize = 12;

/// Writes `explanation` to `out`.
///
/// # Errors
/// What `out` fails with.
pub fn render(
    explanation: &Explanation,
    style: TableStyle,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut page = Page { out, style };
    page.strong(&explanation.asked)?;
    page.line(&explanation.headline)?;
    page.field(
        "Snapshot",
        &format!(
            "{} ({})",
            time(explanation.snapshot.taken_at),
            explanation.snapshot.age
        ),
    )?;
    identity(&mut page, explanation)?;
    for account in &explanation.accounts {
        write_account(&mut page, account)?;
    }
    people(&mut page, explanation)?;
    if let Some(decision) = &explanation.without_account {
        page.title("Without an account")?;
        write_decision(&mut page, decision)?;
    }
    if !explanation.suggestions.is_empty() {
        page.title("Did you mean")?;
        for suggestion in &explanation.suggestions {
            page.item(&format!(
                "{} ({}): {}",
                suggestion.email,
                suggestion.directories.join(" and "),
                suggestion.why
            ))?;
        }
    }
    guards(&mut page, &explanation.guards)?;
    live(&mut page, explanation)?;
    history(&mut page, &explanation.history)
}

struct Page<'o> {
    out: &'o mut dyn io::Write,
    style: TableStyle,
}

impl Page<'_> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", for_terminal(text))
    }

    fn strong(&mut self, text: &str) -> io::Result<()> {
        let text = for_terminal(text);
        if self.style.colour {
            writeln!(self.out, "{}", strong(&text))
        } else {
            writeln!(self.out, "{text}")
        }
    }

    fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        self.strong(text)
    }

    fn field(&mut self, label: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "{label:LABEL$} {}", for_terminal(text))
    }

    fn more(&mut self, text: &str) -> io::Result<()> {
        self.field("", text)
    }

    fn item(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "  - {}", for_terminal(text))
    }
}

fn identity(page: &mut Page<'_>, explanation: &Explanation) -> io::Result<()> {
    let identity = &explanation.identity;
    if let Some(why) = &identity.invalid {
        page.field("Address", &format!("not an address: {why}"))?;
    }
    match &identity.key {
        Some(key) => page.field("Key", key.as_str())?,
        None if identity.taken_for == "record" => {
            page.field("Key", "none: the record has no usable address")?;
        }
        None => {}
    }
    for step in &identity.steps {
        page.more(step)?;
    }
    Ok(())
}

fn write_account(page: &mut Page<'_>, account: &AccountView) -> io::Result<()> {
    page.title(&format!(
        "Opsera account {}",
        account.email.as_deref().unwrap_or("without an address")
    ))?;
    let name = account.name.as_deref();
    page.field(
        "Id",
        &match name {
            Some(name) => format!("{} ({name})", account.opsera_id),
            None => account.opsera_id.to_string(),
        },
    )?;
    write_decision(page, &account.decision)?;
    if let Some(back_off) = &account.back_off {
        let until = back_off.until.map(|at| format!(" until {}", time(at)));
        page.field(
            "Back-off",
            &format!(
                "{}{}: {}",
                back_off.state,
                until.unwrap_or_default(),
                back_off.words
            ),
        )?;
        page.more("`rolecall queue retry` lets the next run try again")?;
    }
    if !account.shares_key_with.is_empty() {
        let ids: Vec<&str> = account
            .shares_key_with
            .iter()
            .map(crate::domain::OpseraId::as_str)
            .collect();
        page.field("Shared with", &ids.join(", "))?;
    }
    if account.managed {
        page.field("Person", &entitlement(account))?;
        role(page, &account.role)?;
    } else {
        let why = account.not_managed_because.as_deref().unwrap_or_default();
        page.field("Managed", &format!("no: {why}"))?;
    }
    if let Some(absence) = &account.absence {
        page.field(
            "Absent",
            &format!("since {}, due {}", time(absence.since), time(absence.due)),
        )?;
    }
    for shield in &account.shields {
        page.field("Shield", &format!("{}: {}", shield.rule, shield.why))?;
        for person in &shield.people {
            page.more(&format!(
                "{} ({}, id {})",
                person.name,
                person.email.as_deref().unwrap_or("no address"),
                person.id
            ))?;
        }
        for step in &shield.steps {
            page.more(step)?;
        }
    }
    if account.released {
        page.field(
            "Released",
            "deactivation.release names this address: no shield keeps the account",
        )?;
    }
    page.field(
        "Protected",
        &match &account.protection {
            Some(protection) => format!("by {} = {}", protection.setting, protection.value),
            None => "no".to_owned(),
        },
    )?;
    if !account.what_if.is_empty() {
        page.line("What would change that")?;
        for what_if in &account.what_if {
            page.item(&format!("{}: {}", what_if.change, what_if.outcome))?;
        }
    }
    Ok(())
}

fn entitlement(account: &AccountView) -> String {
    let entitlement = &account.entitlement;
    let mut text = match entitlement.state.as_str() {
        "entitled" => "entitled".to_owned(),
        "doubtful" => "entitled, because the status in OPA is not known".to_owned(),
        evidence => format!("not entitled: {evidence}"),
    };
    // Groups decide about ACTIVE people only.
    let decides = !matches!(
        entitlement.state.as_str(),
        "disabled" | "deleted" | "absent"
    );
    if decides && !entitlement.required_groups.is_empty() {
        let names = |groups: &[crate::domain::GroupName]| {
            let names: Vec<&str> = groups
                .iter()
                .map(crate::domain::GroupName::as_str)
                .collect();
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        text.push_str("; of the required groups ");
        text.push_str(&names(&entitlement.required_groups));
        text.push_str(" in ");
        text.push_str(&names(&entitlement.in_required_groups));
    }
    text
}

fn role(page: &mut Page<'_>, role: &RoleView) -> io::Result<()> {
    let known_by = match role.known_by.as_str() {
        "server" => "Opsera says so".to_owned(),
        "uncertain" => "a change was sent and its outcome is not known".to_owned(),
        "unknown" => "nobody ever said".to_owned(),
        source => format!("this program has {source} it"),
    };
    let since = role.known_since.map(|at| format!(" at {}", time(at)));
    page.field(
        "Role now",
        &format!(
            "{} ({known_by}{})",
            role.current.as_deref().unwrap_or("unknown"),
            since.unwrap_or_default()
        ),
    )?;
    page.field(
        "Role wanted",
        &format!(
            "{} ({})",
            role.desired.as_deref().unwrap_or("left alone"),
            role.reason
        ),
    )?;
    for rule in role.rules.iter().filter(|rule| !rule.wins) {
        page.more(&format!(
            "rule {} ({} → {}) would match too, through {}",
            rule.number, rule.pattern, rule.role, rule.group
        ))?;
    }
    Ok(())
}

fn write_decision(page: &mut Page<'_>, decision: &DecisionView) -> io::Result<()> {
    page.field("Next run", &decision.words)?;
    for finding in &decision.findings {
        page.field(
            "Finding",
            &format!("{}: {}", finding.kind.as_str(), finding.detail),
        )?;
    }
    Ok(())
}

fn people(page: &mut Page<'_>, explanation: &Explanation) -> io::Result<()> {
    if !explanation.people.is_empty() {
        page.title("OPA records")?;
    }
    for person in &explanation.people {
        let kind = if person.user_type == "service" {
            ", a service user, which never counts"
        } else {
            ""
        };
        page.item(&format!(
            "{} is {}{kind} ({}, id {})",
            person.name,
            person.status,
            person.email.as_deref().unwrap_or("no address"),
            person.opa_id
        ))?;
        if !person.groups.is_empty() {
            let groups: Vec<&str> = person
                .groups
                .iter()
                .map(crate::domain::GroupName::as_str)
                .collect();
            page.line(&format!("    groups: {}", groups.join(", ")))?;
        }
    }
    let gone: Vec<_> = explanation
        .key_holders
        .iter()
        .filter(|holder| !holder.carries_now)
        .collect();
    if !gone.is_empty() {
        page.title("Had this address before")?;
        for holder in gone {
            page.item(&format!("{} (id {})", holder.name, holder.opa_id))?;
        }
    }
    Ok(())
}

fn guards(page: &mut Page<'_>, guards: &GuardsView) -> io::Result<()> {
    page.title("Guards")?;
    let (whose, held, passes) = match guards.met_at {
        Some(at) => {
            let whose = format!("the run that ended at {}", time(at));
            (whose, "was held", "passed")
        }
        None => ("this snapshot".to_owned(), "would be held", "passes"),
    };
    let creations = match guards.creations_at_most {
        0 => String::new(),
        count if guards.met_at.is_some() => format!(", and {count} to create"),
        count => format!(", and at most {count} creations, which only a run looks into"),
    };
    let verdict = if guards.held {
        held.to_owned()
    } else if guards.holding.is_empty() {
        passes.to_owned()
    } else {
        format!("{passes} because it was approved")
    };
    page.line(&format!(
        "The plan of {whose} ({}, {} action{}{creations}) {verdict}.",
        guards.plan_id,
        guards.actions,
        if guards.actions == 1 { "" } else { "s" },
    ))?;
    if guards.held && guards.concerns_this_person {
        page.line(
            "This person's change is part of it, and waits until somebody approves the plan.",
        )?;
    }
    for guard in &guards.holding {
        page.item(&format!(
            "{}: {} where {} is the limit",
            guard.guard, guard.actual, guard.limit
        ))?;
    }
    if let Some(approval) = &guards.approval {
        page.line(approval)?;
    }
    Ok(())
}

fn live(page: &mut Page<'_>, explanation: &Explanation) -> io::Result<()> {
    let Some(live) = &explanation.live else {
        return Ok(());
    };
    page.title("Right now")?;
    for difference in &live.differences {
        page.item(&format!("changed: {difference}"))?;
    }
    for unchanged in &live.unchanged {
        page.item(&format!("as before: {unchanged}"))?;
    }
    for error in &live.errors {
        page.item(&format!("could not be asked: {error}"))?;
    }
    Ok(())
}

fn history(page: &mut Page<'_>, history: &[HistoryView]) -> io::Result<()> {
    if history.is_empty() {
        return Ok(());
    }
    page.title("History")?;
    for entry in history {
        let change = match (&entry.before, &entry.after) {
            (Some(before), Some(after)) => format!(", {before} → {after}"),
            (None, Some(after)) => format!(", → {after}"),
            _ => String::new(),
        };
        let reason = entry.reason.as_ref().map(|reason| format!(": {reason}"));
        let status = entry.http_status.map(|status| format!(" [{status}]"));
        let words = entry.words.as_ref().map(|words| format!(" “{words}”"));
        page.item(&format!(
            "{} {}{}{change}{}{}",
            entry.at,
            entry.event,
            reason.unwrap_or_default(),
            status.unwrap_or_default(),
            words.unwrap_or_default()
        ))?;
    }
    Ok(())
}
