//! Retries, pauses and bounds of both clients (A3, §11).

use std::time::Duration;

use rolecall::clients::{AnswerClass, Api, CallError, SecondCount};
use rolecall::domain::{OpaName, time::Clock as _};

use crate::bad_server::{BadServer, Reply};
use crate::directory_setup::{NOW, accounts, clients};

const ACCOUNT: &str = r#"{"_id":"1","email":"a@example.com"}"#;

#[tokio::test]
async fn reads_are_sent_five_times_and_refusals_once() {
    for (status, requests) in [
        (408, 5),
        (499, 5),
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
async fn every_header_of_a_429_pauses_the_whole_client() {
    let at = (NOW + 90).to_string();
    for header in [
        ("retry-after", "90"),
        ("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT"),
        ("x-ratelimit-retry-at", at.as_str()),
    ] {
        let server = BadServer::script([Reply::new(429, &[header], ""), Reply::ok(ACCOUNT)]).await;
        let clients = clients(&server.url);
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
    let snapshot = clients.transport.request_metrics().snapshot();
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
    let error = opa.find_user(&OpaName::new("..")).await.unwrap_err();
    assert!(
        matches!(error, CallError::InvalidPathSegment { .. }),
        "{error}"
    );
    assert_eq!(
        error.status(),
        None,
        "nothing was asked, so nothing answered"
    );
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
    assert!(matches!(error, CallError::NoResponse { .. }), "{error}");
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

#[tokio::test]
async fn a_date_in_retry_after_is_measured_by_the_clock_that_wrote_it() {
    // This machine believes that it is 2026; the server lives in 2031.
    let busy = Reply::new(
        429,
        &[
            ("date", "Wed, 01 Jan 2031 00:00:00 GMT"),
            ("retry-after", "Wed, 01 Jan 2031 00:01:10 GMT"),
        ],
        "",
    );
    let server = BadServer::script([busy, Reply::ok(ACCOUNT)]).await;
    let clients = clients(&server.url);
    clients.opsera.find_user("1").await.unwrap().unwrap();
    assert_eq!(clients.clock.monotonic(), Duration::from_secs(70));
    let offsets = clients.transport.clock_offsets();
    let years = offsets.median_of(Api::Opsera).unwrap().num_days() / 365;
    assert_eq!((years, offsets.median_of(Api::Opa)), (5, None));
}

#[tokio::test]
async fn a_second_count_is_a_number_or_says_why_it_is_none() {
    for (reply, counted, of_opa) in [
        (
            Reply::ok(r#"{"num_human_users":12,"totalResults":12,"x":[]}"#),
            Ok(12),
            "",
        ),
        (
            Reply::ok(r#"{"num_human_users":0,"totalResults":0}"#),
            Ok(0),
            "",
        ),
        (
            Reply::ok(r#"{"num_human_users":-1,"totalResults":-1}"#),
            Err("not a number"),
            "doubt",
        ),
        (
            Reply::ok(r#"{"num_human_users":"12","totalResults":"12"}"#),
            Err("not a number"),
            "doubt",
        ),
        (
            Reply::ok(r#"{"num_human_users":1.5,"totalResults":1.5}"#),
            Err("not a number"),
            "doubt",
        ),
        (Reply::ok("{}"), Err("missing"), ""),
        (Reply::ok("[]"), Err("expected JSON"), "doubt"),
        (Reply::ok("<html>sign in"), Err("HTML"), "doubt"),
        (Reply::new(401, &[], ""), Err("401"), ""),
        (
            Reply::new(403, &[], r#"{"message":"forbidden_error"}"#),
            Err("forbidden_error"),
            "",
        ),
        (Reply::new(404, &[], ""), Err("404"), ""),
    ] {
        let server = BadServer::script([reply.clone()]).await;
        let clients = clients(&server.url);
        // What OPA's count says is doubt about its listings, Opsera's only tells of a short one.
        for (count, doubt) in [
            (clients.opa.human_count().await, of_opa == "doubt"),
            (clients.opsera.count_active().await, false),
        ] {
            match (count, counted) {
                (Ok(SecondCount::Count(count)), Ok(expected)) => assert_eq!(count, expected),
                (Ok(SecondCount::NotAvailable { reason }), Err(words)) if !doubt => {
                    assert!(reason.contains(words), "{reply:?}: {reason}");
                }
                (Err(error), Err(words)) if doubt => {
                    let error = error.to_string();
                    assert!(error.contains(words), "{reply:?}: {error}");
                }
                (count, _) => panic!("{reply:?}: {count:?}"),
            }
        }
        let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
        assert_eq!(
            lines,
            [
                "GET /v1/teams/Team/team_stats",
                "GET /api/v2/scim/v2/Users?startIndex=1&count=1"
            ]
        );
    }
    let server = BadServer::script([Reply::new(503, &[], "")]).await;
    let clients = clients(&server.url);
    assert!(
        clients.opa.human_count().await.is_err(),
        "no proof either way"
    );
    assert!(clients.opsera.count_active().await.is_err());
}

#[tokio::test]
async fn each_error_says_what_to_do() {
    for (reply, words) in [
        (Reply::new(401, &[], ""), "opsera.token"),
        (Reply::new(403, &[], ""), "has expired"),
        (Reply::new(503, &[], ""), "in trouble"),
        (Reply::new(302, &[], ""), "opsera.base_url"),
        (Reply::ok("<html>sign in"), "login page"),
    ] {
        let server = BadServer::script([reply]).await;
        let error = clients(&server.url)
            .opsera
            .find_user("1")
            .await
            .unwrap_err();
        let remedy = error.remedy().unwrap_or_default();
        assert!(remedy.contains(words), "{error}: {remedy}");
    }
    let error = clients("http://127.0.0.1:1").opsera.find_user("1").await;
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains("refused the connection"),
        "{error}"
    );
    assert!(error.remedy().unwrap().contains("firewall"));
}
