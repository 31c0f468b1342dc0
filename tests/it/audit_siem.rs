//! The formats for a SIEM: what a parser that shares no code with the program reads out of them,
//! whatever the texts in an entry are.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use rolecall::audit::{
    Actor, AuditWriter, Event, HashedEntry, Head, LineFormat, NewEntry, too_large_message,
};
use rolecall::domain::time::ManualClock;
use rolecall::domain::{OpseraId, RunId};
use serde_json::{Value, json};

fn chained(host: &str, user: &str, entry: NewEntry) -> HashedEntry {
    let at = "2026-03-01T12:00:00.250Z".parse().unwrap();
    let audit_writer = AuditWriter {
        clock: ManualClock::at(at),
        actor: Actor {
            host: host.to_owned(),
            user: user.to_owned(),
            version: "0.2.0".to_owned(),
        },
        key: None,
    };
    HashedEntry::chain_entry(&audit_writer, &Head::genesis(), at, entry)
}

/// One entry of each kind that the formats treat apart.
fn samples() -> Vec<HashedEntry> {
    let run = RunId::new("3f2b6c1e-0000-4000-8000-000000000001");
    let jane = OpseraId::new("5f00000000000000000000aa");
    let action = |event: Event| {
        NewEntry::new(event)
            .in_run(&run)
            .about(Some("jane@example.com"), Some(&jane))
    };
    let leaves = |event| {
        action(event).because("disabled").change(
            Some(json!({"active": true})),
            Some(json!({"active": false})),
        )
    };
    let plan = json!({"plan_id": "0123456789ab", "actions": 14});
    [
        NewEntry::new(Event::RunStarted).in_run(&run),
        NewEntry::new(Event::PullCompleted).in_run(&run),
        NewEntry::new(Event::PullFailed)
            .in_run(&run)
            .because("OPA answered 503"),
        NewEntry::new(Event::PlanCreated)
            .in_run(&run)
            .evidence(plan.clone()),
        NewEntry::new(Event::PlanHeld)
            .in_run(&run)
            .because("max_deactivations")
            .evidence(plan.clone()),
        NewEntry::new(Event::PlanApproved)
            .because("the Łódź office closed")
            .evidence(plan.clone()),
        NewEntry::new(Event::PlanRejected)
            .because("ask first")
            .evidence(plan),
        leaves(Event::ActionStarted),
        leaves(Event::ActionSucceeded).outcome(Some(200), None),
        leaves(Event::ActionFailed).outcome(Some(422), Some("owns = 2 | objects\\\n]".to_owned())),
        action(Event::ActionSucceeded)
            .because("group \"opsera-admins\"")
            .change(
                Some(json!({"site_role": "Users"})),
                Some(json!({"site_role": "Administrators"})),
            )
            .outcome(Some(200), None),
        NewEntry::new(Event::ActionSucceeded)
            .in_run(&run)
            .about(Some("not an address"), None)
            .change(None, Some(json!({"active": true, "site_role": "Users"})))
            .outcome(Some(201), None),
        action(Event::ActionSkipped).because("cancelled by jane@host"),
        NewEntry::new(Event::RunFinished)
            .in_run(&run)
            .because("partial"),
    ]
    .into_iter()
    .map(|entry| chained("directory-1.example.com", "uid:990 (rolecall)", entry))
    .collect()
}

fn sample_lines(format: LineFormat) -> String {
    let lines: Vec<String> = samples()
        .iter()
        .map(|entry| format.line(entry).unwrap())
        .collect();
    lines.join("\n")
}

#[test]
fn samples_of_every_format() {
    insta::assert_snapshot!("cef", sample_lines(LineFormat::Cef));
    // The byte order mark is invisible.
    let syslog = sample_lines(LineFormat::Rfc5424).replace('\u{feff}', "<BOM>");
    insta::assert_snapshot!("rfc5424", syslog);
    insta::assert_snapshot!("ocsf", sample_lines(LineFormat::Ocsf));
}

static OCSF: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("fixtures/ocsf-1.6.0.schema.json")).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

#[track_caller]
fn assert_ocsf(line: &str) -> Value {
    let event: Value = serde_json::from_str(line).unwrap();
    let errors: Vec<String> = OCSF
        .iter_errors(&event)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{event:#}");
    event
}

#[test]
fn ocsf_events_are_of_the_classes_that_the_schema_describes() {
    let classes: Vec<(String, u64)> = samples()
        .iter()
        .map(|entry| {
            let event = assert_ocsf(&LineFormat::Ocsf.line(entry).unwrap());
            assert_eq!(event["time"], 1_772_366_400_250_u64);
            assert_eq!(event["metadata"]["uid"], entry.hash);
            (entry.event.clone(), event["type_uid"].as_u64().unwrap())
        })
        .collect();
    let expected = [
        ("run_started", 600_203),
        ("pull_completed", 99),
        ("pull_failed", 99),
        ("plan_created", 99),
        ("plan_held", 99),
        ("plan_approved", 99),
        ("plan_rejected", 99),
        ("action_started", 300_105),
        ("action_succeeded", 300_105),
        ("action_failed", 300_105),
        ("action_succeeded", 300_501),
        ("action_succeeded", 300_101),
        ("action_skipped", 99),
        ("run_finished", 600_204),
    ]
    .map(|(event, class)| (event.to_owned(), class));
    assert_eq!(classes, expected);
    // The schema is no rubber stamp.
    let mut event = assert_ocsf(&LineFormat::Ocsf.line(&samples()[8]).unwrap());
    event["type_uid"] = json!(300_106);
    assert!(!OCSF.is_valid(&event));
    event["type_uid"] = json!(300_105);
    event["user"] = json!({});
    assert!(!OCSF.is_valid(&event));
}

/// Reads a line of CEF as its specification says: header fields, then the extension.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut header = vec![String::new()];
    let mut rest = line.chars();
    while header.len() < 8 {
        match rest.next().expect("a header of seven fields") {
            '\\' => header.last_mut().unwrap().push(rest.next().unwrap()),
            '|' => header.push(String::new()),
            c => header.last_mut().unwrap().push(c),
        }
    }
    assert_eq!(header.pop().as_deref(), Some(""));
    // A key ends at an equals sign that is not escaped, and begins behind the space before it.
    let mut pairs = BTreeMap::new();
    let (mut key, mut text) = (None::<String>, String::new());
    let mut last_space = 0;
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.push(match rest.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                c => c,
            }),
            '=' => {
                let next = text.split_off(last_space);
                if let Some(key) = key.replace(next.trim_start().to_owned()) {
                    assert!(pairs.insert(key, std::mem::take(&mut text)).is_none());
                }
                text.clear();
                last_space = 0;
            }
            c => {
                if c == ' ' {
                    last_space = text.len();
                }
                text.push(c);
            }
        }
    }
    pairs.extend(key.map(|key| (key, text)));
    (header, pairs)
}

/// Reads a message of RFC 5424: the header's fields, the parameters of the elements, the text.
fn read_rfc5424(line: &str) -> (Vec<String>, BTreeMap<String, String>, String) {
    let mut rest = line;
    let mut header = Vec::new();
    for _ in 0..6 {
        let (field, after) = rest.split_once(' ').unwrap();
        assert!(
            !field.is_empty() && field.chars().all(|c| c.is_ascii_graphic()),
            "{field}"
        );
        header.push(field.to_owned());
        rest = after;
    }
    let mut parameters = BTreeMap::new();
    let mut chars = rest.chars().peekable();
    while chars.next_if_eq(&'[').is_some() {
        let mut element = String::new();
        while let Some(c) = chars.next_if(|c| !matches!(c, ' ' | ']')) {
            element.push(c);
        }
        while chars.next_if_eq(&' ').is_some() {
            let mut name = String::new();
            while let Some(c) = chars.next_if(|c| *c != '=') {
                name.push(c);
            }
            assert_eq!((chars.next(), chars.next()), (Some('='), Some('"')));
            let mut value = String::new();
            loop {
                match chars.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(chars.next().unwrap()),
                    c => {
                        assert_ne!(c, ']');
                        value.push(c);
                    }
                }
            }
            parameters.insert(format!("{element}/{name}"), value);
        }
        assert_eq!(chars.next(), Some(']'));
    }
    assert_eq!(chars.next(), Some(' '));
    let text: String = chars.collect();
    let text = text.strip_prefix('\u{feff}').expect("a byte order mark");
    (header, parameters, text.to_owned())
}

/// What both formats make of a text that they cannot carry as it is.
fn shown(text: &str, keeps_line_ends: bool) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' if keeps_line_ends => c,
            '\u{2028}' | '\u{2029}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn assert_one_line(line: &str) {
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}', '\0',
    ];
    assert!(!line.contains(ends), "{line:?}");
}

/// Texts that mean something to one of the formats come more often than by chance.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[ -~]{0,8}",
        prop::sample::select(vec![
            "|",
            "\\",
            "=",
            "\"",
            "]",
            "[",
            "\n",
            "\r\n",
            "\\n",
            " x=",
            " msg=",
            "CEF:0|",
            "<14>1 ",
            "\u{feff}",
            "\u{2028}",
            "\u{85}",
            "\u{1b}[31m",
            "\0",
            "😀",
            "é",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_breaks_out_of_its_place(
        host in hostile(), user in hostile(), email in hostile(), reason in hostile(), words in hostile(),
        value in hostile(),
    ) {
        let entry = chained(&host, &user, NewEntry::new(Event::ActionFailed)
            .about(Some(&email), None)
            .because(reason.clone())
            .evidence(json!({ value.clone(): value.clone() }))
            .outcome(Some(500), Some(words.clone())));

        let line = LineFormat::Cef.line(&entry).unwrap();
        assert_one_line(&line);
        let (header, pairs) = read_cef(&line);
        prop_assert_eq!(&header[..3], &["CEF:0", "rolecall", "rolecall"]);
        prop_assert_eq!(&header[4..], &["action_failed", "action failed", "5"]);
        for (key, text) in [("suser", &user), ("dvchost", &host), ("duser", &email), ("reason", &reason), ("flexString1", &words)] {
            let expected = Some(shown(text, true)).filter(|text| !text.is_empty());
            prop_assert_eq!(pairs.get(key), expected.as_ref());
        }
        prop_assert_eq!(pairs.get("cs5"), Some(&shown(entry.evidence.as_ref().unwrap(), true)));
        prop_assert_eq!(pairs.get("cs6"), Some(&entry.hash));

        let line = LineFormat::Rfc5424.line(&entry).unwrap();
        assert_one_line(&line);
        let (header, parameters, text) = read_rfc5424(&line);
        prop_assert_eq!(&header[..2], &["<108>1", "2026-03-01T12:00:00.250Z"]);
        prop_assert_eq!(&header[3..], &["rolecall", "-", "action_failed"]);
        prop_assert!(header[2].len() <= 255);
        for (name, text) in [("user", &user), ("email", &email), ("reason", &reason), ("words", &words)] {
            prop_assert_eq!(parameters.get(&format!("rolecall@32473/{name}")), Some(&shown(text, false)));
        }
        prop_assert_eq!(parameters.get("meta/sequenceId").map(String::as_str), Some("1"));
        prop_assert!(text.starts_with("action failed: "));

        let line = LineFormat::Ocsf.line(&entry).unwrap();
        prop_assert!(!line.contains(['\n', '\r']));
        let event = assert_ocsf(&line);
        prop_assert_eq!(&event["actor"]["user"]["name"], &json!(user));
        prop_assert_eq!(&event["status_detail"], &json!(words));

        for format in [LineFormat::Jsonl, LineFormat::Ocsf, LineFormat::Cef, LineFormat::Rfc5424] {
            let message = format.message(&entry).unwrap();
            prop_assert!(message.starts_with("<108>1 2026-03-01T12:00:00.250Z ") && !message.contains('\n'));
        }
    }
}

#[test]
fn a_message_in_place_of_one_that_is_too_large_names_the_entry() {
    let entry = &samples()[0];
    let message = too_large_message(entry);
    let text = message.splitn(3, " - ").nth(2).unwrap();
    assert!(
        text.starts_with(&format!("entry 1 with hash {} is larger", entry.hash)),
        "{text}"
    );
}

#[test]
fn an_entry_that_is_not_what_was_hashed_is_not_handed_on() {
    let mut entry = samples().remove(8);
    entry.after = Some("{ \"active\": false }".to_owned());
    for format in [
        LineFormat::Jsonl,
        LineFormat::Ocsf,
        LineFormat::Cef,
        LineFormat::Rfc5424,
    ] {
        assert!(format.line(&entry).is_err());
    }
}
