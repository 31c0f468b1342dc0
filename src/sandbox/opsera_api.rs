//! The Opsera side over HTTP.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use chrono::SecondsFormat;
use futures::{StreamExt as _, stream};
use wildmatch::WildMatch;

use super::accounts::{
    Account, AccountSeed, Accounts, AccountsState, SITE_ROLES, SiteRoleField, Standing, TokenScope,
};
use super::journal::Effect;
use super::wire::{NewOpseraUser, NewSiteRole, OpseraUser, opsera_error, praise};

/// Records that go into one piece of the stream.
const PIECE: usize = 500;

type Parameters = Query<Vec<(String, String)>>;

/// The calls below `/api/v2/usermanagement`.
pub(super) fn router(accounts: Arc<Accounts>) -> Router {
    let calls = Router::new()
        .route("/users", get(users))
        .route("/user", get(search).post(create))
        .route("/user/{user}", get(user).delete(deactivate))
        .route("/user/{user}/siterole", put(set_role));
    Router::new()
        .nest("/api/v2/usermanagement", calls)
        .fallback(async || opsera_error(StatusCode::NOT_FOUND, "Cannot find this resource"))
        .with_state(accounts)
}

async fn users(State(accounts): State<Arc<Accounts>>, Query(query): Parameters) -> Response {
    let (mut active, field) = {
        let state = accounts.lock();
        (state.active(), state.site_role_field)
    };
    for (name, value) in &query {
        match name.as_str() {
            "email" => {
                let pattern = WildMatch::new(&value.to_lowercase());
                active.retain(|account| {
                    (account.email.as_ref()).is_some_and(|e| pattern.matches(&e.to_lowercase()))
                });
            }
            "id" => active.retain(|account| value.split(',').any(|id| id.trim() == account.id)),
            _ => return opsera_error(StatusCode::BAD_REQUEST, "Invalid query parameter"),
        }
    }
    let pieces = (0..active.len().div_ceil(PIECE)).collect::<Vec<_>>();
    let middle = stream::iter(pieces).map(move |piece| {
        let start = piece * PIECE;
        let mut text = Vec::new();
        for (position, account) in active.iter().enumerate().skip(start).take(PIECE) {
            if position > 0 {
                text.push(b',');
            }
            text.extend(bytes_of(&record(account, field)));
        }
        Bytes::from(text)
    });
    let whole = stream::once(async { Bytes::from_static(b"[") })
        .chain(middle)
        .chain(stream::once(async { Bytes::from_static(b"]") }))
        .map(Ok::<_, std::convert::Infallible>);
    (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        Body::from_stream(whole),
    )
        .into_response()
}

async fn search(State(accounts): State<Arc<Accounts>>, Query(query): Parameters) -> Response {
    let asked = query.iter().find(|(name, _)| name == "search");
    let Some(email) = asked.and_then(|(_, value)| value.strip_prefix("email=")) else {
        return opsera_error(StatusCode::BAD_REQUEST, "Invalid search query");
    };
    let state = accounts.lock();
    match state.find_email(email) {
        Ok(found) => one(&state, found),
        Err(_) => opsera_error(StatusCode::BAD_REQUEST, "Several users match the search"),
    }
}

async fn user(State(accounts): State<Arc<Accounts>>, Path(user): Path<String>) -> Response {
    let state = accounts.lock();
    match state.find(&user) {
        Ok(found) => one(&state, found),
        Err(_) => opsera_error(StatusCode::BAD_REQUEST, "Several users match"),
    }
}

async fn create(State(accounts): State<Arc<Accounts>>, Json(new): Json<NewOpseraUser>) -> Response {
    let now = accounts.clock.now();
    let mut state = accounts.lock();
    if let Some(refusal) = no_permission(&state) {
        return refusal;
    }
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (Some(email), Some(first_name), Some(last_name), Some(site_role)) = (
        filled(new.email),
        filled(new.first_name),
        filled(new.last_name),
        filled(new.site_role),
    ) else {
        return refuse(
            &mut state,
            "email, firstName, lastName and siteRole are required",
        );
    };
    if !SITE_ROLES.contains(&site_role.as_str()) {
        return refuse(&mut state, "siteRole is not valid");
    }
    if !matches!(state.find_email(&email), Ok(None)) {
        return refuse(&mut state, "A user with this email already exists");
    }
    let seed = AccountSeed {
        id: None,
        email: Some(email.clone()),
        first_name,
        last_name,
        standing: Standing::Pending,
        site_role,
        owned_objects: 0,
        division: new.division.unwrap_or_default(),
    };
    match state.add(seed, now) {
        Ok(id) => {
            if let Ok(Some(index)) = state.find(&id) {
                state.change(index, |account| account.groups = new.groups);
            }
            done(&mut state, "POST", Effect::Created { id, email })
        }
        Err(_) => opsera_error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
    }
}

async fn deactivate(State(accounts): State<Arc<Accounts>>, Path(user): Path<String>) -> Response {
    let now = accounts.clock.now();
    let mut state = accounts.lock();
    if let Some(refusal) = no_permission(&state) {
        return refusal;
    }
    let Ok(Some(index)) = state.find(&user) else {
        return refuse(&mut state, "User deactivation failed: invalid id");
    };
    let Some(account) = state.account(index).cloned() else {
        return refuse(&mut state, "User deactivation failed: invalid id");
    };
    if account.standing == Standing::Inactive {
        return refuse(&mut state, "User deactivation failed: user is not active");
    }
    if account.owned_objects > 0 {
        let words = format!(
            "User deactivation failed: the user owns {} objects (pipelines, tools). Transfer \
             their ownership first.",
            account.owned_objects
        );
        return refuse(&mut state, &words);
    }
    state.deactivate(index, now);
    let id = account.id.clone();
    done(&mut state, "DELETE", Effect::Deactivated { id })
}

async fn set_role(
    State(accounts): State<Arc<Accounts>>,
    Path(user): Path<String>,
    Json(new): Json<NewSiteRole>,
) -> Response {
    let now = accounts.clock.now();
    let mut state = accounts.lock();
    if let Some(refusal) = no_permission(&state) {
        return refusal;
    }
    let Ok(Some(index)) = state.find(&user) else {
        return opsera_error(StatusCode::NOT_FOUND, "User not found");
    };
    let role = new.site_role.unwrap_or_default();
    if !SITE_ROLES.contains(&role.as_str()) {
        return refuse(&mut state, "Invalid site role");
    }
    state.change(index, |account| {
        role.clone_into(&mut account.site_role);
        account.updated_at = now;
    });
    let id = state
        .account(index)
        .map(|a| a.id.clone())
        .unwrap_or_default();
    done(&mut state, "PUT", Effect::RoleSet { id, to: role })
}

fn one(state: &AccountsState, found: Option<usize>) -> Response {
    match found.and_then(|index| state.account(index)) {
        Some(account) => Json(record(account, state.site_role_field)).into_response(),
        None => opsera_error(StatusCode::NOT_FOUND, "User not found"),
    }
}

fn no_permission(state: &AccountsState) -> Option<Response> {
    (state.scope == TokenScope::ReadOnly)
        .then(|| opsera_error(StatusCode::FORBIDDEN, "The token's scope is api-readonly"))
}

fn refuse(state: &mut AccountsState, words: &str) -> Response {
    state.next_shape().answer(StatusCode::BAD_REQUEST, words)
}

fn done(state: &mut AccountsState, method: &str, effect: Effect) -> Response {
    let (status, words) = praise(method).unwrap_or((200, "Done"));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = state.next_shape().answer(status, words);
    response.extensions_mut().insert(effect);
    response
}

/// The record of an account, as a body.
pub(super) fn record_bytes(accounts: &Accounts, id: &str) -> Option<Vec<u8>> {
    let state = accounts.lock();
    let account = state.by_id(id)?;
    Some(bytes_of(&record(account, state.site_role_field)))
}

fn bytes_of(record: &OpseraUser) -> Vec<u8> {
    // The record holds nothing but texts, lists of texts and flags: it can always be written.
    serde_json::to_vec(record).unwrap_or_default()
}

fn record(account: &Account, field: SiteRoleField) -> OpseraUser {
    let email = account.email.clone();
    let domain = email.as_deref().and_then(|e| e.rsplit_once('@'));
    OpseraUser {
        id: account.id.clone(),
        applications: Vec::new(),
        tools: (0..account.owned_objects.min(3))
            .map(|number| format!("tool-{number}"))
            .collect(),
        groups: account.groups.clone(),
        first_name: account.first_name.clone(),
        last_name: account.last_name.clone(),
        domain: domain.map(|(_, domain)| domain.to_owned()),
        email,
        sso_system: "okta",
        organization_name: "Example Inc.",
        division: account.division.clone(),
        created_at: account
            .created_at
            .to_rfc3339_opts(SecondsFormat::Millis, true),
        updated_at: account
            .updated_at
            .to_rfc3339_opts(SecondsFormat::Millis, true),
        active: account.standing != Standing::Inactive,
        site_role: (field == SiteRoleField::Reported).then(|| account.site_role.clone()),
    }
}
