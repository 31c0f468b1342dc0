//! Faults do exactly what they say, to the requests they are for.

use std::time::Duration;

use rolecall::domain::time::Clock as _;
use rolecall::sandbox::{
    AccountSeed, Answer, Effect, Fault, FaultKind, FaultOptions, Sandbox, SandboxOptions,
};
use serde_json::json;

use super::Bench;

async fn with_jane() -> (Bench, String) {
    let bench = Bench::empty().await;
    let seed = AccountSeed::active("jane@example.com");
    let jane = bench.sandbox.opsera().add(seed).unwrap();
    let path = format!("/user/{jane}");
    (bench, path)
}

#[tokio::test]
async fn a_cut_after_the_effect_leaves_the_effect_and_no_answer() {
    let (bench, jane) = with_jane().await;
    let cut = Fault::opsera(FaultKind::CutAfterEffect).on("DELETE", "/user/");
    bench.sandbox.inject(cut);
    // On a connection that was used before, where a client may be tempted to send again.
    assert_eq!(bench.opsera("GET", &jane).await.status, 200);
    let outcome = bench.try_opsera("DELETE", &jane, None).await;
    assert!(outcome.is_err(), "the client must see a transport error");
    assert_eq!(bench.sandbox.opsera().deactivations().len(), 1);
    assert_eq!(bench.sandbox.journal().writes().len(), 1);
    let entry = bench.sandbox.journal().entries().pop().unwrap();
    assert!(matches!(entry.effect, Effect::Deactivated { .. }));
    assert_eq!(entry.status, None);
    assert_eq!(bench.opsera("GET", &jane).await.json()["active"], false);
}

#[tokio::test]
async fn a_cut_before_the_effect_leaves_nothing() {
    let (bench, jane) = with_jane().await;
    bench
        .sandbox
        .inject(Fault::opsera(FaultKind::CutBeforeEffect));
    assert!(bench.try_opsera("DELETE", &jane, None).await.is_err());
    assert!(bench.sandbox.opsera().deactivations().is_empty());
    assert_eq!(
        bench.opsera("DELETE", &jane).await.status,
        200,
        "it happens once"
    );
}

#[tokio::test]
async fn an_answer_can_replace_or_follow_the_effect() {
    let (bench, jane) = with_jane().await;
    let busy = Answer::status(503).header("retry-after", 7).body("busy");
    bench.sandbox.inject(Fault::opsera(FaultKind::Answer(busy)));
    let lost = Answer::status(500);
    bench
        .sandbox
        .inject(Fault::opsera(FaultKind::AnswerAfterEffect(lost)));
    let first = bench.opsera("DELETE", &jane).await;
    assert_eq!((first.status, first.text.as_str()), (503, "busy"));
    assert_eq!(first.headers["retry-after"], "7");
    assert!(bench.sandbox.opsera().deactivations().is_empty());
    assert_eq!(bench.opsera("DELETE", &jane).await.status, 500);
    assert_eq!(bench.sandbox.opsera().deactivations().len(), 1);
    assert_eq!(bench.sandbox.faults_waiting(), 0);
}

#[tokio::test]
async fn a_pretended_success_changes_nothing() {
    let (bench, jane) = with_jane().await;
    bench.sandbox.inject(Fault::opsera(FaultKind::Pretend));
    let lie = bench.opsera("DELETE", &jane).await;
    assert_eq!(lie.status, 200);
    assert!(lie.text.contains("completed: true"));
    assert_eq!(bench.opsera("GET", &jane).await.json()["active"], true);
}

#[tokio::test]
async fn another_account_can_be_echoed() {
    let (bench, jane) = with_jane().await;
    let seed = AccountSeed::active("bob@example.com");
    let id = bench.sandbox.opsera().add(seed).unwrap();
    let echo = FaultKind::EchoAccount { id: id.clone() };
    bench.sandbox.inject(Fault::opsera(echo));
    assert_eq!(bench.opsera("GET", &jane).await.json()["_id"], id);
    assert_eq!(
        bench.opsera("GET", &jane).await.json()["email"],
        "jane@example.com"
    );
}

#[tokio::test]
async fn a_truncated_body_breaks_off() {
    let (bench, _) = with_jane().await;
    bench.sandbox.inject(Fault::opsera(FaultKind::Truncate(40)));
    assert!(bench.try_opsera("GET", "/users", None).await.is_err());
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
}

#[tokio::test]
async fn a_stalled_request_ends_with_the_sandbox() {
    let (bench, jane) = with_jane().await;
    bench
        .sandbox
        .inject(Fault::opsera(FaultKind::StallAfterEffect));
    let limit = Duration::from_millis(200);
    let call = bench.try_opsera("DELETE", &jane, None);
    assert!(tokio::time::timeout(limit, call).await.is_err());
    assert_eq!(bench.sandbox.opsera().deactivations().len(), 1);
    let url = bench.sandbox.opsera_url().to_owned();
    bench.sandbox.stop().await;
    assert!(bench.client.get(url).send().await.is_err());
}

#[tokio::test]
async fn a_fault_strikes_the_requests_it_is_for_as_often_as_it_says() {
    let (bench, jane) = with_jane().await;
    let teapot = || FaultKind::Answer(Answer::status(418));
    let second_and_third = Fault::opsera(teapot())
        .on("GET", "/user/")
        .after(1)
        .times(2);
    bench.sandbox.inject(second_and_third);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(bench.opsera("GET", &jane).await.status);
        assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    }
    assert_eq!(statuses, [200, 418, 418, 200]);
    let filtered = Fault::opsera(teapot()).always();
    let filtered = filtered.when(|received| received.query_value("email").is_some());
    bench.sandbox.inject(filtered);
    for _ in 0..3 {
        assert_eq!(bench.opsera("GET", "/users?email=*").await.status, 418);
    }
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    bench.sandbox.clear_faults();
    assert_eq!(bench.opsera("GET", "/users?email=*").await.status, 200);
}

#[tokio::test]
async fn the_hook_sees_a_write_before_it_has_its_effect() {
    let (bench, jane) = with_jane().await;
    let (send, receive) = std::sync::mpsc::channel();
    bench.sandbox.journal().on_receive(move |received| {
        send.send((received.method.clone(), received.is_write()))
            .unwrap();
    });
    bench.opsera("DELETE", &jane).await;
    assert_eq!(receive.try_recv(), Ok(("DELETE".to_owned(), true)));
}

#[tokio::test]
async fn beyond_the_rate_limit_each_directory_says_when_to_come_back() {
    let bench = Bench::with(|options| {
        options.faults = FaultOptions {
            rate_limit: Some(0.1),
            ..FaultOptions::default()
        };
    })
    .await;
    assert_eq!(bench.opa("/users").await.status, 200);
    let throttled = bench.opa("/users").await;
    assert_eq!(throttled.status, 429);
    let at = "2026-03-01T12:00:10Z"
        .parse::<rolecall::domain::time::Timestamp>()
        .unwrap();
    let header = throttled.headers["x-ratelimit-retry-at"].to_str().unwrap();
    assert_eq!(header, at.timestamp().to_string());
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    let throttled = bench.opsera("GET", "/users").await;
    assert_eq!(throttled.headers["retry-after"], "10");
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(bench.opa("/users").await.status, 200);
}

#[tokio::test]
async fn the_error_rate_makes_about_that_share_fail() {
    let bench = Bench::with(|options| options.faults.error_rate = 0.5).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(bench.opsera("GET", "/users").await.status != 200);
    }
    assert!((60..140).contains(&failed), "{failed} of 200");
}

#[tokio::test]
async fn latency_passes_on_the_clock() {
    let latency = Duration::from_secs(3);
    let bench = Bench::with(|options| options.faults.latency = latency).await;
    let before = bench.clock.monotonic();
    bench.opsera("GET", "/users").await;
    assert_eq!(bench.clock.monotonic(), before + latency);
}

#[tokio::test]
async fn a_stopped_sandbox_gives_its_ports_back() {
    let bench = Bench::empty().await;
    let port = |url: &str| url.rsplit_once(':').unwrap().1.parse().unwrap();
    let options = SandboxOptions {
        opa_port: port(bench.sandbox.opa_url()),
        opsera_port: port(bench.sandbox.opsera_url()),
        ..SandboxOptions::empty(bench.clock.clone())
    };
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    let opa_url = bench.sandbox.opa_url().to_owned();
    bench.sandbox.stop().await;
    let second = Sandbox::start(options).await.unwrap();
    assert_eq!(second.opa_url(), opa_url);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let bench = Bench::empty().await;
    let port = bench.sandbox.opa_url().rsplit_once(':').unwrap().1;
    let options = SandboxOptions {
        opa_port: port.parse().unwrap(),
        ..SandboxOptions::empty(bench.clock.clone())
    };
    let error = Sandbox::start(options).await.unwrap_err().to_string();
    assert!(error.contains(port), "{error}");
    let new = json!({"siteRole": "Users"});
    let unknown = bench.opsera_with("PUT", "/user/nobody/siterole", new).await;
    assert_eq!(unknown.status, 404, "the first sandbox goes on");
}
