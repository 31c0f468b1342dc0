//! A paged listing of OPA, read page by page (G0).
//!
//! A listing ends at the first page without a next link, and nowhere else. Everything that makes
//! its end or its completeness doubtful is an error. A failed page can be asked for again: the
//! listing moves on only past pages that arrived whole.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use url::Url;

use super::error::CallError;
use super::http::Request;
use super::link;
use super::path::NotASegment;
use super::rate_limit::Deadline;
use super::records::{self, ApiRecord};
use super::session::Session;

/// Largest page, in bytes after decompression (§11).
const PAGE_BODY: usize = 64 << 20;

/// Most pages of one listing (G0).
const MAX_PAGES: usize = 100_000;

/// Page size of a server that is asked for none.
const DEFAULT_PAGE: u64 = 100;

/// The four listings of OPA. What a server makes of `count` may differ between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListingKind {
    Users,
    Groups,
    UserGroups,
    GroupUsers,
}

/// What the pages so far showed about page sizes.
#[derive(Debug)]
pub(super) struct PageSizes {
    asked: u32,
    refused: [AtomicBool; 4],
    /// Records of a page of people that another page follows; 0 before there was one.
    full_page: AtomicU64,
    /// Everybody in the Team, as the second count told; 0: not known.
    everybody: AtomicU64,
}

impl PageSizes {
    pub(super) fn new(asked: u32) -> Self {
        Self {
            asked,
            refused: [const { AtomicBool::new(false) }; 4],
            full_page: AtomicU64::new(0),
            everybody: AtomicU64::new(0),
        }
    }

    /// How many records a page holds: what came, or else what is asked for.
    pub(super) fn page_size(&self) -> u64 {
        match self.observed() {
            Some(size) => size,
            None if self.is_refused(ListingKind::Users) => DEFAULT_PAGE,
            None => u64::from(self.asked),
        }
    }

    /// How many records came in a page that another one follows.
    pub(super) fn observed(&self) -> Option<u64> {
        Some(self.full_page.load(Ordering::Relaxed)).filter(|size| *size > 0)
    }

    /// Takes the number of people in the Team; gives the requests that reading them will need.
    /// `None` when the number was known before.
    pub(super) fn learn_everybody(&self, everybody: u64) -> Option<u64> {
        let known = self.everybody.swap(everybody, Ordering::Relaxed);
        (known == 0 && everybody > 0).then(|| self.requests_for(everybody))
    }

    pub(super) fn requests_for(&self, people: u64) -> u64 {
        // One more page each for the disabled and the deleted.
        people.div_ceil(self.page_size().max(1)).saturating_add(2)
    }

    /// Whether the server answered 400 to a page with `count`.
    pub(super) fn is_refused(&self, kind: ListingKind) -> bool {
        self.flag(kind).load(Ordering::Relaxed)
    }

    fn refuse(&self, kind: ListingKind) {
        self.flag(kind).store(true, Ordering::Relaxed);
    }

    fn flag(&self, kind: ListingKind) -> &AtomicBool {
        let [users, groups, user_groups, group_users] = &self.refused;
        match kind {
            ListingKind::Users => users,
            ListingKind::Groups => groups,
            ListingKind::UserGroups => user_groups,
            ListingKind::GroupUsers => group_users,
        }
    }

    /// Notes a page that another one follows; gives the requests that are now known to be needed,
    /// when this is the first one.
    fn note_full_page(&self, kind: ListingKind, records: usize) -> Option<u64> {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        if records == 0 || !matches!(kind, ListingKind::Users | ListingKind::GroupUsers) {
            return None;
        }
        let before = self.full_page.fetch_max(records, Ordering::Relaxed);
        let everybody = self.everybody.load(Ordering::Relaxed);
        (before == 0 && everybody > 0).then(|| self.requests_for(everybody))
    }
}

/// A listing under way.
#[derive(Debug)]
pub struct Pages<'c, R> {
    session: &'c Session,
    sizes: &'c PageSizes,
    kind: ListingKind,
    call: String,
    state: State,
    deadline: Option<Deadline>,
    seen: SeenPages,
    pull_timeout: Duration,
    record: PhantomData<fn() -> R>,
}

#[derive(Debug)]
enum State {
    First(Url),
    Next(Url),
    Ended,
    /// The name in its path can be no part of a path.
    Impossible(NotASegment),
}

impl<'c, R: ApiRecord> Pages<'c, R> {
    pub(super) fn new(
        session: &'c Session,
        sizes: &'c PageSizes,
        kind: ListingKind,
        call: String,
        first: Result<Url, NotASegment>,
        pull_timeout: Duration,
    ) -> Self {
        Self {
            session,
            sizes,
            kind,
            call,
            state: first.map_or_else(State::Impossible, State::First),
            deadline: None,
            seen: SeenPages::default(),
            pull_timeout,
            record: PhantomData,
        }
    }

    /// Whether another page is known to follow.
    pub fn has_more(&self) -> bool {
        matches!(self.state, State::Next(_))
    }

    /// The next page, or `None` past the last one. A page may be empty without being the last.
    ///
    /// # Errors
    /// Whatever makes the listing incomplete (G0), `opa.pull_timeout` included.
    pub async fn next_page(&mut self) -> Result<Option<Vec<R::Model>>, CallError> {
        let (url, is_first) = match &self.state {
            State::First(url) => (url.clone(), true),
            State::Next(url) => (url.clone(), false),
            State::Ended => return Ok(None),
            State::Impossible(name) => {
                let error = self.session.http.invalid_segment(&self.call, name.clone());
                return Err(error);
            }
        };
        let page = if is_first {
            self.first_page(url).await?
        } else {
            self.page(url).await?
        };
        Ok(Some(page))
    }

    /// Asks with `count`; a server that answers 400 to that is asked once more without it.
    async fn first_page(&mut self, url: Url) -> Result<Vec<R::Model>, CallError> {
        if self.sizes.is_refused(self.kind) {
            return self.page(url).await;
        }
        let mut with_count = url.clone();
        with_count
            .query_pairs_mut()
            .append_pair("count", &self.sizes.asked.to_string());
        match self.page(with_count).await {
            Err(CallError::ClientError { status, .. }) if status.as_u16() == 400 => {
                tracing::info!(
                    call = %self.call,
                    page_size = self.sizes.asked,
                    "OPA refuses opa.page_size for this listing; asking without it"
                );
                self.sizes.refuse(self.kind);
                self.page(url).await
            }
            other => other,
        }
    }

    async fn page(&mut self, url: Url) -> Result<Vec<R::Model>, CallError> {
        let http = &self.session.http;
        let limit = self.pull_timeout;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| http.rate_limiter.deadline(limit, "opa.pull_timeout"));
        let request: Request = Session::get(url, self.call.clone());
        let response = self
            .session
            .fetch(&request, PAGE_BODY, Some(deadline))
            .await?;
        let models = records::page::<R>(&response.body)
            .map_err(|detail| http.malformed(&request, &detail))?;
        let next = link::next_page(&response.headers, &request.url)
            .map_err(|error| http.malformed(&request, &error.to_string()))?;
        self.state = match next {
            None => State::Ended,
            Some(next) => {
                self.seen
                    .step(&request.url, &next)
                    .map_err(|detail| http.malformed(&request, &detail))?;
                let needed = self.sizes.note_full_page(self.kind, models.len());
                if let (Some(needed), Some(quota)) = (needed, http.rate_limiter.quota()) {
                    quota.expect_instead(needed);
                }
                State::Next(next)
            }
        };
        Ok(models)
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
