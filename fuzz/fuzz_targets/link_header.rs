//! A `Link` header (G0, §11): it must not lead a credential elsewhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reqwest::header::{HeaderMap, HeaderValue, LINK};
use rolecall::clients::fuzzing::next_page;
use url::Url;

fuzz_target!(|values: Vec<&[u8]>| {
    let page = Url::parse("https://example.pam.okta.com/v1/teams/example/users?count=1000")
        .expect("a URL");
    let mut headers = HeaderMap::new();
    for value in values {
        let Ok(value) = HeaderValue::from_bytes(value) else {
            return;
        };
        headers.append(LINK, value);
    }
    let first = next_page(&headers, &page);
    assert_eq!(first, next_page(&headers, &page));
    if let Ok(Some(next)) = first {
        assert_eq!(next.scheme(), "https");
        assert_eq!(next.host_str(), page.host_str());
        assert_eq!(next.port_or_known_default(), Some(443));
        assert_eq!((next.username(), next.password()), ("", None));
        assert_eq!(next.fragment(), None);
    }
});
