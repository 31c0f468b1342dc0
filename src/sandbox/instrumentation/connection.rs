//! Connections that a request can cut.
//!
//! A cut must look to the client like a server that died: no answer, or half of one, and then a
//! reset. Neither axum nor hyper lets a handler do that, so every connection is wrapped in a
//! [`Connection`] that its requests can cut through the [`ConnectionCutter`] they are handed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::{Extension, Router};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Cuts the connection that a request came in on.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionCutter(Arc<AtomicBool>);

impl ConnectionCutter {
    /// From now on not one more byte goes out; the next attempt resets the connection.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Wraps a connection, and hands its cutter to the requests that arrive on it.
pub(in crate::sandbox) fn cuttable(stream: TcpStream, router: Router) -> (Connection, Router) {
    let cutter = ConnectionCutter::default();
    let router = router.layer(Extension(cutter.clone()));
    (Connection { stream, cutter }, router)
}

/// One connection.
#[derive(Debug)]
pub(in crate::sandbox) struct Connection {
    stream: TcpStream,
    cutter: ConnectionCutter,
}

impl Connection {
    fn refuse_if_cut(&self) -> io::Result<()> {
        if self.cutter.is_cut() {
            // Without lingering the close is a reset rather than an orderly end.
            self.stream.set_zero_linger()?;
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.refuse_if_cut()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
