//! The OPA Team: the source of truth, which is only ever read.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;
use url::Url;

use super::error::{Api, CallError};
use super::listing::Listing;
use super::path::{self, NotASegment};
use super::session::{self, Limits, Session};
use super::token::{Auth, Minter};
use super::transport::{ClientError, Transport};
use super::wire::{CurrentUser, WireUser};
use crate::domain::{GroupName, GroupRecord, OpaName, PersonRecord};
use crate::settings::{OpaCredentials, OpaSettings, RetrySettings};

/// A `status` that the user listing can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// Active users only.
    Active,
    /// Disabled users only.
    Disabled,
    /// Deleted users only.
    Deleted,
}

impl StatusFilter {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Disabled => "DISABLED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The client of the OPA Team. Clones share one pace, one token and one count of requests.
#[derive(Clone, Debug)]
pub struct Opa {
    session: Arc<Session>,
    base: Url,
    team: String,
    page_size: u32,
    pull_timeout: Duration,
}

impl Opa {
    /// A client of the Team that `settings` names. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting that cannot be used, by name.
    pub fn new(
        transport: &Transport,
        settings: &OpaSettings,
        retry: &RetrySettings,
    ) -> Result<Self, ClientError> {
        let team = path::segment(&settings.team).map_err(|_| ClientError::Setting {
            setting: "opa.team",
            detail: "it is no name of a Team",
        })?;
        let base = path::below(&settings.base_url, &format!("/v1/teams/{team}"));
        let (auth, secret): (Auth, SecretString) = match &settings.credentials {
            OpaCredentials::Token(token) => (Auth::fixed(token, "opa.token")?, token.clone()),
            OpaCredentials::Key { id, secret } => {
                let minter = Minter::new(
                    path::below(&base, "/service_token"),
                    settings.team.clone(),
                    id.clone(),
                    secret.clone(),
                );
                (Auth::Minted(Box::new(minter)), secret.clone())
            }
        };
        let limits = Limits {
            api: Api::Opa,
            base_url: &settings.base_url,
            base_url_setting: "opa.base_url",
            rate_setting: "opa.requests_per_second or opa.burst",
            requests_per_second: settings.requests_per_second,
            burst: settings.burst,
            max_in_flight: None,
            timeout: settings.timeout,
            pull_timeout: settings.pull_timeout,
            secret,
        };
        let core = session::core(transport, limits, retry)?;
        Ok(Self {
            session: Arc::new(Session { core, auth }),
            base,
            team: settings.team.clone(),
            page_size: settings.page_size,
            pull_timeout: settings.pull_timeout,
        })
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`CallError::WrongTenant`] when the token is good for another Team than `opa.team`.
    pub async fn current_user(&self) -> Result<CurrentUser, CallError> {
        let url = path::below(&self.base, "/current_user");
        let request = Session::get(url, "GET /current_user".to_owned());
        let user = self.session.record::<CurrentUser>(&request).await?;
        if user.team_name.to_lowercase() == self.team.to_lowercase() {
            return Ok(user);
        }
        let detail = format!(
            "opa.team is “{}”, but the credential belongs to the Team “{}”",
            self.team, user.team_name
        );
        Err(CallError::WrongTenant {
            api: Api::Opa,
            call: request.call,
            detail: self.session.core.secrets.words(&detail).0,
        })
    }

    /// The Team's users: without `filter`, those the server gives unasked.
    pub fn list_users(&self, filter: Option<StatusFilter>) -> Listing<'_, PersonRecord> {
        let mut url = path::below(&self.base, "/users");
        let mut call = "GET /users".to_owned();
        if let Some(filter) = filter {
            url.query_pairs_mut().append_pair("status", filter.as_str());
            call.push_str("?status=");
            call.push_str(filter.as_str());
        }
        self.listing(call, Ok(url))
    }

    /// One user, or `None` when there is none of this name.
    ///
    /// # Errors
    /// A record of another name than the asked one is malformed: it is no answer to the question.
    pub async fn find_user(&self, name: &OpaName) -> Result<Option<PersonRecord>, CallError> {
        let segment = path::segment(name.as_str())
            .map_err(|name| self.session.unaskable("GET /users/{name}", &name))?;
        let request = Session::get(
            path::below(&self.base, &format!("/users/{segment}")),
            format!("GET /users/{segment}"),
        );
        let found = self.session.find::<WireUser>(&request).await?;
        match found {
            Some(user) if user.name != *name => Err(self
                .session
                .core
                .malformed(&request, &format!("it is about the user “{}”", user.name))),
            other => Ok(other),
        }
    }

    /// The groups of one user.
    pub fn list_user_groups(&self, name: &OpaName) -> Listing<'_, GroupRecord> {
        self.nested("users", name.as_str(), "groups")
    }

    /// The Team's groups.
    pub fn list_groups(&self) -> Listing<'_, GroupRecord> {
        let url = path::below(&self.base, "/groups");
        self.listing("GET /groups".to_owned(), Ok(url))
    }

    /// The users of one group. A group that does not exist is [`CallError::Refused`] with 404 at
    /// the first page.
    pub fn list_group_users(&self, group: &GroupName) -> Listing<'_, PersonRecord> {
        self.nested("groups", group.as_str(), "users")
    }

    /// Requests sent so far, repeated ones and those for tokens included.
    pub fn requests(&self) -> u64 {
        self.session.core.requests()
    }

    /// Waits until OPA may be asked again.
    pub async fn wait_until_unpaused(&self) {
        self.session.core.pace.wait_until_unpaused().await;
    }

    /// OPA's clock minus ours, as its last answer told; `None` before the first.
    pub fn clock_skew(&self) -> Option<TimeDelta> {
        self.session.core.clock_skew()
    }

    fn nested<T: super::listing::Listed>(
        &self,
        what: &str,
        name: &str,
        of: &str,
    ) -> Listing<'_, T> {
        match path::segment(name) {
            Ok(segment) => {
                let tail = format!("/{what}/{segment}/{of}");
                self.listing(format!("GET {tail}"), Ok(path::below(&self.base, &tail)))
            }
            Err(error) => self.listing(format!("GET /{what}/{{name}}/{of}"), Err(error)),
        }
    }

    fn listing<T: super::listing::Listed>(
        &self,
        call: String,
        url: Result<Url, NotASegment>,
    ) -> Listing<'_, T> {
        let url = url.map(|mut url| {
            let count = self.page_size.to_string();
            url.query_pairs_mut().append_pair("count", &count);
            url
        });
        Listing::new(&self.session, call, url, self.pull_timeout)
    }
}
