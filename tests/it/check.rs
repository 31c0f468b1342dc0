//! `check` tells everything that is wrong in one go, what it means and what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use assert_cmd::Command;
use rolecall::audit::Actor;
use rolecall::check::{CheckReport, Item, Status, examine, render};
use rolecall::domain::time::{ManualClock, SharedClock, SystemClock};
use rolecall::output::TableStyle;
use rolecall::sandbox::{
    AccountSeed, Answer, Fault, FaultKind, PersonSeed, Sandbox, SandboxOptions, SiteRoleField,
};
use rolecall::settings::ConfigSources;
use tempfile::TempDir;

use crate::requirements::{Requirement, require};

const POLICY: &str = r#"
[protect]
emails = ["break-glass@*"]

[[roles.rules]]
group = "opsera-admins"
role = "Administrators"

[[roles.rules]]
group = "eng-*"
role = "PowerUsers"
"#;

struct Practice {
    sandbox: Sandbox,
    directory: TempDir,
    settings: String,
    clock: SharedClock,
}

impl Practice {
    /// A Team and an Opsera in which everything is fine.
    async fn new() -> Self {
        let clock = SystemClock::shared();
        let sandbox = Sandbox::start(SandboxOptions {
            site_role: SiteRoleField::Reported,
            ..SandboxOptions::empty(clock.clone())
        })
        .await
        .unwrap();
        let (opa, opsera) = (sandbox.opa(), sandbox.opsera());
        for (name, groups) in [
            ("ada", ["opsera-admins", "eng-web"]),
            ("bob", ["eng-web", "eng-ops"]),
        ] {
            let seed = PersonSeed::active(name, &format!("{name}@example.com")).in_groups(groups);
            opa.add_person(seed).unwrap();
        }
        for account in [
            AccountSeed::active("ada@example.com").role("Administrators"),
            AccountSeed::active("bob@example.com").role("PowerUsers"),
            AccountSeed::active("opsera-bot@example.com").role("Administrators"),
            AccountSeed::active("break-glass@example.com").role("Administrators"),
        ] {
            opsera.add(account).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("audit.key");
        write(&key, &"k".repeat(32));
        let settings = format!(
            "{}\n[store]\npath = {:?}\n[audit]\nkey_file = {key:?}\ncheckpoint_file = {:?}\n{POLICY}",
            sandbox.settings_toml(),
            directory.path().join("rolecall.db"),
            directory.path().join("checkpoints"),
        );
        Self {
            sandbox,
            directory,
            settings,
            clock,
        }
    }

    fn replace(&mut self, from: &str, to: &str) {
        assert!(self.settings.contains(from), "{from}");
        self.settings = self.settings.replace(from, to);
    }

    fn file(&self) -> PathBuf {
        let file = self.directory.path().join("rolecall.toml");
        write(&file, &self.settings);
        file
    }

    async fn check(&self) -> CheckReport {
        let sources = ConfigSources {
            files: vec![self.file()],
            ..ConfigSources::default()
        };
        let before = self.files();
        let checkup = examine(&sources, self.clock.clone(), Actor::of_this_process()).await;
        // SQLite's side files of a store that is only read come and go.
        assert_eq!(before, self.files(), "a check makes no file");
        assert!(
            self.sandbox.journal().writes().is_empty(),
            "a check only reads"
        );
        checkup
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.ends_with("-shm") && !name.ends_with("-wal"))
            .collect();
        names.sort();
        names
    }

    fn rolecall(&self, args: &[&str]) -> (i32, String) {
        let file = self.file();
        let output = Command::new(env!("CARGO_BIN_EXE_rolecall"))
            .current_dir(self.directory.path())
            .env_clear()
            .arg("--config")
            .arg(file)
            .args(args)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    fn redacted(&self, checkup: &CheckReport) -> String {
        let mut text = Vec::new();
        render(checkup, TableStyle::default(), &mut text).unwrap();
        String::from_utf8(text)
            .unwrap()
            .replace(&self.directory.path().display().to_string(), "[dir]")
            .replace(self.sandbox.opa_url(), "[opa]")
            .replace(self.sandbox.opsera_url(), "[opsera]")
    }
}

fn write(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ filters => vec![
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{3}Z| UTC)", "[time]"),
        (r"\d+ MB are free", "[n] MB are free"),
    ] }, { insta::assert_snapshot!(name, text) });
}

fn item<'c>(checkup: &'c CheckReport, name: &str) -> &'c Item {
    checkup
        .items()
        .iter()
        .find(|item| item.name == name)
        .unwrap_or_else(|| panic!("no {name} in {:#?}", checkup.items()))
}

fn of_status(checkup: &CheckReport, status: Status) -> Vec<&str> {
    checkup
        .items()
        .iter()
        .filter(|item| item.status == status)
        .map(|item| item.name.as_str())
        .collect()
}

// The child process asks the sandbox of this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_is_fine_before_and_after_its_first_run() {
    let practice = Practice::new().await;
    let checkup = practice.check().await;
    assert!(checkup.is_ok());
    assert_eq!(of_status(&checkup, Status::Failure), [""; 0]);
    snapshot("fine_before_the_first_run", &practice.redacted(&checkup));

    assert_eq!(practice.rolecall(&["sync", "--dry-run"]).0, 0);
    let checkup = practice.check().await;
    assert_eq!(of_status(&checkup, Status::Warning), [""; 0]);
    snapshot("fine_after_a_run", &practice.redacted(&checkup));
}

// The child process asks the sandbox of this one.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_items_for_programs_and_exits_with_1_on_a_failure() {
    let practice = Practice::new().await;
    let (status, shown) = practice.rolecall(&["check"]);
    let document: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((status, &document["ok"]), (0, &true.into()));
    assert_eq!(document["schema"], "rolecall.check/1");
    let first = &document["items"][0];
    assert_eq!(
        (&first["name"], &first["status"]),
        (&"settings".into(), &"ok".into())
    );
    assert!(first["hint"].is_null());
}

// The child process asks the sandbox of this one.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_apart_and_both_at_once() {
    let mut practice = Practice::new().await;
    let (secret, token) = (
        practice.sandbox.key_secret(),
        practice.sandbox.opsera_token(),
    );
    practice.replace(&secret, "canary-secret");
    practice.replace(&token, "canary-token");
    let checkup = practice.check().await;
    assert_eq!(
        of_status(&checkup, Status::Failure),
        ["opa.token", "opsera.token"]
    );
    let shown = practice.redacted(&checkup);
    assert!(!shown.contains("canary"), "{shown}");
    snapshot("wrong_credentials", &shown);
    assert_eq!(practice.rolecall(&["check"]).0, 1);
}

#[tokio::test]
async fn a_wrong_team_is_named() {
    let mut practice = Practice::new().await;
    practice.replace("team = \"example\"", "team = \"elsewhere\"");
    let checkup = practice.check().await;
    let token = item(&checkup, "opa.token");
    assert_eq!(token.status, Status::Failure);
    assert!(
        token.hint.as_ref().unwrap().contains("elsewhere"),
        "{token:?}"
    );

    let practice = Practice::new().await;
    practice.sandbox.opa().answer_as_team("somebody-else");
    let checkup = practice.check().await;
    let token = item(&checkup, "opa.token");
    assert!(token.message.contains("somebody-else"), "{token:?}");
    assert!(
        token.hint.as_ref().unwrap().contains("opa.team"),
        "{token:?}"
    );
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_are_told_in_words() {
    let mut practice = Practice::new().await;
    let (opa, opsera) = (
        practice.sandbox.opa_url().to_owned(),
        practice.sandbox.opsera_url().to_owned(),
    );
    practice.replace(&opa, "http://127.0.0.1:1");
    practice.replace(&opsera, "https://nowhere.invalid");
    let checkup = practice.check().await;
    let opa = item(&checkup, "opa.reachable");
    assert!(opa.message.contains("refused the connection"), "{opa:?}");
    let opsera = item(&checkup, "opsera.reachable");
    assert!(
        opsera.message.contains("not known to the name service"),
        "{opsera:?}"
    );
    assert_eq!(
        item(&checkup, "opa.token").message,
        "not checked because OPA cannot be reached"
    );
}

#[tokio::test]
async fn a_host_without_tls_is_told_in_words() {
    let mut practice = Practice::new().await;
    let opa = practice.sandbox.opa_url().to_owned();
    practice.replace(&opa, &opa.replace("http:", "https:"));
    let checkup = practice.check().await;
    let reachable = item(&checkup, "opa.reachable");
    assert!(reachable.message.contains("speak TLS"), "{reachable:?}");
}

#[tokio::test]
async fn a_host_that_does_not_answer_in_time_is_told_in_words() {
    let mut practice = Practice::new().await;
    practice.replace("[opa]", "[opa]\ntimeout = \"200ms\"");
    let stalled = Fault::opa(FaultKind::StallBeforeEffect).always();
    practice.sandbox.inject(stalled);
    let checkup = practice.check().await;
    let reachable = item(&checkup, "opa.reachable");
    assert!(
        reachable.message.contains("did not answer in time"),
        "{reachable:?}"
    );
}

#[tokio::test]
async fn a_credential_without_the_right_to_list_names_the_roles_that_have_it() {
    let practice = Practice::new().await;
    let forbidden = || FaultKind::Answer(Answer::status(403));
    practice
        .sandbox
        .inject(Fault::opa(forbidden()).on("GET", "/users").always());
    practice.sandbox.inject(Fault::opsera(forbidden()).always());
    let checkup = practice.check().await;
    assert_eq!(
        of_status(&checkup, Status::Failure),
        ["opa.permission", "opsera.token"]
    );
    snapshot("no_permission", &practice.redacted(&checkup));
}

#[tokio::test]
async fn groups_that_do_not_exist_are_named_by_what_they_break() {
    let mut practice = Practice::new().await;
    practice.replace("\"opsera-admins\"", "\"opsera-admin\"");
    practice.replace("\"eng-*\"", "\"dev-*\"");
    practice
        .settings
        .push_str("[scope]\nrequired_groups = [\"opsera-users\", \"eng-web\"]\n");
    let checkup = practice.check().await;
    assert_eq!(
        of_status(&checkup, Status::Failure),
        ["scope.required_groups"]
    );
    for (name, words) in [
        ("roles.rules[1]", "unknown_group"),
        ("roles.rules[2]", "no group of the Team matches dev-*"),
        ("scope.required_groups", "\"opsera-users\""),
    ] {
        let item = item(&checkup, name);
        assert!(item.message.contains(words), "{item:?}");
    }
}

#[tokio::test]
async fn protection_that_protects_nobody_is_a_warning() {
    let mut practice = Practice::new().await;
    practice.replace("break-glass@*", "brake-glass@*");
    practice.replace(
        "token_owner = \"opsera-bot@example.com\"",
        "token_owner = \"bot@example.com\"",
    );
    let checkup = practice.check().await;
    assert!(checkup.is_ok());
    let warnings = of_status(&checkup, Status::Warning);
    for name in [
        "opsera.token_owner",
        "protect.emails",
        "protect.administrators",
    ] {
        assert!(warnings.contains(&name), "{warnings:?}");
    }
    practice.replace("token_owner = \"bot@example.com\"", "token_owner = \"\"");
    practice
        .sandbox
        .opsera()
        .report_site_role(SiteRoleField::Missing);
    let checkup = practice.check().await;
    let owner = item(&checkup, "opsera.token_owner");
    assert!(owner.message.contains("not set"), "{owner:?}");
    let administrators = item(&checkup, "protect.administrators");
    assert!(
        administrators.message.contains("does not tell the roles"),
        "{administrators:?}"
    );
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_before_it_does_harm() {
    let mut practice = Practice::new().await;
    let real = SystemClock::shared();
    for (wrong, status) in [
        (20, Status::Ok),
        (60, Status::Warning),
        (400, Status::Failure),
    ] {
        let clock = ManualClock::at(real.now());
        clock.advance(Duration::from_secs(wrong));
        practice.clock = clock;
        let checkup = practice.check().await;
        for name in ["opa.clock", "opsera.clock"] {
            assert_eq!(
                item(&checkup, name).status,
                status,
                "{:?}",
                item(&checkup, name)
            );
        }
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_made_or_read_is_told_without_making_one() {
    let mut practice = Practice::new().await;
    practice.replace("rolecall.db", "missing/rolecall.db");
    let checkup = practice.check().await;
    assert_eq!(of_status(&checkup, Status::Failure), ["store.file"]);

    let practice = Practice::new().await;
    write(
        &practice.directory.path().join("rolecall.db"),
        &"not a store".repeat(100),
    );
    let checkup = practice.check().await;
    assert_eq!(of_status(&checkup, Status::Failure), ["store.schema"]);

    let mut practice = Practice::new().await;
    practice.replace("rolecall.db", "audit.key/rolecall.db");
    let checkup = practice.check().await;
    assert_eq!(of_status(&checkup, Status::Failure), ["store.file"]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told() {
    if !require(Requirement::NotRoot) {
        return;
    }
    let mut practice = Practice::new().await;
    let locked = practice.directory.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    practice.replace("rolecall.db", "locked/rolecall.db");
    let checkup = practice.check().await;
    let file = item(&checkup, "store.file");
    assert!(file.message.contains("cannot be written"), "{file:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_the_one_of_the_last_run_is_told() {
    let mut practice = Practice::new().await;
    assert_eq!(practice.rolecall(&["sync", "--dry-run"]).0, 0);
    write(
        &practice.directory.path().join("audit.key"),
        &"x".repeat(32),
    );
    let checkup = practice.check().await;
    assert_eq!(of_status(&checkup, Status::Failure), ["audit.chain"]);

    practice.replace("rolecall.db", "other.db");
    let checkup = practice.check().await;
    let lost = item(&checkup, "store.schema");
    assert!(lost.message.contains("there is no store"), "{lost:?}");
}

#[tokio::test]
async fn wrong_settings_are_all_told_and_the_rest_is_still_looked_at() {
    let mut practice = Practice::new().await;
    practice.replace("[opa]", "[opa]\ntimeout = \"soon\"\npage_size = 0");
    let checkup = practice.check().await;
    assert_eq!(
        of_status(&checkup, Status::Failure),
        ["settings", "settings"]
    );
    assert_eq!(item(&checkup, "schedule").status, Status::Ok);
    assert_eq!(
        item(&checkup, "opa.reachable").message,
        "not checked because the settings are wrong"
    );
}

#[tokio::test]
async fn secrets_that_others_can_read_are_a_warning_with_the_command_that_helps() {
    let mut practice = Practice::new().await;
    let file = practice.directory.path().join("token");
    write(&file, &practice.sandbox.opsera_token());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let token = format!("token = \"{}\"", practice.sandbox.opsera_token());
    practice.replace(&token, &format!("token_file = {file:?}"));
    let checkup = practice.check().await;
    let secrets = item(&checkup, "settings.secrets");
    assert_eq!(secrets.status, Status::Warning);
    assert!(
        secrets.hint.as_ref().unwrap().contains("chmod 600"),
        "{secrets:?}"
    );
}

#[tokio::test]
async fn hostile_texts_of_a_directory_do_not_reach_the_terminal() {
    let practice = Practice::new().await;
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}";
    practice.sandbox.opa().add_group(&format!("eng-{hostile}"));
    let error = Answer::status(403).json(&serde_json::json!({ "message": hostile }));
    practice
        .sandbox
        .inject(Fault::opsera(FaultKind::Answer(error)).always());
    let shown = practice.redacted(&practice.check().await);
    assert!(
        !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
        "{shown:?}"
    );
}
