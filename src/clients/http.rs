//! One request, and one call: the HTTP client that both directories share.
//!
//! [`HttpClient::send`] is one attempt: it waits for its permit, sends, counts, hears a request to
//! slow down, and turns every answer that is not the expected one into a [`CallError`]. On top of
//! it, [`HttpClient::fetch`] and [`HttpClient::open`] repeat a read as A3 says. Writes use
//! [`HttpClient::execute`] alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::call::{Api, Call, Credential};
use super::clock_offsets::{ClockOffsets, date_of};
use super::connection_failure::{BodyStalled, ConnectionFailure};
use super::error::{CallError, ServerMessage};
use super::path::NotASegment;
use super::rate_limit::{Deadline, RateLimiter};
use super::redaction::Secrets;
use super::request_metrics::{AnswerClass, RequestMetrics};
use super::retry::{Attempts, Backoff};
use super::throttle::requested_pause;
use crate::domain::time::{SharedClock, Timestamp};

/// Largest body of anything but a listing, in bytes after decompression.
pub(super) const SMALL_BODY: usize = 1 << 20;

/// Largest body of an answer that is no success.
const ERROR_BODY: usize = 64 << 10;

/// Most bytes that are set aside for a body because its server announces them.
const MOST_RESERVED: usize = 1 << 20;

/// Longest silence in the middle of a body (§11). A listing's own time limit is much longer.
const BODY_STALL: Duration = Duration::from_secs(30);

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
pub(super) struct StreamingResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    response: reqwest::Response,
    /// Held until the body is read: a request is under way as long as its answer is.
    _in_flight: Option<OwnedSemaphorePermit>,
}

/// A success with its body.
#[derive(Debug)]
pub(super) struct BufferedResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What is needed to talk to one directory.
#[derive(Debug)]
pub(super) struct HttpClient {
    pub(super) api: Api,
    /// What a request with a token carries.
    pub(super) credential: Credential,
    pub(super) clock: SharedClock,
    pub(super) client: reqwest::Client,
    pub(super) rate_limiter: RateLimiter,
    pub(super) in_flight: Option<Arc<Semaphore>>,
    pub(super) backoff: Backoff,
    pub(super) max_attempts: u32,
    /// Of a whole request, its body included.
    pub(super) timeout: Duration,
    /// Longest pause a server can ask for.
    pub(super) longest_pause: Duration,
    pub(super) secrets: Secrets,
    pub(super) metrics: Arc<RequestMetrics>,
    pub(super) clock_offsets: Arc<ClockOffsets>,
    pub(super) requests: AtomicU64,
}

impl HttpClient {
    /// The requests sent so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A new call.
    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(self.max_attempts)
    }

    /// Reads `request`'s whole answer, repeating it as A3 says.
    pub(super) async fn fetch(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        limit: usize,
        attempts: &mut Attempts,
        deadline: Option<Deadline>,
    ) -> Result<BufferedResponse, CallError> {
        loop {
            attempts.count();
            let sent = self.send(request, token, self.timeout, deadline).await;
            let read = match sent.and_then(expect_ok(self.api, request)) {
                Ok(response) => self.collect(request, response, limit).await,
                Err(error) => Err(error),
            };
            match read {
                Ok(response) => return Ok(response),
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
    ) -> Result<StreamingResponse, CallError> {
        loop {
            attempts.count();
            let sent = self.send(request, token, limit, deadline).await;
            match sent.and_then(expect_ok(self.api, request)) {
                Ok(response) => return Ok(response),
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
        let pause = self.rate_limiter.pause_left();
        // A pause of the whole client is waited for where every request waits for it.
        let delay = if pause.is_zero() {
            self.backoff.delay(attempts.made())
        } else {
            Duration::ZERO
        };
        let in_time = deadline.is_none_or(|deadline| {
            deadline.allows_pause(pause)
                && deadline
                    .remaining(&self.rate_limiter)
                    .is_ok_and(|left| left > delay)
        });
        if !in_time {
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
    ) -> Result<StreamingResponse, CallError> {
        let in_flight = self.enter().await;
        let waited = self.rate_limiter.wait(deadline).await;
        let waited = waited.map_err(|passed| self.no_response(request, passed))?;
        self.metrics.waited(self.api, waited);
        let limit = match deadline {
            Some(deadline) => deadline
                .remaining(&self.rate_limiter)
                .map_err(|passed| self.no_response(request, passed))?
                .min(limit),
            None => limit,
        };
        self.execute(request, token, limit, in_flight).await
    }

    /// Waits until fewer than `max_in_flight` requests are under way.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        match &self.in_flight {
            Some(permits) => Arc::clone(permits).acquire_owned().await.ok(),
            None => None,
        }
    }

    /// Sends `request` at once: it has its permits.
    pub(super) async fn execute(
        &self,
        request: &Request,
        token: Option<&HeaderValue>,
        limit: Duration,
        in_flight: Option<OwnedSemaphorePermit>,
    ) -> Result<StreamingResponse, CallError> {
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
        let took = self.clock.monotonic().saturating_sub(sent_at);
        let took_ms = took.as_millis();
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                self.metrics.count(self.api, AnswerClass::NoResponse);
                tracing::debug!(api = %self.api, call = %request.call, took_ms, "no answer");
                return Err(self.transport_error(request, error));
            }
        };
        let status = response.status();
        self.metrics.count(self.api, AnswerClass::of(status));
        tracing::debug!(api = %self.api, call = %request.call, status = status.as_u16(), took_ms, "answered");
        self.clock_offsets
            .note(self.api, response.headers(), self.clock.now(), took);
        if let Some(quota) = self.rate_limiter.quota() {
            quota.note_answer(response.headers());
            self.metrics.note_quota(quota.status());
        }
        let response = StreamingResponse {
            status,
            headers: response.headers().clone(),
            response,
            _in_flight: in_flight,
        };
        if status.is_success() {
            Ok(response)
        } else {
            Err(self.refusal(request, token.is_some(), response).await)
        }
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn collect(
        &self,
        request: &Request,
        mut response: StreamingResponse,
        limit: usize,
    ) -> Result<BufferedResponse, CallError> {
        let announced = response.response.content_length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        let mut body = Vec::with_capacity(announced.min(limit).min(MOST_RESERVED));
        while let Some(chunk) = self.chunk(request, &mut response).await? {
            if body.len().saturating_add(chunk.len()) > limit {
                let detail = format!("its body is larger than {limit} bytes");
                return Err(self.malformed(request, &detail));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(BufferedResponse {
            status: response.status,
            headers: response.headers,
            body,
        })
    }

    /// The next bit of a body, decompressed; `None` at its proper end.
    pub(super) async fn chunk(
        &self,
        request: &Request,
        response: &mut StreamingResponse,
    ) -> Result<Option<bytes::Bytes>, CallError> {
        let stall_timeout = self.timeout.min(BODY_STALL);
        match tokio::time::timeout(stall_timeout, response.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.no_response(request, error.without_url())),
            Err(_) => Err(self.no_response(request, BodyStalled(stall_timeout))),
        }
    }

    /// A [`CallError::Malformed`], its detail made safe to show.
    pub(super) fn malformed(&self, request: &Request, detail: &str) -> CallError {
        CallError::Malformed {
            api: self.api,
            call: request.call.clone(),
            detail: self.secrets.redact(detail),
        }
    }

    /// The error for a name that no path can hold; nothing is sent.
    pub(super) fn invalid_segment(&self, call: &str, name: NotASegment) -> CallError {
        CallError::InvalidPathSegment {
            api: self.api,
            call: Call(call.to_owned()),
            name: name.0,
        }
    }

    pub(super) fn no_response(
        &self,
        request: &Request,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> CallError {
        CallError::NoResponse {
            api: self.api,
            call: request.call.clone(),
            failure: ConnectionFailure::of(self.host(request), &source),
            source: Box::new(source),
        }
    }

    fn transport_error(&self, request: &Request, error: reqwest::Error) -> CallError {
        if error.is_connect() || error.is_builder() {
            let error = error.without_url();
            CallError::Unreachable {
                api: self.api,
                call: request.call.clone(),
                failure: ConnectionFailure::of(self.host(request), &error),
                source: Box::new(error),
            }
        } else {
            self.no_response(request, error.without_url())
        }
    }

    fn host(&self, request: &Request) -> String {
        self.secrets
            .redact(&request.url.origin().ascii_serialization())
    }

    async fn refusal(
        &self,
        request: &Request,
        with_token: bool,
        response: StreamingResponse,
    ) -> CallError {
        let (api, call, status) = (self.api, request.call.clone(), response.status);
        let until = self.slow_down(status, &response.headers);
        if status.is_redirection() || status.is_informational() {
            let detail = self.describe_redirect(request, &response.headers);
            return CallError::UnexpectedStatus {
                api,
                call,
                status,
                detail,
            };
        }
        // The status decides; a body that cannot be read only leaves us without a message.
        let message = match self.collect(request, response, ERROR_BODY).await {
            Ok(response) => self.secrets.redact_body(&response.body),
            Err(_) => ServerMessage::default(),
        };
        match status.as_u16() {
            429 => CallError::Throttled { api, call, until },
            401 => CallError::Unauthorized {
                api,
                call,
                credential: if with_token {
                    self.credential
                } else {
                    Credential::OpaKey
                },
                message,
            },
            408 | 499 | 500..=599 => CallError::ServerError {
                api,
                call,
                status,
                message,
            },
            _ => CallError::ClientError {
                api,
                call,
                status,
                message,
            },
        }
    }

    /// Pauses the whole client when the answer asks for it; returns the end of that pause.
    fn slow_down(&self, status: StatusCode, headers: &HeaderMap) -> Option<Timestamp> {
        let now = self.clock.now();
        // A date is measured by the clock of the server that wrote it.
        let server_now = date_of(headers).unwrap_or(now);
        let asked = requested_pause(headers, server_now, self.longest_pause);
        let pause = match status {
            StatusCode::TOO_MANY_REQUESTS => asked.unwrap_or_else(|| self.backoff.untimed_pause()),
            StatusCode::SERVICE_UNAVAILABLE => asked?,
            _ => return None,
        };
        if pause.is_zero() {
            return None;
        }
        tracing::debug!(api = %self.api, seconds = pause.as_secs_f64(), "pausing the whole client");
        self.rate_limiter.pause_for(pause);
        now.checked_add_signed(TimeDelta::from_std(pause).ok()?)
    }

    fn describe_redirect(&self, request: &Request, headers: &HeaderMap) -> String {
        let target = headers
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| request.url.join(location).ok());
        match target {
            Some(url) => {
                let to = self.secrets.redact(&url.origin().ascii_serialization());
                format!("a redirect to {to}, which is not followed")
            }
            None => "a redirect that names no address".to_owned(),
        }
    }
}

/// Of all successes, a read knows only 200 (G0).
fn expect_ok(
    api: Api,
    request: &Request,
) -> impl Fn(StreamingResponse) -> Result<StreamingResponse, CallError> {
    let call = request.call.clone();
    move |response| match response.status {
        StatusCode::OK => Ok(response),
        status => Err(CallError::UnexpectedStatus {
            api,
            call: call.clone(),
            status,
            detail: "only 200 answers this call".to_owned(),
        }),
    }
}
