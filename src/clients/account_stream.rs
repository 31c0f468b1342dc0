//! The accounts of Opsera, batch by batch, while the array that holds them arrives.

use std::sync::Arc;
use std::time::Duration;

use super::error::CallError;
use super::http::{Request, StreamingResponse};
use super::json_array::JsonArrayReader;
use super::rate_limit::Deadline;
use super::records::{self, OpseraUserRecord};
use super::retry::Attempts;
use super::session::Session;
use crate::domain::AccountRecord;

/// Most accounts in one batch.
const BATCH: usize = 500;

/// Largest array, in bytes after decompression (§11).
const ARRAY_BODY: u64 = 2 << 30;

/// A listing of accounts under way. It occupies one of `opsera.max_in_flight` places until its
/// end.
#[derive(Debug)]
pub struct AccountStream {
    session: Arc<Session>,
    request: Request,
    pull_timeout: Duration,
    deadline: Option<Deadline>,
    attempts: Option<Attempts>,
    state: State,
    ready: Vec<AccountRecord>,
    handed_out: HandedOut,
}

#[derive(Debug)]
enum State {
    Unopened,
    Open(Box<OpenArray>),
    Ended,
    Broken,
}

#[derive(Debug)]
struct OpenArray {
    response: StreamingResponse,
    reader: JsonArrayReader,
    received: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum HandedOut {
    Nothing,
    Something,
}

impl AccountStream {
    pub(super) fn new(session: Arc<Session>, request: Request, pull_timeout: Duration) -> Self {
        Self {
            session,
            request,
            pull_timeout,
            deadline: None,
            attempts: None,
            state: State::Unopened,
            ready: Vec::new(),
            handed_out: HandedOut::Nothing,
        }
    }

    /// The next accounts, at most 500, or `None` past the last one.
    ///
    /// # Errors
    /// Whatever makes the listing incomplete (G0). A connection that breaks is opened anew (A3)
    /// only while no account was handed out; afterwards the stream stays broken.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<AccountRecord>>, CallError> {
        loop {
            let enough = self.ready.len() >= BATCH;
            if enough || matches!(self.state, State::Ended) {
                let size = self.ready.len().min(BATCH);
                let batch: Vec<_> = self.ready.drain(..size).collect();
                self.handed_out = HandedOut::Something;
                return Ok(Some(batch).filter(|batch| !batch.is_empty()));
            }
            if let Err(error) = self.read_on().await {
                self.state = State::Broken;
                self.try_anew(error).await?;
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), CallError> {
        let http = &self.session.http;
        match &mut self.state {
            State::Unopened => self.open().await,
            State::Ended => Ok(()),
            State::Broken => Err(http.malformed(&self.request, "the listing broke off earlier")),
            State::Open(open) => {
                let malformed = |detail: String| http.malformed(&self.request, &detail);
                let Some(chunk) = http.chunk(&self.request, &mut open.response).await? else {
                    open.reader.finish().map_err(malformed)?;
                    self.state = State::Ended;
                    return Ok(());
                };
                let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                open.received = open.received.saturating_add(length);
                if open.received > ARRAY_BODY {
                    return Err(malformed(format!(
                        "its body is larger than {ARRAY_BODY} bytes"
                    )));
                }
                let ready = &mut self.ready;
                open.reader
                    .push(&chunk, |record| {
                        ready.push(records::record::<OpseraUserRecord>(record)?);
                        Ok(())
                    })
                    .map_err(malformed)
            }
        }
    }

    async fn open(&mut self) -> Result<(), CallError> {
        let http = &self.session.http;
        let limit = self.pull_timeout;
        let deadline = *self
            .deadline
            .get_or_insert_with(|| http.rate_limiter.deadline(limit, "opsera.pull_timeout"));
        let session = &self.session;
        let attempts = self.attempts.get_or_insert_with(|| session.http.attempts());
        let response = session
            .open(&self.request, limit, attempts, Some(deadline))
            .await?;
        self.state = State::Open(Box::new(OpenArray {
            response,
            reader: JsonArrayReader::default(),
            received: 0,
        }));
        Ok(())
    }

    /// Prepares another attempt, or gives `error` back. [`Session::open`] has spent its own
    /// attempts by the time it fails, so only a body that broke off gets here with any left.
    async fn try_anew(&mut self, error: CallError) -> Result<(), CallError> {
        let Some(attempts) = &self.attempts else {
            return Err(error);
        };
        if self.handed_out == HandedOut::Something {
            return Err(error);
        }
        self.session
            .http
            .before_retry(error, attempts, self.deadline)
            .await?;
        self.ready.clear();
        self.state = State::Unopened;
        Ok(())
    }
}
