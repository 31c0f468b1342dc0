//! The credential of a request: a fixed token, or OPA tokens that are minted and renewed.
//!
//! A token is renewed ahead of its end, and once when a call is answered with 401: OPA's tokens
//! may expire at any time. Callers that need a token at the same moment wait for one minting.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::call::Call;
use super::error::CallError;
use super::http::{HttpClient, Request, SMALL_BODY};
use super::rate_limit::Deadline;
use super::records;
use super::transport::ClientError;
use crate::domain::time::Timestamp;

/// How long before its end a token is renewed, at most.
const AHEAD: Duration = Duration::from_mins(1);

/// Of a token that lives shorter than ten times [`AHEAD`], the last tenth is not used.
const AHEAD_SHARE: u32 = 10;

/// A token, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    generation: u64,
}

/// Where the tokens of a client come from.
#[derive(Debug)]
pub(super) enum Auth {
    /// Somebody else minted it; a 401 is final.
    Fixed(Token),
    /// We mint it.
    Minted(Box<TokenSource>),
}

/// Mints OPA tokens.
#[derive(Debug)]
pub(super) struct TokenSource {
    pub(super) url: Url,
    pub(super) team: String,
    pub(super) key_id: String,
    pub(super) key_secret: SecretString,
    held: tokio::sync::Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    generation: u64,
    minted: Option<Minted>,
}

#[derive(Debug)]
struct Minted {
    token: Token,
    /// Monotonic; `None` when the server named no end that lies ahead.
    renew_at: Option<Duration>,
}

impl Auth {
    /// A token that `setting` gives.
    pub(super) fn fixed(token: &SecretString, setting: &'static str) -> Result<Self, ClientError> {
        let header = bearer(token.expose_secret()).ok_or(ClientError::Setting {
            setting,
            detail: "it is empty or has characters that cannot be sent in a header",
        })?;
        Ok(Self::Fixed(Token {
            header,
            generation: 0,
        }))
    }

    /// The token to send now.
    pub(super) async fn token(
        &self,
        http: &HttpClient,
        deadline: Option<Deadline>,
    ) -> Result<Token, CallError> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Minted(source) => source.token(http, deadline).await,
        }
    }

    /// Another token than `refused`, or `None` when there is none to be had.
    pub(super) async fn renewed(
        &self,
        http: &HttpClient,
        refused: &Token,
        deadline: Option<Deadline>,
    ) -> Result<Option<Token>, CallError> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Minted(source) => source.renewed(http, refused, deadline).await.map(Some),
        }
    }
}

impl TokenSource {
    pub(super) fn new(url: Url, team: String, key_id: String, key_secret: SecretString) -> Self {
        Self {
            url,
            team,
            key_id,
            key_secret,
            held: tokio::sync::Mutex::default(),
        }
    }

    async fn token(
        &self,
        http: &HttpClient,
        deadline: Option<Deadline>,
    ) -> Result<Token, CallError> {
        let mut held = self.held.lock().await;
        if let Some(minted) = &held.minted
            && minted.renew_at.is_none_or(|at| http.clock.monotonic() < at)
        {
            return Ok(minted.token.clone());
        }
        self.mint(http, &mut held, deadline).await
    }

    async fn renewed(
        &self,
        http: &HttpClient,
        refused: &Token,
        deadline: Option<Deadline>,
    ) -> Result<Token, CallError> {
        let mut held = self.held.lock().await;
        // Somebody else's 401 may have had the same token renewed while we waited for the lock.
        if let Some(minted) = &held.minted
            && minted.token.generation != refused.generation
        {
            return Ok(minted.token.clone());
        }
        held.minted = None;
        self.mint(http, &mut held, deadline).await
    }

    async fn mint(
        &self,
        http: &HttpClient,
        held: &mut Held,
        deadline: Option<Deadline>,
    ) -> Result<Token, CallError> {
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            call: Call("POST /service_token".to_owned()),
            json: Some(serde_json::json!({
                "key_id": self.key_id,
                "key_secret": self.key_secret.expose_secret(),
            })),
        };
        let mut attempts = http.attempts();
        let answer = http
            .fetch(&request, None, SMALL_BODY, &mut attempts, deadline)
            .await
            .map_err(|error| self.name_the_team(error))?;
        let minted: MintedToken =
            records::object(&answer.body).map_err(|detail| http.malformed(&request, &detail))?;
        http.secrets
            .remember(SecretString::from(minted.bearer_token.clone()));
        if minted.team_name.to_lowercase() != self.team.to_lowercase() {
            return Err(CallError::WrongTenant {
                api: http.api,
                call: request.call,
                status: StatusCode::OK,
                team: self.team.clone(),
                detail: http.secrets.redact(&format!(
                    "opa.team is “{}”, but the key belongs to the Team “{}”",
                    self.team, minted.team_name
                )),
            });
        }
        let header = bearer(&minted.bearer_token).ok_or_else(|| {
            http.malformed(&request, "its bearer_token cannot be sent in a header")
        })?;
        held.generation = held.generation.wrapping_add(1);
        let token = Token {
            header,
            generation: held.generation,
        };
        held.minted = Some(Minted {
            token: token.clone(),
            renew_at: renew_at(http, minted.expires_at.as_deref()),
        });
        tracing::debug!(api = %http.api, "minted a token");
        Ok(token)
    }
}

impl TokenSource {
    /// OPA answers a Team that it does not have with 404.
    fn name_the_team(&self, error: CallError) -> CallError {
        match error {
            CallError::ClientError {
                api, call, status, ..
            } if status == StatusCode::NOT_FOUND => CallError::WrongTenant {
                api,
                call,
                status,
                team: self.team.clone(),
                detail: format!("it knows no Team “{}” (opa.team)", self.team),
            },
            other => other,
        }
    }
}

#[derive(Deserialize)]
struct MintedToken {
    bearer_token: String,
    #[serde(default)]
    expires_at: Option<String>,
    team_name: String,
}

/// When to renew, in monotonic time. An end that cannot be read or is past (a clock may be wrong)
/// is no reason to mint for every request: then a 401 will tell.
fn renew_at(http: &HttpClient, expires_at: Option<&str>) -> Option<Duration> {
    let end: Timestamp = expires_at?.parse().ok()?;
    let lifetime = (end - http.clock.now()).to_std().ok()?;
    if lifetime.is_zero() {
        return None;
    }
    let ahead = AHEAD.min(lifetime / AHEAD_SHARE);
    Some(
        http.clock
            .monotonic()
            .saturating_add(lifetime.saturating_sub(ahead)),
    )
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    plain.then_some(header)
}
