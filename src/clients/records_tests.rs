//! What counts as a record and what does not (G0).

use super::*;

fn user(json: &str) -> Result<PersonRecord, String> {
    record::<OpaUserRecord>(json.as_bytes())
}

#[test]
fn a_user_needs_id_name_and_status_and_nothing_else() {
    let bare = user(r#"{"id":"1","name":"ada","status":"ACTIVE"}"#).unwrap();
    assert_eq!(
        (bare.email, bare.user_type, bare.status),
        (None, UserType::Human, PersonStatus::Active)
    );
    for json in [
        r#"{"name":"ada","status":"ACTIVE"}"#,
        r#"{"id":"1","status":"ACTIVE"}"#,
        r#"{"id":"1","name":"ada"}"#,
        r#"{"id":"","name":"ada","status":"ACTIVE"}"#,
        r#"{"id":null,"name":"ada","status":"ACTIVE"}"#,
        r#"{"id":"1","name":"ada","status":7}"#,
        r#"{"id":"1","name":"ada","status":"ACTIVE","details":{"email":7}}"#,
        r#"{"id":"1","name":"ada","status":"ACTIVE","details":["a@b.c"]}"#,
        r#"{"id":"1","id":"2","name":"ada","status":"ACTIVE"}"#,
        r#"["1","ada","ACTIVE"]"#,
        "{} trailing",
        "",
        "null",
    ] {
        assert!(user(json).is_err(), "{json}");
    }
}

#[test]
fn what_is_not_used_may_be_anything() {
    let json = r#"{"id":"1","name":"ada","status":"ODD","role_grants":7,"deleted_at":{},
        "details":{"email":null,"first_name":"Ada","full_name":[1]},"new":{"deep":[[[]]]}}"#;
    let ada = user(json).unwrap();
    assert_eq!(ada.status, PersonStatus::Unrecognised("ODD".into()));
    assert_eq!(ada.first_name.as_deref(), Some("Ada"));
}

#[test]
fn a_group_lives_unless_it_has_a_real_end() {
    let live = |end: &str| {
        record::<OpaGroupRecord>(format!(r#"{{"id":"1","name":"g"{end}}}"#).as_bytes())
            .map(|group| group.live)
    };
    assert_eq!(live(""), Ok(true));
    assert_eq!(live(r#","deleted_at":null"#), Ok(true));
    assert_eq!(live(r#","deleted_at":"0001-01-01T00:00:00Z""#), Ok(true));
    assert_eq!(live(r#","deleted_at":"2024-01-01T00:00:00Z""#), Ok(false));
    assert!(live(r#","deleted_at":"soon""#).is_err());
}

#[test]
fn an_account_needs_only_its_id() {
    let account = record::<OpseraUserRecord>(br#"{"_id":"1","email":null,"groups":7}"#).unwrap();
    assert!(account.active && account.site_role.is_none());
    let full = br#"{"_id":"1","firstName":"A","siteRole":"Users","active":false}"#;
    let full = record::<OpseraUserRecord>(full).unwrap();
    assert_eq!(full.site_role.as_deref(), Some("Users"));
    assert!(!full.active);
    for json in [
        r#"{"email":"a@b.c"}"#,
        r#"{"_id":" "}"#,
        r#"{"_id":"1","active":"no"}"#,
    ] {
        assert!(
            record::<OpseraUserRecord>(json.as_bytes()).is_err(),
            "{json}"
        );
    }
}

#[test]
fn a_page_is_an_object_with_a_list() {
    let page = |json: &str| page::<OpaGroupRecord>(json.as_bytes());
    assert_eq!(page(r#"{"list":[]}"#), Ok(vec![]));
    for json in [
        "{}",
        r#"{"list":null}"#,
        "[]",
        "[[]]",
        r#"{"list":[]}x"#,
        r#"{"list":{}}"#,
    ] {
        assert!(page(json).is_err(), "{json}");
    }
    assert!(page("<html>").unwrap_err().contains("HTML"));
}
