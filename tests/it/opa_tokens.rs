//! OPA tokens: minted once, renewed ahead of their end and after one 401.

use std::time::Duration;

use rolecall::clients::CallError;

use crate::bad_server::{Asked, BadServer, Reply};
use crate::directory_setup::{all, clients, minting_clients};

const ME: &str = r#"{"id":"1","name":"svc","team_name":"team"}"#;

fn token(number: usize, end: &str) -> Reply {
    Reply::ok(&format!(
        r#"{{"bearer_token":"minted-{number}","expires_at":"{end}","team_name":"TEAM"}}"#
    ))
}

fn is_minting(asked: &Asked) -> bool {
    asked.line == "POST /v1/teams/Team/service_token"
}

fn mintings(server: &BadServer) -> usize {
    server
        .asked()
        .iter()
        .filter(|asked| is_minting(asked))
        .count()
}

#[tokio::test]
async fn concurrent_callers_share_one_minting() {
    let server = BadServer::by(|asked, before| {
        if is_minting(asked) {
            token(before, "2026-01-01T01:00:00Z")
        } else {
            Reply::ok(ME)
        }
    })
    .await;
    let opa = minting_clients(&server.url).opa;
    let (one, two, three) =
        tokio::join!(opa.current_user(), opa.current_user(), opa.current_user());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(mintings(&server), 1);
    let first = &server.asked()[0];
    assert!(first.header("authorization").is_none());
    assert!(first.body.contains("key-s3cret"));
    assert_eq!(
        server.asked()[1].header("authorization"),
        Some("Bearer minted-0")
    );
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end() {
    let server = BadServer::by(|asked, before| match (is_minting(asked), before) {
        (true, 0) => token(0, "2026-01-01T01:00:00Z"),
        (true, _) => token(1, "2026-01-01T02:00:00Z"),
        _ => Reply::ok(ME),
    })
    .await;
    let clients = minting_clients(&server.url);
    clients.opa.current_user().await.unwrap();
    clients.clock.advance(Duration::from_secs(3600 - 61));
    clients.opa.current_user().await.unwrap();
    assert_eq!(mintings(&server), 1);
    clients.clock.advance(Duration::from_secs(2));
    clients.opa.current_user().await.unwrap();
    assert_eq!(mintings(&server), 2);
}

#[tokio::test]
async fn an_early_401_renews_once_and_a_second_one_is_final() {
    let server = BadServer::by(|asked, before| {
        if is_minting(asked) {
            token(before, "2026-01-01T01:00:00Z")
        } else if asked.header("authorization") == Some("Bearer minted-0") {
            Reply::new(401, &[], "")
        } else {
            Reply::ok(ME)
        }
    })
    .await;
    minting_clients(&server.url)
        .opa
        .current_user()
        .await
        .unwrap();
    assert_eq!(mintings(&server), 2);

    let server = BadServer::by(|asked, before| {
        if is_minting(asked) {
            token(before, "2026-01-01T01:00:00Z")
        } else {
            Reply::new(401, &[], "")
        }
    })
    .await;
    let error = minting_clients(&server.url)
        .opa
        .current_user()
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unauthorized { .. }), "{error}");
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_refused_key_and_another_team_are_named() {
    let server = BadServer::script([Reply::new(401, &[], "key-s3cret is wrong")]).await;
    let error = minting_clients(&server.url)
        .opa
        .current_user()
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unauthorized { .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains("opa.key_id") && !words.contains("s3cret"),
        "{words}"
    );

    let other = r#"{"bearer_token":"x","expires_at":"2026-01-01T01:00:00Z","team_name":"else"}"#;
    let server = BadServer::script([Reply::ok(other)]).await;
    let error = minting_clients(&server.url)
        .opa
        .current_user()
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::WrongTenant { .. }), "{error}");
}

#[tokio::test]
async fn a_fixed_token_is_refused_once_and_for_all() {
    let server = BadServer::script([Reply::new(401, &[], "")]).await;
    let error = clients(&server.url).opa.current_user().await.unwrap_err();
    assert!(matches!(error, CallError::Unauthorized { .. }), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_dies_in_the_middle_of_a_pull_costs_no_page() {
    let page = |link: &str| {
        let body = r#"{"list":[{"id":"1","name":"a","status":"ACTIVE"}]}"#;
        Reply::new(200, &[("link", link)], body)
    };
    let server = BadServer::by(move |asked, before| {
        let stale = asked.header("authorization") == Some("Bearer minted-0");
        match asked.line.rsplit_once('=') {
            _ if is_minting(asked) => token(before, "2026-01-01T01:00:00Z"),
            Some((_, "b")) if stale => Reply::new(401, &[], ""),
            Some((_, "b")) => page(r#"<?offset=c>; rel="next""#),
            Some((_, "c")) => page(""),
            _ => page(r#"<?offset=b>; rel="next""#),
        }
    })
    .await;
    let opa = minting_clients(&server.url).opa;
    assert_eq!(all(opa.list_users(None)).await.unwrap().len(), 3);
    assert_eq!(mintings(&server), 2);
}

#[tokio::test]
async fn minting_is_tried_again_when_the_server_is_in_trouble() {
    let server = BadServer::by(|asked, before| match (is_minting(asked), before) {
        (true, 0 | 1) => Reply::new(503, &[], "<html>"),
        (true, _) => token(before, "2026-01-01T01:00:00Z"),
        _ => Reply::ok(ME),
    })
    .await;
    let opa = minting_clients(&server.url).opa;
    assert_eq!(opa.current_user().await.unwrap().name, "svc");
    assert_eq!(mintings(&server), 3);
}

#[tokio::test]
async fn a_401_for_a_new_token_says_that_the_key_or_the_role_is_gone() {
    let server = BadServer::by(|asked, before| {
        if is_minting(asked) {
            token(before, "2026-01-01T01:00:00Z")
        } else {
            Reply::new(401, &[], r#"{"message":"authorization_error"}"#)
        }
    })
    .await;
    let error = minting_clients(&server.url).opa.current_user().await;
    let remedy = error.unwrap_err().remedy().unwrap();
    for word in [
        "revoked",
        "opa.key_id",
        "pam_admin",
        "resource_admin",
        "security_admin",
    ] {
        assert!(remedy.contains(word), "{remedy}");
    }
}

#[tokio::test]
async fn a_team_that_does_not_exist_is_named_with_its_setting() {
    let server = BadServer::script([Reply::new(404, &[], "")]).await;
    let error = minting_clients(&server.url)
        .opa
        .current_user()
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::WrongTenant { .. }), "{error}");
    assert!(error.to_string().contains("opa.team"), "{error}");
    assert!(error.remedy().unwrap().contains("“Team”"));
    assert_eq!(error.status().map(|status| status.as_u16()), Some(404));
}
