//! A hand-made server that answers with exactly the bytes a test wants, well-formed or not, and
//! remembers what it was asked.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /path?query`
    pub(crate) line: String,
    /// Lower-case names, `name: value` a line.
    pub(crate) headers: String,
    /// The body.
    pub(crate) body: String,
}

impl Asked {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            (key == name).then_some(value)
        })
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes one by one, so slowly that nobody should wait for them.
    Drip(Vec<u8>),
    /// The first bytes at once, the others as slowly.
    StartThenDrip(Vec<u8>, Vec<u8>),
    /// These bytes, and then nothing while the connection stays open.
    Stall(Vec<u8>),
    /// Nothing: the connection is closed.
    HangUp,
}

impl Reply {
    /// A proper answer.
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head += "\r\n";
        Self::Bytes([head.as_bytes(), body].concat())
    }

    /// A 200 with JSON.
    pub(crate) fn ok(body: &str) -> Self {
        Self::new(200, &[("content-type", "application/json")], body)
    }
}

type Rule = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A server on a loopback port. It stops with the test's runtime.
pub(crate) struct BadServer {
    /// Where it listens, without a slash at the end.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl BadServer {
    /// A server that answers by `rule`, which is told the request and how many came before it.
    pub(crate) async fn by(rule: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        let rule: Arc<Rule> = Arc::new(rule);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&rule), Arc::clone(&log)));
            }
        });
        Self { url, asked }
    }

    /// A server that gives these answers in turn, the last one for ever.
    pub(crate) async fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::by(move |_, before| replies[before.min(replies.len() - 1)].clone()).await
    }

    /// Everything it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, rule: Arc<Rule>, log: Arc<Mutex<Vec<Asked>>>) {
    let Some(asked) = read(&mut stream).await else {
        return;
    };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    match rule(&asked, before) {
        Reply::HangUp => {}
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Drip(bytes) => drip(stream, bytes).await,
        Reply::StartThenDrip(start, rest) => {
            let _ = stream.write_all(&start).await;
            drip(stream, rest).await;
        }
        Reply::Stall(bytes) => {
            let _ = stream.write_all(&bytes).await;
            // Until the client has had enough.
            let _ = stream.read(&mut [0; 1]).await;
        }
    }
}

async fn drip(mut stream: TcpStream, bytes: Vec<u8>) {
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        pause().await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow server is slow in real time"
)]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(40)).await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok()?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (line, headers) = head.split_once("\r\n")?;
            let asked = Asked {
                line: line.trim_end_matches(" HTTP/1.1").to_owned(),
                headers: headers.replace("\r\n", "\n"),
                body: body.to_owned(),
            };
            let length: usize = asked
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(asked);
            }
        }
        if count == 0 {
            return None;
        }
    }
}
