//! What changed between two runs, as the page that a report is too.

use super::page::{
    Cell, GUARDS, Page, Section, Severity, finding_sections, short, waiting_section,
};
use super::page_rows::{Rows, action_sections};
use crate::domain::text::{counted, number};
use crate::domain::time::time_for_people;
use crate::domain::{
    ActionReport, Changes, Direction, Finding, GuardMove, Measure, ReportDiff, RowChange, RunSide,
    WaitingReport,
};

impl<'a> Page<'a> {
    pub(super) fn of_diff(diff: &'a ReportDiff<'a>) -> Self {
        let (before, after) = (&diff.before, &diff.after);
        Self {
            title: format!(
                "rolecall, Team {}, {} and {}",
                after.team.unwrap_or("unknown"),
                time_for_people(before.finished_at),
                time_for_people(after.finished_at)
            ),
            verdict: verdict(diff),
            severity: Severity::Plain,
            error: None,
            fields: fields(before, after),
            sections: sections(diff),
            whole: format!(
                "rolecall report --diff {} {} --format csv",
                short(before.run_id),
                short(after.run_id)
            ),
            next: Vec::new(),
        }
    }
}

/// `2 actions new, 1 gone, 3 changed; 1 finding new. 1 guard is nearer to its limit.`
fn verdict(diff: &ReportDiff<'_>) -> String {
    let parts: Vec<String> = [
        counts(&diff.actions, "action", "actions"),
        counts(&diff.waiting, "waiting account", "waiting accounts"),
        counts(&diff.findings, "finding", "findings"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let people = if parts.is_empty() {
        "Nobody's action, waiting time or finding changed.".to_owned()
    } else {
        format!("{}.", parts.join("; "))
    };
    let moved = |direction| {
        let those = diff.guards.iter();
        let those = those.filter(|guard| guard.direction == Some(direction));
        u64::try_from(those.count()).unwrap_or(u64::MAX)
    };
    let guards: Vec<String> = [
        (moved(Direction::Nearer), "nearer to"),
        (moved(Direction::Farther), "farther from"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, way)| {
        let (guards, limit) = match count {
            1 => ("guard is", "its limit"),
            _ => ("guards are", "their limits"),
        };
        format!("{} {guards} {way} {limit}.", number(count))
    })
    .collect();
    let guards = if guards.is_empty() {
        "No guard moved.".to_owned()
    } else {
        guards.join(" ")
    };
    format!("{people} {guards}")
}

/// `2 actions new, 1 gone, 3 changed`, without what there is none of.
fn counts<T>(changes: &Changes<'_, T>, one: &str, many: &str) -> Option<String> {
    let mut parts = Vec::new();
    for (rows, words) in [
        (changes.new.len(), "new"),
        (changes.gone.len(), "gone"),
        (changes.changed.len(), "changed"),
    ] {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        if rows > 0 && parts.is_empty() {
            parts.push(format!("{} {words}", counted(rows, one, many)));
        } else if rows > 0 {
            parts.push(format!("{} {words}", number(rows)));
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn fields(before: &RunSide<'_>, after: &RunSide<'_>) -> Vec<(&'static str, Cell<'static>)> {
    let mut fields = Vec::new();
    if let Some(team) = after.team {
        let team = match before.team {
            Some(other) if other != team => format!("{other}, then {team}"),
            _ => team.to_owned(),
        };
        fields.push(("Team", Cell::trusted(team)));
    }
    fields.push(("Before", side(before)));
    fields.push(("After", side(after)));
    if before.settings_digest != after.settings_digest {
        let first = |digest: Option<&str>| {
            let digest = digest.unwrap_or("unknown");
            digest.chars().take(16).collect::<String>()
        };
        let changed = format!(
            "changed: digest {}, then {}",
            first(before.settings_digest),
            first(after.settings_digest)
        );
        fields.push(("Settings", Cell::trusted(changed).with(Severity::Warning)));
    }
    fields
}

fn side(run: &RunSide<'_>) -> Cell<'static> {
    let mode = match run.mode {
        crate::domain::Mode::DryRun => "dry run",
        crate::domain::Mode::Apply => "run",
    };
    let plan = run
        .plan_id
        .map_or_else(String::new, |plan| format!(", plan {plan}"));
    Cell::trusted(format!(
        "{mode} {} of {}, {}{plan}",
        run.run_id,
        time_for_people(run.started_at),
        run.outcome.as_str().replace('_', " "),
    ))
}

fn sections<'a>(diff: &'a ReportDiff<'a>) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    for (word, actions, waiting, findings) in [
        (
            "New",
            &diff.actions.new,
            &diff.waiting.new,
            &diff.findings.new,
        ),
        (
            "Gone",
            &diff.actions.gone,
            &diff.waiting.gone,
            &diff.findings.gone,
        ),
    ] {
        let of_word = action_sections(actions)
            .into_iter()
            .chain(waiting_section(waiting.clone()))
            .chain(finding_sections(findings));
        sections.extend(of_word.map(|section| Section {
            title: format!("{word}: {}", section.title),
            // What is gone needs no cure, and undoes nothing.
            note: section.note.filter(|_| word == "New"),
            ..section
        }));
    }
    let changed = [
        changed_section("action", "actions", &diff.actions.changed, action_change),
        changed_section(
            "waiting",
            "waiting accounts",
            &diff.waiting.changed,
            waiting_change,
        ),
        changed_section(
            "finding",
            "findings",
            &diff.findings.changed,
            finding_change,
        ),
    ];
    sections.extend(changed.into_iter().flatten());
    sections.extend(guards(&diff.guards));
    sections
}

fn changed_section<'a, T>(
    group: &'static str,
    what: &str,
    changed: &[RowChange<'a, T>],
    row: impl Fn(&RowChange<'a, T>) -> Vec<Cell<'a>>,
) -> Option<Section<'a>> {
    let count = number(u64::try_from(changed.len()).unwrap_or(u64::MAX));
    (!changed.is_empty()).then(|| Section {
        group,
        title: format!("Changed {what} ({count})"),
        note: None,
        columns: vec!["Account", "What", "Before", "After"],
        rows: Rows::Made(changed.iter().map(row).collect()),
    })
}

/// A value that differs: its name, before and after. Empty: there was none.
type Differing = (&'static str, String, String);

fn row<'a>(email: &'a str, what: &str, differing: &[Differing]) -> Vec<Cell<'a>> {
    let told = |pick: fn(&Differing) -> &str| {
        let told: Vec<String> = differing
            .iter()
            .map(|values| (values.0, pick(values)))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        Cell::untrusted(told.join("; "))
    };
    vec![
        Cell::untrusted(email),
        Cell::trusted(what.replace('_', " ")),
        told(|(_, before, _)| before),
        told(|(_, _, after)| after),
    ]
}

fn differing(values: &[(&'static str, &str, &str)]) -> Vec<Differing> {
    let differ = values.iter().filter(|(_, before, after)| before != after);
    differ
        .map(|(name, before, after)| (*name, (*before).to_owned(), (*after).to_owned()))
        .collect()
}

fn action_change<'a>(change: &RowChange<'a, ActionReport>) -> Vec<Cell<'a>> {
    let (before, after) = (change.before, change.after);
    let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
    let mut values = differing(&[
        ("status", before.status.as_str(), after.status.as_str()),
        ("from", text(&before.from), text(&after.from)),
        ("to", text(&before.to), text(&after.to)),
        ("reason", &before.reason, &after.reason),
        ("message", text(&before.message), text(&after.message)),
        ("address", &before.email, &after.email),
    ]);
    if before.evidence != after.evidence {
        let evidence = |report: &ActionReport| report.evidence.as_json().to_owned();
        values.push(("evidence", evidence(before), evidence(after)));
    }
    if values.is_empty() {
        let attempts = |report: &ActionReport| report.attempts.to_string();
        values.push(("attempts", attempts(before), attempts(after)));
    }
    row(&after.email, after.kind.as_str(), &values)
}

fn waiting_change<'a>(change: &RowChange<'a, WaitingReport>) -> Vec<Cell<'a>> {
    let (before, after) = (change.before, change.after);
    let values = differing(&[
        ("evidence", before.reason.as_str(), after.reason.as_str()),
        (
            "since",
            &time_for_people(before.since),
            &time_for_people(after.since),
        ),
        (
            "due",
            &time_for_people(before.due),
            &time_for_people(after.due),
        ),
        ("address", &before.email, &after.email),
    ]);
    row(&after.email, "waiting", &values)
}

fn finding_change<'a>(change: &RowChange<'a, Finding>) -> Vec<Cell<'a>> {
    let (before, after) = (change.before, change.after);
    let values = differing(&[("detail", &before.detail, &after.detail)]);
    row(&after.email, after.kind.as_str(), &values)
}

/// Every guard that moved, or that one of the runs did not come to.
fn guards(moves: &[GuardMove]) -> Option<Section<'_>> {
    let rows: Vec<Vec<Cell<'_>>> = moves.iter().filter_map(guard_row).collect();
    (!rows.is_empty()).then(|| Section {
        group: GUARDS,
        title: "Guards that moved".to_owned(),
        note: None,
        columns: vec!["Guard", "Before", "After", "Moved"],
        rows: Rows::Made(rows),
    })
}

fn guard_row(moved: &GuardMove) -> Option<Vec<Cell<'_>>> {
    let (words, severity) = match moved.direction {
        Some(Direction::Same) => return None,
        Some(Direction::Nearer) => (format!("nearer by {}", number(moved.by)), Severity::Warning),
        Some(Direction::Farther) => (format!("farther by {}", number(moved.by)), Severity::Good),
        None => (String::new(), Severity::Plain),
    };
    Some(vec![
        Cell::trusted(moved.guard.as_str()),
        Cell::trusted(measured(moved.before)),
        Cell::trusted(measured(moved.after)),
        Cell::trusted(words).with(severity),
    ])
}

/// `24 of 25, holds`
fn measured(measure: Option<Measure>) -> String {
    measure.map_or_else(
        || "not looked at".to_owned(),
        |measure| {
            let holds = if measure.held { ", holds" } else { "" };
            format!(
                "{} of {}{holds}",
                number(measure.actual),
                number(measure.limit)
            )
        },
    )
}

/// The same in one text; `None` for a guard that stayed where it was.
pub(super) fn moved_words(moved: &GuardMove) -> Option<String> {
    let [_, before, after, words] = guard_row(moved)?.try_into().ok()?;
    Some(format!(
        "{}, then {} {}",
        before.text, after.text, words.text
    ))
}
