//! `/healthz`, `/readyz` and `/metrics`.
//!
//! There is no authentication, so nothing here is about a person, nothing can be changed, and a
//! client can hold neither much memory nor a connection for long.

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
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::health::Health;
use crate::domain::time::SharedClock;
use crate::metrics::{Exposition, Metrics};

/// Connections at the same time; more wait in the system's queue.
const CONNECTIONS: usize = 32;
/// Bytes of a request's head; far more than any scraper sends.
const HEAD: usize = 16 * 1024;
/// Time for a request's head to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The life of a connection, scrapers that keep theirs open included.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause after a connection could not be accepted, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the handlers read.
#[derive(Clone)]
pub(super) struct Shown {
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
    shown: Shown,
    clock: SharedClock,
    stop: CancellationToken,
) {
    let router = router(shown);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let connection = converse(stream, router.clone());
                let stop = stop.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection) => {}
                    }
                    drop(place);
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

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn converse(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(nowhere)
        .with_state(shown)
}

async fn healthz(State(shown): State<Shown>) -> Response {
    let (status, words) = if shown.health.is_alive() {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the main loop does not turn",
        )
    };
    (status, unstored(), Json(json!({ "status": words }))).into_response()
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let readiness = shown.health.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, unstored(), Json(readiness)).into_response()
}

async fn metrics(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let exposition = Exposition::for_accept(accept);
    (
        [(header::CONTENT_TYPE, exposition.content_type())],
        unstored(),
        shown.metrics.render(exposition),
    )
        .into_response()
}

async fn nowhere() -> Result<Response, Infallible> {
    let words = "there is /healthz, /readyz and /metrics\n";
    Ok((StatusCode::NOT_FOUND, words).into_response())
}

fn unstored() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}
