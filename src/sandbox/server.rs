//! The loopback servers.
//!
//! hyper is driven directly and not through `axum::serve`, because answers here bring their own
//! `Date` header, or deliberately none.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long an open connection may go on after the sandbox was told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// A listener on the loopback address.
#[derive(Debug)]
pub(super) struct Listener(TcpListener);

impl Listener {
    /// Opens `port` on 127.0.0.1, any free one for 0.
    pub(super) async fn open(port: u16) -> io::Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves `router` until `stop`; the task ends when the last connection has ended.
    pub(super) fn serve(self, router: Router, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            let connections = TaskTracker::new();
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => break,
                    accepted = self.0.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve_connection(stream, router.clone(), stop.clone()));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the sandbox could not accept a connection");
                        tokio::task::yield_now().await;
                    }
                }
            }
            drop(self);
            connections.close();
            connections.wait().await;
        })
    }
}

async fn serve_connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    #[cfg(feature = "test-instrumentation")]
    let (stream, router) = super::instrumentation::cuttable(stream, router);
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // A client that keeps its request open must not keep the sandbox.
            let rest = tokio::time::timeout(SHUTDOWN_GRACE, connection.as_mut()).await;
            rest.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the sandbox ended early");
    }
}
