//! A paged listing of OPA, read page by page (G0).
//!
//! A listing ends at the first page without a next link, and nowhere else. Everything that makes
//! its end or its completeness doubtful is an error. A failed page can be asked for again: the
//! listing moves on only past pages that arrived whole.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::marker::PhantomData;

use url::Url;

use super::error::CallError;
use super::http::Request;
use super::link;
use super::pace::Deadline;
use super::session::Session;
use super::wire::{self, Wire};
use crate::domain::{GroupRecord, PersonRecord};

/// Largest page, in bytes after decompression (§11).
const PAGE_BODY: usize = 64 << 20;

/// Most pages of one listing (G0).
const MAX_PAGES: usize = 100_000;

/// A word that OPA lists.
pub trait Listed: private::FromWire {}
impl Listed for PersonRecord {}
impl Listed for GroupRecord {}

mod private {
    /// Ties a word of the domain to the record it is read from.
    pub trait FromWire: Sized {
        /// Reads one page.
        fn page(body: &[u8]) -> Result<Vec<Self>, String>;
    }
}

impl private::FromWire for PersonRecord {
    fn page(body: &[u8]) -> Result<Vec<Self>, String> {
        page_of::<wire::WireUser>(body)
    }
}

impl private::FromWire for GroupRecord {
    fn page(body: &[u8]) -> Result<Vec<Self>, String> {
        page_of::<wire::WireGroup>(body)
    }
}

fn page_of<W: Wire>(body: &[u8]) -> Result<Vec<W::Word>, String> {
    wire::page::<W>(body)
}

/// A listing under way.
#[derive(Debug)]
pub struct Listing<'c, T> {
    session: &'c Session,
    call: String,
    state: State,
    deadline: Option<Deadline>,
    seen: SeenPages,
    pull_timeout: std::time::Duration,
    words: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum State {
    Next(Url),
    Ended,
    /// The listing was refused before its first request.
    Impossible(super::path::NotASegment),
}

impl<'c, T: Listed> Listing<'c, T> {
    pub(super) fn new(
        session: &'c Session,
        call: String,
        first: Result<Url, super::path::NotASegment>,
        pull_timeout: std::time::Duration,
    ) -> Self {
        Self {
            session,
            call,
            state: first.map_or_else(State::Impossible, State::Next),
            deadline: None,
            seen: SeenPages::default(),
            pull_timeout,
            words: PhantomData,
        }
    }

    /// The next page, or `None` past the last one. A page may be empty without being the last.
    ///
    /// # Errors
    /// Whatever makes the listing incomplete (G0), `opa.pull_timeout` included.
    pub async fn next_page(&mut self) -> Result<Option<Vec<T>>, CallError> {
        let core = &self.session.core;
        let url = match &self.state {
            State::Next(url) => url.clone(),
            State::Ended => return Ok(None),
            State::Impossible(name) => return Err(self.session.unaskable(&self.call, name)),
        };
        let limit = self.pull_timeout;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Deadline::after(&core.clock, limit, "opa.pull_timeout"));
        let request: Request = Session::get(url, self.call.clone());
        let whole = self
            .session
            .fetch(&request, PAGE_BODY, Some(deadline))
            .await?;
        let words = T::page(&whole.body).map_err(|detail| core.malformed(&request, &detail))?;
        let next = link::next_page(&whole.headers, &request.url)
            .map_err(|error| core.malformed(&request, &error.to_string()))?;
        self.state = match next {
            None => State::Ended,
            Some(next) => {
                self.seen
                    .step(&request.url, &next)
                    .map_err(|detail| core.malformed(&request, &detail))?;
                State::Next(next)
            }
        };
        Ok(Some(words))
    }
}

/// The pages of a listing so far, as hashes: a hundred thousand URLs need not be kept.
#[derive(Debug, Default)]
struct SeenPages {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl SeenPages {
    /// Notes `page` and looks whether `next` is a new one.
    fn step(&mut self, page: &Url, next: &Url) -> Result<(), String> {
        self.hashes.insert(self.hash(page));
        if self.hashes.contains(&self.hash(next)) {
            return Err("its next link leads back to a page that was read before".to_owned());
        }
        if self.hashes.len() >= MAX_PAGES {
            return Err(format!("the listing has more than {MAX_PAGES} pages"));
        }
        Ok(())
    }

    /// The order of the parameters makes no other page.
    fn hash(&self, url: &Url) -> u64 {
        let mut parameters: Vec<_> = url.query_pairs().collect();
        parameters.sort();
        self.hasher.hash_one((url.path(), parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(query: &str) -> Url {
        Url::parse(&format!("https://opa.example/users?{query}")).unwrap()
    }

    #[test]
    fn a_cursor_that_comes_back_is_noticed_in_any_spelling() {
        let mut seen = SeenPages::default();
        assert!(seen.step(&url("count=1"), &url("count=1&offset=a")).is_ok());
        let second = url("count=1&offset=a");
        assert!(seen.step(&second, &url("offset=a&count=1")).is_err());
        assert!(seen.step(&second, &url("count=1")).is_err());
        assert!(seen.step(&second, &url("count=1&offset=b")).is_ok());
    }

    #[test]
    fn more_pages_than_anybody_has_are_refused() {
        let mut seen = SeenPages::default();
        let failed = (0..=MAX_PAGES)
            .find_map(|n| {
                let (page, next) = (url(&format!("o={n}")), url(&format!("o={}", n + 1)));
                seen.step(&page, &next).err().map(|detail| (n, detail))
            })
            .unwrap();
        assert_eq!(failed.0, MAX_PAGES - 1);
        assert!(failed.1.contains("100000 pages"));
    }
}
