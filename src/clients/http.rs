//! One request, and one call: the core both clients share.
//!
//! [`Core::send`] is one attempt: it waits for its place, sends, counts, hears a request to slow
//! down, and turns every answer that is not the expected one into a [`CallError`]. On top of it,
//! [`Core::fetch`] and [`Core::open`] repeat a read as A3 says. Writes use [`Core::send`] alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::error::{Api, Call, CallError, ServerWords};
use super::pace::{Deadline, Pace};
use super::retry::{Attempts, Backoff, Budget};
use super::throttle::requested_pause;
use super::traffic::{AnswerClass, Traffic};
use super::words::Secrets;
use crate::domain::time::{SharedClock, Timestamp};

/// Largest body of anything but a listing, in bytes after decompression.
pub(super) const SMALL_BODY: usize = 1 << 20;

/// Largest body of an answer that is no success.
const ERROR_BODY: usize = 64 << 10;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) call: Call,
    pub(super) json: Option<serde_json::Value>,
}

/// A success whose body has not been read yet.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    response: reqwest::Response,
    /// Held until the body is read: a request is under way as long as its answer is.
    _place: Option<OwnedSemaphorePermit>,
}

/// A success with its body.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What is needed to talk to one directory.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) api: Api,
    pub(super) clock: SharedClock,
    pub(super) client: reqwest::Client,
    pub(super) pace: Pace,
    pub(super) in_flight: Option<Arc<Semaphore>>,
    pub(super) backoff: Backoff,
    pub(super) budget: Budget,
    pub(super) max_attempts: u32,
    /// Of a whole request, its body included.
    pub(super) timeout: Duration,
    /// Longest pause a server can ask for.
    pub(super) longest_pause: Duration,
    pub(super) secrets: Secrets,
    pub(super) traffic: Arc<Traffic>,
    pub(super) requests: AtomicU64,
    pub(super) skew: Mutex<Option<TimeDelta>>,
}

impl Core {
    /// The requests sent so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The server's clock minus ours, as its last answer told.
    pub(super) fn clock_skew(&self) -> Option<TimeDelta> {
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `request`'s whole answer, repeating it as A3 says.
    pub(super) async fn fetch(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        limit: usize,
        attempts: &mut Attempts,
        deadline: Option<Deadline>,
    ) -> Result<Whole, CallError> {
        loop {
            attempts.count();
            let sent = self.send(request, token, self.timeout, deadline).await;
            let read = match sent.and_then(expect_ok(self.api, request)) {
                Ok(reply) => self.collect(request, reply, limit).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(whole) => {
                    self.budget.refund(attempts.made());
                    return Ok(whole);
                }
                Err(error) => self.before_retry(error, attempts, deadline).await?,
            }
        }
    }

    /// Opens `request`'s answer for reading bit by bit within `limit`, repeating the request as
    /// A3 says until there is one.
    pub(super) async fn open(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        limit: Duration,
        attempts: &mut Attempts,
        deadline: Option<Deadline>,
    ) -> Result<Reply, CallError> {
        loop {
            attempts.count();
            let sent = self.send(request, token, limit, deadline).await;
            match sent.and_then(expect_ok(self.api, request)) {
                Ok(reply) => {
                    self.budget.refund(attempts.made());
                    return Ok(reply);
                }
                Err(error) => self.before_retry(error, attempts, deadline).await?,
            }
        }
    }

    /// Waits as long as A3 wants before the next attempt, or gives `error` back when there is to
    /// be none.
    pub(super) async fn before_retry(
        &self,
        error: CallError,
        attempts: &Attempts,
        deadline: Option<Deadline>,
    ) -> Result<(), CallError> {
        if !error.is_retryable() || attempts.are_used_up() {
            return Err(error);
        }
        let paused = !self.pace.pause_left().is_zero();
        // A pause of the whole client is waited for where every request waits for it.
        let delay = if paused {
            Duration::ZERO
        } else {
            self.backoff.delay(attempts.made())
        };
        let in_time = deadline.is_none_or(|deadline| {
            deadline
                .remaining(&self.clock)
                .is_ok_and(|left| left > delay.max(self.pace.pause_left()))
        });
        if !in_time || !self.budget.try_spend() {
            return Err(error);
        }
        tracing::debug!(api = %self.api, status = error.status().map(|status| status.as_u16()), attempt = attempts.made(), delay_ms = delay.as_millis(), "will ask again");
        if !delay.is_zero() {
            self.clock.sleep(delay).await;
        }
        Ok(())
    }

    /// Sends `request` once. Any 2xx is a success.
    pub(super) async fn send(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        limit: Duration,
        deadline: Option<Deadline>,
    ) -> Result<Reply, CallError> {
        let place = self.place().await;
        let waited = self.pace.wait(deadline).await;
        let waited = waited.map_err(|passed| self.no_answer(request, passed))?;
        self.traffic.waited(self.api, waited);
        let limit = match deadline {
            Some(deadline) => deadline
                .remaining(&self.clock)
                .map_err(|passed| self.no_answer(request, passed))?
                .min(limit),
            None => limit,
        };
        self.transmit(request, token, limit, place).await
    }

    /// Waits until fewer than `max_in_flight` requests are under way.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        match &self.in_flight {
            Some(places) => Arc::clone(places).acquire_owned().await.ok(),
            None => None,
        }
    }

    /// Sends `request` at once: its turn and its place have come.
    pub(super) async fn transmit(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        limit: Duration,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Reply, CallError> {
        let mut builder = self
            .client
            .request(request.method.clone(), request.url.clone())
            .timeout(limit);
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, token.clone());
        }
        if let Some(json) = &request.json {
            builder = builder.json(json);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let sent_at = self.clock.monotonic();
        let outcome = builder.send().await;
        let took_ms = self.clock.monotonic().saturating_sub(sent_at).as_millis();
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                self.traffic.count(self.api, AnswerClass::NoAnswer);
                tracing::debug!(api = %self.api, call = %request.call, took_ms, "no answer");
                return Err(self.transport_error(request, error));
            }
        };
        let status = response.status();
        self.traffic.count(self.api, AnswerClass::of(status));
        tracing::debug!(api = %self.api, call = %request.call, status = status.as_u16(), took_ms, "answered");
        self.note_date(response.headers());
        let reply = Reply {
            status,
            headers: response.headers().clone(),
            response,
            _place: place,
        };
        if status.is_success() {
            Ok(reply)
        } else {
            Err(self.refusal(request, reply).await)
        }
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn collect(
        &self,
        request: &Request,
        mut reply: Reply,
        limit: usize,
    ) -> Result<Whole, CallError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(request, &mut reply).await? {
            if body.len().saturating_add(chunk.len()) > limit {
                let detail = format!("its body is larger than {limit} bytes");
                return Err(self.malformed(request, &detail));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Whole {
            status: reply.status,
            headers: reply.headers,
            body,
        })
    }

    /// The next bit of a body, decompressed; `None` at its proper end.
    pub(super) async fn chunk(
        &self,
        request: &Request,
        reply: &mut Reply,
    ) -> Result<Option<bytes::Bytes>, CallError> {
        reply
            .response
            .chunk()
            .await
            .map_err(|error| self.no_answer(request, error.without_url()))
    }

    /// A [`CallError::Malformed`], its detail made safe to show.
    pub(super) fn malformed(&self, request: &Request, detail: &str) -> CallError {
        CallError::Malformed {
            api: self.api,
            call: request.call.clone(),
            detail: self.secrets.words(detail).0,
        }
    }

    pub(super) fn no_answer(
        &self,
        request: &Request,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> CallError {
        CallError::NoAnswer {
            api: self.api,
            call: request.call.clone(),
            source: Box::new(source),
        }
    }

    fn transport_error(&self, request: &Request, error: reqwest::Error) -> CallError {
        if error.is_connect() || error.is_builder() {
            CallError::Unreachable {
                api: self.api,
                call: request.call.clone(),
                source: Box::new(error.without_url()),
            }
        } else {
            self.no_answer(request, error.without_url())
        }
    }

    async fn refusal(&self, request: &Request, reply: Reply) -> CallError {
        let (api, call, status) = (self.api, request.call.clone(), reply.status);
        let until = self.slow_down(status, &reply.headers);
        let words = if status.is_redirection() {
            self.redirect_words(request, &reply.headers)
        } else {
            // The status decides; a body that cannot be read only leaves us without words.
            match self.collect(request, reply, ERROR_BODY).await {
                Ok(whole) => self.secrets.body_words(&whole.body),
                Err(_) => ServerWords::default(),
            }
        };
        match status.as_u16() {
            429 => CallError::Throttled { api, call, until },
            401 => CallError::Unauthorized { api, call, words },
            408 | 500..=599 => CallError::Trouble {
                api,
                call,
                status,
                words,
            },
            _ => CallError::Refused {
                api,
                call,
                status,
                words,
            },
        }
    }

    /// Pauses the whole client when the answer asks for it; returns the end of that pause.
    fn slow_down(&self, status: StatusCode, headers: &HeaderMap) -> Option<Timestamp> {
        let now = self.clock.now();
        let asked = requested_pause(headers, now, self.longest_pause);
        let pause = match status {
            StatusCode::TOO_MANY_REQUESTS => asked.unwrap_or_else(|| self.backoff.untimed_pause()),
            StatusCode::SERVICE_UNAVAILABLE => asked?,
            _ => return None,
        };
        if pause.is_zero() {
            return None;
        }
        tracing::debug!(api = %self.api, seconds = pause.as_secs_f64(), "pausing the whole client");
        self.pace.pause_for(pause);
        now.checked_add_signed(TimeDelta::from_std(pause).ok()?)
    }

    fn redirect_words(&self, request: &Request, headers: &HeaderMap) -> ServerWords {
        let target = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| request.url.join(location).ok());
        match target {
            Some(url) => self.secrets.words(&format!(
                "a redirect to {}, which is not followed",
                url.origin().ascii_serialization()
            )),
            None => ServerWords("a redirect to nowhere".to_owned()),
        }
    }

    fn note_date(&self, headers: &HeaderMap) {
        let date = headers
            .get(DATE)
            .and_then(|date| date.to_str().ok())
            .and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(date) = date {
            let skew = DateTime::from(date) - self.clock.now();
            *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
        }
    }
}

/// Of all successes, a read knows only 200 (G0).
fn expect_ok(api: Api, request: &Request) -> impl Fn(Reply) -> Result<Reply, CallError> {
    let call = request.call.clone();
    move |reply| match reply.status {
        StatusCode::OK => Ok(reply),
        status => Err(CallError::Refused {
            api,
            call: call.clone(),
            status,
            words: ServerWords("a success of the wrong kind".to_owned()),
        }),
    }
}
