//! A listing of OPA is whole or it is an error (G0).

use rolecall::clients::{CallError, StatusFilter};
use rolecall::domain::{GroupName, time::Clock as _};

use crate::bad_server::{BadServer, Reply};
use crate::directory_setup::{all, clients};

fn users(names: &[&str]) -> String {
    let users: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"id":"id-{name}","name":"{name}","status":"ACTIVE"}}"#))
        .collect();
    format!(r#"{{"list":[{}]}}"#, users.join(","))
}

fn linked(names: &[&str], link: &str) -> Reply {
    Reply::new(200, &[("Link", link)], users(names))
}

async fn names(server: &BadServer) -> Result<Vec<String>, CallError> {
    let people = all(clients(&server.url).opa.list_users(None)).await?;
    Ok(people
        .into_iter()
        .map(|person| person.name.to_string())
        .collect())
}

#[tokio::test]
async fn pages_are_followed_through_every_form_of_link() {
    let forms = [
        r#"<?count=2&offset=b>; rel="next""#,
        r#"</v1/teams/Team/users?offset=c>; title="a, <b>; rel=prev"; REL=NEXT"#,
        r#"<?offset=a>; rel="prev", <?offset=d>; rel="last next""#,
    ];
    let mut script: Vec<_> = forms.iter().map(|form| linked(&["x"], form)).collect();
    script.push(linked(&["last"], r#"<?offset=c>; rel="prev""#));
    let server = BadServer::script(script).await;
    assert_eq!(names(&server).await.unwrap(), ["x", "x", "x", "last"]);
    let lines: Vec<_> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/teams/Team/users?count=2",
            "GET /v1/teams/Team/users?count=2&offset=b",
            "GET /v1/teams/Team/users?offset=c",
            "GET /v1/teams/Team/users?offset=d",
        ]
    );
}

#[tokio::test]
async fn every_request_carries_the_token_and_says_who_asks() {
    let server = BadServer::script([Reply::ok(&users(&[]))]).await;
    let clients = clients(&server.url);
    all(clients.opa.list_users(Some(StatusFilter::Disabled)))
        .await
        .unwrap();
    let asked = &server.asked()[0];
    assert_eq!(
        asked.line,
        "GET /v1/teams/Team/users?status=DISABLED&count=2"
    );
    assert_eq!(asked.header("authorization"), Some("Bearer fixed-token"));
    let agent = asked.header("user-agent").unwrap();
    assert_eq!(agent, concat!("rolecall/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn whatever_makes_a_page_doubtful_fails_the_listing() {
    let good = users(&["a"]);
    for (reply, words) in [
        (
            Reply::new(200, &[("content-type", "text/html")], "<html>hi"),
            "HTML",
        ),
        (Reply::ok("[]"), "expected JSON"),
        (Reply::ok("{}"), "list"),
        (Reply::ok(r#"{"list":null}"#), "expected JSON"),
        (Reply::ok(&format!("{good}x")), "trailing"),
        (Reply::ok(r#"{"list":[{"id":"1","name":"a"}]}"#), "status"),
        (
            Reply::ok(r#"{"list":[{"id":"","name":"a","status":"ACTIVE"}]}"#),
            "id",
        ),
        (
            linked(&["a"], r#"<http://evil.example/>; rel="next""#),
            "another origin",
        ),
        (
            linked(&["a"], r#"<//127.0.0.1:1/>; rel="next""#),
            "another origin",
        ),
        (
            linked(&["a"], r#"</v1/teams/Team/groups?offset=2>; rel="next""#),
            "another path",
        ),
        (
            linked(&["a"], r#"</v1/teams/Other/users?offset=2>; rel="next""#),
            "another path",
        ),
        (linked(&["a"], r#"<?count=2>; rel="next""#), "back"),
        (linked(&["a"], r#"<?offset=2; rel="next""#), "Link"),
        (
            linked(&["a"], r"<?o=1>; rel=next, <?o=2>; rel=next"),
            "two different",
        ),
        (Reply::new(204, &[], ""), "204"),
        (Reply::new(404, &[], ""), "404"),
    ] {
        let server = BadServer::script([reply.clone()]).await;
        let error = names(&server).await.unwrap_err().to_string();
        assert!(error.contains(words), "{reply:?}: {error}");
        assert_eq!(
            server.asked().len(),
            1,
            "not worth a second request: {error}"
        );
    }
}

#[tokio::test]
async fn a_loop_over_several_pages_is_noticed() {
    let server = BadServer::by(|_, before| {
        linked(&["a"], &format!(r#"<?offset={}>; rel="next""#, before % 3))
    })
    .await;
    let error = names(&server).await.unwrap_err();
    assert!(matches!(error, CallError::Malformed { .. }), "{error}");
    assert!(server.asked().len() <= 5);
}

#[tokio::test]
async fn a_page_that_broke_is_asked_for_again_and_counted_once() {
    let whole = users(&["a", "b"]);
    let lies = Reply::new(200, &[("content-length", "9999")], &whole);
    let script = [
        lies,
        Reply::HangUp,
        Reply::new(502, &[], ""),
        Reply::ok(&whole),
    ];
    let server = BadServer::script(script).await;
    assert_eq!(names(&server).await.unwrap(), ["a", "b"]);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_body_that_drips_for_ever_is_given_up() {
    let Reply::Bytes(slow) = Reply::ok(&users(&["a"])) else {
        unreachable!()
    };
    let server = BadServer::script([Reply::Drip(slow), Reply::ok(&users(&["b"]))]).await;
    assert_eq!(names(&server).await.unwrap(), ["b"]);
}

#[tokio::test]
async fn an_unknown_group_is_told_from_an_empty_one() {
    let server = BadServer::script([Reply::new(404, &[], r#"{"message":"no such group"}"#)]).await;
    let clients = clients(&server.url);
    let group = GroupName::new("a/b c%é");
    let error = all(clients.opa.list_group_users(&group)).await.unwrap_err();
    assert!(matches!(&error, CallError::ClientError { status, .. } if status.as_u16() == 404));
    assert!(error.to_string().contains("no such group"));
    assert_eq!(
        server.asked()[0].line,
        "GET /v1/teams/Team/groups/a%2Fb%20c%25%C3%A9/users?user_type=human&count=2"
    );
}

#[tokio::test]
async fn a_pause_that_outlasts_the_pull_fails_it_at_once() {
    let throttled = Reply::new(429, &[("retry-after", "99999999")], "");
    let server = BadServer::script([throttled]).await;
    let clients = clients(&server.url);
    let error = all(clients.opa.list_users(None)).await.unwrap_err();
    assert!(matches!(error, CallError::Throttled { .. }), "{error}");
    assert_eq!(
        clients.clock.monotonic().as_secs(),
        0,
        "nobody waits in vain"
    );
}

#[tokio::test]
async fn a_pull_that_is_only_being_polite_is_not_cut_off_and_has_an_end_all_the_same() {
    let server = BadServer::by(|_, before| match before % 2 {
        0 => Reply::new(429, &[("retry-after", "600")], ""),
        _ if before > 20 => linked(&["last"], ""),
        _ => linked(&["a"], &format!(r#"<?offset={before}>; rel="next""#)),
    })
    .await;
    let polite = clients(&server.url);
    let people = all(polite.opa.list_users(None)).await.unwrap();
    assert_eq!(
        people.len(),
        11,
        "110 minutes of pauses, with 15 for the pull"
    );

    let server = BadServer::by(|_, before| match before % 2 {
        0 => Reply::new(429, &[("retry-after", "600")], ""),
        _ => linked(&["a"], &format!(r#"<?offset={before}>; rel="next""#)),
    })
    .await;
    let endless = clients(&server.url);
    let error = all(endless.opa.list_users(None)).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(endless.clock.monotonic().as_secs() < 25 * 3600);
}

#[tokio::test]
async fn a_server_that_refuses_the_page_size_is_asked_without_it_from_then_on() {
    let server = BadServer::by(|asked, _| {
        if asked.line.contains("count=") {
            Reply::new(400, &[], r#"{"message":"count is too large"}"#)
        } else if asked.line.contains("offset=") {
            linked(&["c"], "")
        } else {
            linked(&["a", "b"], r#"<?offset=b>; rel="next""#)
        }
    })
    .await;
    let opa = clients(&server.url).opa;
    for _ in 0..2 {
        assert_eq!(all(opa.list_users(None)).await.unwrap().len(), 3);
    }
    assert!(opa.page_size_is_refused());
    assert_eq!(opa.observed_page_size(), Some(2));
    let with_count = |asked: &&crate::bad_server::Asked| asked.line.contains("count=");
    assert_eq!(server.asked().iter().filter(with_count).count(), 1);
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_400_that_has_nothing_to_do_with_the_page_size_stays_a_400() {
    let server = BadServer::script([Reply::new(400, &[], "no")]).await;
    let error = names(&server).await.unwrap_err();
    assert!(matches!(&error, CallError::ClientError { status, .. } if status.as_u16() == 400));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn what_is_left_of_the_quota_is_spread_over_a_pull_that_does_not_fit() {
    // 100 an hour, 20 of them reserved; 400 people, two in a page.
    let server = BadServer::by(|asked, before| {
        let before = u64::try_from(before).unwrap();
        if asked.line.ends_with("/team_stats") {
            return Reply::ok(r#"{"num_human_users":400,"num_service_users":0}"#);
        }
        let link = format!(r#"<?offset={before}>; rel="next""#);
        let left = 100_u64.saturating_sub(before).to_string();
        Reply::new(
            200,
            &[
                ("link", if before < 60 { link.as_str() } else { "" }),
                ("x-ratelimit-limit", "100"),
                ("x-ratelimit-remaining", left.as_str()),
                (
                    "x-ratelimit-reset",
                    (crate::directory_setup::NOW + 3600).to_string().as_str(),
                ),
            ],
            users(&["a", "b"]),
        )
    })
    .await;
    let clients = clients(&server.url);
    clients.opa.human_count().await.unwrap();
    all(clients.opa.list_users(None)).await.unwrap();
    let took = clients.clock.monotonic().as_secs();
    assert!((2400..2900).contains(&took), "59 of 79 requests: {took} s");
    assert_eq!(clients.opa.quota().map(|quota| quota.limit), Some(100));
    let metrics = clients.transport.request_metrics().snapshot();
    assert_eq!(metrics.opa_quota, clients.opa.quota());
}
