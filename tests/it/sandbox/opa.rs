//! The OPA side: tokens, listings, paging, names.

use std::time::Duration;

use rolecall::sandbox::{
    DefaultListing, Effect, LinkForms, PageLimit, PersonSeed, UserKind, Visibility,
};
use serde_json::json;

use super::{Bench, Reply, column, reply};

async fn mint(bench: &Bench, key_id: &str, key_secret: &str) -> Reply {
    let url = format!("{}/v1/teams/example/service_token", bench.sandbox.opa_url());
    let body = json!({"key_id": key_id, "key_secret": key_secret});
    reply(bench.client.post(url).json(&body)).await.unwrap()
}

fn next_link(reply: &Reply) -> Option<String> {
    let values = reply.headers.get_all("link").iter();
    let text = values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect::<Vec<_>>()
        .join(", ");
    // Good enough for the shapes of the sandbox: the last link is the one to the next page, and
    // it is there unless the only one leads back.
    let target = text.rsplit_once('<')?.1.split_once('>')?.0.to_owned();
    (!target.contains("prev=true")).then_some(target)
}

/// The link whose target leads back, made absolute.
fn prev_link(bench: &Bench, reply: &Reply) -> Option<String> {
    let values = reply.headers.get_all("link").iter();
    let text: String = values.map(|value| value.to_str().unwrap()).collect();
    let mut targets = text.split('<').filter_map(|part| part.split_once('>'));
    let (target, _) = targets.find(|(target, _)| target.contains("prev=true"))?;
    Some(absolute(bench, target))
}

fn absolute(bench: &Bench, target: &str) -> String {
    if target.starts_with('/') {
        format!("{}{target}", bench.sandbox.opa_url())
    } else {
        target.to_owned()
    }
}

async fn names(bench: &Bench, path: &str) -> Vec<String> {
    let mut reply = bench.opa(path).await;
    let mut names = Vec::new();
    loop {
        assert_eq!(reply.status, 200, "{}", reply.text);
        names.extend(column(&reply.json()["list"], "name"));
        match next_link(&reply) {
            Some(link) => reply = bench.opa_at(&absolute(bench, &link)).await,
            None => return names,
        }
    }
}

#[tokio::test]
async fn a_key_gets_a_token_that_expires_and_can_be_revoked() {
    let mut bench = Bench::empty().await;
    let id = bench.sandbox.key_id();
    assert_eq!(mint(&bench, &id, "wrong").await.status, 401);
    assert_eq!(mint(&bench, "wrong", "wrong").await.status, 401);
    let minted = mint(&bench, &id, &bench.sandbox.key_secret()).await;
    assert_eq!(minted.status, 200);
    let minted = minted.json();
    assert_eq!(minted["team_name"], "example");
    assert_eq!(minted["expires_at"], "2026-03-01T13:00:00Z");
    bench.opa_token = minted["bearer_token"].as_str().unwrap().to_owned();
    assert_eq!(
        bench.opa("/current_user").await.json()["team_name"],
        "example"
    );
    bench.clock.advance(Duration::from_hours(1));
    let refused = bench.opa("/users").await;
    assert_eq!(refused.status, 401);
    assert!(refused.json()["message"].is_string());

    bench.opa_token = bench.sandbox.opa().issue_token();
    assert_eq!(bench.opa("/users").await.status, 200);
    bench.sandbox.opa().revoke_tokens();
    assert_eq!(bench.opa("/users").await.status, 401);

    let entries = bench.sandbox.journal().entries();
    assert_eq!(entries[2].effect, Effect::TokenMinted);
    assert_eq!(
        entries[2].received.body.as_ref().unwrap()["key_secret"],
        "…"
    );
    assert!(!entries.last().unwrap().received.authorised);
}

#[tokio::test]
async fn another_team_and_another_path_are_not_found() {
    let bench = Bench::empty().await;
    let url = format!("{}/v1/teams/other/users", bench.sandbox.opa_url());
    assert_eq!(bench.opa_at(&url).await.status, 404);
    let url = url.replace("/users", "/service_token");
    let body = json!({"key_id": bench.sandbox.key_id(), "key_secret": bench.sandbox.key_secret()});
    let mint = bench.client.post(url).json(&body);
    assert_eq!(reply(mint).await.unwrap().status, 404);
    assert_eq!(bench.opa("/projects").await.status, 404);
    assert_eq!(bench.opa("/users/nobody").await.status, 404);
    assert_eq!(bench.opa("/users/nobody/groups").await.status, 404);
    assert_eq!(bench.opa("/groups/none/users").await.status, 404);
}

#[tokio::test]
async fn listings_show_what_their_status_says() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    for (name, status) in [
        ("ada", "ACTIVE"),
        ("bob", "DISABLED"),
        ("cyd", "DELETED"),
        ("dee", "SUSPENDED"),
    ] {
        let seed = PersonSeed::active(name, "x@example.com").status(status);
        team.add_person(seed).unwrap();
    }
    let mut robot = PersonSeed::active("robot", "r@example.com");
    robot.kind = UserKind::Service;
    team.add_person(robot).unwrap();
    assert_eq!(
        names(&bench, "/users").await,
        ["ada", "bob", "dee", "robot"]
    );
    assert_eq!(
        names(&bench, "/users?status=ACTIVE").await,
        ["ada", "robot"]
    );
    assert_eq!(names(&bench, "/users?status=DISABLED").await, ["bob"]);
    assert_eq!(names(&bench, "/users?status=DELETED").await, ["cyd"]);
    assert_eq!(bench.opa("/users?status=SUSPENDED").await.status, 400);
    assert_eq!(
        names(&bench, "/users?include_service_users=true").await,
        ["robot"]
    );
    assert_eq!(names(&bench, "/users?contains=O").await, ["bob", "robot"]);
    assert_eq!(names(&bench, "/users?starts_with=ro").await, ["robot"]);
    let id = team.person("dee").unwrap().id;
    assert_eq!(names(&bench, &format!("/users?id={id}")).await, ["dee"]);
    assert_eq!(
        names(&bench, "/users?status=DISABLED&status=DELETED").await,
        ["bob", "cyd"]
    );
    team.default_listing(DefaultListing::Everything);
    assert_eq!(names(&bench, "/users").await.len(), 5);
    team.default_listing(DefaultListing::OnlyActive);
    assert_eq!(names(&bench, "/users").await, ["ada", "dee", "robot"]);
    team.set_visibility("ada", Visibility::Hidden).unwrap();
    assert_eq!(names(&bench, "/users").await, ["dee", "robot"]);
    team.set_visibility("dee", Visibility::Twice).unwrap();
    assert_eq!(
        names(&bench, "/users?count=1").await,
        ["dee", "robot", "dee"]
    );
    let found = bench.opa("/users/ada").await.json();
    assert_eq!(found["status"], "ACTIVE");
    assert_eq!(found["details"]["email"], "x@example.com");
    assert_eq!(bench.opa("/users/cyd").await.json()["status"], "DELETED");
    assert!(
        team.add_person(PersonSeed::active("cyd", "y@example.com"))
            .is_err()
    );
}

#[tokio::test]
async fn pages_are_joined_by_links_in_both_directions() {
    for seed in 0..6 {
        let bench = Bench::with(|options| {
            options.seed = seed;
            options.link_forms = LinkForms::All;
        })
        .await;
        let expected: Vec<String> = (0..23).map(|n| format!("person {n:02}")).collect();
        for name in &expected {
            let seed = PersonSeed::active(name, "x@example.com").in_groups(["all/of them"]);
            bench.sandbox.opa().add_person(seed).unwrap();
        }
        assert_eq!(names(&bench, "/users?count=5").await, expected);
        assert_eq!(
            names(&bench, "/groups/all%2Fof%20them/users?count=4").await,
            expected
        );
        let backwards: Vec<String> = expected.iter().rev().cloned().collect();
        assert_eq!(
            names(&bench, "/users?count=5&descending=true").await,
            backwards
        );
        let first = bench.opa("/users?count=5").await;
        assert_eq!(prev_link(&bench, &first), None);
        let second = absolute(&bench, &next_link(&first).unwrap());
        let second = bench.opa_at(&second).await;
        let back = prev_link(&bench, &second).unwrap();
        assert_eq!(bench.opa_at(&back).await.text, first.text);
        bench.sandbox.opa().page_limit(PageLimit::clamp(3));
        assert_eq!(names(&bench, "/users?count=1000").await, expected);
        assert_eq!(bench.opa("/users?count=none").await.status, 400);
        assert_eq!(bench.opa("/users?offset=none").await.status, 400);
    }
}

#[tokio::test]
async fn names_hold_anything_that_a_path_segment_can_carry() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    let seed = PersonSeed::active("Zoë/Berlin 100% +?#", "z@example.com");
    team.add_person(seed.in_groups(["R&D/München"])).unwrap();
    let path = "/users/Zo%C3%AB%2FBerlin%20100%25%20%2B%3F%23";
    assert_eq!(bench.opa(path).await.json()["name"], "Zoë/Berlin 100% +?#");
    assert_eq!(
        names(&bench, &format!("{path}/groups")).await,
        ["R&D/München"]
    );
    let received = &bench.sandbox.journal().entries()[0].received;
    assert_eq!(received.path, "/users/Zoë/Berlin 100% +?#");
}

#[tokio::test]
async fn a_deleted_group_is_listed_as_such_and_has_no_members() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    let seed = PersonSeed::active("ada", "ada@example.com");
    team.add_person(seed.in_groups(["old", "new", "newer"]))
        .unwrap();
    team.delete_group("old").unwrap();
    let groups = bench.opa("/groups").await.json();
    assert_eq!(groups["list"][0]["deleted_at"], "2026-03-01T12:00:00Z");
    assert_eq!(groups["list"][1]["deleted_at"], "0001-01-01T00:00:00Z");
    assert!(groups["list"][2]["deleted_at"].is_null());
    assert_eq!(bench.opa("/groups/old/users").await.status, 404);
    assert_eq!(names(&bench, "/users/ada/groups").await, ["new", "newer"]);
    let all = names(&bench, "/users/ada/groups?include_deleted=true").await;
    assert_eq!(all, ["old", "new", "newer"]);
    team.leave("ada", "new").unwrap();
    assert_eq!(team.groups_of("ada"), ["newer"]);
}

#[tokio::test]
async fn by_default_a_page_has_one_plain_link_to_the_next_and_offsets_are_ids() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    let ids: Vec<String> = (0..5)
        .map(|n| {
            let seed = PersonSeed::active(&format!("p{n}"), "x@example.com");
            team.add_person(seed).unwrap()
        })
        .collect();
    let first = bench.opa("/users?count=2").await;
    let links: Vec<_> = first.headers.get_all("link").iter().collect();
    let target = format!(
        "{}/v1/teams/example/users?count=2&offset={}",
        bench.sandbox.opa_url(),
        ids[1].replace('-', "%2D")
    );
    assert_eq!(links, [&format!("<{target}>; rel=\"next\"")]);
    // A deletion in between does not shift what comes after.
    team.delete("p0").unwrap();
    team.purge("p1").unwrap();
    let second = bench.opa_at(&target).await;
    assert_eq!(column(&second.json()["list"], "name"), ["p2", "p3"]);
    let last = bench
        .opa(&format!("/users?count=2&offset={}", ids[3]))
        .await;
    assert_eq!(column(&last.json()["list"], "name"), ["p4"]);
    assert!(last.headers.get("link").is_none());
}

#[tokio::test]
async fn a_count_above_the_limit_is_clamped_or_refused_as_configured() {
    let bench = Bench::with(|options| options.page_limit = PageLimit::refuse(2)).await;
    for n in 0..5 {
        let seed = PersonSeed::active(&format!("p{n}"), "x@example.com").in_groups(["all"]);
        bench.sandbox.opa().add_person(seed).unwrap();
    }
    for path in ["/users?count=3", "/groups/all/users?count=1000"] {
        let refused = bench.opa(path).await;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()["errors"][0]["path"], "count");
    }
    assert_eq!(names(&bench, "/users").await.len(), 5);
    assert_eq!(names(&bench, "/users?count=2").await.len(), 5);
    bench.sandbox.opa().page_limit(PageLimit::clamp(2));
    let clamped = bench.opa("/users?count=1000").await;
    assert_eq!(column(&clamped.json()["list"], "name"), ["p0", "p1"]);
}

#[tokio::test]
async fn without_its_last_link_a_listing_lacks_exactly_its_last_page() {
    let bench = Bench::empty().await;
    for n in 0..7 {
        let seed = PersonSeed::active(&format!("p{n}"), "x@example.com");
        bench.sandbox.opa().add_person(seed).unwrap();
    }
    bench.sandbox.opa().drop_last_link();
    let shown = names(&bench, "/users?count=3").await;
    assert_eq!(shown, ["p0", "p1", "p2", "p3", "p4", "p5"]);
    assert_eq!(names(&bench, "/users").await.len(), 7, "one page is whole");
    bench.sandbox.opa().restore_last_link();
    assert_eq!(names(&bench, "/users?count=3").await.len(), 7);
}

#[tokio::test]
async fn users_are_found_by_id_and_groups_by_name() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    let seed = PersonSeed::active("ada", "ada@example.com").in_groups(["R&D/München"]);
    let id = team.add_person(seed).unwrap();
    let found = bench.opa(&format!("/users_by_id/{id}")).await.json();
    assert_eq!(found, bench.opa("/users/ada").await.json());
    let group = bench.opa("/groups/R%26D%2FM%C3%BCnchen").await.json();
    assert_eq!(group["name"], "R&D/München");
    team.purge("ada").unwrap();
    let gone = bench.opa(&format!("/users_by_id/{id}")).await;
    assert_eq!(gone.status, 404);
    assert_eq!(bench.opa("/groups/none").await.status, 404);
}

#[tokio::test]
async fn group_members_can_be_asked_for_by_kind() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    let person = PersonSeed::active("ada", "a@example.com").in_groups(["all"]);
    team.add_person(person).unwrap();
    let mut robot = PersonSeed::active("robot", "r@example.com").in_groups(["all"]);
    robot.kind = UserKind::Service;
    team.add_person(robot).unwrap();
    let path = "/groups/all/users";
    assert_eq!(names(&bench, path).await, ["ada", "robot"]);
    assert_eq!(
        names(&bench, &format!("{path}?user_type=human")).await,
        ["ada"]
    );
    assert_eq!(
        names(&bench, &format!("{path}?user_type=service")).await,
        ["robot"]
    );
    let refused = bench.opa(&format!("{path}?user_type=cat")).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_change_shows_in_pages_that_were_served_before() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    let seed = PersonSeed::active("ada", "ada@example.com").in_groups(["all"]);
    team.add_person(seed).unwrap();
    let paths = [
        "/users",
        "/groups/all/users",
        "/users/ada/groups",
        "/groups",
    ];
    let mut before = Vec::new();
    for path in paths {
        before.push(bench.opa(path).await.text);
        assert_eq!(bench.opa(path).await.text, before[before.len() - 1]);
    }
    team.rename_address("ada", Some("ada.new@example.com"))
        .unwrap();
    team.delete_group("all").unwrap();
    for (path, before) in paths.iter().zip(before) {
        assert_ne!(bench.opa(path).await.text, before, "{path}");
    }
}

#[tokio::test]
async fn pages_lead_past_records_that_share_an_id_or_are_listed_twice() {
    let bench = Bench::empty().await;
    let team = bench.sandbox.opa();
    for (name, id) in [("ada", "same"), ("bob", "same"), ("cyd", "other")] {
        let mut seed = PersonSeed::active(name, "x@example.com").in_groups(["all"]);
        seed.id = Some(id.to_owned());
        team.add_person(seed).unwrap();
    }
    for name in ["ada", "bob"] {
        team.set_visibility(name, Visibility::Twice).unwrap();
    }
    assert_eq!(
        names(&bench, "/users?count=1").await,
        ["ada", "bob", "cyd", "ada", "bob"]
    );
    assert_eq!(
        names(&bench, "/groups/all/users?count=1").await,
        ["ada", "bob", "cyd"]
    );
}
