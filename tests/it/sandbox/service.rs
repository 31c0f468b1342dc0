//! What both services say beside their answers: quotas, dates, refusals, second counts.

use std::time::Duration;

use chrono::TimeDelta;
use rolecall::domain::time::Clock as _;
use rolecall::sandbox::{
    Answer, Api, DateHeader, Fault, FaultKind, OpaRefusal, PersonSeed, StatsAnswer, UserKind,
    Visibility,
};
use serde_json::json;

use super::{Bench, Reply, reply};

fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn every_answer_of_opa_tells_the_quota_and_beyond_it_comes_429() {
    let bench = Bench::with(|options| options.quota = Some(4)).await;
    let reset = "2026-03-01T13:00:00Z"
        .parse::<rolecall::domain::time::Timestamp>()
        .unwrap();
    let reset = reset.timestamp().to_string();
    let fault = FaultKind::Answer(Answer::status(503));
    bench.sandbox.inject(Fault::opa(fault).after(2));
    let mut told = Vec::new();
    for path in [
        "/users",
        "/users/nobody",
        "/users",
        "/nowhere",
        "/groups",
        "/users",
    ] {
        let answer = bench.opa(path).await;
        assert_eq!(header(&answer, "x-ratelimit-limit"), "4");
        assert_eq!(header(&answer, "x-ratelimit-reset"), reset);
        told.push((
            answer.status,
            header(&answer, "x-ratelimit-remaining").to_owned(),
        ));
        if answer.status == 429 {
            assert_eq!(header(&answer, "x-ratelimit-retry-at"), reset);
        }
    }
    let told: Vec<_> = told.iter().map(|(s, r)| (*s, r.as_str())).collect();
    // The injected answer came from something in front of the service, which does not count.
    let expected = [
        (200, "3"),
        (404, "2"),
        (503, "2"),
        (404, "1"),
        (200, "0"),
        (429, "0"),
    ];
    assert_eq!(told, expected);
    assert_eq!(bench.sandbox.quota().refused(), 1);
    let opsera = bench.opsera("GET", "/users").await;
    assert!(opsera.headers.get("x-ratelimit-limit").is_none());
    bench.clock.advance(Duration::from_hours(1));
    let answer = bench.opa("/groups").await;
    // The token is older than an hour, and that is said by a counted answer too.
    assert_eq!(answer.status, 401);
    assert_eq!(header(&answer, "x-ratelimit-remaining"), "3");
}

#[tokio::test]
async fn another_client_of_the_same_user_takes_from_the_quota() {
    let bench = Bench::with(|options| options.quota = Some(10_000)).await;
    bench.sandbox.quota().second_client(5_000);
    bench.clock.advance(Duration::from_mins(30));
    let answer = bench.opa("/users").await;
    assert_eq!(header(&answer, "x-ratelimit-remaining"), "7499");
    bench.sandbox.quota().consume(7_499);
    assert_eq!(bench.opa("/users").await.status, 429);
    bench.sandbox.quota().set_limit(None);
    let answer = bench.opa("/users").await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.get("x-ratelimit-limit").is_none());
}

#[tokio::test]
async fn both_directories_date_their_answers_by_the_clock_or_as_told() {
    let bench = Bench::empty().await;
    let dates = async || {
        let opa = bench.opa("/users").await;
        let opsera = bench.opsera("GET", "/users").await;
        [opa, opsera].map(|reply| {
            let date = reply.headers.get("date")?;
            Some(date.to_str().unwrap().to_owned())
        })
    };
    let noon = Some("Sun, 01 Mar 2026 12:00:00 GMT".to_owned());
    assert_eq!(dates().await, [noon.clone(), noon.clone()]);
    bench.clock.advance(Duration::from_secs(90));
    let later = Some("Sun, 01 Mar 2026 12:01:30 GMT".to_owned());
    assert_eq!(dates().await, [later.clone(), later.clone()]);
    let hour_back = DateHeader::Offset(TimeDelta::hours(-1));
    bench.sandbox.date_header(Api::Opa, hour_back);
    let back = Some("Sun, 01 Mar 2026 11:01:30 GMT".to_owned());
    assert_eq!(dates().await, [back.clone(), later]);
    bench.sandbox.date_header(Api::Opsera, DateHeader::Absent);
    assert_eq!(dates().await, [back, None]);
    let forged = "Fri, 01 Jan 2100 00:00:00 GMT".to_owned();
    let forged_date = DateHeader::Fixed(forged.clone());
    bench.sandbox.date_header(Api::Opsera, forged_date);
    bench.sandbox.date_header(Api::Opa, DateHeader::Clock);
    let now = bench.clock.now().format("%a, %d %b %Y %H:%M:%S GMT");
    assert_eq!(dates().await, [Some(now.to_string()), Some(forged)]);
}

#[tokio::test]
async fn opa_refuses_in_the_words_of_its_errors() {
    let bench = Bench::empty().await;
    for (refusal, status, word) in [
        (OpaRefusal::AuthorizationError, 401, "authorization_error"),
        (OpaRefusal::ForbiddenError, 403, "forbidden_error"),
        (OpaRefusal::QuotaExceeded, 403, "quota_exceeded"),
        (OpaRefusal::DisabledTeam, 403, "disabled_team"),
    ] {
        bench.sandbox.opa().refuse(Some(refusal));
        let refused = bench.opa("/users").await;
        assert_eq!(refused.status, status);
        let body = refused.json();
        assert!(body["message"].as_str().unwrap().starts_with(word));
        assert_eq!(body["errors"], json!([]));
        // The key is still good: what lacks is the permission.
        let url = format!("{}/v1/teams/example/service_token", bench.sandbox.opa_url());
        let key = json!({
            "key_id": bench.sandbox.key_id(),
            "key_secret": bench.sandbox.key_secret(),
        });
        let minted = reply(bench.client.post(url).json(&key)).await.unwrap();
        assert_eq!(minted.status, 200);
        bench.sandbox.opa().refuse(None);
        bench
            .sandbox
            .inject(Fault::opa(FaultKind::Answer(Answer::opa_refusal(refusal))));
        assert_eq!(bench.opa("/users").await.text, refused.text);
        assert_eq!(bench.opa("/users").await.status, 200);
    }
}

#[tokio::test]
async fn random_faults_of_opa_include_every_temporary_status() {
    let bench = Bench::with(|options| options.faults.error_rate = 1.0).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let answer = bench.opa("/users").await;
        if answer.status != 502 {
            assert!(answer.json()["message"].is_string(), "{}", answer.text);
        }
        seen.insert(answer.status);
    }
    assert_eq!(Vec::from_iter(seen), [429, 499, 500, 502, 503, 504]);
}

#[tokio::test]
async fn team_stats_count_people_services_and_groups() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    for (name, status) in [
        ("ada", "ACTIVE"),
        ("bob", "DISABLED"),
        ("cyd", "DELETED"),
        ("dee", "ACTIVE"),
        ("eve", "ACTIVE"),
    ] {
        let seed = PersonSeed::active(name, "x@example.com").status(status);
        team.add_person(seed.in_groups(["all"])).unwrap();
    }
    let mut robot = PersonSeed::active("robot", "r@example.com");
    robot.kind = UserKind::Service;
    team.add_person(robot).unwrap();
    team.set_visibility("dee", Visibility::Unlisted).unwrap();
    team.set_visibility("eve", Visibility::Hidden).unwrap();
    assert!(!bench.opa("/users").await.text.contains("dee"));
    let counted =
        |people| json!({"num_human_users": people, "num_service_users": 1, "num_groups": 1});
    let path = "/team_stats";
    assert_eq!(bench.opa(path).await.json(), counted(3));
    team.team_stats(StatsAnswer::Everybody);
    assert_eq!(bench.opa(path).await.json(), counted(4));
    for wrong in [json!(-1), json!("4"), json!(null)] {
        team.team_stats(StatsAnswer::HumanUsers(wrong.clone()));
        assert_eq!(bench.opa(path).await.json()["num_human_users"], wrong);
    }
    team.team_stats(StatsAnswer::Html);
    assert!(bench.opa(path).await.text.starts_with("<html>"));
    team.team_stats(StatsAnswer::NotFound);
    assert_eq!(bench.opa(path).await.status, 404);
    team.team_stats(StatsAnswer::Refused(OpaRefusal::AuthorizationError));
    assert_eq!(bench.opa(path).await.status, 401);
}
