//! `/healthz`, `/readyz` and `/metrics`.
//!
//! There is no authentication, so nothing here is about a person, nothing can be changed, and a
//! client can hold neither much memory nor a connection for long. Nor can clients that open
//! connections and send nothing keep a probe out: a connection that waits for a request is closed
//! as soon as a newer one needs its permit.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::Health;
use super::waiting::{Waiting, WaitingConnections};
use crate::domain::time::SharedClock;
use crate::metrics::{Exposition, Metrics};

/// Bytes of a request's head; far more than any scraper sends.
const HEAD: usize = 16 * 1024;
/// Time for a request's head to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The life of a connection, scrapers that keep theirs open included.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause after a connection could not be accepted, e.g. for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the handlers read.
#[derive(Clone)]
pub(super) struct AppState {
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
}

/// Takes the address, so that one that is in use is found out at start.
pub(super) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`, then closes what is open.
pub(super) async fn serve(
    listener: TcpListener,
    state: AppState,
    clock: SharedClock,
    stop: CancellationToken,
) {
    let router = router(state);
    let waiting = WaitingConnections::default();
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let place = waiting.enter();
                let connection = serve_connection(stream, router.clone(), place.clone());
                let stop = stop.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = place.evicted() => {}
                        _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection) => {}
                    }
                    place.leave();
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: TcpStream, router: Router, waiting: Waiting) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        waiting.pause();
        let response = router.call(request);
        let waiting = waiting.clone();
        async move {
            let response = response.await;
            waiting.resume();
            response
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
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
