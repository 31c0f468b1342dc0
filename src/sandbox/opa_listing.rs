//! The listings of the OPA side: which records they show, and their pages.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use chrono::SecondsFormat;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;

use super::links::{LinkedPage, Links};
use super::paging::{BadParameter, PageRequest};
use super::people::{Group, Person, UserKind, Visibility};
use super::team::{DefaultListing, StatsAnswer, TeamState};
use super::wire::{
    OpaDetails, OpaGroup, OpaList, OpaTeamStats, OpaUser, opa_error, opa_parameter_error,
};
use crate::domain::time::Timestamp;

/// A decoded query.
pub(super) type Parameters = [(String, String)];

/// The statuses that a client may ask for.
const STATUSES: [&str; 3] = ["ACTIVE", "DISABLED", "DELETED"];

/// Which records `GET /users` shows.
struct Filter {
    /// Several statuses are taken together (assumed).
    statuses: Vec<String>,
    listing: DefaultListing,
    id: Option<String>,
    contains: Option<String>,
    starts_with: Option<String>,
    only_service: bool,
}

impl Filter {
    fn read(query: &Parameters, listing: DefaultListing) -> Result<Self, BadParameter> {
        let lower = |name| parameter(query, name).map(|text| text.to_lowercase());
        let statuses = query.iter().filter(|(name, _)| name == "status");
        let statuses: Vec<String> = statuses.map(|(_, value)| value.clone()).collect();
        if !(statuses.iter()).all(|status| STATUSES.contains(&status.as_str())) {
            return Err(BadParameter("status", "is not a status"));
        }
        Ok(Self {
            statuses,
            listing,
            id: parameter(query, "id"),
            contains: lower("contains"),
            starts_with: lower("starts_with"),
            // The vendor's words: “Only return Service Users in the results”.
            only_service: parameter(query, "include_service_users").as_deref() == Some("true"),
        })
    }

    fn wants(&self, person: &Person) -> bool {
        let status = person.status.as_str();
        let right_status = match self.listing {
            _ if !self.statuses.is_empty() => self.statuses.iter().any(|s| s == status),
            DefaultListing::Everything => true,
            DefaultListing::WithoutDeleted => status != "DELETED",
            DefaultListing::OnlyActive => !matches!(status, "DELETED" | "DISABLED"),
        };
        let name = || person.name.to_lowercase();
        right_status
            && is_listed(person)
            && self.id.as_ref().is_none_or(|id| *id == person.id)
            && (self.contains.as_ref()).is_none_or(|text| name().contains(text.as_str()))
            && (self.starts_with.as_ref()).is_none_or(|text| name().starts_with(text.as_str()))
            && (!self.only_service || person.kind == UserKind::Service)
    }
}

fn is_listed(person: &Person) -> bool {
    matches!(person.visibility, Visibility::Listed | Visibility::Twice)
}

impl TeamState {
    /// A page of `GET /users`.
    pub(super) fn list_users(&mut self, uri: &Uri, query: &Parameters) -> Response {
        if let Some(page) = self.pages.get(&uri.to_string()) {
            return page;
        }
        let records = self.records();
        // After the last record come, once more, those that are listed twice.
        let places = if self.twice.is_empty() {
            records
        } else {
            records * 2
        };
        let place = |id: &str| self.place_of(id, repeat(query));
        let read = Filter::read(query, self.default_listing).and_then(|filter| {
            let request = PageRequest::read(|name| parameter(query, name), self.page_limit, place);
            Ok((filter, request?))
        });
        let (filter, mut request) = match read {
            Ok(read) => read,
            Err(BadParameter(path, message)) => return opa_parameter_error(path, message),
        };
        request.last_page = self.last_page;
        let page = request.take(request.range(places), |place| {
            let again = place.checked_sub(records);
            let person = self
                .person(again.unwrap_or(place))
                .filter(|person| again.is_none() || person.visibility == Visibility::Twice)
                .filter(|person| filter.wants(person))?;
            Some(self.user(person))
        });
        let linked = |place: usize| self.linked(place);
        let (next, prev) = (page.next.map(linked), page.prev.map(linked));
        self.render(uri, query, page.items, next.as_ref(), prev.as_ref())
    }

    /// A page of `GET /groups/{group}/users`.
    pub(super) fn list_members(&mut self, uri: &Uri, query: &Parameters, group: usize) -> Response {
        if let Some(page) = self.pages.get(&uri.to_string()) {
            return page;
        }
        let kind = match parameter(query, "user_type").as_deref() {
            None => None,
            Some("human") => Some(UserKind::Human),
            Some("service") => Some(UserKind::Service),
            Some(_) => return opa_parameter_error("user_type", "is not human or service"),
        };
        let request = match self.page_request(query, |id| self.place_of(id, repeat(query))) {
            Ok(request) => request,
            Err(refusal) => return *refusal,
        };
        let range = request.range(self.records());
        let Some(group) = self.group(group) else {
            return opa_error(StatusCode::NOT_FOUND, "no such group");
        };
        let page = request.take(group.members.range(range).copied(), |index| {
            let person = self.person(index)?;
            let shown = person.status != "DELETED"
                && is_listed(person)
                && kind.is_none_or(|kind| kind == person.kind);
            shown.then(|| self.user(person))
        });
        let linked = |index: usize| self.linked(index);
        let (next, prev) = (page.next.map(linked), page.prev.map(linked));
        self.render(uri, query, page.items, next.as_ref(), prev.as_ref())
    }

    /// A page of the groups that `wanted` holds for.
    pub(super) fn list_groups(
        &mut self,
        uri: &Uri,
        query: &Parameters,
        wanted: impl Fn(&Group) -> bool,
    ) -> Response {
        let position = |id: &str| self.groups.iter().position(|group| group.id == id);
        let request = match self.page_request(query, position) {
            Ok(request) => request,
            Err(refusal) => return *refusal,
        };
        let page = request.take(request.range(self.groups.len()), |index| {
            let group = self.group(index).filter(|group| wanted(group))?;
            Some(group_record(index, group))
        });
        let linked = |index: usize| LinkedPage {
            offset: self.group(index).map(|g| g.id.clone()).unwrap_or_default(),
            repeat: 0,
        };
        let (next, prev) = (page.next.map(linked), page.prev.map(linked));
        self.render(uri, query, page.items, next.as_ref(), prev.as_ref())
    }

    fn page_request(
        &self,
        query: &Parameters,
        position: impl Fn(&str) -> Option<usize>,
    ) -> Result<PageRequest, Box<Response>> {
        PageRequest::read(|name| parameter(query, name), self.page_limit, position)
            .map_err(|BadParameter(path, message)| Box::new(opa_parameter_error(path, message)))
    }

    fn linked(&self, place: usize) -> LinkedPage {
        let (offset, repeat) = self.id_at(place);
        LinkedPage { offset, repeat }
    }

    fn render<T: Serialize>(
        &mut self,
        uri: &Uri,
        query: &Parameters,
        list: Vec<T>,
        next: Option<&LinkedPage>,
        prev: Option<&LinkedPage>,
    ) -> Response {
        self.pages_rendered += 1;
        let kept = query
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "offset" | "prev" | "repeat"));
        // The router hands on what is below the Team.
        let team = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let links = Links {
            origin: &self.origin,
            path: &format!("/v1/teams/{team}{}", uri.path()),
            query: kept.cloned().collect(),
            forms: self.link_forms,
            number: self.pages_rendered,
        };
        let headers = links.headers(next, prev);
        match serde_json::to_vec(&OpaList { list }) {
            Ok(body) => self.pages.put(&uri.to_string(), headers, body),
            Err(_) => opa_error(StatusCode::INTERNAL_SERVER_ERROR, "unknown_error"),
        }
    }

    /// The record of a user.
    pub(super) fn user(&self, person: &Person) -> OpaUser {
        let names = (&person.first_name, &person.last_name);
        let full_name = match names {
            (Some(first), Some(last)) => Some(format!("{first} {last}")),
            _ => None,
        };
        let details = (person.email.is_some() || names != (&None, &None)).then(|| OpaDetails {
            email: person.email.clone(),
            first_name: person.first_name.clone(),
            last_name: person.last_name.clone(),
            full_name,
        });
        OpaUser {
            id: person.id.clone(),
            name: person.name.clone(),
            team_name: self.name.clone(),
            status: person.status.clone(),
            user_type: match person.kind {
                UserKind::Human => "human",
                UserKind::Service => "service",
            },
            deleted_at: person.deleted_at.map(written),
            details,
            role_grants: [],
            oauth_client_application_id: None,
        }
    }

    /// The answer of `GET /team_stats`.
    pub(super) fn team_stats(&self) -> Response {
        let live_groups = self
            .groups
            .iter()
            .filter(|group| group.deleted_at.is_none());
        let counted = OpaTeamStats {
            human_users: self.number_of(UserKind::Human),
            service_users: self.number_of(UserKind::Service),
            groups: live_groups.count(),
        };
        match &self.stats {
            StatsAnswer::WithoutDeleted | StatsAnswer::Everybody => Json(counted).into_response(),
            StatsAnswer::HumanUsers(value) => Json(json!({
                "num_human_users": value,
                "num_service_users": counted.service_users,
                "num_groups": counted.groups,
            }))
            .into_response(),
            StatsAnswer::Html => {
                axum::response::Html("<html><body>Sign in</body></html>").into_response()
            }
            StatsAnswer::NotFound => opa_error(StatusCode::NOT_FOUND, "no such path"),
            StatsAnswer::Refused(refusal) => refusal.response(),
        }
    }
}

/// Live groups carry null or the zero time; both occur.
pub(super) fn group_record(index: usize, group: &Group) -> OpaGroup {
    let living = (!index.is_multiple_of(2)).then(|| "0001-01-01T00:00:00Z".to_owned());
    OpaGroup {
        id: group.id.clone(),
        name: group.name.clone(),
        roles: Vec::new(),
        deleted_at: group.deleted_at.map(written).or(living),
    }
}

fn written(time: Timestamp) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn repeat(query: &Parameters) -> usize {
    let repeat = parameter(query, "repeat").and_then(|text| text.parse().ok());
    repeat.unwrap_or_default()
}

/// The first value of a parameter.
pub(super) fn parameter(query: &Parameters, name: &str) -> Option<String> {
    let found = query.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone())
}
