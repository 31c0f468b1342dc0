//! Reports: each format says what happened, for every way a run can end, and no text of a directory
//! is taken for anything but text (§10).

mod diff;
pub(crate) mod examples;
mod guards_over_time;
mod in_a_browser;

use rolecall::domain::{ActionKind, ActionStatus, FailedOn, History, Outcome, Rejection, Report};
use rolecall::output::{Format, TableStyle, render};
use sha2::{Digest as _, Sha256};

use examples::{action, dry_run, failed, held, hostile, in_sync, partial};

fn plain() -> TableStyle {
    TableStyle {
        width: Some(100),
        ..TableStyle::default()
    }
}

fn shown(report: &Report, format: Format, style: TableStyle) -> String {
    let mut out = Vec::new();
    render(report, None, format, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn endings() -> [(&'static str, Report); 6] {
    [
        ("in_sync", in_sync()),
        ("dry_run", dry_run()),
        ("held", held()),
        ("failed", failed()),
        ("partial", partial()),
        ("hostile", hostile()),
    ]
}

#[test]
fn every_ending_in_every_format() {
    for (ending, report) in endings() {
        for &format in Format::ALL {
            insta::assert_snapshot!(
                format!("{ending}.{format}"),
                shown(&report, format, plain())
            );
        }
    }
}

#[test]
fn every_ending_on_terminals_of_80_and_120_columns() {
    for (ending, report) in endings() {
        for width in [80, 120] {
            let style = TableStyle {
                width: Some(width),
                rows_per_list: Some(20),
                ..TableStyle::default()
            };
            let table = shown(&report, Format::Table, style);
            insta::assert_snapshot!(format!("{ending}.{width}"), table);
            if ending == "hostile" {
                // Words of any length are in there.
                continue;
            }
            let too_long: Vec<&str> = table
                .lines()
                .filter(|line| line.chars().count() > usize::from(width))
                .collect();
            assert!(too_long.is_empty(), "{ending}, {width}: {too_long:#?}");
        }
    }
}

#[test]
fn no_address_is_broken_on_a_narrow_terminal() {
    for width in [20, 40, 80] {
        let style = TableStyle {
            width: Some(width),
            ..TableStyle::default()
        };
        for report in [dry_run(), held(), partial()] {
            let table = shown(&report, Format::Table, style);
            for action in &report.actions {
                assert!(table.contains(&action.email), "{width}: {}", action.email);
            }
        }
    }
}

#[test]
fn a_long_list_is_cut_on_a_terminal_and_the_verdict_comes_last_again() {
    let style = TableStyle {
        rows_per_list: Some(20),
        ..plain()
    };
    let table = shown(&held(), Format::Table, style);
    assert_eq!(table.matches("@example.com").count(), 20, "{table}");
    assert!(
        table.contains("… and 6 more: rolecall report 5f0c2f9e --format csv"),
        "{table}"
    );
    let verdict = table.lines().next().unwrap();
    assert!(
        verdict.starts_with("Held: 26 deactivations, the limit is 24."),
        "{verdict}"
    );
    let last: Vec<&str> = table
        .trim_end()
        .rsplit("\n\n")
        .next()
        .unwrap()
        .lines()
        .collect();
    assert_eq!(last[0], verdict);
}

#[test]
fn people_read_what_cannot_be_undone_first_and_programs_what_is_done_first() {
    for format in [Format::Table, Format::Markdown, Format::Html, Format::Csv] {
        let text = shown(&dry_run(), format, plain());
        let leaver = text.find("dan@example.com").unwrap();
        assert!(leaver < text.find("ada@example.com").unwrap(), "{format}");
    }
    let json = shown(&dry_run(), Format::Json, plain());
    assert!(json.find("ada@example.com") < json.find("dan@example.com"));
}

#[test]
fn a_rejected_plan_says_so_and_is_not_offered_for_approval() {
    let report = Report {
        rejection: Some(Rejection {
            by: "jo@desk".to_owned(),
            reviewer: None,
            at: examples::at(2),
            reason: Some("wrong group".to_owned()),
            until: examples::at(59),
        }),
        ..held()
    };
    for format in [Format::Table, Format::Markdown, Format::Html] {
        let text = shown(&report, format, TableStyle::default());
        for words in ["rejected by jo", "wrong group", "2026-03-01 08:59:00 UTC"] {
            assert!(text.contains(words), "{format}: {words} in {text}");
        }
        assert!(!text.contains("plan approve"), "{format}: {text}");
    }
}

#[test]
fn an_interrupted_run_is_followed_by_a_run_and_any_other_failure_by_a_check() {
    let failed_on = |failed_on| {
        let report = Report {
            failed_on: Some(failed_on),
            ..failed()
        };
        shown(&report, Format::Table, plain())
    };
    let interrupted = failed_on(FailedOn::Interrupted);
    assert!(interrupted.contains("  rolecall sync\n"), "{interrupted}");
    assert!(failed_on(FailedOn::Other).contains("  rolecall check\n"));
}

#[test]
fn the_first_run_on_an_empty_store_says_so_and_where_it_is() {
    let mut report = dry_run();
    report.origin.store.as_mut().unwrap().history = History::Empty;
    let table = shown(&report, Format::Table, TableStyle::default());
    assert!(
        table.contains("first run on an empty store (/var/lib/rolecall/rolecall.db)"),
        "{table}"
    );
    assert!(!shown(&dry_run(), Format::Table, plain()).contains("first run"));
}

#[test]
fn json_is_the_report_itself() {
    for report in [dry_run(), held(), failed(), hostile()] {
        let json = shown(&report, Format::Json, plain());
        assert!(json.ends_with("}\n"));
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        crate::report_schema::parsed(&json);
    }
}

#[test]
fn a_terminal_gets_nothing_of_a_directory_that_it_would_act_on() {
    let table = shown(&hostile(), Format::Table, plain());
    assert!(!table.contains(|c: char| c.is_control() && c != '\n'));
    assert!(!table.contains(['\u{202e}', '\u{202c}']));
    let coloured = shown(
        &hostile(),
        Format::Table,
        TableStyle {
            colour: true,
            ..plain()
        },
    );
    assert!(coloured.contains("\u{1b}["));
    assert!(!coloured.contains("[2J") && !coloured.contains("owned"));
}

#[test]
fn colour_changes_no_word() {
    let coloured = TableStyle {
        colour: true,
        ..plain()
    };
    for report in [dry_run(), held(), failed(), partial()] {
        let stripped = shown(&report, Format::Table, coloured)
            .lines()
            .map(|line| {
                rolecall::domain::text::for_terminal(line)
                    .trim_end()
                    .to_owned()
                    + "\n"
            })
            .collect::<String>();
        assert_eq!(stripped, shown(&report, Format::Table, plain()));
    }
}

#[test]
fn a_page_holds_no_markup_of_a_directory_and_loads_nothing() {
    let page = shown(&hostile(), Format::Html, plain());
    // One script, the page's own, which comes last and is allowed by its hash.
    assert_eq!(page.matches("<script").count(), 1);
    let (page, _) = page.split_once("<script>").unwrap();
    for forbidden in [
        "<script", "<img", "<a ", "<link", "src=\"", "href", "url(", "@import", "\u{202e}",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_page_allows_its_own_style_and_script_and_no_other() {
    let page = shown(&dry_run(), Format::Html, plain());
    for tag in ["style", "script"] {
        let text = page.split(&format!("<{tag}>")).nth(1).unwrap();
        let text = text.split(&format!("</{tag}>")).next().unwrap();
        let policy = format!("{tag}-src 'sha256-{}';", base64(&Sha256::digest(text)));
        assert!(page.contains(&policy), "the {tag} wants {policy}");
    }
    assert!(!page.contains("unsafe-inline") && !page.contains("style=\""));
}

/// Base64 of a text whose length is one less than a multiple of three, as a SHA-256's is.
fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['+', '/'])
        .collect();
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .chain([0, 0])
        .collect();
    bits.chunks(6)
        .map(|six| letters[six.iter().fold(0, |n, bit| n * 2 + usize::from(*bit))])
        .chain(['='])
        .collect()
}

#[test]
fn no_csv_field_is_a_formula_and_every_row_is_whole() {
    let csv = shown(&hostile(), Format::Csv, plain());
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut sections = std::collections::BTreeMap::new();
    for row in reader.records() {
        let row = row.unwrap();
        *sections.entry(row[0].to_owned()).or_insert(0) += 1;
        for field in &row {
            assert!(
                !field.trim_start().starts_with(['=', '+', '-', '@']),
                "{field:?}"
            );
            assert!(!field.contains(char::is_control), "{field:?}");
        }
    }
    let sections: Vec<_> = sections
        .iter()
        .map(|(name, n)| (name.as_str(), *n))
        .collect();
    assert_eq!(
        sections,
        [
            ("action", 8),
            ("error", 1),
            ("finding", 8),
            ("guard", 1),
            ("summary", 9)
        ]
    );
}

#[test]
fn a_narrow_terminal_still_gets_every_section() {
    for width in [0, 1, 7, 40] {
        let narrow = TableStyle {
            colour: false,
            width: Some(width),
            ..TableStyle::default()
        };
        let table = shown(&hostile(), Format::Table, narrow);
        for title in ["Guards", "Role changes (8)", "Findings:", "Accounts"] {
            assert!(table.contains(title), "{width}: {title}");
        }
    }
}

#[test]
fn what_was_done_already_is_not_claimed_as_written() {
    let report = Report {
        outcome: Outcome::Applied,
        actions: vec![action(
            ActionKind::Deactivate,
            "bob@example.com",
            ActionStatus::Already,
        )],
        ..in_sync()
    };
    let table = shown(&report, Format::Table, plain());
    assert!(
        table.starts_with(
            "Done: nothing was changed; 1 already done. Nothing was written to Opsera.\n"
        ),
        "{table}"
    );
}

#[test]
fn a_plan_of_a_hundred_thousand_actions_is_rendered_whole_in_every_format() {
    let report = Report {
        actions: (0..100_000)
            .map(|n| {
                action(
                    ActionKind::Create,
                    &format!("person.{n:06}@example.com"),
                    ActionStatus::Planned,
                )
            })
            .collect(),
        ..dry_run()
    };
    for &format in Format::ALL {
        let text = shown(&report, format, plain());
        assert_eq!(text.matches("person.").count(), 100_000, "{format}");
    }
}

#[test]
fn two_hundred_actions_take_one_line_each_in_a_table() {
    let report = Report {
        actions: (0..200)
            .map(|n| {
                action(
                    ActionKind::SetRole,
                    &format!("person.{n:03}@example.com"),
                    ActionStatus::Planned,
                )
            })
            .collect(),
        ..dry_run()
    };
    let table = shown(&report, Format::Table, plain());
    let lines = table
        .lines()
        .filter(|line| line.contains("person."))
        .collect::<Vec<_>>();
    assert_eq!(lines.len(), 200);
    for line in &lines {
        assert!(
            line.contains("@example.com") && line.contains("planned"),
            "{line}"
        );
    }
    assert!(table.lines().all(|line| line.chars().count() <= 160));
    assert!(
        table.starts_with("Dry run: 200 roles would be changed. Nothing was written to Opsera.")
    );
}

#[test]
fn a_run_that_stops_half_way_says_what_was_done_and_claims_nothing_else() {
    let report = Report {
        outcome: Outcome::Failed,
        error: Some("Opsera no longer accepts the token".to_owned()),
        ..partial()
    };
    let table = shown(&report, Format::Table, plain());
    assert!(
        table.starts_with(
            "Failed: the run stopped early; 1 role changed; 1 failed, 1 refused by Opsera.\n"
        ),
        "{table}"
    );
    assert!(!table.contains("Nothing was written"));
}
