//! The audit log on the command line: read, proven, exported (§8).

use crate::operator::{COUNTING, Desk, Told};
use crate::queue_commands::attach;

/// Two people leave in two runs.
async fn history(settings: &str) -> Desk {
    let desk = Desk::with(settings).await;
    if settings.contains("key_file") {
        desk.write("key", &"k".repeat(40));
    }
    desk.leave(&["p1"]);
    desk.sync(0);
    desk.leave(&["p2"]);
    desk.sync(0);
    desk
}

fn lines(told: &Told) -> Vec<&str> {
    assert_eq!((told.status, told.err.as_str()), (0, ""), "{told:?}");
    told.out.lines().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_found_by_person_run_event_and_time() {
    let desk = history(COUNTING).await;
    let list = |args: &[&str]| {
        let told = desk.run(&[&["audit", "list"], args].concat());
        assert_eq!(told.status, 0, "{told:?}");
        told.json().as_array().unwrap().clone()
    };
    let all = list(&[]);
    let numbers: Vec<u64> = all
        .iter()
        .map(|entry| entry["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "the newest last");

    let person = list(&["--person", "P1@Example.com"]);
    let events: Vec<&str> = person
        .iter()
        .map(|entry| entry["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["action_started", "action_succeeded"]);
    let id = person[0]["opsera_id"].as_str().unwrap();
    assert_eq!(list(&["--person", id]), person);

    let run = all.last().unwrap()["run_id"].as_str().unwrap();
    let of_run = list(&["--run", run]);
    assert!(of_run.iter().all(|entry| entry["run_id"] == run));
    assert_eq!(of_run.len() * 2, all.len());

    assert_eq!(list(&["--event", "run_started"]).len(), 2);
    assert_eq!(list(&["--limit", "3"]), all[all.len() - 3..]);
    assert_eq!(list(&["--event", "run_started", "--limit", "1"]).len(), 1);
    let begin = of_run[0]["at"].as_str().unwrap();
    assert!(list(&["--since", begin]).len() >= of_run.len());
    assert_eq!(list(&["--since", "1h"]), all);
    assert_eq!(list(&["--since", "2100-01-01"]).len(), 0);
    let before = list(&["--until", begin]);
    assert_eq!(
        before,
        all[..all.len() - of_run.len()],
        "the end is not included"
    );
    assert_eq!(list(&["--since", begin, "--until", "2100-01-01"]), of_run);
    assert_eq!(list(&["--until", "2001-01-01"]).len(), 0);
    let day = begin.get(..10).unwrap();
    let today = list(&["--until", day]);
    assert!(today.contains(&of_run[0]), "a day is meant with all of it");
    let args = ["audit", "export", "--format", "jsonl", "--until", begin];
    assert_eq!(desk.run(&args).out.lines().count(), before.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_a_row_an_entry() {
    let desk = history(COUNTING).await;
    let told = desk.run(&[
        "audit",
        "list",
        "--person",
        "p2@example.com",
        "--format",
        "table",
    ]);
    let lines = lines(&told);
    // Under the names of the columns and a line.
    let rows = &lines[2..];
    assert_eq!(rows.len(), 2);
    assert!(lines[0].starts_with("Entry  Time "), "{}", lines[0]);
    for words in [
        "  action started  ",
        "  p2@example.com  ",
        "{\"active\":true} → {\"active\":false} · disabled",
        " UTC  ",
    ] {
        assert!(rows[0].contains(words), "{words} in {}", rows[0]);
    }
    assert!(rows[1].contains("HTTP 200"), "{}", rows[1]);
    let told = desk.run(&["audit", "list", "--person", "nobody", "--format", "table"]);
    assert_eq!(told.out, "None.\n");
    let told = desk.run(&["audit", "list", "--person", "nobody"]);
    assert_eq!(told.out, "[]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_names_its_anchor() {
    let desk = history(COUNTING).await;
    let last = desk.run(&["audit", "list", "--limit", "1"]).json();
    let (seq, at) = (&last[0]["seq"], last[0]["at"].as_str().unwrap());
    let head = last[0]["hash"].as_str().unwrap();

    let told = desk.run(&["audit", "verify"]);
    let said = lines(&told);
    assert_eq!(said[0], "unanchored");
    assert_eq!(said[1], format!("{seq} entries, head {head}"));

    let document = desk.run(&["audit", "verify", "--format", "json"]).json();
    assert_eq!(document["schema"], "rolecall.audit_verdict/1");
    assert_eq!(document["verdict"], "unanchored");
    assert_eq!(
        (&document["entries"], &document["head"]),
        (seq, &last[0]["hash"])
    );
    assert_eq!(document["anchor"], serde_json::Value::Null);
    let args = ["audit", "verify", "--format", "json", "--expect-head", head];
    let document = desk.run(&args).json();
    assert_eq!(
        document["anchor"],
        serde_json::json!({ "entry": seq, "at": at, "by": "expected_head" })
    );

    for given in [head.to_owned(), head.to_ascii_uppercase()] {
        let told = desk.run(&["audit", "verify", "--expect-head", &given]);
        let said = format!("anchored to entry {seq} of {at} by the expected head");
        assert_eq!(lines(&told)[0], said);
    }
    let other = "0123456789abcdef".repeat(4);
    let told = desk.run(&["audit", "verify", "--expect-head", &other]);
    assert_eq!(
        (told.status, told.out),
        (
            1,
            format!(
                "broken: the expected head {other} is not in the log, which has {seq} entries\n"
            )
        )
    );
    let told = desk.run(&["audit", "verify", "--expect-head", "latest"]);
    assert_eq!(
        told.refused(),
        "“latest” is no head of an audit log: a head is 64 hex digits"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn key_and_checkpoints_of_the_settings_anchor_the_log() {
    let desk = history("[audit]\nkey_file = \"key\"\ncheckpoint_file = \"checkpoints\"\n").await;
    let told = desk.run(&["audit", "verify"]);
    let first = lines(&told)[0];
    assert!(
        first.starts_with("anchored to entry ") && first.ends_with(" by the checkpoint file"),
        "{first}"
    );
    let no_checkpoints = [("ROLECALL__AUDIT__CHECKPOINT_FILE", "")];
    let told = desk.run_with(&["audit", "verify"], &no_checkpoints);
    let said = lines(&told);
    assert!(said[0].ends_with(" by the audit key"), "{}", said[0]);
    assert!(said[2].starts_with("Whether entries were cut off at the end"));

    desk.write("key", &"x".repeat(40));
    let told = desk.run(&["audit", "verify"]);
    assert_eq!(
        (told.status, told.out.as_str()),
        (
            1,
            "broken: entry 1: the key in key is not the one this log was written with\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_wrong_entry_is_named() {
    let desk = history(COUNTING).await;
    let mut store = attach(&desk).await;
    for statement in [
        "DROP TRIGGER audit_refuses_update",
        "UPDATE audit SET reason = 'absent' WHERE seq = 4",
        "UPDATE audit SET evidence = '{ }' WHERE seq = 6",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    let told = desk.run(&["audit", "verify"]);
    assert_eq!(
        (told.status, told.out.as_str()),
        (
            1,
            "broken: entry 4: it was changed: its hash does not fit its content\n"
        )
    );
    let told = desk.run(&["audit", "verify", "--format", "json"]);
    assert_eq!(
        (told.status, &told.json()["verdict"]),
        (1, &"broken".into())
    );
    assert_eq!(told.json()["broken"]["entry"], 4);
    let told = desk.run(&["audit", "list"]);
    assert_eq!(told.status, 1);
    assert!(told.err.contains("audit"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_complete_private_and_for_either_reader() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = history(COUNTING).await;
    let told = desk.run(&["audit", "export", "--format", "jsonl"]);
    let exported: Vec<serde_json::Value> = lines(&told)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        serde_json::json!(exported),
        desk.run(&["audit", "list"]).json()
    );

    let args = [
        "audit",
        "export",
        "--format",
        "csv",
        "--output",
        "audit.csv",
    ];
    let told = desk.run(&args);
    assert_eq!((told.status, told.out.as_str()), (0, ""));
    assert_eq!(
        told.err,
        format!("{} entries written to audit.csv\n", exported.len())
    );
    let file = desk.path("audit.csv");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut csv = csv::Reader::from_path(&file).unwrap();
    assert_eq!(csv.headers().unwrap().get(0), Some("seq"));
    assert_eq!(csv.records().count(), exported.len());

    let args = [
        "audit",
        "export",
        "--format",
        "jsonl",
        "--since",
        "2100-01-01",
    ];
    assert_eq!(desk.run(&args).out, "");
    let told = desk.run(&[
        "audit",
        "export",
        "--format",
        "csv",
        "--output",
        "no/such/place",
    ]);
    assert_eq!(told.status, 1);
    assert!(told.err.contains("no/such/place"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let desk = history(COUNTING).await;
    for args in [
        &["audit", "list"][..],
        &["audit", "export", "--format", "jsonl"],
    ] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rolecall"))
            .current_dir(desk.path(""))
            .env_clear()
            .args(args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_nothing_is_proven() {
    let desk = Desk::with(COUNTING).await;
    assert_eq!(desk.run(&["audit", "list"]).out, "[]\n");
    let store = desk.path("rolecall.db").display().to_string();
    for args in [
        &["audit", "verify"][..],
        &["audit", "export", "--format", "csv"],
    ] {
        assert_eq!(
            desk.run(args).refused(),
            format!(
                "there is no store at {store} yet: nothing has run with this store.path; begin with `rolecall sync --dry-run`, or name other settings with --config"
            )
        );
    }
}
