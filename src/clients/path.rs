//! Where a call goes: the operator's base URL, the API's path, and names as path segments.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// Everything but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same, with what Opsera's own examples write plainly in a query.
const QUERY: &AsciiSet = &SEGMENT.remove(b'@').remove(b'*');

/// A name that cannot be one segment of a path.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("“{0}” cannot be asked for: it would change the path of the request")]
pub(super) struct NotASegment(pub(super) String);

/// `name` as one segment. Every URL parser takes `.` and `..` out of a path, however they are
/// written, and an empty segment would ask for the listing instead.
pub(super) fn segment(name: &str) -> Result<String, NotASegment> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(NotASegment(name.to_owned()));
    }
    Ok(utf8_percent_encode(name, SEGMENT).to_string())
}

/// `text` as a value in a query.
pub(super) fn query_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// `path`, encoded, below `base`.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_one_segment() {
        let base = Url::parse("https://opa.example/").unwrap();
        for (name, path) in [
            ("a/b", "/users/a%2Fb"),
            ("a b", "/users/a%20b"),
            ("50%", "/users/50%25"),
            ("%2e%2e", "/users/%252e%252e"),
            ("zoë?#", "/users/zo%C3%AB%3F%23"),
            ("Jason.Compson.IV", "/users/Jason.Compson.IV"),
        ] {
            let url = below(&base, &format!("/users/{}", segment(name).unwrap()));
            assert_eq!((url.path(), url.query()), (path, None), "{name}");
        }
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        for name in ["", ".", ".."] {
            assert!(segment(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_path_in_the_base_url_stays() {
        let base = Url::parse("https://proxy.example/opa/").unwrap();
        assert_eq!(below(&base, "/v1").as_str(), "https://proxy.example/opa/v1");
    }
}
