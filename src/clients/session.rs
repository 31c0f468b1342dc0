//! The HTTP client with a credential: what [`Opa`](super::Opa) and
//! [`OpseraReader`](super::OpseraReader) send their calls through.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use url::Url;

use super::auth::Auth;
use super::call::{Api, Call, Credential};
use super::error::{CallError, ServerMessage};
use super::http::{BufferedResponse, HttpClient, Request, SMALL_BODY, StreamingResponse};
use super::rate_limit::{Deadline, RateLimiter};
use super::records::{self, ApiRecord};
use super::redaction::{Secrets, is_html};
use super::retry::{Attempts, Backoff};
use super::transport::{ClientError, Transport};
use crate::domain::base_url::BaseUrl;
use crate::settings::RetrySettings;

/// What Opsera said to a write that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, a success.
    pub status: StatusCode,
    /// What the server said, whichever of its three forms it had.
    pub message: ServerMessage,
}

/// One client: HTTP and its credential.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) http: HttpClient,
    pub(super) auth: Auth,
}

/// What the settings of both APIs have in common.
pub(super) struct Limits<'s> {
    pub(super) api: Api,
    pub(super) credential: Credential,
    pub(super) base_url: &'s BaseUrl,
    pub(super) base_url_setting: &'static str,
    pub(super) rate_setting: &'static str,
    pub(super) requests_per_second: f64,
    pub(super) burst: u32,
    /// Share of a quota that is left to others; `None` where the API has no quota.
    pub(super) quota_reserve_percent: Option<u8>,
    pub(super) max_in_flight: Option<u32>,
    pub(super) timeout: Duration,
    pub(super) pull_timeout: Duration,
    /// What must never be shown.
    pub(super) secret: SecretString,
}

/// Makes the HTTP client of one directory.
pub(super) fn http_client(
    transport: &Transport,
    limits: Limits<'_>,
    retry: &RetrySettings,
) -> Result<HttpClient, ClientError> {
    let clock = transport.clock().clone();
    let client = transport.client(limits.base_url, limits.base_url_setting, limits.timeout)?;
    let mut rate_limiter =
        RateLimiter::new(clock.clone(), limits.requests_per_second, limits.burst).ok_or(
            ClientError::Setting {
                setting: limits.rate_setting,
                detail: "the rate must be a positive number and the burst at least 1",
            },
        )?;
    if let Some(reserve) = limits.quota_reserve_percent {
        rate_limiter = rate_limiter.with_quota(reserve);
    }
    let rate_limiter = rate_limiter.with_heartbeat(transport.request_metrics());
    let permits = |max: u32| {
        let max = usize::try_from(max.max(1)).unwrap_or(Semaphore::MAX_PERMITS);
        Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)))
    };
    Ok(HttpClient {
        api: limits.api,
        credential: limits.credential,
        client,
        rate_limiter,
        in_flight: limits.max_in_flight.map(permits),
        backoff: Backoff::new(retry),
        max_attempts: retry.max_attempts,
        timeout: limits.timeout,
        longest_pause: limits.pull_timeout,
        secrets: Secrets::new(limits.secret),
        metrics: transport.request_metrics(),
        clock_offsets: transport.clock_offsets(),
        requests: AtomicU64::new(0),
        clock,
    })
}

impl Session {
    pub(super) fn get(url: Url, call: impl Into<String>) -> Request {
        Request {
            method: Method::GET,
            url,
            call: Call(call.into()),
            json: None,
        }
    }

    /// Reads a whole answer.
    pub(super) async fn fetch(
        &self,
        request: &Request,
        limit: usize,
        deadline: Option<Deadline>,
    ) -> Result<BufferedResponse, CallError> {
        let http = &self.http;
        let mut attempts = http.attempts();
        let token = self.auth.token(http, deadline).await?;
        // Boxed: the futures of whole runs hold this one many times.
        let first =
            Box::pin(http.fetch(request, Some(&token.header), limit, &mut attempts, deadline))
                .await;
        match first {
            Err(refused @ CallError::Unauthorized { .. }) => {
                let renewed = self.auth.renewed(http, &token, deadline).await?;
                let token = renewed.ok_or(refused)?;
                Box::pin(http.fetch(request, Some(&token.header), limit, &mut attempts, deadline))
                    .await
            }
            other => other,
        }
    }

    /// Opens an answer that is read bit by bit.
    pub(super) async fn open(
        &self,
        request: &Request,
        limit: Duration,
        attempts: &mut Attempts,
        deadline: Option<Deadline>,
    ) -> Result<StreamingResponse, CallError> {
        let token = self.auth.token(&self.http, deadline).await?;
        self.http
            .open(request, Some(&token.header), limit, attempts, deadline)
            .await
    }

    /// Reads one object as it is.
    pub(super) async fn object<T: DeserializeOwned>(
        &self,
        request: &Request,
    ) -> Result<T, CallError> {
        let response = self.fetch(request, SMALL_BODY, None).await?;
        records::object(&response.body).map_err(|detail| self.http.malformed(request, &detail))
    }

    /// Reads one record.
    pub(super) async fn record<R: ApiRecord>(
        &self,
        request: &Request,
    ) -> Result<R::Model, CallError> {
        let response = self.fetch(request, SMALL_BODY, None).await?;
        records::record::<R>(&response.body).map_err(|detail| self.http.malformed(request, &detail))
    }

    /// Reads one record, or `None` when there is none (404).
    pub(super) async fn find<R: ApiRecord>(
        &self,
        request: &Request,
    ) -> Result<Option<R::Model>, CallError> {
        match self.record::<R>(request).await {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Sends a write, once (A4: whether to send it again is not decided here).
    pub(super) async fn write(&self, request: &Request) -> Result<Answer, CallError> {
        let http = &self.http;
        let token = self.auth.token(http, None).await?;
        let in_flight = http.enter().await;
        let response = http
            .execute(request, Some(&token.header), http.timeout, in_flight)
            .await?;
        let response = http.collect(request, response, SMALL_BODY).await?;
        if is_html(&response.body) {
            // A page for people, from a proxy or a login form: it says nothing about the account.
            return Err(http.malformed(request, "it is an HTML page"));
        }
        Ok(Answer {
            status: response.status,
            message: http.secrets.redact_body(&response.body),
        })
    }
}
