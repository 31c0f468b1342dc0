//! `/healthz`, `/readyz` and `/metrics`.
//!
//! There is no authentication, so nothing here is about a person and nothing can be changed. How
//! long and how much a client may hold is for [`serving`] to say.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::domain::time::SharedClock;
use crate::metrics::{Exposition, Metrics};
use crate::serving;

/// What the handlers read.
#[derive(Clone)]
pub(super) struct AppState {
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
}

/// Serves until `stop`, then closes what is open.
pub(super) async fn serve(
    listener: TcpListener,
    state: AppState,
    clock: SharedClock,
    stop: CancellationToken,
) {
    serving::serve(listener, router(state), clock, stop).await;
}

fn router(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .with_state(state)
}

async fn healthz(State(state): State<AppState>) -> Response {
    let (status, words) = if state.health.is_alive() {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the main loop does not turn",
        )
    };
    (status, unstored(), Json(json!({ "status": words }))).into_response()
}

async fn readyz(State(state): State<AppState>) -> Response {
    let readiness = state.health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, unstored(), Json(readiness)).into_response()
}

async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let exposition = Exposition::for_accept(accept);
    (
        [(header::CONTENT_TYPE, exposition.content_type())],
        unstored(),
        state.metrics.render(exposition),
    )
        .into_response()
}

async fn not_found() -> Result<Response, Infallible> {
    let words = "there is /healthz, /readyz and /metrics\n";
    Ok((StatusCode::NOT_FOUND, words).into_response())
}

fn unstored() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}
