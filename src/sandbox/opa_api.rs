//! The OPA side over HTTP.

use axum::extract::{Path, Query, RawPathParams, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::SecondsFormat;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;

use super::journal::Effect;
use super::paging::{BadParameter, Links, Page, PageRequest};
use super::people::{Group, Person, UserKind, Visibility};
use super::team::{DefaultListing, SharedTeam, TeamState};
use super::wire::{
    MintRequest, Minted, OpaDetails, OpaGroup, OpaList, OpaUser, opa_error, opa_parameter_error,
};
use crate::domain::time::Timestamp;

type Parameters = Query<Vec<(String, String)>>;

/// The calls below `/v1/teams/{team}`.
pub(super) fn router(team: SharedTeam) -> Router {
    let calls = Router::new()
        .route("/service_token", post(mint))
        .route("/current_user", get(current_user))
        .route("/users", get(users))
        .route("/users/{user}", get(user))
        .route("/users/{user}/groups", get(groups_of_user))
        .route("/groups", get(groups))
        .route("/groups/{group}/users", get(users_of_group))
        .route_layer(from_fn_with_state(SharedTeam::clone(&team), own_team));
    Router::new()
        .nest("/v1/teams/{team}", calls)
        .fallback(async || opa_error(StatusCode::NOT_FOUND, "no such path"))
        .with_state(team)
}

async fn own_team(
    State(team): State<SharedTeam>,
    path: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let ours = {
        let state = team.lock();
        path.iter()
            .any(|(name, value)| name == "team" && value.eq_ignore_ascii_case(&state.name))
    };
    if ours {
        next.run(request).await
    } else {
        opa_error(StatusCode::NOT_FOUND, "no such team")
    }
}

async fn mint(State(team): State<SharedTeam>, Json(key): Json<MintRequest>) -> Response {
    let team_name = {
        let state = team.lock();
        if key.key_id != state.key_id || key.key_secret != state.key_secret {
            return opa_error(StatusCode::UNAUTHORIZED, "the key is not valid");
        }
        state
            .answered_name
            .clone()
            .unwrap_or_else(|| state.name.clone())
    };
    let (bearer_token, expires_at) = team.mint();
    let mut response = Json(Minted {
        bearer_token,
        expires_at: expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        team_name,
    })
    .into_response();
    response.extensions_mut().insert(Effect::TokenMinted);
    response
}

async fn current_user(State(team): State<SharedTeam>) -> Response {
    let state = team.lock();
    let body = json!({
        "id": "00000000-0000-4000-8000-00000000aaaa",
        "name": "rolecall-service",
        "team_name": state.name,
    });
    Json(body).into_response()
}

async fn users(State(team): State<SharedTeam>, uri: Uri, Query(query): Parameters) -> Response {
    let mut state = team.lock();
    let filter = match Filter::read(&query, state.default_listing) {
        Ok(filter) => filter,
        Err(BadParameter(path, message)) => return opa_parameter_error(path, message),
    };
    // A second lap shows the records that are listed twice.
    let total = |state: &TeamState| state.records() * 2;
    state.page(&uri, &query, total, |state, position| {
        let again = position.checked_sub(state.records());
        let person = state
            .person(again.unwrap_or(position))
            .filter(|person| again.is_none() || person.visibility == Visibility::Twice)
            .filter(|person| filter.wants(person))?;
        Some(state.user(person))
    })
}

async fn user(State(team): State<SharedTeam>, Path((_, name)): Path<(String, String)>) -> Response {
    let state = team.lock();
    let person = state.find(&name).and_then(|index| state.person(index));
    match person {
        Some(person) => Json(state.user(person)).into_response(),
        None => opa_error(StatusCode::NOT_FOUND, "no such user"),
    }
}

async fn groups_of_user(
    State(team): State<SharedTeam>,
    Path((_, name)): Path<(String, String)>,
    uri: Uri,
    Query(query): Parameters,
) -> Response {
    let mut state = team.lock();
    let Some(person) = state.find(&name) else {
        return opa_error(StatusCode::NOT_FOUND, "no such user");
    };
    let deleted_too = parameter(&query, "include_deleted").as_deref() == Some("true");
    let total = |state: &TeamState| state.groups.len();
    state.page(&uri, &query, total, |state, index| {
        let group = state.groups.get(index)?;
        let wanted = group.members.contains(&person) && (deleted_too || group.deleted_at.is_none());
        wanted.then(|| group_record(index, group))
    })
}

async fn groups(State(team): State<SharedTeam>, uri: Uri, Query(query): Parameters) -> Response {
    let mut state = team.lock();
    let total = |state: &TeamState| state.groups.len();
    state.page(&uri, &query, total, |state, index| {
        state
            .groups
            .get(index)
            .map(|group| group_record(index, group))
    })
}

async fn users_of_group(
    State(team): State<SharedTeam>,
    Path((_, name)): Path<(String, String)>,
    uri: Uri,
    Query(query): Parameters,
) -> Response {
    let mut state = team.lock();
    let Some(group) = state.live_group(&name) else {
        return opa_error(StatusCode::NOT_FOUND, "no such group");
    };
    let members: Vec<usize> = group.members.iter().copied().collect();
    // The members are a listing of their own: a cursor counts among them.
    let total = |_: &TeamState| members.len();
    state.page(&uri, &query, total, |state, position| {
        let person = state.person(*members.get(position)?)?;
        let listed = person.status != "DELETED" && person.visibility != Visibility::Hidden;
        listed.then(|| state.user(person))
    })
}

/// Which records `GET /users` shows.
struct Filter {
    status: Option<String>,
    listing: DefaultListing,
    id: Option<String>,
    contains: Option<String>,
    starts_with: Option<String>,
    only_service: bool,
}

impl Filter {
    fn read(query: &[(String, String)], listing: DefaultListing) -> Result<Self, BadParameter> {
        let lower = |name| parameter(query, name).map(|text| text.to_lowercase());
        let status = parameter(query, "status");
        let known = ["ACTIVE", "DISABLED", "DELETED"];
        if status.as_deref().is_some_and(|text| !known.contains(&text)) {
            return Err(BadParameter("status", "is not a status"));
        }
        Ok(Self {
            status,
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
        let right_status = match (&self.status, self.listing) {
            (Some(wanted), _) => wanted == status,
            (None, DefaultListing::Everything) => true,
            (None, DefaultListing::WithoutDeleted) => status != "DELETED",
            (None, DefaultListing::OnlyActive) => !matches!(status, "DELETED" | "DISABLED"),
        };
        let name = person.name.to_lowercase();
        right_status
            && person.visibility != Visibility::Hidden
            && self.id.as_ref().is_none_or(|id| *id == person.id)
            && (self.contains.as_ref()).is_none_or(|text| name.contains(text.as_str()))
            && (self.starts_with.as_ref()).is_none_or(|text| name.starts_with(text.as_str()))
            && (!self.only_service || person.kind == UserKind::Service)
    }
}

impl TeamState {
    /// One page of a listing of up to `total` records.
    fn page<T: Serialize>(
        &mut self,
        uri: &Uri,
        query: &[(String, String)],
        total: impl Fn(&Self) -> usize,
        pick: impl Fn(&Self, usize) -> Option<T>,
    ) -> Response {
        let request = match PageRequest::read(|name| parameter(query, name), self.page_cap) {
            Ok(request) => request,
            Err(BadParameter(path, message)) => return opa_parameter_error(path, message),
        };
        self.pages_served += 1;
        let state = &*self;
        let page: Page<T> = request.take(total(state), |index| pick(state, index));
        let kept = query
            .iter()
            .filter(|(name, _)| name != "offset" && name != "prev");
        // The router hands on what is below the Team.
        let team = utf8_percent_encode(&self.name, NON_ALPHANUMERIC);
        let links = Links {
            origin: &self.origin,
            path: &format!("/v1/teams/{team}{}", uri.path()),
            query: kept.cloned().collect(),
            shape: self.pages_served,
        };
        let headers = links.headers(page.next, page.prev);
        (headers, Json(OpaList { list: page.items })).into_response()
    }

    fn user(&self, person: &Person) -> OpaUser {
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
}

/// Live groups carry null or the zero time; both occur.
fn group_record(index: usize, group: &Group) -> OpaGroup {
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

fn parameter(query: &[(String, String)], name: &str) -> Option<String> {
    let found = query.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone())
}
