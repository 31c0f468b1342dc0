//! The loopback servers: axum on a listener whose connections can be cut.
//!
//! A cut must look to the client like a server that died: no answer, or half of one, and then a
//! reset. Neither axum nor hyper lets a handler do that, so every connection is wrapped in a
//! [`Line`] that its requests can cut through the [`Scissors`] they are handed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Cuts the connection that a request came in on.
#[derive(Clone, Debug, Default)]
pub(super) struct Scissors(Arc<AtomicBool>);

impl Scissors {
    /// From now on not one more byte goes out; the next attempt resets the connection.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Connected<IncomingStream<'_, Door>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().scissors.clone()
    }
}

/// A listener on the loopback address.
#[derive(Debug)]
pub(super) struct Door(TcpListener);

impl Door {
    /// Opens `port` on 127.0.0.1, any free one for 0.
    pub(super) async fn open(port: u16) -> io::Result<Self> {
        Ok(Self(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves `router` until `stop`.
    pub(super) fn serve(
        self,
        router: Router,
        stop: CancellationToken,
    ) -> JoinHandle<io::Result<()>> {
        let service = router.into_make_service_with_connect_info::<Scissors>();
        tokio::spawn(async move {
            axum::serve(self, service)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await
        })
    }
}

impl Listener for Door {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let line = Line {
            stream,
            scissors: Scissors::default(),
        };
        (line, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.address()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    scissors: Scissors,
}

impl Line {
    fn refuse_if_cut(&self) -> io::Result<()> {
        if self.scissors.is_cut() {
            // Without lingering the close is a reset rather than an orderly end.
            self.stream.set_zero_linger()?;
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
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
