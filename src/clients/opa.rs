//! The OPA Team: the source of truth, which is only ever read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::StatusCode;
use url::Url;

use super::auth::{Auth, TokenSource};
use super::call::{Api, Credential};
use super::error::CallError;
use super::pages::{ListingKind, PageSizes, Pages};
use super::path::{self, NotASegment};
use super::quota::QuotaStatus;
use super::records::{ApiRecord, CurrentUser, OpaGroupRecord, OpaUserRecord};
use super::second_count::{self, SecondCount, TeamStats};
use super::session::{self, Limits, Session};
use super::transport::{ClientError, Transport, refuse_api_path};
use crate::domain::{GroupName, OpaName, PersonRecord};
use crate::settings::{OpaCredentials, OpaSettings, RetrySettings};

/// A `status` that the user listing can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// Disabled users only.
    Disabled,
    /// Deleted users only.
    Deleted,
}

impl StatusFilter {
    fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The client of the OPA Team. Clones share one rate limit, one token and one count of requests.
#[derive(Clone, Debug)]
pub struct Opa {
    session: Arc<Session>,
    base: Url,
    team: String,
    sizes: Arc<PageSizes>,
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
        refuse_api_path(&settings.base_url, "opa.base_url", "/v1/teams")?;
        let base = path::below(settings.base_url.as_url(), &format!("/v1/teams/{team}"));
        let (auth, secret, credential) = match &settings.credentials {
            OpaCredentials::Token(token) => (
                Auth::fixed(token, "opa.token")?,
                token.clone(),
                Credential::OpaToken,
            ),
            OpaCredentials::Key { id, secret } => {
                let source = TokenSource::new(
                    path::below(&base, "/service_token"),
                    settings.team.clone(),
                    id.clone(),
                    secret.clone(),
                );
                (
                    Auth::Minted(Box::new(source)),
                    secret.clone(),
                    Credential::OpaKeyToken,
                )
            }
        };
        let limits = Limits {
            api: Api::Opa,
            credential,
            base_url: &settings.base_url,
            base_url_setting: "opa.base_url",
            rate_setting: "opa.requests_per_second or opa.burst",
            requests_per_second: settings.requests_per_second,
            burst: settings.burst,
            quota_reserve_percent: Some(settings.quota_reserve_percent),
            max_in_flight: None,
            timeout: settings.timeout,
            pull_timeout: settings.pull_timeout,
            secret,
        };
        let http = session::http_client(transport, limits, retry)?;
        Ok(Self {
            session: Arc::new(Session { http, auth }),
            base,
            team: settings.team.clone(),
            sizes: Arc::new(PageSizes::new(settings.page_size)),
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
            status: StatusCode::OK,
            team: self.team.clone(),
            detail: self.session.http.secrets.redact(&detail),
        })
    }

    /// The Team's users: without `filter`, those the server gives unasked.
    pub fn list_users(&self, filter: Option<StatusFilter>) -> Pages<'_, OpaUserRecord> {
        let mut url = path::below(&self.base, "/users");
        let mut call = "GET /users".to_owned();
        if let Some(filter) = filter {
            url.query_pairs_mut().append_pair("status", filter.as_str());
            call.push_str("?status=");
            call.push_str(filter.as_str());
        }
        self.listing(ListingKind::Users, call, Ok(url))
    }

    /// One user, or `None` when there is none of this name.
    ///
    /// # Errors
    /// A record of another name than the asked one is malformed: it is no answer to the question.
    pub async fn find_user(&self, name: &OpaName) -> Result<Option<PersonRecord>, CallError> {
        let segment = path::segment(name.as_str())
            .map_err(|name| self.session.http.invalid_segment("GET /users/{name}", name))?;
        let request = Session::get(
            path::below(&self.base, &format!("/users/{segment}")),
            format!("GET /users/{segment}"),
        );
        let found = self.session.find::<OpaUserRecord>(&request).await?;
        match found {
            Some(user) if user.name != *name => Err(self
                .session
                .http
                .malformed(&request, &format!("it is about the user “{}”", user.name))),
            other => Ok(other),
        }
    }

    /// The groups of one user.
    pub fn list_user_groups(&self, name: &OpaName) -> Pages<'_, OpaGroupRecord> {
        self.nested(ListingKind::UserGroups, "users", name.as_str(), "groups")
    }

    /// The Team's groups.
    pub fn list_groups(&self) -> Pages<'_, OpaGroupRecord> {
        let url = path::below(&self.base, "/groups");
        self.listing(ListingKind::Groups, "GET /groups".to_owned(), Ok(url))
    }

    /// The human users of one group. A group that does not exist is [`CallError::ClientError`] with
    /// 404 at the first page.
    pub fn list_group_users(&self, group: &GroupName) -> Pages<'_, OpaUserRecord> {
        self.nested(ListingKind::GroupUsers, "groups", group.as_str(), "users")
    }

    /// Whether OPA can be asked for the people of a group: not where its name is no segment of a
    /// path (`.`, `..`).
    pub fn can_list_group_users(&self, group: &GroupName) -> bool {
        path::segment(group.as_str()).is_ok()
    }

    /// Requests sent so far, repeated ones and those for tokens included.
    pub fn requests(&self) -> u64 {
        self.session.http.requests()
    }

    /// Waits until OPA may be asked again.
    pub async fn wait_until_unpaused(&self) {
        self.session.http.rate_limiter.wait_until_unpaused().await;
    }

    /// The Team's live groups whose names `is_wanted` takes.
    pub async fn list_live_groups(
        &self,
        is_wanted: impl Fn(&GroupName) -> bool,
    ) -> Result<BTreeSet<GroupName>, CallError> {
        let mut found = BTreeSet::new();
        let mut pages = self.list_groups();
        while let Some(page) = pages.next_page().await? {
            found.extend(
                page.into_iter()
                    .filter(|group| group.live && is_wanted(&group.name))
                    .map(|group| group.name),
            );
        }
        Ok(found)
    }

    /// How many humans the Team has, told by `GET /team_stats` (G0's second count).
    ///
    /// # Errors
    /// No answer, or one that is no count (G0): the server is in trouble.
    pub async fn human_count(&self) -> Result<SecondCount, CallError> {
        let request = Session::get(path::below(&self.base, "/team_stats"), "GET /team_stats");
        let stats: TeamStats = match self.session.object(&request).await {
            Ok(stats) => stats,
            Err(error) => return second_count::left_out(error),
        };
        let needed = self.sizes.learn_everybody(stats.everybody());
        if let (Some(needed), Some(quota)) = (needed, self.session.http.rate_limiter.quota()) {
            quota.expect_instead(needed);
        }
        stats
            .human_count()
            .map_err(|detail| self.session.http.malformed(&request, &detail))
    }

    /// Announces requests that are about to be sent, so that the quota is spread over them only
    /// where it has to be.
    pub fn expect_requests(&self, requests: u64) {
        if let Some(quota) = self.session.http.rate_limiter.quota() {
            quota.expect(requests);
        }
    }

    /// The quota as OPA's last answer told it; `None` where it tells none.
    pub fn quota(&self) -> Option<QuotaStatus> {
        self.session.http.rate_limiter.quota()?.status()
    }

    /// How many records a page of people holds: as many as came, or else as are asked for.
    pub fn page_size(&self) -> u64 {
        self.sizes.page_size()
    }

    /// How many records came in a page that another page followed; `None` when every listing so
    /// far was a single page.
    pub fn observed_page_size(&self) -> Option<u64> {
        self.sizes.observed()
    }

    /// Whether OPA refused `opa.page_size` for the listing of people.
    pub fn page_size_is_refused(&self) -> bool {
        self.sizes.is_refused(ListingKind::Users)
    }

    /// The median of OPA's clock minus ours; `None` before the first answer with a `Date`.
    pub fn clock_offset(&self) -> Option<TimeDelta> {
        self.session.http.clock_offsets.median_of(Api::Opa)
    }

    fn nested<R: ApiRecord>(
        &self,
        kind: ListingKind,
        what: &str,
        name: &str,
        of: &str,
    ) -> Pages<'_, R> {
        match path::segment(name) {
            Ok(segment) => {
                let tail = format!("/{what}/{segment}/{of}");
                let mut url = path::below(&self.base, &tail);
                if kind == ListingKind::GroupUsers {
                    url.query_pairs_mut().append_pair("user_type", "human");
                }
                self.listing(kind, format!("GET {tail}"), Ok(url))
            }
            Err(error) => self.listing(kind, format!("GET /{what}/{{name}}/{of}"), Err(error)),
        }
    }

    fn listing<R: ApiRecord>(
        &self,
        kind: ListingKind,
        call: String,
        url: Result<Url, NotASegment>,
    ) -> Pages<'_, R> {
        Pages::new(
            &self.session,
            &self.sizes,
            kind,
            call,
            url,
            self.pull_timeout,
        )
    }
}
