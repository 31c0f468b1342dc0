//! The `Link` headers that join the pages of a listing (RFC 8288).

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// In which forms pages are linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkForms {
    /// One absolute `rel="next"`, as OPA sends it and as Okta's own client understands it.
    #[default]
    Plain,
    /// Every form that RFC 8288 allows, in turn, with links to the page before as well.
    All,
}

/// A page that a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkedPage {
    /// The id of the record that the page lies beyond.
    pub(super) offset: String,
    /// Which repetition of that id it is, in a listing that shows an id more than once.
    pub(super) repeat: usize,
}

/// What the links of a page say, and in which form.
pub(super) struct Links<'a> {
    /// `http://127.0.0.1:1234`
    pub(super) origin: &'a str,
    pub(super) path: &'a str,
    /// The parameters of the request that stay the same.
    pub(super) query: Vec<(String, String)>,
    pub(super) forms: LinkForms,
    /// Chooses one of the forms.
    pub(super) number: u64,
}

impl Links<'_> {
    /// The `Link` headers of a page.
    pub(super) fn headers(
        &self,
        next: Option<&LinkedPage>,
        prev: Option<&LinkedPage>,
    ) -> HeaderMap {
        let fields = match self.forms {
            LinkForms::Plain => next
                .map(|page| format!("<{}>; rel=\"next\"", self.target(page, "")))
                .into_iter()
                .collect(),
            LinkForms::All => self.any_form(next, prev),
        };
        let mut headers = HeaderMap::new();
        for field in fields.iter().filter(|field| !field.is_empty()) {
            if let Ok(value) = HeaderValue::from_str(field) {
                headers.append(header::LINK, value);
            }
        }
        headers
    }

    fn any_form(&self, next: Option<&LinkedPage>, prev: Option<&LinkedPage>) -> Vec<String> {
        let form = self.number % 6;
        let mut links = Vec::new();
        if let Some(page) = prev {
            let target = self.target(page, "&prev=true");
            links.push(match form {
                0 | 1 => format!("<{target}>; rel=\"prev\""),
                2 => format!("<{target}>; rel=prev"),
                3 => format!("<{target}>;title=\"the page before, again\";rel=\"prev previous\""),
                _ => format!("<{target}>; Rel=\"prev\"; type=\"application/json\""),
            });
        }
        if let Some(page) = next {
            let target = self.target(page, "");
            links.push(match form {
                0 | 1 => format!("<{target}>; rel=\"next\""),
                2 => format!("<{target}>; rel=next"),
                3 => format!("<{target}>;title=\"more; rel=\\\"prev\\\", and more\";rel=\"next\""),
                _ => format!("<{target}>; type=\"application/json\" ; Rel=\"nothing next\""),
            });
        }
        if self.number.is_multiple_of(2) {
            vec![links.join(", ")]
        } else {
            links
        }
    }

    fn target(&self, page: &LinkedPage, rest: &str) -> String {
        // A reference without host is as good as one with it (RFC 8288, 3.1).
        let relative = self.forms == LinkForms::All && self.number % 6 == 5;
        let origin = if relative { "" } else { self.origin };
        let mut target = format!("{origin}{}?", self.path);
        for (name, value) in &self.query {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            // Writing to a string cannot fail.
            let _ = write!(target, "{name}={value}&");
        }
        let offset = utf8_percent_encode(&page.offset, NON_ALPHANUMERIC);
        let _ = write!(target, "offset={offset}");
        if page.repeat > 0 {
            let _ = write!(target, "&repeat={}", page.repeat);
        }
        target.push_str(rest);
        target
    }
}
