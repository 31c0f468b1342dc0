//! The OPA side over HTTP.

use axum::extract::{Path, Query, RawPathParams, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::SecondsFormat;
use serde_json::json;

use super::api::Effect;
use super::opa_listing::{group_record, parameter};
use super::team::{SharedTeam, TeamState};
use super::wire::{MintRequest, Minted, opa_error};

type Pairs = Vec<(String, String)>;

/// The calls below `/v1/teams/{team}`.
pub(super) fn router(team: SharedTeam) -> Router {
    let calls = Router::new()
        .route("/service_token", post(mint))
        .route("/current_user", get(current_user))
        .route("/team_stats", get(team_stats))
        .route("/users", get(users))
        .route("/users_by_id/{id}", get(user_by_id))
        .route("/users/{user}", get(user))
        .route("/users/{user}/groups", get(groups_of_user))
        .route("/groups", get(groups))
        .route("/groups/{group}", get(group))
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

async fn team_stats(State(team): State<SharedTeam>) -> Response {
    team.lock().team_stats()
}

async fn users(State(team): State<SharedTeam>, uri: Uri, Query(query): Query<Pairs>) -> Response {
    team.lock().list_users(&uri, &query)
}

async fn user(State(team): State<SharedTeam>, Path((_, name)): Path<(String, String)>) -> Response {
    let state = team.lock();
    one(&state, state.find(&name))
}

async fn user_by_id(
    State(team): State<SharedTeam>,
    Path((_, id)): Path<(String, String)>,
) -> Response {
    let state = team.lock();
    one(&state, state.find_id(&id))
}

fn one(state: &TeamState, index: Option<usize>) -> Response {
    match index.and_then(|index| state.person(index)) {
        Some(person) => Json(state.user(person)).into_response(),
        None => opa_error(StatusCode::NOT_FOUND, "no such user"),
    }
}

async fn groups_of_user(
    State(team): State<SharedTeam>,
    Path((_, name)): Path<(String, String)>,
    uri: Uri,
    Query(query): Query<Pairs>,
) -> Response {
    let mut state = team.lock();
    let Some(person) = state.find(&name) else {
        return opa_error(StatusCode::NOT_FOUND, "no such user");
    };
    let deleted_too = parameter(&query, "include_deleted").as_deref() == Some("true");
    state.list_groups(&uri, &query, |group| {
        group.members.contains(&person) && (deleted_too || group.deleted_at.is_none())
    })
}

async fn groups(State(team): State<SharedTeam>, uri: Uri, Query(query): Query<Pairs>) -> Response {
    team.lock().list_groups(&uri, &query, |_| true)
}

async fn group(
    State(team): State<SharedTeam>,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    let state = team.lock();
    let found = state.live_group(&name);
    match found.and_then(|index| Some((index, state.group(index)?))) {
        Some((index, group)) => Json(group_record(index, group)).into_response(),
        None => opa_error(StatusCode::NOT_FOUND, "no such group"),
    }
}

async fn users_of_group(
    State(team): State<SharedTeam>,
    Path((_, name)): Path<(String, String)>,
    uri: Uri,
    Query(query): Query<Pairs>,
) -> Response {
    let mut state = team.lock();
    match state.live_group(&name) {
        Some(group) => state.list_members(&uri, &query, group),
        None => opa_error(StatusCode::NOT_FOUND, "no such group"),
    }
}
