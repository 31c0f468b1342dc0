//! What the formats for other systems have in common: how grave an entry is, what it says in one
//! sentence, and which account change it is about.

use serde_json::Value;

use super::{Event, HashedEntry};

/// How grave an entry is; `docs/siem.md` has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Work as usual.
    Informational,
    /// An action was not tried.
    Low,
    /// Somebody should look: a failure, or a decision about a held plan.
    Medium,
    /// A run could not do its work.
    High,
}

/// What an entry changes, or would have changed, about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountChange {
    Create,
    Deactivate,
    SetRole,
}

impl Severity {
    pub(super) fn of(entry: &HashedEntry) -> Self {
        match entry.event.parse() {
            // An event of no name: no entry of this program, somebody wrote it.
            Ok(Event::PullFailed) | Err(_) => Self::High,
            Ok(Event::PlanHeld | Event::PlanApproved | Event::ActionFailed) => Self::Medium,
            Ok(Event::RunFinished) => match entry.reason.as_deref() {
                Some("failed") => Self::High,
                Some("partial" | "held") => Self::Medium,
                _ => Self::Informational,
            },
            Ok(Event::PlanRejected | Event::ActionSkipped) => Self::Low,
            Ok(
                Event::RunStarted
                | Event::PullCompleted
                | Event::PlanCreated
                | Event::ActionStarted
                | Event::ActionSucceeded,
            ) => Self::Informational,
        }
    }
}

/// How what an entry tells of ended; an intention and a held plan have no end yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
    Started,
    Held,
    Skipped,
}

impl Ending {
    /// `None` for an event that this program does not know.
    pub(super) fn of(entry: &HashedEntry) -> Option<Self> {
        Some(match entry.event.parse().ok()? {
            Event::PullFailed | Event::ActionFailed => Self::Failure,
            Event::PlanHeld => Self::Held,
            Event::ActionStarted => Self::Started,
            Event::ActionSkipped => Self::Skipped,
            Event::RunFinished => match entry.reason.as_deref() {
                Some("failed" | "partial") => Self::Failure,
                Some("held") => Self::Held,
                _ => Self::Success,
            },
            Event::RunStarted
            | Event::PullCompleted
            | Event::PlanCreated
            | Event::PlanApproved
            | Event::PlanRejected
            | Event::ActionSucceeded => Self::Success,
        })
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Started => "started",
            Self::Held => "held",
            Self::Skipped => "skipped",
        }
    }
}

impl AccountChange {
    /// From what an action's entry says the account becomes.
    pub(super) fn of(entry: &HashedEntry) -> Option<Self> {
        if !entry.event.starts_with("action_") {
            return None;
        }
        let after: Value = serde_json::from_str(entry.after.as_deref()?).ok()?;
        match (
            after.get("active").and_then(Value::as_bool),
            after.get("site_role"),
        ) {
            (Some(false), _) => Some(Self::Deactivate),
            (Some(true), _) => Some(Self::Create),
            (None, Some(_)) => Some(Self::SetRole),
            (None, None) => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Deactivate => "deactivate",
            Self::SetRole => "set the site role of",
        }
    }
}

/// The site role that an entry sets.
pub(super) fn site_role(entry: &HashedEntry) -> Option<String> {
    let after: Value = serde_json::from_str(entry.after.as_deref()?).ok()?;
    Some(after.get("site_role")?.as_str()?.to_owned())
}

/// The plan that an entry is about.
pub(super) fn plan_id(entry: &HashedEntry) -> Option<String> {
    let evidence: Value = serde_json::from_str(entry.evidence.as_deref()?).ok()?;
    Some(evidence.get("plan_id")?.as_str()?.to_owned())
}

/// The entry in one sentence: `action succeeded: deactivate jane@example.com (disabled)`.
pub(super) fn sentence(entry: &HashedEntry) -> String {
    let mut words = entry.event.replace('_', " ");
    let subject = entry.email.as_deref().or(entry.opsera_id.as_deref());
    let said: Vec<&str> = AccountChange::of(entry)
        .map(AccountChange::words)
        .into_iter()
        .chain(subject)
        .collect();
    if !said.is_empty() {
        words.push_str(": ");
        words.push_str(&said.join(" "));
    }
    if let Some(reason) = &entry.reason {
        words = format!("{words} ({reason})");
    }
    words
}

/// Milliseconds since 1970; `None` where the time is not one that the log writes.
pub(super) fn milliseconds(entry: &HashedEntry) -> Option<i64> {
    let at: crate::domain::time::Timestamp = entry.at.parse().ok()?;
    Some(at.timestamp_millis())
}

/// `text` without characters that some reader takes for the end of a line, or acts on: control
/// characters and the separators of Unicode become U+FFFD.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if is_kept(c) { c } else { '\u{fffd}' })
        .collect()
}

fn is_kept(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}
