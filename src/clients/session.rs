//! The core with a credential: what [`Opa`](super::Opa) and
//! [`OpseraReader`](super::OpseraReader) send their calls through.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use tokio::sync::Semaphore;
use url::Url;

use super::error::{Api, Call, CallError, ServerWords};
use super::http::{Core, Reply, Request, SMALL_BODY, Whole};
use super::pace::{Deadline, Pace};
use super::path::NotASegment;
use super::retry::{Attempts, Backoff, Budget};
use super::token::Auth;
use super::transport::{ClientError, Transport};
use super::wire::{self, Wire};
use super::words::{Secrets, is_markup};
use crate::settings::RetrySettings;

/// What Opsera said to a write that it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, a success.
    pub status: StatusCode,
    /// The server's words, whichever of their three forms they had.
    pub words: ServerWords,
}

/// One client: a core and its credential.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) core: Core,
    pub(super) auth: Auth,
}

/// What the settings of both APIs have in common.
pub(super) struct Limits<'s> {
    pub(super) api: Api,
    pub(super) base_url: &'s Url,
    pub(super) base_url_setting: &'static str,
    pub(super) rate_setting: &'static str,
    pub(super) requests_per_second: f64,
    pub(super) burst: u32,
    pub(super) max_in_flight: Option<u32>,
    pub(super) timeout: Duration,
    pub(super) pull_timeout: Duration,
    /// What must never be shown.
    pub(super) secret: SecretString,
}

/// Makes the core of a client.
pub(super) fn core(
    transport: &Transport,
    limits: Limits<'_>,
    retry: &RetrySettings,
) -> Result<Core, ClientError> {
    let clock = transport.clock().clone();
    let client = transport.client(limits.base_url, limits.base_url_setting, limits.timeout)?;
    let pace = Pace::new(clock.clone(), limits.requests_per_second, limits.burst).ok_or(
        ClientError::Setting {
            setting: limits.rate_setting,
            detail: "the rate must be a positive number and the burst at least 1",
        },
    )?;
    let places = |max: u32| {
        let max = usize::try_from(max.max(1)).unwrap_or(Semaphore::MAX_PERMITS);
        Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)))
    };
    Ok(Core {
        api: limits.api,
        client,
        pace,
        in_flight: limits.max_in_flight.map(places),
        backoff: Backoff::new(retry),
        budget: Budget::new(clock.clone(), retry.max_attempts),
        max_attempts: retry.max_attempts,
        timeout: limits.timeout,
        longest_pause: limits.pull_timeout,
        secrets: Secrets::new(limits.secret),
        traffic: transport.traffic(),
        requests: AtomicU64::new(0),
        skew: Mutex::new(None),
        clock,
    })
}

impl Session {
    pub(super) fn get(url: Url, call: String) -> Request {
        Request {
            method: Method::GET,
            url,
            call: Call(call),
            json: None,
        }
    }

    /// Reads a whole answer.
    pub(super) async fn fetch(
        &self,
        request: &Request,
        limit: usize,
        deadline: Option<Deadline>,
    ) -> Result<Whole, CallError> {
        let mut attempts = self.begin();
        let token = self.auth.token(&self.core, deadline).await?;
        let first = self
            .core
            .fetch(request, Some(&token.header), limit, &mut attempts, deadline)
            .await;
        match first {
            Err(refused @ CallError::Unauthorized { .. }) => {
                let renewed = self.auth.renewed(&self.core, &token, deadline).await?;
                let token = renewed.ok_or(refused)?;
                self.core
                    .fetch(request, Some(&token.header), limit, &mut attempts, deadline)
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
    ) -> Result<Reply, CallError> {
        let token = self.auth.token(&self.core, deadline).await?;
        self.core
            .open(request, Some(&token.header), limit, attempts, deadline)
            .await
    }

    /// A new call, which pays its share of the retry budget.
    pub(super) fn begin(&self) -> Attempts {
        self.core.budget.pay_in();
        Attempts::new(self.core.max_attempts)
    }

    /// Reads one record.
    pub(super) async fn record<W: Wire>(&self, request: &Request) -> Result<W::Word, CallError> {
        let whole = self.fetch(request, SMALL_BODY, None).await?;
        wire::record::<W>(&whole.body).map_err(|detail| self.core.malformed(request, &detail))
    }

    /// Reads one record, or `None` when there is none (404).
    pub(super) async fn find<W: Wire>(
        &self,
        request: &Request,
    ) -> Result<Option<W::Word>, CallError> {
        match self.record::<W>(request).await {
            Err(CallError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Sends a write, once (A4: whether to send it again is not decided here).
    pub(super) async fn write(&self, request: &Request) -> Result<Answer, CallError> {
        let token = self.auth.token(&self.core, None).await?;
        let core = &self.core;
        let place = core.place().await;
        let reply = core
            .transmit(request, Some(&token.header), core.timeout, place)
            .await?;
        let whole = core.collect(request, reply, SMALL_BODY).await?;
        if is_markup(&whole.body) {
            // A page for people, from a proxy or a login form: it says nothing about the account.
            return Err(core.malformed(request, "it is an HTML page"));
        }
        Ok(Answer {
            status: whole.status,
            words: core.secrets.body_words(&whole.body),
        })
    }

    /// The error for a name that has no path; nothing is sent.
    pub(super) fn unaskable(&self, call: &str, name: &NotASegment) -> CallError {
        CallError::Refused {
            api: self.core.api,
            call: Call(call.to_owned()),
            status: StatusCode::BAD_REQUEST,
            words: self.core.secrets.words(&name.to_string()),
        }
    }
}
