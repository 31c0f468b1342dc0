//! The Opsera side over HTTP.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};

use super::accounts::{
    AccountSeed, AccountStatus, Accounts, AccountsState, SITE_ROLES, TokenScope,
};
use super::api::Effect;
use super::opsera_listing::{list_scim, list_users, record};
use super::wire::{NewOpseraUser, NewSiteRole, opsera_error, success_message};

type Pairs = Vec<(String, String)>;

/// The calls below `/api/v2/usermanagement`.
pub(super) fn router(accounts: Arc<Accounts>) -> Router {
    let calls = Router::new()
        .route("/users", get(users))
        .route("/user", get(search).post(create))
        .route("/user/{user}", get(user).delete(deactivate))
        .route("/user/{user}/siterole", put(set_role));
    Router::new()
        .nest("/api/v2/usermanagement", calls)
        .route("/api/v2/scim/v2/Users", get(scim))
        .fallback(async || opsera_error(StatusCode::NOT_FOUND, "Cannot find this resource"))
        .with_state(accounts)
}

async fn users(State(accounts): State<Arc<Accounts>>, Query(query): Query<Pairs>) -> Response {
    list_users(&accounts, &query)
}

async fn scim(State(accounts): State<Arc<Accounts>>, Query(query): Query<Pairs>) -> Response {
    list_scim(&accounts.lock(), &query)
}

async fn search(State(accounts): State<Arc<Accounts>>, Query(query): Query<Pairs>) -> Response {
    let asked = query.iter().find(|(name, _)| name == "search");
    let Some(email) = asked.and_then(|(_, value)| value.strip_prefix("email=")) else {
        return opsera_error(StatusCode::BAD_REQUEST, "Invalid search query");
    };
    let state = accounts.lock();
    match state.search_email(email) {
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
        status: AccountStatus::Pending,
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
    if account.status == AccountStatus::Inactive {
        return refuse(&mut state, "User deactivation failed: user is not active");
    }
    if account.owned_objects > 0 {
        let message = format!(
            "User deactivation failed: the user owns {} objects (pipelines, tools). Transfer \
             their ownership first.",
            account.owned_objects
        );
        return refuse(&mut state, &message);
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
    (state.scope != TokenScope::Full)
        .then(|| opsera_error(StatusCode::FORBIDDEN, "The token's scope is api-readonly"))
}

fn refuse(state: &mut AccountsState, message: &str) -> Response {
    state.next_shape().answer(StatusCode::BAD_REQUEST, message)
}

fn done(state: &mut AccountsState, method: &str, effect: Effect) -> Response {
    let (status, message) = success_message(method).unwrap_or((200, "Done"));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = state.next_shape().answer(status, message);
    response.extensions_mut().insert(effect);
    response
}
