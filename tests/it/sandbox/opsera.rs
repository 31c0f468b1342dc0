//! The Opsera side: listing, searching, creating, deactivating, roles.

use rolecall::sandbox::{
    AccountSeed, AccountStatus, AnswerShape, Effect, ScimAnswer, SiteRoleField, TokenScope,
};
use serde_json::{Value, json};

use super::{Bench, column, reply};

fn fill(bench: &Bench) -> [String; 4] {
    let accounts = bench.sandbox.opsera();
    [
        AccountSeed::active("Jane@Example.com").named("Jane", "Doe"),
        AccountSeed::active("bob@other.example").owning(2),
        AccountSeed::active("new@example.com").status(AccountStatus::Pending),
        AccountSeed::active("old@example.com").status(AccountStatus::Inactive),
    ]
    .map(|seed| accounts.add(seed).unwrap())
}

#[tokio::test]
async fn the_listing_is_one_array_of_active_accounts_that_can_be_filtered() {
    let bench = Bench::empty().await;
    let [jane, bob, ..] = fill(&bench);
    let all = bench.opsera("GET", "/users").await;
    assert_eq!(column(&all.json(), "_id"), [jane.clone(), bob.clone()]);
    assert_eq!(all.json()[0]["firstName"], "Jane");
    assert_eq!(all.json()[0]["active"], true);
    assert!(all.json()[0].get("siteRole").is_none());
    let filtered = bench.opsera("GET", "/users?email=*@example.com").await;
    assert_eq!(column(&filtered.json(), "_id"), [jane.as_str()]);
    let filtered = bench
        .opsera("GET", &format!("/users?id={bob},{jane}"))
        .await;
    assert_eq!(column(&filtered.json(), "_id"), [jane, bob]);
    assert_eq!(bench.opsera("GET", "/users?page=2").await.status, 400);
    bench
        .sandbox
        .opsera()
        .report_site_role(SiteRoleField::Reported);
    let all = bench.opsera("GET", "/users").await.json();
    assert_eq!(all[0]["siteRole"], "Users");
}

#[tokio::test]
async fn an_empty_directory_is_an_empty_array() {
    let bench = Bench::empty().await;
    assert_eq!(bench.opsera("GET", "/users").await.json(), json!([]));
}

#[tokio::test]
async fn one_account_is_found_by_id_by_address_and_by_search() {
    let bench = Bench::empty().await;
    let [jane, _, new, old] = fill(&bench);
    let by_id = bench.opsera("GET", &format!("/user/{jane}")).await.json();
    assert_eq!(by_id["email"], "Jane@Example.com");
    let by_email = bench.opsera("GET", "/user/jANE%40example.com").await.json();
    assert_eq!(by_email, by_id);
    let searched = bench
        .opsera("GET", "/user?search=email=jane@example.com")
        .await;
    assert_eq!(searched.json(), by_id);
    assert_eq!(
        bench.opsera("GET", &format!("/user/{new}")).await.json()["active"],
        true
    );
    assert_eq!(
        bench.opsera("GET", &format!("/user/{old}")).await.json()["active"],
        false
    );
    assert_eq!(bench.opsera("GET", "/user/nobody").await.status, 404);
    assert_eq!(
        bench
            .opsera("GET", "/user?search=email=nobody@x")
            .await
            .status,
        404
    );
    assert_eq!(bench.opsera("GET", "/user?search=jane").await.status, 400);
    assert_eq!(bench.opsera("GET", "/user").await.status, 400);
    let twin = AccountSeed::active("JANE@example.com");
    bench.sandbox.opsera().add(twin).unwrap();
    let several = bench
        .opsera("GET", "/user?search=email=jane@example.com")
        .await;
    assert_eq!(several.status, 400);
}

#[tokio::test]
async fn a_deactivation_is_final_and_owners_are_refused() {
    let bench = Bench::empty().await;
    let [jane, bob, _, old] = fill(&bench);
    let done = bench.opsera("DELETE", &format!("/user/{jane}")).await;
    assert_eq!(done.status, 200);
    assert!(done.text.contains("User deactivation completed: true"));
    let again = bench.opsera("DELETE", &format!("/user/{jane}")).await;
    assert_eq!(again.status, 400);
    assert!(again.text.contains("user is not active"), "{}", again.text);
    let owner = bench.opsera("DELETE", "/user/bob%40other.example").await;
    assert_eq!(owner.status, 400);
    assert!(owner.text.contains("ownership"), "{}", owner.text);
    bench.sandbox.opsera().transfer_ownership(&bob).unwrap();
    assert_eq!(
        bench.opsera("DELETE", &format!("/user/{bob}")).await.status,
        200
    );
    assert_eq!(
        bench.opsera("DELETE", &format!("/user/{old}")).await.status,
        400
    );
    assert_eq!(bench.opsera("DELETE", "/user/nobody").await.status, 400);
    assert_eq!(
        bench.sandbox.opsera().deactivations(),
        [jane.clone(), bob.clone()]
    );
    let expected = [
        Effect::Deactivated { id: jane },
        Effect::Deactivated { id: bob },
    ];
    assert_eq!(bench.sandbox.journal().effects(), expected);
    assert_eq!(bench.sandbox.journal().writes().len(), 6);
}

#[tokio::test]
async fn a_created_account_is_pending_and_its_address_unique() {
    let bench = Bench::empty().await;
    fill(&bench);
    let body = |email: &str| json!({"email": email, "firstName": "A", "lastName": "B", "siteRole": "Auditors"});
    let done = bench
        .opsera_with("POST", "/user", body("a@example.com"))
        .await;
    assert_eq!(done.status, 201);
    let account = bench.sandbox.opsera().get("a@example.com").unwrap();
    assert_eq!(account.status, AccountStatus::Pending);
    assert_eq!(account.site_role, "Auditors");
    let listed = bench
        .opsera("GET", "/users?email=a@example.com")
        .await
        .json();
    assert_eq!(listed, json!([]));
    for email in ["A@EXAMPLE.com", "old@example.com", ""] {
        let refused = bench.opsera_with("POST", "/user", body(email)).await;
        assert_eq!(refused.status, 400, "{email}");
    }
    for field in ["email", "firstName", "lastName", "siteRole"] {
        let mut incomplete = body("c@example.com");
        incomplete.as_object_mut().unwrap().remove(field);
        let refused = bench.opsera_with("POST", "/user", incomplete).await;
        assert_eq!(refused.status, 400, "without {field}");
    }
    let effects = bench.sandbox.journal().effects();
    assert!(
        matches!(effects.as_slice(), [Effect::Created { email, .. }] if email == "a@example.com")
    );
}

#[tokio::test]
async fn a_site_role_is_one_of_five() {
    let bench = Bench::empty().await;
    let [jane, ..] = fill(&bench);
    let path = format!("/user/{jane}/siterole");
    let role = |name: &str| json!({"siteRole": name});
    let done = bench.opsera_with("PUT", &path, role("PowerUsers")).await;
    assert_eq!(done.status, 200);
    assert!(
        done.text
            .contains("Successfully updated site role for user.")
    );
    assert_eq!(
        bench.sandbox.opsera().get(&jane).unwrap().site_role,
        "PowerUsers"
    );
    let refused = bench.opsera_with("PUT", &path, role("powerusers")).await;
    assert_eq!(refused.status, 400);
    let refused = bench
        .opsera_with("PUT", &path, json!({"role": "Users"}))
        .await;
    assert_eq!(refused.status, 400);
    let unknown = bench
        .opsera_with("PUT", "/user/nobody/siterole", role("Users"))
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn answers_to_writes_come_in_three_shapes() {
    let bench = Bench::empty().await;
    let [jane, ..] = fill(&bench);
    let words = "Successfully updated site role for user.";
    for (shape, expected) in [
        (AnswerShape::JsonString, Value::from(words).to_string()),
        (AnswerShape::Object, json!({"message": words}).to_string()),
        (AnswerShape::PlainText, words.to_owned()),
    ] {
        bench.sandbox.opsera().answer_shape(shape);
        let path = format!("/user/{jane}/siterole");
        let done = bench
            .opsera_with("PUT", &path, json!({"siteRole": "Users"}))
            .await;
        assert_eq!(done.text, expected);
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_read_only_one_may_not_write() {
    let bench = Bench::empty().await;
    let [jane, ..] = fill(&bench);
    let url = format!("{}/api/v2/usermanagement/users", bench.sandbox.opsera_url());
    let refused = reply(bench.client.get(&url).bearer_auth("wrong"))
        .await
        .unwrap();
    assert_eq!(refused.status, 401);
    assert_eq!(reply(bench.client.get(&url)).await.unwrap().status, 401);
    bench.sandbox.opsera().token_scope(TokenScope::ReadOnly);
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    assert_eq!(
        bench
            .opsera("DELETE", &format!("/user/{jane}"))
            .await
            .status,
        403
    );
    assert!(bench.sandbox.opsera().deactivations().is_empty());
}

#[tokio::test]
async fn search_and_listing_know_active_accounts_only() {
    let bench = Bench::empty().await;
    let [jane, bob, new, old] = fill(&bench);
    let listed = bench.opsera("GET", "/users").await.json();
    assert_eq!(column(&listed, "_id"), [jane, bob]);
    for (id, email) in [(&new, "new@example.com"), (&old, "old@example.com")] {
        let searched = format!("/user?search=email={email}");
        assert_eq!(bench.opsera("GET", &searched).await.status, 404, "{email}");
        for user in [id.as_str(), email] {
            let found = bench.opsera("GET", &format!("/user/{user}")).await;
            assert_eq!(found.json()["email"], email);
        }
    }
}

/// A call below `/api/v2`, outside of user management.
async fn scim(bench: &Bench, query: &str) -> super::Reply {
    let url = format!("{}/api/v2/scim/v2/Users{query}", bench.sandbox.opsera_url());
    let token = bench.sandbox.opsera_token();
    reply(bench.client.get(url).bearer_auth(token))
        .await
        .unwrap()
}

#[tokio::test]
async fn scim_counts_the_active_accounts_whatever_the_listing_shows() {
    let bench = Bench::empty().await;
    let [jane, ..] = fill(&bench);
    let opsera = bench.sandbox.opsera();
    let counted = scim(&bench, "?startIndex=1&count=1").await;
    assert_eq!(counted.headers["content-type"], "application/scim+json");
    let counted = counted.json();
    assert_eq!(counted["totalResults"], 2);
    assert_eq!(counted["itemsPerPage"], 1);
    assert_eq!(counted["Resources"].as_array().unwrap().len(), 1);
    opsera.shrink_listing(Some(1));
    assert_eq!(
        column(&bench.opsera("GET", "/users").await.json(), "_id"),
        std::slice::from_ref(&jane)
    );
    opsera.shrink_listing(None);
    opsera.omit_from_listing(&jane).unwrap();
    let shown = bench.opsera("GET", "/users").await.json();
    assert_eq!(column(&shown, "email"), ["bob@other.example"]);
    let found = bench.opsera("GET", &format!("/user/{jane}")).await;
    assert_eq!(found.json()["active"], true);
    assert_eq!(scim(&bench, "").await.json()["totalResults"], 2);
    opsera.omit_nobody();
    assert_eq!(
        bench.opsera("GET", "/users").await.json()[0]["_id"],
        jane.as_str()
    );
}

#[tokio::test]
async fn scim_answers_what_a_test_wants() {
    let bench = Bench::empty().await;
    let opsera = bench.sandbox.opsera();
    for wrong in [json!(-1), json!("2"), json!(null)] {
        opsera.scim(ScimAnswer::TotalResults(wrong.clone()));
        assert_eq!(scim(&bench, "").await.json()["totalResults"], wrong);
    }
    opsera.scim(ScimAnswer::Html);
    assert!(scim(&bench, "").await.text.starts_with("<html>"));
    opsera.scim(ScimAnswer::NotFound);
    assert_eq!(scim(&bench, "").await.status, 404);
    opsera.scim(ScimAnswer::Forbidden);
    assert_eq!(scim(&bench, "").await.status, 403);
    assert_eq!(scim(&bench, "?count=x").await.status, 403);
}

#[tokio::test]
async fn the_token_is_a_jwt_that_expires_when_it_says() {
    use base64::Engine as _;
    let bench = Bench::empty().await;
    let expires_at = "2026-03-01T13:00:00Z"
        .parse::<rolecall::domain::time::Timestamp>()
        .unwrap();
    let former = bench.sandbox.opsera_token();
    let token = bench.sandbox.opsera().issue_token(expires_at);
    assert_ne!(former, token);
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["exp"], expires_at.timestamp());
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    bench.clock.advance(std::time::Duration::from_hours(1));
    for (method, path) in [("GET", "/users"), ("DELETE", "/user/x")] {
        let refused = bench.opsera(method, path).await;
        assert_eq!(refused.status, 403);
        assert!(refused.text.contains("expired"), "{}", refused.text);
    }
    assert_eq!(scim(&bench, "").await.status, 403);
}

#[tokio::test]
async fn an_expired_token_a_deactivated_owner_and_a_small_scope_are_all_403() {
    let bench = Bench::empty().await;
    let [jane, ..] = fill(&bench);
    let opsera = bench.sandbox.opsera();
    opsera.token_owner("jane@example.com");
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    opsera.token_scope(TokenScope::TooSmall);
    assert_eq!(bench.opsera("GET", "/users").await.status, 403);
    opsera.token_scope(TokenScope::Full);
    let set = |status| opsera.edit(&jane, |account| account.status = status);
    set(AccountStatus::Inactive).unwrap();
    assert_eq!(bench.opsera("GET", "/users").await.status, 403);
    set(AccountStatus::Active).unwrap();
    assert_eq!(bench.opsera("GET", "/users").await.status, 200);
    opsera.expire_token();
    assert_eq!(bench.opsera("GET", "/users").await.status, 403);
    let url = format!("{}/api/v2/usermanagement/users", bench.sandbox.opsera_url());
    let wrong = reply(bench.client.get(url).bearer_auth("wrong")).await;
    assert_eq!(wrong.unwrap().status, 401);
}

#[tokio::test]
async fn a_change_shows_in_a_listing_that_was_served_before() {
    let bench = Bench::empty().await;
    let [jane, ..] = fill(&bench);
    let before = bench.opsera("GET", "/users").await.text;
    assert_eq!(bench.opsera("GET", "/users").await.text, before);
    bench.opsera("DELETE", &format!("/user/{jane}")).await;
    let after = bench.opsera("GET", "/users").await.json();
    assert_eq!(column(&after, "email"), ["bob@other.example"]);
    bench
        .sandbox
        .opsera()
        .add(AccountSeed::active("zoe@example.com"))
        .unwrap();
    let after = bench.opsera("GET", "/users").await.json();
    assert_eq!(
        column(&after, "email"),
        ["bob@other.example", "zoe@example.com"]
    );
}
