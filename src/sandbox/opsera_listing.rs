//! The listings of the Opsera side: the one array, and the SCIM listing that counts.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use chrono::SecondsFormat;
use futures::{StreamExt as _, stream};
use serde_json::json;
use wildmatch::WildMatch;

use super::accounts::{Account, AccountStatus, Accounts, AccountsState, ScimAnswer, SiteRoleField};
use super::wire::{OpseraUser, ScimList, ScimUser, opsera_error};

/// Records that go into one piece of the array.
const PIECE: usize = 500;

/// The most records of a SCIM page.
const SCIM_PAGE: usize = 100;

/// The array of active accounts as it was at one moment, rendered piece by piece and once.
#[derive(Debug)]
pub(super) struct Listing {
    accounts: Vec<Arc<Account>>,
    field: SiteRoleField,
    pieces: Vec<OnceLock<Bytes>>,
}

impl Listing {
    fn new(accounts: Vec<Arc<Account>>, field: SiteRoleField) -> Self {
        let pieces = accounts.len().div_ceil(PIECE);
        Self {
            accounts,
            field,
            pieces: (0..pieces).map(|_| OnceLock::new()).collect(),
        }
    }

    fn piece(&self, number: usize) -> Bytes {
        let rendered = self.pieces.get(number);
        rendered.map_or_else(Bytes::new, |piece| {
            piece.get_or_init(|| self.render(number)).clone()
        })
    }

    fn render(&self, number: usize) -> Bytes {
        let mut text = Vec::new();
        let start = number * PIECE;
        for (position, account) in self.accounts.iter().enumerate().skip(start).take(PIECE) {
            if position > 0 {
                text.push(b',');
            }
            text.extend(bytes_of(&record(account, self.field)));
        }
        Bytes::from(text)
    }
}

/// `GET /users`
pub(super) fn list_users(accounts: &Accounts, query: &[(String, String)]) -> Response {
    let mut state = accounts.lock();
    if query.is_empty() {
        if state.listing.is_none() {
            let listing = Listing::new(state.listed(), state.site_role_field);
            state.listing = Some(Arc::new(listing));
        }
        return match &state.listing {
            Some(listing) => array(Arc::clone(listing)),
            None => opsera_error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error"),
        };
    }
    let mut listed = state.listed();
    let field = state.site_role_field;
    drop(state);
    for (name, value) in query {
        match name.as_str() {
            "email" => {
                let pattern = WildMatch::new(&value.to_lowercase());
                listed.retain(|account| {
                    (account.email.as_ref()).is_some_and(|e| pattern.matches(&e.to_lowercase()))
                });
            }
            "id" => listed.retain(|account| value.split(',').any(|id| id.trim() == account.id)),
            _ => return opsera_error(StatusCode::BAD_REQUEST, "Invalid query parameter"),
        }
    }
    array(Arc::new(Listing::new(listed, field)))
}

fn array(listing: Arc<Listing>) -> Response {
    let numbers = 0..listing.pieces.len();
    let pieces = stream::iter(numbers).map(move |number| listing.piece(number));
    let whole = stream::once(async { Bytes::from_static(b"[") })
        .chain(pieces)
        .chain(stream::once(async { Bytes::from_static(b"]") }))
        .map(Ok::<_, std::convert::Infallible>);
    (
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        Body::from_stream(whole),
    )
        .into_response()
}

/// `GET /scim/v2/Users`: SCIM counts from 1 (RFC 7644, 3.4.2.4).
pub(super) fn list_scim(state: &AccountsState, query: &[(String, String)]) -> Response {
    match &state.scim {
        ScimAnswer::Counted | ScimAnswer::TotalResults(_) => {}
        ScimAnswer::Html => return Html("<html><body>Sign in</body></html>").into_response(),
        ScimAnswer::NotFound => {
            return opsera_error(StatusCode::NOT_FOUND, "Cannot find this resource");
        }
        ScimAnswer::Forbidden => {
            return opsera_error(StatusCode::FORBIDDEN, "The token may not use SCIM");
        }
    }
    let number = |name: &str, usual: usize| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map_or(Some(usual), |(_, value)| value.parse().ok())
    };
    let (Some(start_index), Some(count)) = (number("startIndex", 1), number("count", SCIM_PAGE))
    else {
        return opsera_error(StatusCode::BAD_REQUEST, "startIndex and count are numbers");
    };
    let shown = state.active().skip(start_index.saturating_sub(1));
    let resources: Vec<ScimUser> = shown
        .take(count.min(SCIM_PAGE))
        .map(|account| ScimUser {
            schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"],
            id: account.id.clone(),
            user_name: account.email.clone(),
            active: true,
        })
        .collect();
    let list = ScimList {
        schemas: ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        total_results: state.active().count(),
        start_index: start_index.max(1),
        items_per_page: resources.len(),
        resources,
    };
    let mut body = json!(list);
    if let (ScimAnswer::TotalResults(value), Some(body)) = (&state.scim, body.as_object_mut()) {
        body.insert("totalResults".to_owned(), value.clone());
    }
    let kind = [(header::CONTENT_TYPE, "application/scim+json")];
    (kind, body.to_string()).into_response()
}

/// The record of an account, as a body.
#[cfg(feature = "test-instrumentation")]
pub(super) fn record_bytes(accounts: &Accounts, id: &str) -> Option<Vec<u8>> {
    let state = accounts.lock();
    let account = state.account(state.find(id).ok()??)?;
    Some(bytes_of(&record(account, state.site_role_field)))
}

fn bytes_of(record: &OpseraUser) -> Vec<u8> {
    // The record holds nothing but texts, lists of texts and flags: it can always be written.
    serde_json::to_vec(record).unwrap_or_default()
}

/// The record of an account.
pub(super) fn record(account: &Account, field: SiteRoleField) -> OpseraUser {
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
        active: account.status != AccountStatus::Inactive,
        site_role: (field == SiteRoleField::Reported).then(|| account.site_role.clone()),
    }
}
