//! Opsera's accounts, read. What is made here cannot change anything: a dry run has only this.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use url::Url;

use super::account_stream::AccountStream;
use super::error::{Api, CallError};
use super::opsera_writer::OpseraWriter;
use super::path;
use super::session::{self, Limits, Session};
use super::token::Auth;
use super::transport::{ClientError, Transport};
use super::wire::WireAccount;
use crate::domain::{AccountRecord, Address, OpseraId};
use crate::settings::{OpseraSettings, RetrySettings};

const API_PATH: &str = "/api/v2/usermanagement";

/// What the account listing can be narrowed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountFilter {
    /// An address, or a pattern with `*`.
    Email(String),
    /// These ids.
    Ids(Vec<OpseraId>),
}

/// The client of Opsera that only reads. Clones share one pace and one count of requests.
#[derive(Clone, Debug)]
pub struct OpseraReader {
    pub(super) session: Arc<Session>,
    pub(super) base: Url,
    pub(super) root: Url,
    pub(super) site_role_path: String,
    pull_timeout: Duration,
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
        let limits = Limits {
            api: Api::Opsera,
            base_url: &settings.base_url,
            base_url_setting: "opsera.base_url",
            rate_setting: "opsera.requests_per_second or opsera.burst",
            requests_per_second: settings.requests_per_second,
            burst: settings.burst,
            max_in_flight: Some(settings.max_in_flight),
            timeout: settings.timeout,
            pull_timeout: settings.pull_timeout,
            secret: settings.token.clone(),
        };
        let core = session::core(transport, limits, retry)?;
        Ok(Self {
            session: Arc::new(Session { core, auth }),
            base: path::below(&settings.base_url, API_PATH),
            root: settings.base_url.clone(),
            site_role_path: settings.site_role_path.clone(),
            pull_timeout: settings.pull_timeout,
        })
    }

    /// The same client with the right to write.
    pub fn writer(&self) -> OpseraWriter {
        OpseraWriter::new(self.clone())
    }

    /// Every active account.
    pub fn list_users(&self) -> AccountStream {
        self.stream(None)
    }

    /// The active accounts that `filter` leaves.
    pub fn list_filtered(&self, filter: &AccountFilter) -> AccountStream {
        let query = match filter {
            AccountFilter::Email(pattern) => format!("email={}", path::query_value(pattern)),
            AccountFilter::Ids(ids) => {
                let ids: Vec<_> = ids
                    .iter()
                    .map(|id| path::query_value(id.as_str()))
                    .collect();
                format!("id={}", ids.join(","))
            }
        };
        self.stream(Some(&query))
    }

    /// One account by id or address, an inactive one too; `None` when there is none.
    ///
    /// # Errors
    /// A record with neither the asked id nor the asked address is malformed: it is no answer to
    /// the question.
    pub async fn find_user(&self, user: &str) -> Result<Option<AccountRecord>, CallError> {
        let segment = path::segment(user)
            .map_err(|name| self.session.unaskable("GET /user/{user}", &name))?;
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
        self.session.core.requests()
    }

    /// Waits until Opsera may be asked again.
    pub async fn wait_until_unpaused(&self) {
        self.session.core.pace.wait_until_unpaused().await;
    }

    /// Opsera's clock minus ours, as its last answer told; `None` before the first.
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.session.core.clock_skew()
    }

    fn stream(&self, query: Option<&str>) -> AccountStream {
        let mut url = path::below(&self.base, "/users");
        url.set_query(query);
        let request = Session::get(url, "GET /users".to_owned());
        AccountStream::new(Arc::clone(&self.session), request, self.pull_timeout)
    }

    async fn find(
        &self,
        url: Url,
        call: String,
        is_asked: impl Fn(&AccountRecord) -> bool,
    ) -> Result<Option<AccountRecord>, CallError> {
        let request = Session::get(url, call);
        match self.session.find::<WireAccount>(&request).await? {
            Some(account) if !is_asked(&account) => Err(self
                .session
                .core
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
