//! The command line as a stranger meets it: help, settings, exit statuses; and no secret anywhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const GOOD: &str = r#"
[opa]
base_url = "https://example.pam.okta.com"
team = "example"
key_id = "key-1"
key_secret = "canary-opa-secret"

[opsera]
token = "canary-opsera-token"

[matching.domain_aliases]
"old.example.com" = "example.com"

[notify]
webhook_url = "https://hooks.example/canary-webhook"
"#;

struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(name: &str, text: &str) -> Self {
        let shell = Self::new();
        shell.write(name, text);
        shell
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn rolecall(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        command.current_dir(self.path()).env_clear().args(args);
        command
    }
}

/// Status, standard output, standard error.
fn told(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn config_show_tells_every_value_with_its_origin() {
    let shell = Shell::with("rolecall.toml", GOOD);
    let (status, shown, errors) = told(
        shell
            .rolecall(&["config", "show", "--format", "table"])
            .env("ROLECALL__GUARDS__MAX_DEACTIVATIONS", "3"),
    );
    assert_eq!((status, errors.as_str()), (0, ""));
    let here = shell.path().display().to_string();
    let shown = shown.replace(&here, "[here]");
    insta::with_settings!({filters => vec![
        ("# digest [0-9a-f]{64}", "# digest [digest]"),
        (r#"rolecall\.db" +#"#, r#"rolecall.db" #"#),
    ]}, {
        insta::assert_snapshot!("config_show", shown);
    });
}

#[test]
fn config_schema_is_the_schema_that_is_shipped() {
    let (status, shown, errors) = told(&mut Shell::new().rolecall(&["config", "schema"]));
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(shown == include_str!("../../config/rolecall.schema.json"));
    let schema: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let page_size = &schema["properties"]["opa"]["properties"]["page_size"];
    assert_eq!(
        (&page_size["minimum"], &page_size["default"]),
        (&1.into(), &1000.into())
    );
}

#[test]
fn without_settings_the_places_that_were_looked_into_are_named() {
    let (status, _, errors) = told(&mut Shell::new().rolecall(&["sync", "--dry-run"]));
    assert_eq!(status, 1);
    assert!(
        errors.contains("there is no rolecall.toml and no /etc/rolecall/rolecall.toml"),
        "{errors}"
    );
    assert!(errors.contains("--config"), "{errors}");
    assert!(errors.contains("rolecall init"), "{errors}");
}

#[test]
fn every_command_that_prints_has_a_format() {
    let shell = Shell::new();
    for args in [
        "init",
        "check",
        "sync",
        "plan list",
        "plan show",
        "plan approve",
        "plan reject",
        "explain",
        "status",
        "queue list",
        "queue retry",
        "queue cancel",
        "audit list",
        "audit export",
        "config show",
        "config schema",
        "sandbox",
    ] {
        let mut words: Vec<&str> = args.split(' ').collect();
        words.push("--help");
        let (status, help, _) = told(&mut shell.rolecall(&words));
        assert!(status == 0 && help.contains("--format <FORMAT>"), "{args}");
    }
}

#[test]
fn config_show_is_for_programs_where_nobody_reads_it() {
    let shell = Shell::with("rolecall.toml", GOOD);
    let (status, shown, _) = told(&mut shell.rolecall(&["config", "show"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (status, &shown["schema"]),
        (0, &"rolecall.settings/1".into())
    );
}

#[test]
fn sync_has_no_force_and_says_why() {
    let shell = Shell::with("rolecall.toml", GOOD);
    let (status, shown, errors) = told(&mut shell.rolecall(&["sync", "--force"]));
    assert_eq!((status, shown.as_str()), (2, ""));
    assert!(
        errors.contains("nothing switches a guard off") && errors.contains("plan approve"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_run_that_cannot_begin_tells_programs_what_to_do() {
    let shell = Shell::with(
        "rolecall.toml",
        &GOOD.replace("token = \"canary-opsera-token\"", "token_file = \"gone\""),
    );
    let (status, shown, errors) = told(&mut shell.rolecall(&["sync"]));
    let report: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let error = report["error"].as_str().unwrap();
    let remedy = "write the secret of opsera.token into gone";
    assert_eq!(status, 1);
    assert!(error.contains(remedy) && errors.contains(remedy), "{error}");
}

#[test]
fn the_working_directory_does_not_choose_the_store_of_a_settings_file() {
    let shell = Shell::with("rolecall.toml", GOOD);
    let elsewhere = tempfile::tempdir().unwrap();
    let config = shell.path().join("rolecall.toml");
    let stores: Vec<serde_json::Value> = [shell.path(), elsewhere.path()]
        .into_iter()
        .map(|directory| {
            let args = [
                "--config",
                config.to_str().unwrap(),
                "config",
                "show",
                "--format",
                "json",
            ];
            let (_, shown, _) = told(shell.rolecall(&args).current_dir(directory));
            let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
            let settings = shown["settings"].as_array().unwrap().clone();
            let store = settings
                .into_iter()
                .find(|found| found["key"] == "store.path");
            store.unwrap()["value"].clone()
        })
        .collect();
    let beside = shell.path().join("rolecall.db");
    assert_eq!(stores, [beside.to_str().unwrap(), beside.to_str().unwrap()]);
}

#[test]
fn config_show_as_json_names_the_origins() {
    let shell = Shell::with("rolecall.toml", GOOD);
    let (status, shown, _) = told(
        shell
            .rolecall(&["config", "show", "--format", "json"])
            .env("ROLECALL__OPA__TEAM", "other"),
    );
    assert_eq!(status, 0);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let of = |key: &str| {
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
    };
    assert_eq!(of("opa.team")["value"], "other");
    assert_eq!(
        of("opa.team")["origin"],
        "environment variable ROLECALL__OPA__TEAM"
    );
    assert_eq!(of("opa.key_id")["origin"], "rolecall.toml");
    assert_eq!(of("opsera.token")["value"], "(set, hidden)");
    assert_eq!(of("opa.token")["value"], "(not set)");
}

#[test]
fn secrets_appear_nowhere() {
    let shell = Shell::with("rolecall.toml", GOOD);
    for more in [
        "",
        "[opa]\ntoken = 5",
        "[opa]\ntoken = \"canary-x",
        "[opa]\ntokn = \"canary-x\"",
        "[opa]\ntoken = \"canary-x y\"",
        "[opsera]\nbase_url = \"https://canary-u:canary-p@x\"",
        "[notify]\nwebhook_url = \"http://hooks.example/canary-w\"",
        "opa = \"canary\"",
    ] {
        shell.write("more.toml", more);
        for format in ["table", "json"] {
            let args = [
                "-vv",
                "--config",
                "rolecall.toml",
                "--config",
                "more.toml",
                "config",
                "show",
                "--format",
                format,
            ];
            let (_, shown, errors) = told(&mut shell.rolecall(&args));
            assert!(!shown.contains("canary"), "{more}: {shown}");
            assert!(!errors.contains("canary"), "{more}: {errors}");
        }
    }
}

#[test]
fn secrets_come_from_files_and_bad_files_are_named() {
    let shell = Shell::with(
        "rolecall.toml",
        &GOOD.replace(
            "key_secret = \"canary-opa-secret\"",
            "key_secret_file = \"secret\"",
        ),
    );
    shell.write("secret", "canary-file\r\n");
    let (status, shown, errors) = told(&mut shell.rolecall(&["config", "show"]));
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(!shown.contains("canary"));

    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(shell.path().join("secret"), readable).unwrap();
    let (status, _, errors) = told(&mut shell.rolecall(&["config", "show"]));
    assert_eq!(status, 0);
    assert!(errors.contains("chmod 600 secret"), "{errors}");

    let long = "x".repeat(70_000);
    for (content, words) in [
        ("\n", "is empty"),
        ("two\nlines", "line break"),
        (long.as_str(), "larger than 64 KiB"),
    ] {
        shell.write("secret", content);
        let (status, _, errors) = told(&mut shell.rolecall(&["config", "show"]));
        assert_eq!(status, 1);
        assert!(
            errors.contains("opa.key_secret_file = \"secret\"") && errors.contains(words),
            "{errors}"
        );
    }
    std::fs::remove_file(shell.path().join("secret")).unwrap();
    let (status, _, errors) = told(&mut shell.rolecall(&["config", "show"]));
    assert_eq!(status, 1);
    assert!(
        errors.contains("\"secret\"") && errors.contains("cannot be read"),
        "{errors}"
    );

    shell.write("token", "two words");
    let twin = "ROLECALL__OPSERA__TOKEN_FILE";
    let (_, _, errors) = told(
        shell
            .rolecall(&["config", "show"])
            .env("ROLECALL__OPSERA__TOKEN", "")
            .env(twin, "token"),
    );
    assert!(
        errors.contains(&format!(
            "opsera.token_file = \"token\" (environment variable {twin})"
        )),
        "{errors}"
    );

    shell.write("secret", "s");
    let both = "ROLECALL__OPA__KEY_SECRET";
    let (status, _, errors) = told(shell.rolecall(&["config", "show"]).env(both, "canary-env"));
    assert_eq!(status, 1);
    assert!(
        errors.contains(both) && errors.contains("set one of the two"),
        "{errors}"
    );
    assert!(!errors.contains("canary"));
}

#[test]
fn an_unknown_key_is_an_error_that_suggests_the_right_one() {
    let shell = Shell::with(
        "rolecall.toml",
        &format!("{GOOD}[guards]\nmax_deactivation = 5\n"),
    );
    let (status, _, errors) = told(&mut shell.rolecall(&["config", "show"]));
    assert_eq!(status, 1);
    assert_eq!(
        errors.lines().next().unwrap(),
        "error: a setting is wrong: guards.max_deactivation = 5 (rolecall.toml): \
         there is no such setting; did you mean guards.max_deactivations?"
    );
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let (status, _, errors) =
        told(&mut Shell::new().rolecall(&["--config", "gone.toml", "config", "show"]));
    assert_eq!(status, 1);
    assert!(
        errors.contains("gone.toml") && errors.contains("cannot be read"),
        "{errors}"
    );
}

#[test]
fn wrong_usage_exits_with_2() {
    let shell = Shell::new();
    for args in [
        &["frobnicate"][..],
        &[],
        &["sync", "--exit-code"],
        &["sync", "--only", "everything"],
        &["plan", "approve", "0123456789ab"],
        &["plan", "approve", "0123456789ab", "--reason", ""],
        &["plan", "reject", "0123456789ab", "--reason", " "],
        &["-v", "-q", "status"],
        &["audit", "list", "--since", "yesterday"],
        &["sandbox", "--error-rate", "2"],
    ] {
        let (status, shown, errors) = told(&mut shell.rolecall(args));
        assert_eq!((status, shown.as_str()), (2, ""), "{args:?}");
        assert!(!errors.is_empty(), "{args:?}");
    }
}

#[test]
fn completions_exist_for_the_usual_shells_and_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (status, script, errors) = told(&mut Shell::new().rolecall(&["completions", shell]));
        assert_eq!((status, errors.as_str()), (0, ""));
        assert!(
            script.contains("rolecall") && script.contains("explain"),
            "{shell}"
        );
    }
}

#[test]
fn manual_pages_cover_every_command() {
    let shell = Shell::new();
    assert_eq!(told(&mut shell.rolecall(&["man", "pages"])).0, 0);
    for page in ["rolecall.1", "rolecall-sync.1", "rolecall-plan-approve.1"] {
        assert!(shell.path().join("pages").join(page).exists(), "{page}");
    }
}

#[test]
fn help_is_for_strangers() {
    let shell = Shell::new();
    let (status, help, _) = told(&mut shell.rolecall(&["--help"]));
    assert_eq!(status, 0);
    insta::assert_snapshot!("help", help);
    let (_, help, _) = told(&mut shell.rolecall(&["sync", "--help"]));
    insta::assert_snapshot!("help_sync", help);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rolecall"))
        .args(["completions", "zsh"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_value_cannot_steer_the_terminal() {
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}";
    let shell = Shell::with("rolecall.toml", GOOD);
    let (status, shown, errors) = told(
        shell
            .rolecall(&["config", "show", "--format", "table"])
            .env("ROLECALL__STORE__PATH", hostile)
            .env("ROLECALL__LOG__LEVEL", hostile),
    );
    assert_eq!(status, 1);
    for text in [shown, errors] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
}
