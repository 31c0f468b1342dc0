//! Who may ask: every request is measured against the address that is served, before anything of
//! it is read.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};

/// The cookie's name.
const COOKIE: &str = "rolecall_review";

/// A secret that nobody can guess: 256 bits from the operating system.
pub(super) struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub(super) fn random() -> std::io::Result<Self> {
        let mut bytes = [0_u8; 32];
        SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(std::io::Error::other)?;
        Ok(Self(hex::encode(bytes)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` is this token. Digests are compared, so the time it takes says nothing about
    /// how much of a guess was right.
    fn is(&self, text: &str) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(text)
    }
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Look, and be given the cookie: the token is used for the first time.
    First,
    /// Look.
    Look,
    /// Decide.
    Decide,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// Nothing is said to a request that does not know the address.
    Silent(StatusCode),
    /// The address is right, and somebody has opened it before.
    OpenedBefore,
    /// Address and cookie are right, and it is not the page's own form that is sent.
    NotThisPage,
}

/// The address that is served, with its secrets.
pub(super) struct Gate {
    address: SocketAddr,
    token: Token,
    cookie: Token,
}

impl Gate {
    pub(super) fn new(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self {
            address,
            token: Token::random()?,
            cookie: Token::random()?,
        })
    }

    /// What is printed for the person who is to decide.
    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path())
    }

    fn path(&self) -> String {
        format!("/{}", self.token.as_str())
    }

    /// `Set-Cookie` of the first answer.
    pub(super) fn set_cookie(&self) -> String {
        format!(
            "{COOKIE}={}; HttpOnly; SameSite=Strict; Path={}",
            self.cookie.as_str(),
            self.path()
        )
    }

    /// Judges the head of a request; `is_opened` is whether the token was used before.
    pub(super) fn judge(&self, head: &Parts, is_opened: bool) -> Result<Pass, Denial> {
        // A name that somebody lets point to 127.0.0.1 is another Host (DNS rebinding).
        if !self.is_for_this_address(head) {
            return Err(Denial::Silent(StatusCode::MISDIRECTED_REQUEST));
        }
        let path = head.uri.path().strip_prefix('/').unwrap_or_default();
        if !self.token.is(path) {
            return Err(Denial::Silent(StatusCode::NOT_FOUND));
        }
        let has_cookie = self.has_cookie(&head.headers);
        match head.method {
            Method::GET if has_cookie => Ok(Pass::Look),
            Method::GET if is_opened => Err(Denial::OpenedBefore),
            Method::GET => Ok(Pass::First),
            Method::POST if has_cookie && self.is_from_this_page(&head.headers) => Ok(Pass::Decide),
            Method::POST if has_cookie => Err(Denial::NotThisPage),
            Method::POST => Err(Denial::Silent(StatusCode::FORBIDDEN)),
            _ => Err(Denial::Silent(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    fn is_for_this_address(&self, head: &Parts) -> bool {
        let host = single(&head.headers, &header::HOST);
        let is_ours = |host: &str| {
            host == self.address.to_string()
                // A browser leaves the default port out.
                || (self.address.port() == 80 && host == self.address.ip().to_string())
        };
        let target = head.uri.authority();
        host.is_some_and(is_ours) && target.is_none_or(|target| is_ours(target.as_str()))
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == COOKIE && self.cookie.is(value))
    }

    /// Whether a form of the page itself sends this. A browser tells the site of a request in
    /// `Sec-Fetch-Site`, which no page can forge; and the origin, which is `null` here, because the
    /// page lets nobody know where it is (`Referrer-Policy: no-referrer`).
    fn is_from_this_page(&self, headers: &HeaderMap) -> bool {
        let origin = single(headers, &header::ORIGIN);
        let site = headers.contains_key("sec-fetch-site").then(|| {
            single(headers, &HeaderName::from_static("sec-fetch-site")).unwrap_or_default()
        });
        let own = format!("http://{}", self.address);
        match (origin, site) {
            (_, Some(site)) if site != "same-origin" => false,
            (Some("null"), Some(_)) => true,
            (Some(origin), _) => origin == own,
            (None, _) => false,
        }
    }
}

/// The value of a header that is there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}
