//! The requests that the sandbox received, in order, with their effects and statuses.
//!
//! Tests read it to say what was sent and what it changed; the hook lets them look at both
//! directories when a request has arrived and has had no effect yet.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::sandbox::api::{Api, Effect};

/// Entries kept. The oldest go first, so that a sandbox left running does not fill the memory.
const KEPT: usize = 500_000;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Counts the requests of both directories, from 1.
    pub number: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// Where it arrived.
    pub api: Api,
    /// `GET`, `POST`, …
    pub method: String,
    /// The decoded path below the directory's base (`/users`, `/user/jane@example.com`), or the
    /// whole path if it is not below it.
    pub path: String,
    /// The path as it was sent, percent-encoding included.
    pub raw_path: String,
    /// The decoded query.
    pub query: Vec<(String, String)>,
    /// The body, if it is JSON; a key secret in it is replaced by `"…"`.
    pub body: Option<Value>,
    /// Whether the credential was good, or none was needed.
    pub authorised: bool,
}

impl Received {
    /// The first value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether it is an Opsera request that asks for a change.
    pub fn is_write(&self) -> bool {
        self.api == Api::Opsera && self.method != "GET" && self.method != "HEAD"
    }
}

/// One request with its effect and its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The request.
    pub received: Received,
    /// What it changed.
    pub effect: Effect,
    /// The status that was answered; `None` while there is none, and for ever if the connection
    /// was cut.
    pub status: Option<u16>,
}

type Hook = Arc<dyn Fn(&Received) + Send + Sync>;

/// Everything that was received.
#[derive(Default)]
pub struct Journal {
    pages: Mutex<Pages>,
    hook: Mutex<Option<Hook>>,
}

#[derive(Default)]
struct Pages {
    received: u64,
    entries: VecDeque<Entry>,
}

impl Journal {
    /// Every request, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.read(|_| true)
    }

    /// The Opsera requests that ask for a change, oldest first.
    pub fn writes(&self) -> Vec<Entry> {
        self.read(|entry| entry.received.is_write())
    }

    /// The requests with one method whose decoded path starts with `prefix`.
    pub fn requests(&self, api: Api, method: &str, prefix: &str) -> Vec<Entry> {
        self.read(|entry| {
            entry.received.api == api
                && entry.received.method == method
                && entry.received.path.starts_with(prefix)
        })
    }

    /// What was changed in Opsera, in order.
    pub fn effects(&self) -> Vec<Effect> {
        let pages = self.lock();
        let effects = pages.entries.iter().map(|entry| entry.effect.clone());
        effects
            .filter(|effect| !matches!(effect, Effect::None | Effect::TokenMinted))
            .collect()
    }

    /// How many requests arrived, forgotten ones included.
    pub fn count(&self) -> u64 {
        self.lock().received
    }

    /// Forgets every entry; the numbering goes on.
    pub fn clear(&self) {
        self.lock().entries.clear();
    }

    /// Calls `hook` with each request as it arrives, before it has any effect.
    pub fn on_receive(&self, hook: impl Fn(&Received) + Send + Sync + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(hook));
    }

    /// Numbers and enters a request, and calls the hook.
    pub(in crate::sandbox) fn open(&self, mut received: Received) -> Received {
        {
            let mut pages = self.lock();
            pages.received += 1;
            received.number = pages.received;
            if pages.entries.len() >= KEPT {
                pages.entries.pop_front();
            }
            pages.entries.push_back(Entry {
                received: received.clone(),
                effect: Effect::None,
                status: None,
            });
        }
        let hook = self
            .hook
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(hook) = hook {
            hook(&received);
        }
        received
    }

    /// Notes what a request changed.
    pub(in crate::sandbox) fn note_effect(&self, number: u64, effect: Effect) {
        self.amend(number, |entry| entry.effect = effect);
    }

    /// Notes what was answered.
    pub(in crate::sandbox) fn note_status(&self, number: u64, status: u16) {
        self.amend(number, |entry| entry.status = Some(status));
    }

    fn amend(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        let mut pages = self.lock();
        // Answers come soon after their requests, so the search from the end is short.
        let mut newest_first = pages.entries.iter_mut().rev();
        if let Some(entry) = newest_first.find(|entry| entry.received.number == number) {
            change(entry);
        }
    }

    fn read(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let pages = self.lock();
        pages
            .entries
            .iter()
            .filter(|e| wanted(e))
            .cloned()
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("received", &self.count())
            .finish_non_exhaustive()
    }
}
