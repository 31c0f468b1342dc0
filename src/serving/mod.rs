//! Serves HTTP to clients that nobody knows: a client can hold neither much memory nor a connection
//! for long. Nor can clients that open connections and send nothing keep others out: a connection
//! that waits for a request is closed as soon as a newer one needs its permit.
//!
//! What is answered is for the daemon's endpoints and for the review page to say.

mod waiting;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::time::SharedClock;
use waiting::{Waiting, WaitingConnections};

/// Bytes of a request's head; far more than any scraper sends.
const HEAD: usize = 16 * 1024;
/// Time for a request's head to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The life of a connection, scrapers that keep theirs open included.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause after a connection could not be accepted, e.g. for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Takes the address, so that one that is in use is found out at start.
///
/// # Errors
/// The address is in use, or not this machine's.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`, then closes what is open.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    clock: SharedClock,
    stop: CancellationToken,
) {
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
