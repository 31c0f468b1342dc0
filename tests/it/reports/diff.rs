//! What changed between two reports, in each format.

use rolecall::domain::{
    ActionStatus, Direction, Finding, FindingKind, GuardReport, Mode, Outcome, Report, ReportDiff,
    RunId, Summary, WaitingReport,
};
use rolecall::output::{Format, TableStyle, render_diff};

use super::examples::{action, at, dry_run, hostile, in_sync};
use rolecall::domain::ActionKind;

fn shown(before: &Report, after: &Report, format: Format) -> String {
    let style = TableStyle {
        width: Some(100),
        ..TableStyle::default()
    };
    let mut out = Vec::new();
    render_diff(&ReportDiff::between(before, after), format, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The run after [`dry_run`]: somebody was done, somebody went, somebody came, a guard is nearer.
fn later() -> Report {
    let mut report = Report {
        run_id: RunId::new("7a1d3b52-0000-4000-8000-000000000002"),
        mode: Mode::Apply,
        outcome: Outcome::Applied,
        started_at: at(15),
        finished_at: at(16),
        summary: Summary::default(),
        ..dry_run()
    };
    report.origin.settings_digest = Some("ef".repeat(32));
    report.actions.remove(1);
    report.actions[0].status = ActionStatus::Succeeded;
    report.actions[0].attempts = 1;
    report.actions.push(action(
        ActionKind::Deactivate,
        "gil@example.com",
        ActionStatus::Succeeded,
    ));
    report.actions.last_mut().unwrap().opsera_id =
        Some(rolecall::domain::OpseraId::new("507f1f77bcf86cd799439013"));
    report.waiting = vec![WaitingReport {
        due: at(58),
        ..dry_run().waiting.remove(0)
    }];
    report.findings[0].detail = "fay@example.com is now fay.jones@example.com".to_owned();
    report.findings.push(Finding {
        kind: FindingKind::InvalidEmail,
        email: "no address".to_owned(),
        detail: "the account has no address".to_owned(),
    });
    report.guards = vec![
        GuardReport {
            actual: 24,
            ..dry_run().guards.remove(0)
        },
        GuardReport {
            guard: rolecall::domain::Guard::MinAdministrators,
            limit: 1,
            actual: 3,
            held: false,
            basis: None,
            approved_by_plan: None,
            concerned: Vec::new(),
        },
    ];
    report
}

/// One whose accounts have ids of their own, as they do outside of the examples.
fn earlier() -> Report {
    let mut report = dry_run();
    let mut number = 0;
    for action in &mut report.actions {
        number += 1;
        if action.opsera_id.is_some() {
            let id = format!("507f1f77bcf86cd7994390{number:02}");
            action.opsera_id = Some(rolecall::domain::OpseraId::new(id));
        }
    }
    report.guards.push(GuardReport {
        guard: rolecall::domain::Guard::MinAdministrators,
        limit: 1,
        actual: 2,
        held: false,
        basis: None,
        approved_by_plan: None,
        concerned: Vec::new(),
    });
    report
}

fn pair() -> (Report, Report) {
    let before = earlier();
    let mut after = later();
    for action in &mut after.actions {
        if let Some(same) = before.actions.iter().find(|a| a.email == action.email) {
            action.opsera_id.clone_from(&same.opsera_id);
        }
    }
    (before, after)
}

#[test]
fn what_changed_between_two_runs_in_every_format() {
    let (before, after) = pair();
    for &format in Format::ALL {
        insta::assert_snapshot!(format!("diff.{format}"), shown(&before, &after, format));
    }
}

#[test]
fn what_was_new_is_gone_the_other_way_round_and_a_guard_goes_farther() {
    let (before, after) = pair();
    let there = ReportDiff::between(&before, &after);
    let back = ReportDiff::between(&after, &before);
    assert_eq!(there.actions.new, back.actions.gone);
    assert_eq!(there.actions.gone, back.actions.new);
    assert_eq!(there.actions.changed.len(), back.actions.changed.len());
    assert_eq!(there.findings.new, back.findings.gone);
    let moved = |diff: &ReportDiff<'_>| {
        let guards = diff.guards.iter();
        guards.map(|g| (g.direction, g.by)).collect::<Vec<_>>()
    };
    assert_eq!(
        moved(&there),
        [(Some(Direction::Nearer), 23), (Some(Direction::Farther), 1)]
    );
    assert_eq!(
        moved(&back),
        [(Some(Direction::Farther), 23), (Some(Direction::Nearer), 1)]
    );
}

#[test]
fn two_runs_that_say_the_same_differ_in_nothing() {
    let (report, _) = pair();
    let diff = ReportDiff::between(&report, &report);
    assert!(diff.nobody_changed());
    let table = shown(&report, &report, Format::Table);
    assert!(
        table.starts_with("Nobody's action, waiting time or finding changed. No guard moved.\n"),
        "{table}"
    );
    let csv = shown(&report, &report, Format::Csv);
    assert_eq!(csv.lines().count(), 1, "{csv}");
}

#[test]
fn a_run_that_came_to_no_guards_has_moved_none() {
    let table = shown(&in_sync(), &dry_run(), Format::Table);
    assert!(table.contains("No guard moved."), "{table}");
    assert!(table.contains("not looked at"), "{table}");
}

#[test]
fn two_findings_about_one_address_are_two() {
    let finding = |detail: &str| Finding {
        kind: FindingKind::UnknownStatus,
        email: "ida@example.com".to_owned(),
        detail: detail.to_owned(),
    };
    let before = Report {
        findings: vec![finding("record 1"), finding("record 2")],
        ..in_sync()
    };
    let after = Report {
        findings: vec![finding("record 1")],
        ..in_sync()
    };
    let diff = ReportDiff::between(&before, &after);
    assert!(diff.findings.changed.is_empty() && diff.findings.new.is_empty());
    assert_eq!(diff.findings.gone, [&finding("record 2")]);
}

#[test]
fn no_text_of_a_directory_is_taken_for_anything_but_text() {
    for (before, after) in [(in_sync(), hostile()), (hostile(), in_sync())] {
        let table = shown(&before, &after, Format::Table);
        assert!(!table.contains(|c: char| c.is_control() && c != '\n'));
        let page = shown(&before, &after, Format::Html);
        assert!(!page.contains("<img") && !page.contains("<script>alert"));
        let csv = shown(&before, &after, Format::Csv);
        for record in csv::Reader::from_reader(csv.as_bytes()).records() {
            for field in &record.unwrap() {
                assert!(!field.trim_start().starts_with(['=', '+', '-', '@']));
            }
        }
    }
}
