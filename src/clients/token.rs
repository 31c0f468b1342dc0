//! The credential of a request: a fixed token, or OPA tokens that are minted and renewed.
//!
//! A token is renewed ahead of its end, and once when a call is answered with 401: OPA's tokens
//! may expire at any time. Callers that need a token at the same moment wait for one minting.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::error::{Call, CallError, ServerWords};
use super::http::{Core, Request, SMALL_BODY};
use super::pace::Deadline;
use super::retry::Attempts;
use super::transport::ClientError;
use super::wire;
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
    Minted(Box<Minter>),
}

/// Mints OPA tokens.
#[derive(Debug)]
pub(super) struct Minter {
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
        core: &Core,
        deadline: Option<Deadline>,
    ) -> Result<Token, CallError> {
        match self {
            Self::Fixed(token) => Ok(token.clone()),
            Self::Minted(minter) => minter.token(core, deadline).await,
        }
    }

    /// Another token than `refused`, or `None` when there is none to be had.
    pub(super) async fn renewed(
        &self,
        core: &Core,
        refused: &Token,
        deadline: Option<Deadline>,
    ) -> Result<Option<Token>, CallError> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Minted(minter) => minter.renewed(core, refused, deadline).await.map(Some),
        }
    }
}

impl Minter {
    pub(super) fn new(url: Url, team: String, key_id: String, key_secret: SecretString) -> Self {
        Self {
            url,
            team,
            key_id,
            key_secret,
            held: tokio::sync::Mutex::default(),
        }
    }

    async fn token(&self, core: &Core, deadline: Option<Deadline>) -> Result<Token, CallError> {
        let mut held = self.held.lock().await;
        if let Some(minted) = &held.minted
            && minted.renew_at.is_none_or(|at| core.clock.monotonic() < at)
        {
            return Ok(minted.token.clone());
        }
        self.mint(core, &mut held, deadline).await
    }

    async fn renewed(
        &self,
        core: &Core,
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
        self.mint(core, &mut held, deadline).await
    }

    async fn mint(
        &self,
        core: &Core,
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
        let mut attempts = Attempts::new(core.max_attempts);
        core.budget.pay_in();
        let answer = core
            .fetch(&request, None, SMALL_BODY, &mut attempts, deadline)
            .await
            .map_err(|error| name_the_key(core, error))?;
        let minted: MintedToken =
            wire::object(&answer.body).map_err(|detail| core.malformed(&request, &detail))?;
        core.secrets
            .remember(SecretString::from(minted.bearer_token.clone()));
        if minted.team_name.to_lowercase() != self.team.to_lowercase() {
            return Err(CallError::WrongTenant {
                api: core.api,
                call: request.call,
                detail: core
                    .secrets
                    .words(&format!(
                        "opa.team is “{}”, but the key belongs to the Team “{}”",
                        self.team, minted.team_name
                    ))
                    .0,
            });
        }
        let header = bearer(&minted.bearer_token).ok_or_else(|| {
            core.malformed(&request, "its bearer_token cannot be sent in a header")
        })?;
        held.generation = held.generation.wrapping_add(1);
        let token = Token {
            header,
            generation: held.generation,
        };
        held.minted = Some(Minted {
            token: token.clone(),
            renew_at: renew_at(core, minted.expires_at.as_deref()),
        });
        tracing::debug!(api = %core.api, "minted a token");
        Ok(token)
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
fn renew_at(core: &Core, expires_at: Option<&str>) -> Option<Duration> {
    let end: Timestamp = expires_at?.parse().ok()?;
    let lifetime = (end - core.clock.now()).to_std().ok()?;
    if lifetime.is_zero() {
        return None;
    }
    let ahead = AHEAD.min(lifetime / AHEAD_SHARE);
    Some(
        core.clock
            .monotonic()
            .saturating_add(lifetime.saturating_sub(ahead)),
    )
}

fn name_the_key(core: &Core, error: CallError) -> CallError {
    match error {
        CallError::Unauthorized { api, call, words } => CallError::Unauthorized {
            api,
            call,
            words: ServerWords(
                core.secrets
                    .words(&format!(
                        "opa.key_id and opa.key_secret were refused: {}",
                        words.0
                    ))
                    .0,
            ),
        },
        other => other,
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    plain.then_some(header)
}
