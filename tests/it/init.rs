//! `init`: a settings file that works, or nothing and the reason.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{AccountSeed, PersonSeed, Sandbox, SandboxOptions, SiteRoleField};
use serde_json::Value;
use tempfile::TempDir;

use crate::terminal::Terminal;

/// Both directories, and an empty directory in which somebody begins.
struct Beginning {
    sandbox: Sandbox,
    directory: TempDir,
}

struct Told {
    status: i32,
    out: String,
    err: String,
}

impl Beginning {
    async fn new() -> Self {
        let sandbox = Sandbox::start(SandboxOptions {
            site_role: SiteRoleField::Reported,
            ..SandboxOptions::empty(SystemClock::shared())
        })
        .await
        .unwrap();
        for number in 0..8 {
            let email = format!("p{number}@example.com");
            let person = PersonSeed::active(&format!("p{number}"), &email);
            sandbox.opa().add_person(person).unwrap();
            sandbox.opsera().add(AccountSeed::active(&email)).unwrap();
        }
        for account in [
            AccountSeed::active("break-glass@example.com").role("Administrators"),
            AccountSeed::active("ada@example.com").role("Administrators"),
            AccountSeed::active("rolecall@example.com").role("Administrators"),
            AccountSeed::active("guest@supplier.example"),
        ] {
            sandbox.opsera().add(account).unwrap();
        }
        let beginning = Self {
            sandbox,
            directory: tempfile::tempdir().unwrap(),
        };
        beginning.write("opa-secret", &beginning.sandbox.key_secret());
        beginning.write("opsera-token", &beginning.sandbox.opsera_token());
        beginning
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rolecall"));
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("TERM", "xterm")
            .args(args);
        command
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Told {
        let output = self
            .command(args)
            .envs(environment.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        Told {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `init` with every answer as an option, and `more`.
    fn answers<'a>(&'a self, team: &'a str, key_id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec![
            "init",
            "--opa-url",
            self.sandbox.opa_url(),
            "--opa-team",
            team,
            "--opa-key-id",
            key_id,
            "--opa-key-secret-file",
            "opa-secret",
            "--opsera-url",
            self.sandbox.opsera_url(),
            "--opsera-token-file",
            "opsera-token",
            "--token-owner",
            "rolecall@example.com",
        ];
        args.extend(more);
        args
    }

    fn init(&self, more: &[&str]) -> Told {
        let (team, key_id) = (self.sandbox.team(), self.sandbox.key_id());
        self.run(&self.answers(&team, &key_id, more), &[])
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

// The child process asks the sandbox of this one, here and below.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_passes_check_and_holds_no_secret() {
    let beginning = Beginning::new().await;
    let told = beginning.init(&[]);
    assert_eq!(told.status, 0, "{}", told.err);
    let document: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(document["schema"], "rolecall.init/1");
    assert_eq!(document["written"][0]["holds"], "settings");
    assert_eq!(document["next"][0], "rolecall check");
    let tried = document["tried"].as_array().unwrap();
    assert!(
        tried.iter().all(|item| item["status"] == "ok"),
        "{document:#}"
    );
    for name in ["opa.token", "opsera.token", "opsera.token_owner"] {
        assert!(tried.iter().any(|item| item["name"] == name), "{name}");
    }
    assert_eq!(
        beginning.files(),
        [
            "opa-secret",
            "opsera-token",
            "rolecall.schema.json",
            "rolecall.toml"
        ]
    );
    assert_eq!(mode(&beginning.path("rolecall.toml")), 0o600);
    let settings = beginning.read("rolecall.toml");
    let shown = settings
        .replace(beginning.sandbox.opa_url(), "[opa]")
        .replace(beginning.sandbox.opsera_url(), "[opsera]")
        .replace(&beginning.sandbox.key_id(), "[key id]")
        .replace(&beginning.directory.path().display().to_string(), "[here]");
    insta::assert_snapshot!("init", shown);
    for secret in [
        beginning.sandbox.key_secret(),
        beginning.sandbox.opsera_token(),
    ] {
        for text in [&settings, &told.out, &told.err] {
            assert!(!text.contains(&secret), "{text}");
        }
    }

    let check = beginning.run(&["check"], &[]);
    let check_report: Value = serde_json::from_str(&check.out).unwrap();
    assert_eq!((check.status, &check_report["ok"]), (0, &true.into()));
    assert_eq!(beginning.run(&["sync", "--dry-run"], &[]).status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_from_the_environment_or_a_pipe_goes_into_a_private_file_of_its_own() {
    let beginning = Beginning::new().await;
    let (team, key_id) = (beginning.sandbox.team(), beginning.sandbox.key_id());
    let token = beginning.sandbox.opsera_token();
    let args: Vec<&str> = beginning
        .answers(
            &team,
            &key_id,
            &["--output", "site.toml", "--domain", "example.com"],
        )
        .into_iter()
        .filter(|arg| !matches!(*arg, "--opsera-token-file" | "opsera-token"))
        .map(|arg| {
            if arg == "opa-secret" {
                "/dev/stdin"
            } else {
                arg
            }
        })
        .collect();
    let mut child = beginning
        .command(&args)
        .env("ROLECALL__OPSERA__TOKEN", &token)
        .env("ROLECALL__PROTECT__EMAILS", "break-glass@*")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let secret = beginning.sandbox.key_secret();
    let mut pipe = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, format!("{secret}\n").as_bytes()).unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success());
    for (name, expected) in [
        ("site.opa-key-secret", &secret),
        ("site.opsera-token", &token),
    ] {
        assert_eq!(beginning.read(name).trim_end(), expected);
        assert_eq!(mode(&beginning.path(name)), 0o600);
        assert!(!beginning.read("site.toml").contains(expected));
    }
    assert!(beginning.read("site.toml").contains("\"break-glass@*\","));
    let check = beginning.run(&["--config", "site.toml", "check"], &[]);
    assert_eq!(check.status, 0, "{}", check.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_every_missing_answer_is_named_and_nothing_is_sent() {
    let beginning = Beginning::new().await;
    let told = beginning.run(&["init", "--opa-team", "example"], &[]);
    assert_eq!((told.status, told.out.as_str()), (2, ""));
    for word in [
        "--opa-url",
        "ROLECALL__OPA__BASE_URL",
        "--opa-key-id with --opa-key-secret-file",
        "--opsera-token-file",
    ] {
        assert!(told.err.contains(word), "{word}: {}", told.err);
    }
    assert!(!told.err.contains("--opa-team"), "{}", told.err);
    assert_eq!(beginning.sandbox.journal().count(), 0);

    let (team, key_id) = (beginning.sandbox.team(), beginning.sandbox.key_id());
    let mut args = beginning.answers(&team, &key_id, &[]);
    args.truncate(args.len() - 2);
    let told = beginning.run(&args, &[]);
    assert_eq!(told.status, 2);
    assert!(told.err.contains("--token-owner"), "{}", told.err);
    assert_eq!(beginning.files(), ["opa-secret", "opsera-token"]);

    let told = beginning.run(&["--config", "x.toml", "init"], &[]);
    assert_eq!(told.status, 2);
    assert!(told.err.contains("--output"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_does_not_work_is_told_with_its_remedy_and_nothing_is_written() {
    let beginning = Beginning::new().await;
    beginning.write("opsera-token", "wrong");
    let told = beginning.init(&[]);
    assert_eq!(told.status, 1);
    let document: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(document["written"], serde_json::json!([]));
    let tried = document["tried"].as_array().unwrap();
    let refused = tried
        .iter()
        .find(|item| item["status"] == "failure")
        .unwrap();
    assert_eq!(refused["name"], "opsera.token");
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("opsera.token_file"), "{hint}");
    assert!(told.err.contains("nothing was written"), "{}", told.err);
    assert_eq!(beginning.files(), ["opa-secret", "opsera-token"]);

    let sent = beginning.sandbox.journal().count();
    let told = beginning.init(&["--offline"]);
    assert_eq!(told.status, 0, "{}", told.err);
    assert_eq!(beginning.sandbox.journal().count(), sent);
    assert!(
        beginning
            .read("rolecall.toml")
            .contains("domains = [\"example.com\"]")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_owner_without_an_account_is_refused() {
    let beginning = Beginning::new().await;
    let told = beginning.init(&["--format", "table"]);
    assert_eq!(told.status, 0);
    let (team, key_id) = (beginning.sandbox.team(), beginning.sandbox.key_id());
    let mut args = beginning.answers(&team, &key_id, &["--force"]);
    for arg in &mut args {
        if *arg == "rolecall@example.com" {
            *arg = "stranger@example.com";
        }
    }
    let before = beginning.read("rolecall.toml");
    let told = beginning.run(&args, &[]);
    assert_eq!(told.status, 1);
    assert!(
        told.out.contains("no active account stranger@example.com"),
        "{}",
        told.out
    );
    assert_eq!(beginning.read("rolecall.toml"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_replaced_only_by_force() {
    let beginning = Beginning::new().await;
    beginning.write("rolecall.toml", "# mine\n");
    let told = beginning.init(&[]);
    assert_eq!((told.status, told.out.as_str()), (1, ""));
    assert!(told.err.contains("--force"), "{}", told.err);
    assert_eq!(beginning.read("rolecall.toml"), "# mine\n");
    assert_eq!(beginning.sandbox.journal().count(), 0);
    assert_eq!(beginning.init(&["--force"]).status, 0);
    assert!(beginning.read("rolecall.toml").contains("[opsera]"));
    let told = beginning.init(&["--output", "no/such/place.toml"]);
    assert_eq!(told.status, 1);
    assert!(told.err.contains("directory that exists"), "{}", told.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_a_wrong_answer_is_asked_for_again_and_no_secret_is_shown() {
    let beginning = Beginning::new().await;
    let (secret, token) = (
        beginning.sandbox.key_secret(),
        beginning.sandbox.opsera_token(),
    );
    let urls = (
        beginning.sandbox.opa_url().to_owned(),
        beginning.sandbox.opsera_url().to_owned(),
    );
    let (team, key_id) = (beginning.sandbox.team(), beginning.sandbox.key_id());
    let mut command = beginning.command(&["init"]);
    let (status, shown) = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::start(&mut command);
        let answers = [
            ("1/6", urls.0.as_str()),
            ("2/6", "wrong"),
            ("3/6", key_id.as_str()),
            ("Secret of that key", ""),
            ("1/6", ""),
            ("2/6", team.as_str()),
            ("3/6", ""),
            ("Secret of that key", secret.as_str()),
            ("4/6", urls.1.as_str()),
            ("Personal access token", token.as_str()),
            ("5/6", "stranger@example.com"),
            ("no active account stranger@example.com", ""),
            ("5/6", "rolecall@example.com"),
            ("6/6", ""),
            ("Protect these accounts?", ""),
        ];
        for (question, answer) in answers {
            terminal.wait_for(question);
            if question.starts_with("no active") {
                continue;
            }
            if question.starts_with("Secret") || question.starts_with("Personal") {
                terminal.wait_until_unseen();
            }
            terminal.type_line(answer);
        }
        terminal.end()
    })
    .await
    .unwrap();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("opa.key_secret"), "{shown}");
    assert!(shown.contains("rolecall sync --dry-run"), "{shown}");
    for secret in [
        beginning.sandbox.key_secret(),
        beginning.sandbox.opsera_token(),
    ] {
        assert!(!shown.contains(&secret), "{shown}");
    }
    let settings = beginning.read("rolecall.toml");
    assert!(
        settings.contains("domains = [\"example.com\"]"),
        "{settings}"
    );
    assert!(
        settings.contains("\"break-glass@example.com\","),
        "{settings}"
    );
    assert_eq!(beginning.run(&["check"], &[]).status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_conversation_writes_nothing_and_leaves_the_terminal_as_it_was() {
    let beginning = Beginning::new().await;
    let mut command = beginning.command(&["init", "--opa-url", "https://opa.invalid"]);
    let (status, shown) = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::start(&mut command);
        for question in ["2/6", "3/6"] {
            terminal.wait_for(question);
            terminal.type_line("x");
        }
        terminal.wait_for("Secret of that key");
        terminal.wait_until_unseen();
        let pid = terminal.pid().to_string();
        Command::new("kill")
            .args(["-s", "INT", &pid])
            .status()
            .unwrap();
        let ended = terminal.end();
        assert!(terminal.shows_what_is_typed(), "the terminal stays blind");
        ended
    })
    .await
    .unwrap();
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("nothing was written"), "{shown}");
    assert_eq!(beginning.files(), ["opa-secret", "opsera-token"]);
}
