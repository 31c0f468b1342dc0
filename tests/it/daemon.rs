//! The daemon as its operators meet it: schedule, signals at bad moments, systemd, health.

use std::time::Duration;

use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{Api, Effect, Fault, FaultKind};
use rolecall::store::{RunLock, Store};

use crate::daemon_world::{DaemonWorld, EVERY_SECOND, send};

fn delay(millis: u64) -> FaultKind {
    FaultKind::Delay(Duration::from_millis(millis))
}

fn position(heard: &[String], line: &str) -> usize {
    heard.iter().position(|heard| heard == line).unwrap()
}

/// Far below the second that a kubelet gives a probe, far above what a busy machine needs.
const PROBE_LIMIT: std::time::Duration = std::time::Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_ready_watchdog_and_stopping_in_this_order() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    daemon.hears("READY=1", 1).await;
    daemon.hears("WATCHDOG=1", 8).await;
    daemon
        .until("a status of a run", async |daemon| {
            let told = |line: &String| line.starts_with("STATUS=last run: in_sync; next run at ");
            daemon.heard.iter().any(told).then_some(())
        })
        .await;
    daemon.stop().await;
    assert!(position(&daemon.heard, "READY=1") < position(&daemon.heard, "WATCHDOG=1"));
    let stopping = position(&daemon.heard, "STOPPING=1");
    assert!(stopping > position(&daemon.heard, "WATCHDOG=1"));
    assert!(!daemon.heard[stopping..].contains(&"READY=1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn leavers_go_on_schedule_and_the_next_run_finds_nothing() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 1)
        .await;
    world.sandbox.opa().disable("bob").unwrap();
    daemon
        .metric("rolecall_runs_total{outcome=\"applied\"}", |runs| runs == 1)
        .await;
    daemon
        .metric(
            "rolecall_actions_total{kind=\"deactivate\",status=\"succeeded\"}",
            |actions| actions == 1,
        )
        .await;
    daemon.stop().await;
    assert_eq!(world.sandbox.opsera().deactivations().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_longer_than_the_interval_skips_and_says_so_once() {
    let world = DaemonWorld::start("").await;
    world
        .sandbox
        .inject(Fault::opsera(delay(8000)).on("GET", "/users"));
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_schedule_skipped_total", |skipped| skipped >= 3)
        .await;
    let log = daemon.log();
    assert!(!log.contains("run finished"), "still the first run: {log}");
    assert_eq!(log.matches("takes longer than the interval").count(), 1);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 2)
        .await;
    let (_, _, metrics) = daemon.get("/metrics").await;
    assert!(metrics.contains("rolecall_runs_total{outcome=\"another_run\"} 0"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_during_a_pull_ends_it_and_exits_with_0() {
    let world = DaemonWorld::start("").await;
    world.sandbox.inject(
        Fault::opa(FaultKind::StallBeforeEffect)
            .on("GET", "/users")
            .always(),
    );
    let mut daemon = world.daemon(&[]);
    daemon
        .until("the pull", async |_| {
            let asked = world.sandbox.journal().requests(Api::Opa, "GET", "/users");
            (!asked.is_empty()).then_some(())
        })
        .await;
    daemon.stop().await;
    daemon.hears("STOPPING=1", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_during_a_write_lets_it_finish_and_records_it() {
    let world = DaemonWorld::start("").await;
    world.sandbox.opa().disable("bob").unwrap();
    world.sandbox.opa().disable("cy").unwrap();
    let writes = |received: &rolecall::sandbox::Received| received.is_write();
    world
        .sandbox
        .inject(Fault::opsera(delay(3000)).when(writes));
    let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
    world.sandbox.journal().on_receive(move |request| {
        if request.api == Api::Opsera && request.is_write() {
            let _ = sent.send(());
        }
    });
    let mut daemon = world.daemon(&[]);
    daemon
        .until("the write", async |_| received.try_recv().ok())
        .await;
    daemon.stop().await;
    let store = Store::open_existing_read_only(&world.path("rolecall.db"))
        .await
        .unwrap();
    let states: Vec<String> = sqlx::query_scalar("SELECT state FROM actions ORDER BY position")
        .fetch_all(store.reader())
        .await
        .unwrap();
    assert_eq!(
        states,
        ["succeeded", "planned"],
        "no new request is started"
    );
    assert_eq!(world.sandbox.opsera().deactivations().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_the_next_daemon_recovers() {
    let world = DaemonWorld::start("").await;
    world.sandbox.opa().disable("bob").unwrap();
    let writes = |received: &rolecall::sandbox::Received| received.is_write();
    world
        .sandbox
        .inject(Fault::opsera(FaultKind::StallAfterEffect).when(writes));
    let mut daemon = world.daemon(&[]);
    daemon
        .until("the write", async |_| {
            (!world.sandbox.journal().effects().is_empty()).then_some(())
        })
        .await;
    daemon.signal("TERM");
    daemon.logs("stopping").await;
    daemon.signal("TERM");
    assert_eq!(daemon.ends().await, 1);
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 1)
        .await;
    daemon.stop().await;
    let deactivated = |effect: &Effect| matches!(effect, Effect::Deactivated { .. });
    let effects = world.sandbox.journal().effects();
    assert_eq!(
        effects.iter().filter(|effect| deactivated(effect)).count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_takes_good_settings_and_leaves_bad_ones() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    daemon.readiness(200, "").await;
    world.configure("\n[schedule]\ncron = \"99 * * * * *\"\ntime_zone = \"Mars/Base\"\n");
    daemon.signal("HUP");
    daemon.hears("RELOADING=1", 1).await;
    daemon.hears("READY=1", 2).await;
    daemon.logs("the new settings are not used").await;
    let log = daemon.log();
    assert!(
        log.contains("schedule.cron") && log.contains("schedule.time_zone"),
        "{log}"
    );
    let reloading = position(&daemon.heard, "RELOADING=1");
    assert!(
        daemon.heard[reloading + 1].starts_with("MONOTONIC_USEC="),
        "{:?}",
        daemon.heard
    );
    daemon.readiness(503, "settings").await;
    daemon
        .metric("rolecall_consecutive_failures", |failures| failures == 0)
        .await;

    world.configure("\n[schedule]\ncron = \"0 0 0 1 1 *\"\n[http]\nlisten = \"127.0.0.1:0\"\n");
    daemon.signal("HUP");
    daemon.hears("READY=1", 3).await;
    daemon.readiness(200, "").await;
    daemon
        .until("the new schedule", async |daemon| {
            let yearly = |line: &String| line.ends_with("-01-01 00:00:00 UTC");
            daemon.heard.iter().any(yearly).then_some(())
        })
        .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_during_a_run_lets_it_finish_with_the_settings_it_began_with() {
    let world = DaemonWorld::start("").await;
    world.sandbox.opa().disable("bob").unwrap();
    let writes = |received: &rolecall::sandbox::Received| received.is_write();
    world
        .sandbox
        .inject(Fault::opsera(delay(3000)).when(writes));
    let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
    world.sandbox.journal().on_receive(move |request| {
        if request.is_write() {
            let _ = sent.send(());
        }
    });
    let mut daemon = world.daemon(&[]);
    daemon
        .until("the write", async |_| received.try_recv().ok())
        .await;
    world.configure(&format!(
        "{EVERY_SECOND}\n[deactivation]\nenabled = false\n"
    ));
    daemon.signal("HUP");
    daemon.hears("READY=1", 2).await;
    daemon
        .metric("rolecall_runs_total{outcome=\"applied\"}", |runs| runs == 1)
        .await;
    world.sandbox.opa().disable("cy").unwrap();
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 2)
        .await;
    daemon.stop().await;
    assert_eq!(world.sandbox.opsera().deactivations().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_bad_with_failing_runs_and_good_again() {
    let world = DaemonWorld::start("\n[retry]\nmax_attempts = 1\n").await;
    let mut daemon = world.daemon(&[]);
    daemon.readiness(200, "").await;
    let broken = FaultKind::Answer(rolecall::sandbox::Answer::status(500));
    world
        .sandbox
        .inject(Fault::opa(broken).on("GET", "/users").always());
    daemon.readiness(503, "reconciliation_too_old").await;
    daemon.logs("runs keep failing").await;
    let (status, _, _) = daemon.get("/healthz").await;
    assert_eq!(status, 200, "a failing run is no reason to restart");
    world.sandbox.clear_faults();
    daemon.readiness(200, "").await;
    daemon.logs("a run went well again").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_read_with_the_next_run_and_a_lost_one_is_named() {
    let world = DaemonWorld::start("").await;
    let token = world.sandbox.opsera_token();
    let settings = std::fs::read_to_string(world.path("rolecall.toml")).unwrap();
    let by_file = settings.replace(&format!("token = {token:?}"), "token_file = \"token\"");
    assert_ne!(settings, by_file);
    world.write("rolecall.toml", &by_file, 0o600);
    world.write("token", &token, 0o600);
    let mut daemon = world.daemon(&[]);
    daemon.readiness(200, "").await;

    world.sandbox.opsera().rotate_token("brand-new-token");
    daemon.readiness(503, "credentials").await;
    world.write("token", "brand-new-token\n", 0o600);
    daemon.readiness(200, "").await;

    std::fs::remove_file(world.path("token")).unwrap();
    daemon.readiness(503, "secrets").await;
    daemon.logs("opsera.token_file").await;
    world.write("token", "brand-new-token", 0o644);
    daemon.logs("everybody can read").await;
    world.write("token", "brand-new-token", 0o600);
    daemon.readiness(200, "").await;
    daemon.stop().await;
    for secret in [token.as_str(), "brand-new-token"] {
        assert!(!daemon.log().contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_in_progress_is_counted_and_no_failure() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 1)
        .await;
    let clock = SystemClock::shared();
    let lock = daemon
        .until("the lock", async |_| {
            RunLock::acquire(&world.path("rolecall.db"), &*clock).ok()
        })
        .await;
    daemon
        .metric("rolecall_runs_total{outcome=\"another_run\"}", |runs| {
            runs >= 2
        })
        .await;
    daemon.logs("another run is in progress").await;
    drop(lock);
    let (_, _, before) = daemon.get("/metrics").await;
    assert!(
        before.contains("rolecall_runs_total{outcome=\"failed\"} 0"),
        "{before}"
    );
    daemon.readiness(200, "").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_small_gets_are_answered() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    let port = daemon.port().await;
    assert_eq!(daemon.get("/healthz").await.0, 200);
    for path in ["/", "/metrics/", "/healthz/../etc", "/%2e%2e/x"] {
        assert_eq!(daemon.get(path).await.0, 404, "{path}");
    }
    let answer = send(
        port,
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let long = format!(
        "GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let refused = send(port, long.as_bytes()).await;
    assert!(!refused.starts_with("HTTP/1.1 200"), "{refused}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_nothing_do_not_keep_a_probe_out() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    let port = daemon.port().await;
    let address = format!("127.0.0.1:{port}");
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    for _ in 0..20 {
        for _ in 0..4 {
            silent.push(tokio::net::TcpStream::connect(&address).await.unwrap());
        }
        let asked = std::time::Instant::now();
        assert_eq!(daemon.get("/healthz").await.0, 200);
        let took = asked.elapsed();
        assert!(took < PROBE_LIMIT, "a probe took {took:?}");
    }
    drop(silent);
    daemon.stop().await;
}

/// One line that is wrong, and words that the message must have.
async fn refuses(world: &DaemonWorld, words: &[&str]) {
    let mut daemon = world.daemon(&[]);
    assert_eq!(daemon.ends().await, 1, "{}", daemon.log());
    let log = daemon.log();
    for word in words {
        assert!(log.contains(word), "{word:?} is not in\n{log}");
    }
    assert_eq!(log.matches("error: ").count(), 1, "one message:\n{log}");
    assert!(!daemon.heard.iter().any(|line| line == "READY=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_go_well_is_refused_with_one_message() {
    let world = DaemonWorld::start("").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let in_use = format!(
        "\n[http]\nlisten = \"{}\"\n",
        listener.local_addr().unwrap()
    );
    for (settings, words) in [
        (
            "\n[schedule]\ncron = \"every minute\"\n",
            vec!["schedule.cron"],
        ),
        (
            "\n[schedule]\ncron = \"0 0 0 31 2 *\"\n",
            vec!["schedule.cron"],
        ),
        (
            "\n[schedule]\ntime_zone = \"Europe/Atlantis\"\n",
            vec!["schedule.time_zone"],
        ),
        ("\n[http]\nlisten = \"localhost\"\n", vec!["http.listen"]),
        (in_use.as_str(), vec!["http.listen", "in use"]),
        (
            "\n[http]\nlisten = \"192.0.2.1:80\"\n",
            vec!["http.listen", "192.0.2.1:80"],
        ),
        (
            "\n[notify]\nwebhook_url = \"not a url\"\n",
            vec!["notify.webhook_url"],
        ),
        (
            "\n[notify]\nwebhook_url = \"http://chat.example/x\"\n",
            vec!["notify.webhook_url"],
        ),
        (
            "\n[notify]\nwebhook_url_file = \"missing\"\n",
            vec!["notify.webhook_url_file", "missing"],
        ),
        ("\n[audit]\nkey_file = \"missing\"\n", vec!["missing"]),
        (
            "\n[http]\nca_file = \"missing\"\n",
            vec!["http.ca_file", "missing"],
        ),
    ] {
        world.configure(settings);
        refuses(&world, &words).await;
    }
    for (text, mode, words) in [
        ("", 0o600, "empty"),
        (
            "https://hooks.example/x",
            0o644,
            "every user of this machine",
        ),
    ] {
        world.write("hook", text, mode);
        world.configure("\n[notify]\nwebhook_url_file = \"hook\"\n");
        refuses(&world, &["notify.webhook_url_file", words]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_used_is_refused_at_start() {
    let world = DaemonWorld::start("").await;
    world.write(
        "rolecall.db",
        "this is no database, whatever its name says; not at all",
        0o600,
    );
    refuses(&world, &["rolecall.db"]).await;
    std::fs::remove_file(world.path("rolecall.db")).unwrap();
    std::fs::create_dir(world.path("rolecall.db")).unwrap();
    refuses(&world, &["rolecall.db"]).await;
    std::fs::remove_dir(world.path("rolecall.db")).unwrap();

    let clock = SystemClock::shared();
    let store = Store::open(&world.path("rolecall.db"), &*clock)
        .await
        .unwrap();
    sqlx::query("INSERT INTO meta (key, value) VALUES ('team', 'another')")
        .execute(store.writer())
        .await
        .unwrap();
    store.close().await;
    refuses(&world, &["another installation", "another"]).await;
    let store = Store::open(&world.path("rolecall.db"), &*clock)
        .await
        .unwrap();
    sqlx::query("DELETE FROM meta WHERE key = 'team'")
        .execute(store.writer())
        .await
        .unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 999 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .execute(store.writer())
        .await
        .unwrap();
    store.close().await;
    refuses(&world, &["newer"]).await;
}
