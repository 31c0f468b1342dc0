//! Every form of a `Link` header, honest and hostile.

use proptest::prelude::*;
use reqwest::header::HeaderValue;

use super::*;

fn page() -> Url {
    Url::parse("https://opa.example/v1/teams/t/users?count=2").unwrap()
}

fn next(headers: &[&str]) -> Result<Option<String>, LinkError> {
    let headers = headers
        .iter()
        .map(|text| (LINK, HeaderValue::from_bytes(text.as_bytes()).unwrap()))
        .collect();
    next_page(&headers, &page()).map(|url| url.map(String::from))
}

const TWO: &str = "https://opa.example/v1/teams/t/users?offset=2";

#[test]
fn every_form_of_a_next_link_is_found() {
    let url = "https://opa.example/v1/teams/t/users?offset=2";
    for form in [
        format!(r#"<{url}>; rel="next""#),
        format!("<{url}>;rel=next"),
        format!("<{url}> ; REL = NeXt"),
        format!(r#"<{url}>; rel="prev next""#),
        format!(r#"<{url}>; title="a, b; <x>; rel=\"prev\""; rel="next""#),
        format!(r#"<{url}>; rel="next"; count=5;"#),
        format!(r#"</other,a;b>; rel="prev", <{url}>; rel="next", <x>"#),
        format!(r#", ,<{url}>; rel="next" , "#),
        format!(r#"<{url}#part>; rel="next""#),
        format!(r#"<{url}>; rel="next"; anchor="?count=2""#),
        format!("<{url}>; rel=next; title*=UTF-8''n%c3%a4chste"),
        r#"<?offset=2>; rel="next""#.to_owned(),
        r#"</v1/teams/t/users?offset=2>; rel="next""#.to_owned(),
        r#"<//OPA.example:443/v1/teams/t/users?offset=2>; rel="next""#.to_owned(),
    ] {
        assert_eq!(next(&[&form]), Ok(Some(TWO.to_owned())), "{form}");
    }
    let several = [r#"<?offset=0>; rel="prev""#, r#"<?offset=2>; rel="next""#];
    assert_eq!(next(&several), Ok(Some(TWO.to_owned())));
}

#[test]
fn links_of_other_kinds_end_the_listing() {
    for form in [
        "",
        r#"<?offset=0>; rel="prev first last""#,
        r#"<?offset=2>; rev="next""#,
        r#"<?offset=2>; rel="https://rels.example/next""#,
        r#"<?offset=2>; title="rel=next""#,
        r"<?offset=2;rel=next>",
        r#"<?offset=2>; rel="nextish""#,
        r#"<?offset=2>; rel="next"; anchor="/elsewhere""#,
    ] {
        assert_eq!(next(&[form]), Ok(None), "{form}");
    }
}

#[test]
fn a_header_that_cannot_be_read_is_doubt_and_not_an_end() {
    for form in [
        "?offset=2; rel=next",
        "<?offset=2; rel=next",
        r#"<?offset=2>; rel="next"#,
        "<?offset=2> rel=next",
        r#"<?offset=2>; rel=ne"xt"#,
        r#"<?offset=2>; ="next""#,
        r#"<?offset=2>; rel="next" junk"#,
        r#"<?offset=2>; rel="prev"; rel="next""#,
        "garbage",
    ] {
        assert!(
            matches!(next(&[form]), Err(LinkError::Grammar(_))),
            "{form}"
        );
    }
    assert_eq!(
        next(&[r#"<https://[bad>; rel="next""#]),
        Err(LinkError::Target)
    );
}

#[test]
fn a_next_link_stays_with_its_origin() {
    for target in [
        "http://opa.example/v1/teams/t/users",
        "https://evil.example/v1/teams/t/users",
        "https://opa.example:8443/v1/teams/t/users",
        "https://opa.example.evil.example/",
        "https://opa.example@evil.example/",
        "//evil.example/",
        "\\\\evil.example\\",
        "file:///etc/passwd",
        "data:text/plain,x",
    ] {
        let header = format!(r#"<{target}>; rel="next""#);
        assert!(
            matches!(next(&[&header]), Err(LinkError::ForeignOrigin(_))),
            "{target}"
        );
    }
    let with_user = r#"<https://u:p@opa.example/v1/>; rel="next""#;
    assert_eq!(next(&[with_user]), Err(LinkError::UserInfo));
}

#[test]
fn two_next_links_must_agree() {
    let same = r#"<?offset=2>; rel=next, </v1/teams/t/users?offset=2>; rel="next""#;
    assert_eq!(next(&[same]), Ok(Some(TWO.to_owned())));
    let differ = [r"<?offset=2>; rel=next", r#"<?offset=4>; rel="next""#];
    assert_eq!(next(&differ), Err(LinkError::Ambiguous));
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn nothing_made_of_the_grammars_own_characters_makes_it_panic(text in "[<>;,=\" \\\\relnxt?a]{0,60}") {
        if let Ok(value) = HeaderValue::from_str(&text) {
            let headers = [(LINK, value)].into_iter().collect();
            let _ = next_page(&headers, &page());
        }
    }

    #[test]
    fn next_is_found_among_decoys(
        decoys in proptest::collection::vec(("[a-z,;=]{0,8}", "(prev|first|last|self)", "[a-z ,;<>=]{0,12}"), 0..6),
        place in 0_usize..6,
        separator in "(, ?| ,)",
    ) {
        let mut links: Vec<String> = decoys
            .iter()
            .map(|(target, rel, title)| format!(r#"<{target}>; title="{title}"; rel={rel}"#))
            .collect();
        links.insert(place.min(links.len()), r#"<?offset=2>; rel="next""#.to_owned());
        prop_assert_eq!(next(&[&links.join(&separator)]), Ok(Some(TWO.to_owned())));
    }
}
