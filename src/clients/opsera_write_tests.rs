//! A write is one request, and only a run that applies its plan can send one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse as _;

use super::*;
use crate::clients::{ServerMessage, Transport};
use crate::domain::base_url::{BaseUrl, PlainHttp};
use crate::domain::time::{Clock as _, ManualClock};
use crate::settings::{HttpSettings, OpseraSettings, RetrySettings};

struct Target {
    clock: Arc<ManualClock>,
    reader: OpseraReader,
    writer: OpseraWriter,
    asked: Arc<AtomicUsize>,
}

/// A client of a server that answers everything in this one way.
async fn target(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> Target {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move |_: Uri| {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = (StatusCode::from_u16(status).unwrap(), headers.clone(), body);
        async move { answer.into_response() }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = axum::serve(listener, Router::new().fallback(answer));
    tokio::spawn(async move { server.await });
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    let http = HttpSettings {
        listen: None,
        ca_file: None,
        allow_insecure: false,
    };
    let opsera = OpseraSettings {
        base_url: BaseUrl::parse(&url, PlainHttp::LoopbackOnly).unwrap(),
        token: "opsera-token".into(),
        site_role_path: "/api/v2/usermanagement/user/{user}/siterole".to_owned(),
        requests_per_second: 5.0,
        burst: 5,
        max_in_flight: 4,
        timeout: Duration::from_secs(5),
        pull_timeout: Duration::from_mins(15),
    };
    let retry = RetrySettings {
        max_attempts: 5,
        base_delay: Duration::from_millis(500),
        max_delay: Duration::from_mins(1),
        rejected_retry: Duration::from_hours(24),
    };
    let transport = Transport::new(&http, clock.clone()).unwrap();
    let reader = OpseraReader::new(&transport, &opsera, &retry).unwrap();
    Target {
        writer: OpseraWriter::new(&reader, Mode::Apply).unwrap(),
        reader,
        clock,
        asked,
    }
}

async fn deactivate(target: &Target, id: &str) -> Result<Answer, CallError> {
    let permit = target.writer.wait_for_permit().await;
    target.writer.deactivate(permit, &OpseraId::new(id)).await
}

#[tokio::test]
async fn a_dry_run_gets_nothing_that_can_write() {
    let target = target(200, &[], "").await;
    assert!(OpseraWriter::new(&target.reader, Mode::DryRun).is_none());
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_happens() {
    for status in [429, 499, 500, 503] {
        let target = target(status, &[], "").await;
        let error = deactivate(&target, "1").await.unwrap_err();
        assert_eq!(error.outcome_is_unknown(), status != 429, "{status}");
        assert_eq!(target.asked.load(Ordering::Relaxed), 1, "{status}");
    }
}

#[tokio::test]
async fn a_429_pauses_the_client_and_repeats_nothing() {
    let target = target(429, &[("x-ratelimit-retry-at", "99999999999")], "").await;
    let error = deactivate(&target, "1").await.unwrap_err();
    assert!(matches!(error, CallError::Throttled { until: Some(_), .. }));
    assert_eq!(target.clock.monotonic(), Duration::ZERO);
    target.writer.wait_until_unpaused().await;
    assert_eq!(target.clock.monotonic(), Duration::from_mins(15));
}

#[tokio::test]
async fn an_answer_to_a_write_is_heard_in_every_form() {
    let text = |text: &str| ServerMessage::Text(text.to_owned());
    for (body, message) in [
        (r#""done""#, text("done")),
        (r#"{"message":"done"}"#, text("done")),
        ("done\n", text("done")),
        ("", ServerMessage::Nothing),
    ] {
        let answer = deactivate(&target(200, &[], body).await, "a/b").await;
        assert_eq!(answer.unwrap().message, message);
    }
}

#[tokio::test]
async fn an_id_that_no_path_can_hold_is_not_sent_and_has_no_status() {
    let target = target(200, &[], "").await;
    let permit = target.writer.wait_for_permit().await;
    let role = target
        .writer
        .set_role(permit, &OpseraId::new(".."), SiteRole::Users)
        .await;
    for error in [role, deactivate(&target, ".").await] {
        let error = error.unwrap_err();
        assert!(
            matches!(error, CallError::InvalidPathSegment { .. }),
            "{error}"
        );
        assert_eq!((error.status(), error.outcome_is_unknown()), (None, false));
    }
    assert_eq!(target.asked.load(Ordering::Relaxed), 0);
}
