//! The webhook: what it is told, how often, and that it never gets in the way.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use rolecall::audit::Actor;
use rolecall::domain::{Mode, Outcome, Report, time::ManualClock};
use rolecall::notifications;
use rolecall::reconcile::Context;
use rolecall::sandbox::SandboxOptions;
use rolecall::sandbox::{AccountSeed, Answer, Fault, FaultKind, PersonSeed, Sandbox};
use serde_json::Value;

use crate::daemon_world::{DaemonWorld, EVERY_SECOND};
use crate::program;

/// A chat that takes messages, or answers something else.
#[derive(Clone)]
pub(crate) struct Chat {
    port: u16,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    received: Vec<String>,
    answer: u16,
}

impl Chat {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let chat = Self {
            port: listener.local_addr().unwrap().port(),
            inner: Arc::new(Mutex::new(Inner {
                received: Vec::new(),
                answer: 200,
            })),
        };
        let router = Router::new().fallback(take).with_state(chat.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        chat
    }

    pub(crate) fn answer(&self, status: u16) {
        self.inner.lock().unwrap().answer = status;
    }

    /// What has come since the last look.
    fn received(&self) -> Vec<Value> {
        let bodies = std::mem::take(&mut self.inner.lock().unwrap().received);
        bodies
            .iter()
            .map(|body| serde_json::from_str(body).unwrap())
            .collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.received()
            .iter()
            .map(|body| body["text"].as_str().unwrap().to_owned())
            .collect()
    }

    fn settings(&self, more: &str) -> String {
        let url = format!("http://127.0.0.1:{}/services/canary-path", self.port);
        format!("\n[notify]\nwebhook_url = \"{url}\"\n{more}")
    }
}

async fn take(State(chat): State<Chat>, body: String) -> (StatusCode, [(&'static str, String); 1]) {
    let mut inner = chat.inner.lock().unwrap();
    inner.received.push(body);
    let elsewhere = format!("http://127.0.0.1:{}/elsewhere", chat.port);
    (
        StatusCode::from_u16(inner.answer).unwrap(),
        [("location", elsewhere)],
    )
}

/// Both directories, a store and a chat, on one clock.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) chat: Chat,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = ManualClock::at(program::BEGINNING.parse().unwrap());
        let sandbox = Sandbox::start(SandboxOptions::empty(clock.clone()))
            .await
            .unwrap();
        for name in ["ada", "bob", "cy", "dan"] {
            let email = format!("{name}@example.com");
            sandbox
                .opa()
                .add_person(PersonSeed::active(name, &email))
                .unwrap();
            sandbox.opsera().add(AccountSeed::active(&email)).unwrap();
        }
        Self {
            sandbox,
            clock,
            chat: Chat::open().await,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn context(&self, more: &str) -> Context {
        let file = self.directory.path().join("rolecall.toml");
        let store = self.directory.path().join("rolecall.db");
        let text = format!(
            "{}\n[store]\npath = {:?}\n[retry]\nmax_attempts = 1\nrejected_retry = \"72h\"\n{}",
            self.sandbox.settings_toml(),
            store.display().to_string(),
            self.chat.settings(more),
        );
        std::fs::write(&file, text).unwrap();
        Context {
            settings: program::load(vec![file]),
            clock: self.clock.clone(),
            actor: Actor::of_this_process(),
        }
    }

    pub(crate) async fn run(&self, mode: Mode, lines: &str) -> Report {
        let context = self.context(lines);
        let report = program::run(&context, program::request(mode)).await.report;
        notifications::notify(&context, &report).await;
        report
    }

    /// A run that applies, a quarter of an hour after the one before.
    async fn sync(&self) -> Report {
        self.clock.advance(Duration::from_mins(15));
        self.run(Mode::Apply, "").await
    }

    pub(crate) fn break_opa(&self) {
        let broken = FaultKind::Answer(Answer::status(500));
        self.sandbox
            .inject(Fault::opa(broken).on("GET", "/users").always());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_once_then_after_a_day_then_its_end() {
    let world = World::start().await;
    assert_eq!(world.sync().await.outcome, Outcome::InSync);
    assert_eq!(world.chat.texts(), [""; 0], "nothing is wrong");
    world.break_opa();
    assert_eq!(world.sync().await.outcome, Outcome::Failed);
    let told = world.chat.texts();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("failed: ") && told[0].contains("OPA"),
        "{told:?}"
    );
    world.sync().await;
    assert_eq!(world.chat.texts(), [""; 0], "the same again is no news");
    world.clock.advance(Duration::from_hours(24));
    world.sync().await;
    assert_eq!(world.chat.texts().len(), 1);
    world.sandbox.clear_faults();
    world.sync().await;
    let told = world.chat.texts();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("recovered: "), "{told:?}");
    world.sync().await;
    assert_eq!(world.chat.texts(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_is_told_with_what_to_do_and_another_plan_again() {
    let world = World::start().await;
    world.sync().await;
    for name in ["ada", "bob"] {
        world.sandbox.opa().disable(name).unwrap();
    }
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Held);
    let told = world.chat.texts();
    let plan = report.plan_id.unwrap();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains(&format!("rolecall plan show {plan}")),
        "{told:?}"
    );
    assert!(
        told[0].contains("max deactivations percent is 2, the limit is 1"),
        "{told:?}"
    );
    world.sync().await;
    assert_eq!(world.chat.texts(), [""; 0]);
    world.sandbox.opa().disable("cy").unwrap();
    world.sync().await;
    assert_eq!(world.chat.texts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_run_is_told_with_its_counts() {
    let world = World::start().await;
    world.sync().await;
    world.sandbox.opa().disable("ada").unwrap();
    let broken = FaultKind::Answer(Answer::status(500));
    let writes = |received: &rolecall::sandbox::Received| received.is_write();
    world
        .sandbox
        .inject(Fault::opsera(broken).when(writes).always());
    let loose = "[guards]\nmax_opa_drop_percent = 100\n";
    assert_eq!(
        world.run(Mode::Apply, loose).await.outcome,
        Outcome::Partial
    );
    let told = world.chat.texts();
    assert!(
        told[0].contains("partial: 1 of 1 actions were not done"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_who_and_why_and_without_the_promise_of_a_retry() {
    let world = World::start().await;
    world.sync().await;
    world.sandbox.opa().disable("ada").unwrap();
    let refusal = FaultKind::Answer(Answer::status(400));
    let writes = |received: &rolecall::sandbox::Received| received.is_write();
    world
        .sandbox
        .inject(Fault::opsera(refusal).when(writes).always());
    let loose = "include_people = true\n[guards]\nmax_opa_drop_percent = 100\n";
    assert_eq!(
        world.run(Mode::Apply, loose).await.outcome,
        Outcome::Partial
    );
    let told = world.chat.texts();
    for words in ["1 refused by Opsera", "ada@", "rolecall queue retry"] {
        assert!(told[0].contains(words), "{words}: {told:?}");
    }
    assert!(!told[0].contains("next run tries again"), "{told:?}");
    assert!(!told[0].contains("plans the other"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_rests_is_told_once_a_day_until_it_is_gone() {
    let world = World::start().await;
    world.sync().await;
    world.sandbox.opa().disable("ada").unwrap();
    let refusal = FaultKind::Answer(Answer::status(400));
    let writes = |received: &rolecall::sandbox::Received| received.is_write();
    world
        .sandbox
        .inject(Fault::opsera(refusal).when(writes).always());
    let loose = "[guards]\nmax_opa_drop_percent = 100\n";
    let run = || world.run(Mode::Apply, loose);
    assert_eq!(run().await.outcome, Outcome::Partial);
    world.chat.texts();
    let resting = run().await;
    assert_eq!(
        (resting.outcome, resting.summary.refused),
        (Outcome::InSync, 1)
    );
    let told = world.chat.texts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("refused: Opsera has refused 1 action,"),
        "{told:?}"
    );
    world.clock.advance(Duration::from_hours(23));
    run().await;
    assert_eq!(world.chat.texts(), [""; 0]);
    world.clock.advance(Duration::from_hours(1));
    run().await;
    assert_eq!(world.chat.texts().len(), 1);
    world.sandbox.clear_faults();
    world.clock.advance(Duration::from_hours(72));
    assert_eq!(run().await.outcome, Outcome::Applied);
    let told = world.chat.texts();
    assert!(told[0].contains("recovered: "), "{told:?}");
    run().await;
    assert_eq!(world.chat.texts(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_opseras_token_is_told_once_a_day_from_two_weeks_before_until_it_is_renewed() {
    let world = World::start().await;
    let days = |days: i64| chrono::TimeDelta::days(days);
    let issue = |from_now| {
        let end = rolecall::domain::time::Clock::now(&*world.clock) + from_now;
        world.sandbox.opsera().issue_token(end)
    };
    issue(days(15));
    world.sync().await;
    assert_eq!(world.chat.texts(), [""; 0], "it is good for long enough");
    for left in [13, 12] {
        world.clock.advance(Duration::from_hours(24));
        world.sync().await;
        let told = world.chat.texts();
        assert_eq!(told.len(), usize::from(left < 14), "{told:?}");
        assert!(
            told[0].contains(&format!("in {left} days")) && told[0].contains("opsera.token_file"),
            "{told:?}"
        );
        world.sync().await;
        assert_eq!(world.chat.texts(), [""; 0], "once a day");
    }
    // A trouble that is over does not make it news again.
    world.break_opa();
    world.sync().await;
    world.sandbox.clear_faults();
    world.sync().await;
    let told = world.chat.texts();
    assert_eq!(told.len(), 2, "failed, recovered: {told:?}");
    assert!(told[1].contains("recovered: "), "{told:?}");
    issue(days(90));
    world.sync().await;
    assert_eq!(world.chat.texts(), [""; 0], "a new token is no recovery");
    world.clock.advance(Duration::from_hours(24 * 89));
    world.sync().await;
    let told = world.chat.texts();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("within a day"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_told_at_first_sight_in_one_message_that_cannot_do_harm() {
    let world = World::start().await;
    let hostile = "<!channel>`*x*`@here \u{202e}\r\n[l](http://evil.example)";
    world
        .sandbox
        .opsera()
        .add(AccountSeed::active(hostile))
        .unwrap();
    for number in 0..14 {
        let email = format!("no address {number}");
        world
            .sandbox
            .opsera()
            .add(AccountSeed::active(&email))
            .unwrap();
    }
    let named = "include_people = true\n";
    world.run(Mode::Apply, named).await;
    let bodies = world.chat.received();
    assert_eq!(bodies.len(), 1, "grouped: {bodies:?}");
    let raw = bodies[0].to_string();
    for markup in ["<", ">", "`", "@here", "*", "http://", "](", "\\r", "\\u"] {
        assert!(!raw.contains(markup), "{markup:?} in {raw}");
    }
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(
        text.contains("15 new findings") && text.contains("and 5 more"),
        "{text}"
    );
    assert!(text.contains("&lt;!channel&gt;"), "{text}");
    world.sync().await;
    assert_eq!(world.chat.texts(), [""; 0], "remembered in the store");
    world
        .sandbox
        .opsera()
        .add(AccountSeed::active("one more"))
        .unwrap();
    world.run(Mode::Apply, named).await;
    assert_eq!(world.chat.texts(), [""; 0], "one digest a day");
    world.clock.advance(Duration::from_hours(24));
    world.run(Mode::Apply, named).await;
    let told = world.chat.texts();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("1 new finding,") && told[0].contains("one more"),
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_json_body_has_the_same_facts_as_fields() {
    let world = World::start().await;
    world
        .sandbox
        .opsera()
        .add(AccountSeed::active("<b>&nobody"))
        .unwrap();
    let lines = "format = \"json\"\ninclude_people = true\n";
    world.run(Mode::Apply, lines).await;
    let raw = world.chat.inner.lock().unwrap().received.clone();
    assert!(!raw[0].contains(['<', '>', '&']), "{raw:?}");
    let body = world.chat.received().remove(0);
    assert_eq!(body["schema"], "rolecall.notification/1");
    assert_eq!(body["event"], "findings");
    assert_eq!(body["outcome"], "in_sync");
    assert_eq!(body["team"], "example");
    assert_eq!(body["findings"][0]["kind"], "invalid_email");
    assert_eq!(body["findings"][0]["email"], "<b>&nobody");
    assert_eq!(body["findings_left_out"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_get_through_is_told_by_the_next_run() {
    let world = World::start().await;
    world
        .sandbox
        .opsera()
        .add(AccountSeed::active("nobody"))
        .unwrap();
    for status in [500, 404, 302, 307] {
        world.chat.answer(status);
        assert_eq!(
            world.sync().await.outcome,
            Outcome::InSync,
            "no run is affected"
        );
        assert_eq!(
            world.chat.received().len(),
            1,
            "no repetition, no redirect: {status}"
        );
    }
    world.chat.answer(204);
    world.sync().await;
    assert_eq!(world.chat.received().len(), 1);
    world.sync().await;
    assert_eq!(world.chat.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_nobody() {
    let world = World::start().await;
    world
        .sandbox
        .opsera()
        .add(AccountSeed::active("nobody"))
        .unwrap();
    world.run(Mode::DryRun, "").await;
    world.break_opa();
    world.run(Mode::DryRun, "").await;
    assert_eq!(world.chat.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_told_all_the_same() {
    let world = World::start().await;
    let store = world.directory.path().join("rolecall.db");
    std::fs::write(
        &store,
        "not a database at all, but long enough to be looked at",
    )
    .unwrap();
    assert_eq!(world.sync().await.outcome, Outcome::Failed);
    let told = world.chat.texts();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("rolecall.db"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_named_unless_the_settings_let_them() {
    for format in ["slack", "json", "teams"] {
        let world = World::start().await;
        let lines = format!("format = \"{format}\"\n");
        let named = format!("{lines}include_people = true\n");
        for name in ["ada", "bob"] {
            world.sandbox.opa().disable(name).unwrap();
        }
        let stray = AccountSeed::active("no address");
        world.sandbox.opsera().add(stray).unwrap();
        world.run(Mode::Apply, &lines).await;
        let told = world.chat.received();
        assert_eq!(told.len(), 2, "held, findings: {told:?}");
        let raw = serde_json::to_string(&told).unwrap();
        for who in ["ada@", "bob@", "no address"] {
            assert!(!raw.contains(who), "{format}: {who} in {raw}");
        }
        world.clock.advance(Duration::from_hours(25));
        world.run(Mode::Apply, &named).await;
        let raw = serde_json::to_string(&world.chat.received()).unwrap();
        assert!(raw.contains("ada@"), "{format}: {raw}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_says_how_much_until_when_and_where_to_type_what() {
    for format in ["slack", "teams", "json", "pagerduty"] {
        let world = World::start().await;
        world.sync().await;
        for name in ["ada", "bob"] {
            world.sandbox.opa().disable(name).unwrap();
        }
        let key = "routing_key = \"canary-key\"\n";
        let report = world
            .run(Mode::Apply, &format!("format = \"{format}\"\n{key}"))
            .await;
        let host = report.origin.host.clone().unwrap();
        let plan = report.plan_id.unwrap();
        let bodies = world.chat.received();
        assert_eq!(bodies.len(), 1, "{bodies:?}");
        let raw = bodies[0].to_string();
        for words in [
            "2 deactivations",
            "max deactivations percent is 2, the limit is 1",
            "2026-03-02 12:15:00 UTC",
            &format!("On {host}:"),
            &format!("rolecall plan show {plan}"),
        ] {
            assert!(raw.contains(words), "{format}: {words} in {raw}");
        }
        assert_eq!(raw.contains("canary-key"), format == "pagerduty", "{raw}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pager_gets_one_incident_that_ends_and_none_for_findings() {
    let world = World::start().await;
    let stray = AccountSeed::active("no address");
    world.sandbox.opsera().add(stray).unwrap();
    let lines = "format = \"pagerduty\"\nrouting_key = \"key\"\n";
    world.run(Mode::Apply, lines).await;
    assert_eq!(world.chat.received().len(), 0, "findings wake nobody up");
    world.break_opa();
    world.run(Mode::Apply, lines).await;
    world.sandbox.clear_faults();
    world.run(Mode::Apply, lines).await;
    let events = world.chat.received();
    let actions: Vec<_> = events.iter().map(|event| &event["event_action"]).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert_eq!(events[0]["dedup_key"], "rolecall/example/run");
    assert_eq!(events[1]["dedup_key"], events[0]["dedup_key"]);
    assert_eq!(events[0]["payload"]["severity"], "error");
    assert!(events.iter().all(|event| event["routing_key"] == "key"));
}

fn contains_canary(file: &Path) -> bool {
    std::fs::read(file).is_ok_and(|bytes| bytes.windows(11).any(|window| window == b"canary-path"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_tells_and_a_webhook_that_hangs_holds_nothing_up() {
    let world = DaemonWorld::start("").await;
    world
        .sandbox
        .opsera()
        .add(AccountSeed::active("nobody at all"))
        .unwrap();
    // A server that takes the connection and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/canary-path", silent.local_addr().unwrap());
    world.configure(&format!(
        "{EVERY_SECOND}\n[notify]\nwebhook_url = \"{url}\"\ntimeout = \"2s\"\n"
    ));
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 4)
        .await;
    daemon.logs("the webhook was not told").await;
    daemon.readiness(200, "").await;
    daemon.stop().await;

    // What nobody was told is told by a later run.
    let chat = Chat::open().await;
    world.configure(&format!("{EVERY_SECOND}{}", chat.settings("")));
    let mut daemon = world.daemon(&[]);
    daemon
        .until("the message", async |_| {
            let told = chat.texts();
            (!told.is_empty()).then(|| assert!(told[0].contains("invalid email: 1")))
        })
        .await;
    daemon.stop().await;
    for file in ["daemon.log", "rolecall.db", "rolecall.db-wal"] {
        assert!(
            !contains_canary(&world.path(file)),
            "the URL is a secret: {file}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_tells_too() {
    let world = DaemonWorld::start("").await;
    let chat = Chat::open().await;
    world.configure(&chat.settings(""));
    world.sandbox.opsera().rotate_token("another");
    let status = tokio::task::spawn_blocking({
        let mut command = world.command(&["sync"]);
        move || command.output().unwrap().status.code()
    })
    .await
    .unwrap();
    assert_eq!(status, Some(1));
    let told = chat.texts();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("failed: "), "{told:?}");
}
