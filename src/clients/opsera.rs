//! Opsera's accounts, read. What is made here cannot change anything: a dry run has only this.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use url::Url;

use super::account_stream::AccountStream;
use super::auth::Auth;
use super::call::{Api, Credential};
use super::error::CallError;
use super::path;
use super::records::OpseraUserRecord;
use super::second_count::{self, ScimList, SecondCount};
use super::session::{self, Limits, Session};
use super::token_expiry;
use super::transport::{ClientError, Transport, refuse_api_path};
use crate::domain::time::Timestamp;
use crate::domain::{AccountRecord, Address};
use crate::settings::{OpseraSettings, RetrySettings};

const API_PATH: &str = "/api/v2/usermanagement";

const SCIM_USERS: &str = "/api/v2/scim/v2/Users";

/// The client of Opsera that only reads. Clones share one rate limit and one count of requests.
#[derive(Clone, Debug)]
pub struct OpseraReader {
    pub(super) session: Arc<Session>,
    pub(super) base: Url,
    pub(super) root: Url,
    pub(super) site_role_path: String,
    pull_timeout: Duration,
    token_expires_at: Option<Timestamp>,
    token_owner_names: Vec<String>,
}

impl OpseraReader {
    /// A client of the installation that `settings` names. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting that cannot be used, by name.
    pub fn new(
        transport: &Transport,
        settings: &OpseraSettings,
        retry: &RetrySettings,
    ) -> Result<Self, ClientError> {
        let auth = Auth::fixed(&settings.token, "opsera.token")?;
        refuse_api_path(&settings.base_url, "opsera.base_url", "/api/v2")?;
        let expires_at = token_expiry::opsera_token_expires_at(settings);
        transport.request_metrics().note_token_expiry(expires_at);
        let limits = Limits {
            api: Api::Opsera,
            credential: Credential::OpseraToken,
            base_url: &settings.base_url,
            base_url_setting: "opsera.base_url",
            rate_setting: "opsera.requests_per_second or opsera.burst",
            requests_per_second: settings.requests_per_second,
            burst: settings.burst,
            quota_reserve_percent: None,
            max_in_flight: Some(settings.max_in_flight),
            timeout: settings.timeout,
            pull_timeout: settings.pull_timeout,
            secret: settings.token.clone(),
        };
        let http = session::http_client(transport, limits, retry)?;
        Ok(Self {
            session: Arc::new(Session { http, auth }),
            base: path::below(settings.base_url.as_url(), API_PATH),
            root: settings.base_url.as_url().clone(),
            site_role_path: settings.site_role_path.clone(),
            pull_timeout: settings.pull_timeout,
            token_expires_at: expires_at,
            token_owner_names: token_expiry::owner_names(settings.token.expose_secret()),
        })
    }

    /// Every active account.
    pub fn list_users(&self) -> AccountStream {
        let url = path::below(&self.base, "/users");
        let request = Session::get(url, "GET /users");
        AccountStream::new(Arc::clone(&self.session), request, self.pull_timeout)
    }

    /// How many active accounts there are, told by SCIM's `totalResults`.
    ///
    /// # Errors
    /// No answer, or one that says nothing about the count: the server is in trouble.
    pub async fn count_active(&self) -> Result<SecondCount, CallError> {
        let mut url = path::below(&self.root, SCIM_USERS);
        url.set_query(Some("startIndex=1&count=1"));
        let request = Session::get(url, "GET /scim/v2/Users");
        match self.session.object::<ScimList>(&request).await {
            Ok(list) => Ok(list.total()),
            Err(error) => second_count::left_out_or_unreadable(error),
        }
    }

    /// When `opsera.token` ends, as the token itself says; `None` where it does not say.
    pub fn token_expires_at(&self) -> Option<Timestamp> {
        self.token_expires_at
    }

    /// Whom `opsera.token` names as its owner, by address or by the account's id, as the token itself
    /// says; empty where it does not say.
    pub fn token_owner_names(&self) -> &[String] {
        &self.token_owner_names
    }

    /// One account by id or address, an inactive one too; `None` when there is none.
    ///
    /// # Errors
    /// A record with neither the asked id nor the asked address is malformed: it is no answer to
    /// the question.
    pub async fn find_user(&self, user: &str) -> Result<Option<AccountRecord>, CallError> {
        let segment = path::segment(user)
            .map_err(|name| self.session.http.invalid_segment("GET /user/{user}", name))?;
        let tail = format!("/user/{segment}");
        let url = path::below(&self.base, &tail);
        self.find(url, format!("GET {tail}"), |account| {
            account.id.as_str() == user || has_address(account, user)
        })
        .await
    }

    /// One account by address, through the search; `None` when there is none.
    ///
    /// # Errors
    /// Several matches are refused by Opsera with 400. A record with another address is malformed.
    pub async fn search_user(&self, email: &str) -> Result<Option<AccountRecord>, CallError> {
        let mut url = path::below(&self.base, "/user");
        url.set_query(Some(&format!("search=email={}", path::query_value(email))));
        self.find(url, "GET /user?search=email".to_owned(), |account| {
            has_address(account, email)
        })
        .await
    }

    /// Requests sent so far, repeated ones and writes included.
    pub fn requests(&self) -> u64 {
        self.session.http.requests()
    }

    /// Waits until Opsera may be asked again.
    pub async fn wait_until_unpaused(&self) {
        self.session.http.rate_limiter.wait_until_unpaused().await;
    }

    /// The median of Opsera's clock minus ours; `None` before the first answer with a `Date`.
    pub fn clock_offset(&self) -> Option<TimeDelta> {
        self.session.http.clock_offsets.median_of(Api::Opsera)
    }

    async fn find(
        &self,
        url: Url,
        call: String,
        is_asked: impl Fn(&AccountRecord) -> bool,
    ) -> Result<Option<AccountRecord>, CallError> {
        let request = Session::get(url, call);
        match self.session.find::<OpseraUserRecord>(&request).await? {
            Some(account) if !is_asked(&account) => Err(self
                .session
                .http
                .malformed(&request, &format!("it is about the account {}", account.id))),
            other => Ok(other),
        }
    }
}

/// Whether the account carries `asked`, both in canonical form (I1).
fn has_address(account: &AccountRecord, asked: &str) -> bool {
    account.email.as_deref().is_some_and(|email| {
        match (Address::parse(email), Address::parse(asked)) {
            (Ok(email), Ok(asked)) => email == asked,
            _ => email == asked,
        }
    })
}
