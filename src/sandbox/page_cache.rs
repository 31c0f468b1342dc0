//! Pages that were rendered and hold until the Team changes.
//!
//! A listing of a million people is rendered once and then served from memory, so that a benchmark
//! measures the client and not the sandbox.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};

/// Bytes of pages that are kept; pages beyond are rendered for each request.
const MOST_BYTES: usize = 2 << 30;

/// The rendered pages, by path and query.
#[derive(Default)]
pub(super) struct PageCache {
    pages: HashMap<String, (HeaderMap, Bytes)>,
    bytes: usize,
}

impl PageCache {
    /// The page that was rendered for this path and query.
    pub(super) fn get(&self, path_and_query: &str) -> Option<Response> {
        let (headers, body) = self.pages.get(path_and_query)?;
        Some((headers.clone(), body.clone()).into_response())
    }

    /// Keeps a page, while there is room, and gives it back as a response.
    pub(super) fn put(
        &mut self,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Response {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let body = Bytes::from(body);
        if self.bytes.saturating_add(body.len()) <= MOST_BYTES {
            self.bytes += body.len();
            let page = (headers.clone(), body.clone());
            self.pages.insert(path_and_query.to_owned(), page);
        }
        (headers, body).into_response()
    }

    /// Forgets every page: something changed.
    pub(super) fn clear(&mut self) {
        if !self.pages.is_empty() {
            self.pages.clear();
            self.bytes = 0;
        }
    }
}
