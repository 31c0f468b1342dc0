//! `rolecall sandbox` and `rolecall demo` as somebody starts them.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::terminal::Terminal;

/// Starts `rolecall sandbox` and reads what it prints until it serves.
async fn start(args: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rolecall"))
        .arg("sandbox")
        .args(args)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let printed = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("Serving") {
                return;
            }
            text.push_str(&line);
            text.push('\n');
        }
    };
    tokio::time::timeout(Duration::from_mins(1), printed)
        .await
        .unwrap();
    (child, text)
}

fn value(settings: &str, key: &str) -> String {
    let line = settings.lines().find(|line| line.starts_with(key)).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn settings_that_are_written_to_a_file_are_not_printed_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sandbox.toml");
    let path = file.to_str().unwrap();
    let (_child, text) = start(&["--users", "255", "--write-config", path]).await;
    assert!(text.contains("255 people with "), "{text}");
    assert!(text.contains(path), "{text}");
    let settings = std::fs::read_to_string(&file).unwrap();
    for key in ["key_id", "key_secret", "token"] {
        assert!(!text.contains(&value(&settings, key)), "{key}: {text}");
    }
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn without_a_file_the_settings_are_printed() {
    let (_child, text) = start(&["--users", "10"]).await;
    assert!(text.contains("key_secret = "), "{text}");
}

#[tokio::test]
async fn its_options_reach_the_simulated_opa() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = [
        "--users",
        "30",
        "--quota",
        "3",
        "--page-limit",
        "7",
        "--oversized-count",
        "refuse",
        "--link-forms",
        "all",
    ];
    let (_child, text) = start(&args).await;
    let url = format!("{}/v1/teams/example", value(&text, "base_url"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = serde_json::json!({
        "key_id": value(&text, "key_id"),
        "key_secret": value(&text, "key_secret"),
    });
    let minted = client.post(format!("{url}/service_token")).json(&key);
    let minted: serde_json::Value = super::reply(minted).await.unwrap().json();
    let token = minted["bearer_token"].as_str().unwrap();
    let get = async |path: &str| {
        let request = client.get(format!("{url}{path}")).bearer_auth(token);
        super::reply(request).await.unwrap()
    };
    assert_eq!(get("/users?count=8").await.status, 400);
    let page = get("/users?count=7").await;
    assert_eq!(page.json()["list"].as_array().unwrap().len(), 7);
    assert_eq!(page.headers["x-ratelimit-remaining"], "0");
    assert_eq!(get("/users").await.status, 429);
}

#[tokio::test]
async fn the_demo_ends_in_step_and_tells_of_one_renamed_person() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rolecall"))
        .arg("demo")
        .arg("--keep")
        .arg(directory.path())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    assert!(text.contains("One of these people was renamed"), "{text}");
    let settings = std::fs::read_to_string(directory.path().join("rolecall.toml")).unwrap();
    let renamed: Vec<&str> = settings
        .lines()
        .filter(|line| line.contains("-weiss@example.com\""))
        .collect();
    assert_eq!(renamed.len(), 1, "{settings}");
    assert!(text.contains(renamed[0]), "{text}");
}

#[test]
fn the_demo_fits_a_persons_patience_at_eighty_columns() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolecall"));
    command.arg("demo").env("NO_COLOR", "1").env("TERM", "dumb");
    let (code, shown) = Terminal::start_in_columns(80, &mut command).end();
    assert_eq!(code, 0, "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() < 200, "{} lines", lines.len());
    // Longer is only what cannot be broken, as an address of two hosts in one word.
    let long: Vec<&&str> = lines
        .iter()
        .filter(|line| line.chars().count() > 80 && line.trim().contains(' '))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
    for words in [
        "Dry run: 8 accounts would be deactivated",
        "1 refused by Opsera",
        "In sync: nothing to do",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}
