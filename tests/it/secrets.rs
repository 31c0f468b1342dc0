//! No credential is ever shown, wherever it turns up (§11): every failing path, at the highest
//! verbosity, with servers that send back what they were sent.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use rolecall::sandbox::{Answer, Fault, FaultKind};

use crate::child::{Ended, Victim};
use crate::fault_world::World;

const KEY_SECRET: &str = "canary-key-secret-Zk31";
const MINTED: &str = "canary-minted-bearer-Qx77";
const OPSERA: &str = "canary-opsera-token-Lw52";
const HMAC: &str = "canary-hmac-key-of-at-least-32-bytes-Vb90";
const WEBHOOK: &str = "canary-webhook-path-Tn08";

/// What must not be found. The tails too: a message that cuts a text must not leave half a secret.
const CANARIES: [&str; 6] = ["canary-", "Zk31", "Qx77", "Lw52", "Vb90", "Tn08"];

const FORMATS: [&str; 5] = ["json", "table", "markdown", "html", "csv"];

/// Writes a private file into the world and gives its path.
fn private(world: &World, name: &str, text: &str) -> String {
    let path = world.dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// A world whose credentials are canaries, all of them in files.
async fn canary_world() -> World {
    let world = World::staffed().await;
    world.sandbox.opa().rotate_key(KEY_SECRET);
    world.sandbox.opsera().rotate_token(OPSERA);
    let base = world.settings_files().remove(0);
    let text = std::fs::read_to_string(&base).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("key_secret") && !line.starts_with("token ="))
        .collect();
    std::fs::write(&base, kept.join("\n")).unwrap();
    let more = format!(
        "[opa]\nkey_secret_file = {:?}\n[opsera]\ntoken_file = {:?}\n\
         [audit]\nkey_file = {:?}\ncheckpoint_file = {:?}\n[notify]\nwebhook_url_file = {:?}\n\
         [retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n",
        private(&world, "key", KEY_SECRET),
        private(&world, "token", OPSERA),
        private(&world, "hmac", HMAC),
        world.dir.path().join("checkpoints"),
        private(
            &world,
            "webhook",
            &format!("https://hooks.example.com/{WEBHOOK}")
        ),
    );
    std::fs::write(world.settings_files().remove(2), more).unwrap();
    world
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for canary in CANARIES {
        if let Some(at) = text.find(canary) {
            let context: String = text
                .get(at.saturating_sub(200)..)
                .unwrap_or(&text)
                .chars()
                .take(400)
                .collect();
            panic!("{canary} in {what}: …{context}…");
        }
    }
}

/// Everything a run leaves and says.
#[track_caller]
fn check_all(world: &World, what: &str, ended: &Ended) {
    assert!(
        !ended.stderr.contains("panicked"),
        "{what}: {}",
        ended.stderr
    );
    assert_clean(&format!("{what}: standard output"), ended.stdout.as_bytes());
    assert_clean(&format!("{what}: standard error"), ended.stderr.as_bytes());
    for entry in std::fs::read_dir(world.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_output = name.starts_with("rolecall.db") || name == "checkpoints";
        if is_output || name.ends_with(".report") {
            assert_clean(&format!("{what}: {name}"), &std::fs::read(&path).unwrap());
        }
    }
}

/// What a server says back of what it was sent, in every place that may be shown.
fn echoes(status: u16, one: &str, other: &str) -> Vec<Answer> {
    let all = format!("you sent {one} {other}");
    let torn = format!("you sent \u{1b}[1m{}\u{200b}{} now", &one[..9], &one[9..]);
    vec![
        Answer::status(status).json(&serde_json::json!({ "message": all,
            "errors": [{ "path": one, "message": other }, { "path": one, "message": torn }] })),
        Answer::status(status).json(&serde_json::json!(format!("{} {torn}", "x".repeat(280)))),
        Answer::status(status).body(format!("{all} {{\"token\":\"{one}\"}}")),
        Answer::status(status).body(format!("<html><title>{all}</title></html>")),
        Answer::status(status)
            .header(
                "location",
                format!("http://{one}.example.com/{one}?{other}"),
            )
            .header("www-authenticate", format!("Bearer realm=\"{one} {one}\""))
            .header("x-echo", &all),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_send_credentials_back_do_not_make_them_show() {
    let minted = || {
        let body = serde_json::json!({ "bearer_token": MINTED, "team_name": "example",
            "expires_at": "2099-01-01T00:00:00Z" });
        Fault::opa(FaultKind::Answer(Answer::status(200).json(&body)))
            .on("POST", "/service_token")
            .always()
    };
    let mut runs = 0;
    for status in [200, 204, 302, 400, 401, 403, 404, 409, 422, 429, 500, 503] {
        for n in 0..5 {
            let world = canary_world().await;
            let place = (runs + n) % 6;
            let (one, other) = match place {
                0 => (KEY_SECRET, KEY_SECRET),
                1 => (MINTED, KEY_SECRET),
                _ => (OPSERA, OPSERA),
            };
            let says = || {
                let answer = echoes(status, one, other).remove(n);
                // Otherwise a 429 costs seconds of real time.
                FaultKind::Answer(answer.header("retry-after", 0))
            };
            // Each case in another place, so that all of them meet every place.
            match place {
                0 => world
                    .sandbox
                    .inject(Fault::opa(says()).on("POST", "/service_token").always()),
                1 => {
                    world.sandbox.inject(minted());
                    world
                        .sandbox
                        .inject(Fault::opa(says()).on("GET", "/").always());
                }
                2 => world
                    .sandbox
                    .inject(Fault::opsera(says()).on("GET", "/users").always()),
                3 => world
                    .sandbox
                    .inject(Fault::opsera(says()).on("GET", "/user/").always()),
                4 => world
                    .sandbox
                    .inject(Fault::opsera(says()).on("PUT", "/user").always()),
                _ => {
                    world
                        .sandbox
                        .inject(Fault::opsera(says()).on("POST", "/user").always());
                    world
                        .sandbox
                        .inject(Fault::opsera(says()).on("DELETE", "/user").always());
                }
            }
            let format = FORMATS[runs % FORMATS.len()];
            let log = if runs % 2 == 0 { "text" } else { "json" };
            let args = ["-vvv", "--log-format", log, "sync", "--format", format];
            let ended = Victim::start(&mut world.command(&args), world.dir.path())
                .end()
                .await;
            assert!(
                matches!(ended.code(), Some(0 | 1 | 4)),
                "{:?}",
                ended.status
            );
            assert!(ended.stderr.len() > 500, "verbose: {}", ended.stderr);
            check_all(&world, &format!("{status} {n} {format} {log}"), &ended);
            runs += 1;
        }
    }
    println!("{runs} runs against servers that echo credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_well_shows_no_credential_anywhere_not_even_to_ps() {
    let world = canary_world().await;
    let victim: Arc<OnceLock<Victim>> = Arc::default();
    let seen: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
    world.sandbox.journal().on_receive({
        let (victim, seen) = (Arc::clone(&victim), Arc::clone(&seen));
        move |request| {
            let pid = victim.wait().pid();
            for file in ["cmdline", "environ"] {
                let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
                let name = format!("{file} at request {}", request.number);
                seen.lock().unwrap().insert(name, bytes);
            }
        }
    });
    let report = world.dir.path().join("out.report");
    let args = [
        "-vvv",
        "sync",
        "--format",
        "html",
        "--output",
        report.to_str().unwrap(),
    ];
    victim
        .set(Victim::start(&mut world.command(&args), world.dir.path()))
        .ok()
        .unwrap();
    let ended = victim.wait().end().await;
    world.sandbox.journal().on_receive(|_| {});
    ended.assert_code(0);
    assert!(world.is_settled());
    check_all(&world, "a good run", &ended);
    assert!(Path::new(&report).exists());
    for (name, bytes) in seen.lock().unwrap().iter() {
        assert_clean(name, bytes);
    }
    for args in [
        vec!["config", "show"],
        vec!["config", "show", "--format", "json"],
        vec!["-vvv", "sync", "--dry-run"],
    ] {
        let ended = Victim::start(&mut world.command(&args), world.dir.path())
            .end()
            .await;
        ended.assert_code(0);
        check_all(&world, &args.join(" "), &ended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_are_told_without_the_secrets_in_them() {
    let wrong = [
        format!("[opsera]\ntoken = \"{OPSERA}\n"),
        format!("[opsera]\ntoken = {OPSERA}\n"),
        format!("[opsera]\ntoken = [\"{OPSERA}\"]\n"),
        format!("[opsera]\ntoken = {{ value = \"{OPSERA}\" }}\n"),
        format!("[opsera]\ntoken = \"{OPSERA}\" \"{OPSERA}\"\n"),
        format!("[opsera]\ntoken = \"{OPSERA}\\u0007\"\n"),
        format!("[opsera]\ntoken = \"{OPSERA} with spaces\"\n"),
        format!("[opsera]\ntokn = \"{OPSERA}\"\n"),
        format!("[opsera]\ntoken = \"{OPSERA}\"\ntoken_file = \"/nowhere\"\n"),
        format!("[opsera]\ntoken = \"{OPSERA}\"\ntoken = \"{OPSERA}\"\n"),
        format!("[opsrea]\ntoken = \"{OPSERA}\"\n"),
        format!("opsera.token = \"{OPSERA}\"\nopsera = 3\n"),
        format!("opsera = \"{OPSERA}\"\n"),
        format!("[opa]\nkey_secret = \"{KEY_SECRET}\ntoken = \"x\"\n"),
        format!("[opa]\nkey_secret = 7\n# {KEY_SECRET}\n"),
        format!("[opa]\nkey_secert = \"{KEY_SECRET}\"\n"),
        format!("[opa]\ntoken = \"{MINTED}\"\nkey_secret = \"{KEY_SECRET}\"\n"),
        format!("[opa]\nbase_url = \"https://user:{KEY_SECRET}@example.com\"\n"),
        format!("[opsera]\nbase_url = \"http://{OPSERA}@example.com/\"\n"),
        format!("[opsera]\nbase_url = \"https://example.com/?token={OPSERA}\"\n"),
        format!("[notify]\nwebhook_url = \"ftp://hooks.example.com/{WEBHOOK}\"\n"),
        format!("[notify]\nwebhook_url = \"not a url {WEBHOOK}\"\n"),
        format!("[notify]\nwebhook_url = [\"https://hooks.example.com/{WEBHOOK}\"]\n"),
        format!("[notify]\nwebhook = \"https://hooks.example.com/{WEBHOOK}\"\n"),
    ];
    for text in wrong {
        let world = World::staffed().await;
        world.settings(&text);
        for args in [
            vec!["-vvv", "sync"],
            vec!["-vvv", "--log-format", "json", "config", "show"],
        ] {
            let ended = Victim::start(&mut world.command(&args), world.dir.path())
                .end()
                .await;
            assert_ne!(ended.code(), Some(101));
            check_all(&world, &format!("{args:?} with {text}"), &ended);
        }
        assert!(world.sandbox.journal().writes().is_empty());
    }
    let world = World::staffed().await;
    for (name, value) in [
        ("ROLECALL__OPSERA__TOKEN", format!("{OPSERA}\n{OPSERA}")),
        ("ROLECALL__OPSERA__TOKN", OPSERA.to_owned()),
        ("ROLECALL__OPSERA", OPSERA.to_owned()),
        ("ROLECALL__OPA__KEY_SECRET", format!("[{KEY_SECRET}")),
        (
            "ROLECALL__OPA__BASE_URL",
            format!("https://{KEY_SECRET}:x@example.com"),
        ),
        (
            "ROLECALL__NOTIFY__WEBHOOK_URL",
            format!("ftp://x/{WEBHOOK}"),
        ),
    ] {
        for args in [vec!["-vvv", "sync"], vec!["config", "show"]] {
            let mut command = world.command(&args);
            let ended = Victim::start(command.env(name, &value), world.dir.path())
                .end()
                .await;
            check_all(&world, &format!("{args:?} with {name}"), &ended);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_file_that_is_no_good_is_told_without_what_is_in_it() {
    for (setting, text) in [
        ("opsera.token_file", format!("{OPSERA}\n{OPSERA}")),
        ("opsera.token_file", format!("{OPSERA}\u{7}")),
        ("opa.key_secret_file", format!("{KEY_SECRET}\u{0}")),
        ("audit.key_file", "canary-short-Vb90".to_owned()),
        ("notify.webhook_url_file", format!("ftp://{WEBHOOK}")),
        ("notify.webhook_url_file", WEBHOOK.to_owned()),
    ] {
        let world = canary_world().await;
        let name = match setting {
            "opsera.token_file" => "token",
            "opa.key_secret_file" => "key",
            "audit.key_file" => "hmac",
            _ => "webhook",
        };
        private(&world, name, &text);
        let args = ["-vvv", "sync", "--format", "json"];
        let ended = Victim::start(&mut world.command(&args), world.dir.path())
            .end()
            .await;
        ended.assert_code(1);
        assert!(ended.report()["error"].is_string(), "{setting}");
        check_all(&world, &format!("{setting} {text:?}"), &ended);
    }
}
