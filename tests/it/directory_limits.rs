//! Retries, pauses and bounds of both clients (A3, §11).

use std::time::Duration;

use rolecall::clients::{AnswerClass, Api, CallError};
use rolecall::domain::{OpaName, OpseraId, SiteRole, time::Clock as _};

use crate::bad_server::{BadServer, Reply};
use crate::directory_setup::{NOW, accounts, clients};

const ACCOUNT: &str = r#"{"_id":"1","email":"a@example.com"}"#;

#[tokio::test]
async fn reads_are_sent_five_times_and_refusals_once() {
    for (status, requests) in [
        (408, 5),
        (429, 5),
        (500, 5),
        (502, 5),
        (503, 5),
        (504, 5),
        (400, 1),
        (401, 1),
        (403, 1),
        (409, 1),
        (422, 1),
        (501, 1),
        (302, 1),
    ] {
        let server = BadServer::script([Reply::new(status, &[], "")]).await;
        let clients = clients(&server.url);
        let error = clients.opsera.find_user("1").await.unwrap_err();
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        assert_eq!(server.asked().len(), requests, "{status}");
        assert_eq!(clients.opsera.requests(), u64::try_from(requests).unwrap());
    }
}

#[tokio::test]
async fn both_headers_of_a_429_pause_the_whole_client() {
    let at = (NOW + 90).to_string();
    for header in [
        ("retry-after", "90"),
        ("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT"),
        ("x-ratelimit-retry-at", at.as_str()),
    ] {
        let server = BadServer::script([Reply::new(429, &[header], ""), Reply::ok(ACCOUNT)]).await;
        let clients = clients(&server.url);
        let writer = clients.opsera.writer();
        let id = OpseraId::new("1");
        let error = writer
            .deactivate(writer.wait_for_turn().await, &id)
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Throttled { until: Some(_), .. }));
        assert_eq!(
            clients.clock.monotonic(),
            Duration::ZERO,
            "a write is not repeated"
        );
        clients.opsera.find_user("1").await.unwrap().unwrap();
        assert_eq!(
            clients.clock.monotonic(),
            Duration::from_secs(90),
            "{header:?}"
        );
    }
}

#[tokio::test]
async fn a_429_without_a_time_waits_five_to_ten_seconds() {
    let server = BadServer::script([Reply::new(429, &[], ""), Reply::ok(ACCOUNT)]).await;
    let clients = clients(&server.url);
    clients.opsera.find_user("1").await.unwrap().unwrap();
    let waited = clients.clock.monotonic().as_secs_f64();
    assert!((5.0..=10.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_happens() {
    for reply in [
        Reply::HangUp,
        Reply::new(500, &[], ""),
        Reply::new(503, &[], ""),
    ] {
        let server = BadServer::script([reply]).await;
        let writer = clients(&server.url).opsera.writer();
        let error = writer
            .set_role(
                writer.wait_for_turn().await,
                &OpseraId::new("1"),
                SiteRole::Users,
            )
            .await;
        assert!(error.unwrap_err().outcome_is_unknown());
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_named_and_never_followed() {
    let elsewhere = BadServer::script([Reply::ok(ACCOUNT)]).await;
    let location = format!("{}/x?a=b", elsewhere.url);
    let server = BadServer::script([Reply::new(307, &[("location", &location)], "")]).await;
    let error = clients(&server.url)
        .opsera
        .find_user("1")
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&elsewhere.url), "{error}");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_oversize_body_is_refused() {
    let body = format!(r#"{{"_id":"1","x":"{}"}}"#, "x".repeat(2 << 20));
    let server = BadServer::script([Reply::ok(&body)]).await;
    let error = clients(&server.url)
        .opsera
        .find_user("1")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("larger"), "{error}");
}

/// A gzip body of a few kilobytes that unpacks to megabytes: one zero, then copies of it, in a
/// deflate block with the fixed codes.
fn gzip_bomb(copies: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false]; // last block, fixed codes
    bits.extend([false, false, true, true, false, false, false, false]); // a zero byte
    for _ in 0..copies {
        bits.extend([true, true, false, false, false, true, false, true]); // length 258
        bits.extend([false; 5]); // distance 1
    }
    let packed = bits.chunks(8).map(|byte| {
        byte.iter()
            .enumerate()
            .fold(0, |packed, (at, bit)| packed | (u8::from(*bit) << at))
    });
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
        .into_iter()
        .chain(packed)
        .collect()
}

#[tokio::test]
async fn a_body_is_bounded_after_unpacking() {
    let bomb = gzip_bomb(8_000);
    assert!(bomb.len() < 16 << 10);
    let server = BadServer::script([Reply::new(200, &[("content-encoding", "gzip")], bomb)]).await;
    let error = clients(&server.url)
        .opsera
        .find_user("1")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("larger"), "{error}");
    assert_eq!(server.asked()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn traffic_counts_requests_by_answer_and_the_time_waited() {
    let server = BadServer::script([
        Reply::new(429, &[("retry-after", "30")], ""),
        Reply::ok(ACCOUNT),
    ])
    .await;
    let clients = clients(&server.url);
    clients.opsera.find_user("1").await.unwrap().unwrap();
    let snapshot = clients.transport.traffic().snapshot();
    for class in [AnswerClass::Throttled, AnswerClass::Success] {
        assert!(snapshot.requests.contains(&(Api::Opsera, class, 1)));
    }
    assert!(
        snapshot
            .waited
            .contains(&(Api::Opsera, Duration::from_secs(30)))
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_one_that_does_not_answer() {
    let clients = clients("http://127.0.0.1:1");
    let error = clients.opsera.find_user("1").await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert_eq!(clients.opsera.requests(), 5);
}

#[tokio::test]
async fn the_record_must_be_the_one_that_was_asked_for() {
    let server = BadServer::script([Reply::ok(ACCOUNT)]).await;
    let opsera = clients(&server.url).opsera;
    assert!(opsera.find_user("A@Example.com").await.unwrap().is_some());
    assert!(opsera.search_user("a@example.COM").await.unwrap().is_some());
    for user in ["2", "b@example.com"] {
        let error = opsera.find_user(user).await.unwrap_err();
        assert!(matches!(error, CallError::Malformed { .. }), "{error}");
    }
    let server =
        BadServer::script([Reply::ok(r#"{"id":"1","name":"Ada","status":"ACTIVE"}"#)]).await;
    let opa = clients(&server.url).opa;
    assert!(opa.find_user(&OpaName::new("ada")).await.is_err());
    assert!(opa.find_user(&OpaName::new("..")).await.is_err());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_array_arrives_whole_or_not_at_all() {
    let many: Vec<_> = (0..1203).map(|n| format!(r#"{{"_id":"{n}"}}"#)).collect();
    let whole = format!("[{}]", many.join(", "));
    let server = BadServer::script([Reply::ok(&whole)]).await;
    assert_eq!(
        accounts(&clients(&server.url).opsera).await.unwrap().len(),
        1203
    );
    for body in [
        "",
        "{}",
        "[",
        "[{}]",
        "[]x",
        r#"[{"_id":""}]"#,
        "<html>",
        &whole[..9000],
    ] {
        let server = BadServer::script([Reply::ok(body)]).await;
        let error = accounts(&clients(&server.url).opsera).await.unwrap_err();
        assert!(matches!(error, CallError::Malformed { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_array_that_is_cut_off_is_read_anew_only_before_the_first_batch() {
    let lies = |body: &str| Reply::new(200, &[("content-length", "999999")], body);
    let server = BadServer::script([lies(r#"[{"_id":"1"},"#), Reply::ok(r#"[{"_id":"2"}]"#)]).await;
    assert_eq!(accounts(&clients(&server.url).opsera).await.unwrap(), ["2"]);
    let many: Vec<_> = (0..600).map(|n| format!(r#"{{"_id":"{n}"}}"#)).collect();
    let server = BadServer::script([lies(&format!("[{}", many.join(",")))]).await;
    let opsera = clients(&server.url).opsera;
    let mut stream = opsera.list_users();
    assert_eq!(stream.next_batch().await.unwrap().unwrap().len(), 500);
    assert!(stream.next_batch().await.is_err());
    assert!(stream.next_batch().await.is_err(), "it stays broken");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_to_a_write_is_heard_in_every_form() {
    for (body, words) in [
        (r#""done""#, "done"),
        (r#"{"message":"done"}"#, "done"),
        ("done\n", "done"),
        ("", ""),
    ] {
        let server = BadServer::script([Reply::ok(body)]).await;
        let writer = clients(&server.url).opsera.writer();
        let answer = writer
            .deactivate(writer.wait_for_turn().await, &OpseraId::new("a/b"))
            .await
            .unwrap();
        assert_eq!(answer.words.0, words);
        let asked = &server.asked()[0];
        assert_eq!(asked.line, "DELETE /api/v2/usermanagement/user/a%2Fb");
    }
}

#[tokio::test]
async fn errors_never_show_the_token() {
    let server = BadServer::by(|asked, _| {
        let echo = format!("you sent {}", asked.headers);
        Reply::new(403, &[], echo)
    })
    .await;
    let error = clients(&server.url)
        .opsera
        .find_user("1")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("you sent"), "{error}");
    assert!(!format!("{error:?}").contains("opsera-token"), "{error:?}");
}

#[tokio::test]
async fn a_503_with_a_time_pauses_the_whole_client_too() {
    let busy = Reply::new(503, &[("retry-after", "45")], "");
    let server = BadServer::script([busy, Reply::ok(ACCOUNT)]).await;
    let clients = clients(&server.url);
    clients.opsera.find_user("1").await.unwrap().unwrap();
    assert_eq!(clients.clock.monotonic(), Duration::from_secs(45));
}

#[tokio::test]
async fn silence_in_the_array_is_bounded_and_a_slow_array_is_not() {
    let head = "HTTP/1.1 200 X\r\nconnection: close\r\n\r\n";
    let slow = format!(r#"{head}[{{"_id":"1"}}]"#).into_bytes();
    let (start, drip) = slow.split_at(head.len());
    let server = BadServer::script([Reply::StartThenDrip(start.to_vec(), drip.to_vec())]).await;
    assert_eq!(
        accounts(&clients(&server.url).opsera).await.unwrap(),
        ["1"],
        "13 bytes at 40 ms last longer than the time limit of one request"
    );
    let server = BadServer::script([Reply::Stall(slow[..slow.len() - 2].to_vec())]).await;
    let clients = clients(&server.url);
    let error = accounts(&clients.opsera).await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_is_dropped_gives_its_place_back() {
    let head = b"HTTP/1.1 200 X\r\ncontent-length: 99999\r\n\r\n[";
    let many: Vec<_> = (0..600).map(|n| format!(r#"{{"_id":"{n}"}}"#)).collect();
    let body = [head.as_slice(), many.join(",").as_bytes()].concat();
    let server = BadServer::by(move |asked, _| {
        if asked.line.ends_with("/users") {
            Reply::Stall(body.clone())
        } else {
            Reply::ok(ACCOUNT)
        }
    })
    .await;
    let opsera = clients(&server.url).opsera;
    for _ in 0..4 {
        let mut stream = opsera.list_users();
        assert_eq!(stream.next_batch().await.unwrap().unwrap().len(), 500);
    }
    assert!(opsera.find_user("1").await.unwrap().is_some());
}
