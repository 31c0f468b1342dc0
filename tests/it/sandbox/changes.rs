//! What happens to people while the sandbox runs.

use rolecall::sandbox::PersonSeed;
use serde_json::json;

use super::{Bench, column};

async fn with_ada() -> (Bench, String) {
    let bench = Bench::empty().await;
    let seed = PersonSeed::active("ada", "ada@example.com").named("Ada", "Ito");
    let team = bench.sandbox.opa();
    let id = team.add_person(seed.in_groups(["all"])).unwrap();
    (bench, id)
}

#[tokio::test]
async fn somebody_who_comes_back_is_the_same_record_again() {
    let (bench, id) = with_ada().await;
    let before = bench.opa("/users/ada").await.json();
    bench.sandbox.opa().delete("ada").unwrap();
    let deleted = bench.opa("/users/ada").await.json();
    assert_eq!(deleted["status"], "DELETED");
    assert_eq!(deleted["deleted_at"], "2026-03-01T12:00:00Z");
    assert_eq!(deleted["details"], before["details"]);
    bench.sandbox.opa().rehire("ada").unwrap();
    assert_eq!(bench.opa("/users/ada").await.json(), before);
    assert_eq!(before["id"], id.as_str());
}

#[tokio::test]
async fn somebody_renamed_and_created_again_has_a_new_record_with_the_new_address() {
    let (bench, id) = with_ada().await;
    let team = bench.sandbox.opa();
    team.rename_address("ada", Some("ada.sato@example.com"))
        .unwrap();
    let renamed = bench.opa("/users/ada").await.json();
    assert_eq!(renamed["id"], id.as_str());
    assert_eq!(renamed["details"]["email"], "ada.sato@example.com");
    let new_id = team.recreate("ada", "ada.sato", None).unwrap();
    assert_ne!(new_id, id);
    assert_eq!(bench.opa("/users/ada").await.json()["status"], "DELETED");
    let new = bench.opa("/users/ada.sato").await.json();
    assert_eq!(new["id"], new_id.as_str());
    assert_eq!(new["status"], "ACTIVE");
    assert_eq!(new["details"]["email"], "ada.sato@example.com");
    assert_eq!(new["details"]["last_name"], "Ito");
    assert_eq!(team.groups_of("ada.sato"), ["all"]);
    let members = bench.opa("/groups/all/users").await.json();
    assert_eq!(column(&members["list"], "name"), ["ada.sato"]);
    team.recreate("ada.sato", "ada3", Some("ada3@example.com"))
        .unwrap();
    let third = bench.opa("/users/ada3").await.json();
    assert_eq!(third["details"]["email"], "ada3@example.com");
    assert!(team.recreate("nobody", "x", None).is_err());
    assert!(
        team.recreate("ada3", "ada", None).is_err(),
        "a name is used once"
    );
    assert_eq!(team.person("ada3").unwrap().status, "ACTIVE");
}

#[tokio::test]
async fn a_record_can_lose_its_details() {
    let (bench, _) = with_ada().await;
    let team = bench.sandbox.opa();
    team.disable("ada").unwrap();
    team.clear_details("ada").unwrap();
    let ada = bench.opa("/users/ada").await.json();
    assert_eq!(ada["details"], json!(null));
    assert_eq!(ada["status"], "DISABLED");
}

#[tokio::test]
async fn a_mailbox_is_passed_on() {
    let (bench, _) = with_ada().await;
    let team = bench.sandbox.opa();
    team.add_person(PersonSeed::active("bob", "bob@example.com"))
        .unwrap();
    team.delete("ada").unwrap();
    team.pass_address_on("ada", "bob").unwrap();
    for name in ["ada", "bob"] {
        let user = bench.opa(&format!("/users/{name}")).await.json();
        assert_eq!(user["details"]["email"], "ada@example.com");
    }
    assert!(team.pass_address_on("nobody", "bob").is_err());
}
