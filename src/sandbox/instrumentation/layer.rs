//! The layer that records every request in the journal and lets injected faults happen to it.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, http};
use futures::StreamExt as _;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::connection::ConnectionCutter;
use super::faults::{Answer, FaultKind, Faults};
use super::journal::{Journal, Received};
use crate::sandbox::api::Effect;
use crate::sandbox::middleware::Middleware;
use crate::sandbox::wire;

/// No request of either API is nearly this large.
const LARGEST_BODY: usize = 1 << 20;

/// The record of an account, as a body, by `_id`.
pub(in crate::sandbox) type RecordOf = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// One directory, observed and disturbed.
pub(in crate::sandbox) struct Instrumentation {
    /// The path that all calls are below.
    pub(in crate::sandbox) base: String,
    pub(in crate::sandbox) journal: Arc<Journal>,
    pub(in crate::sandbox) faults: Arc<Faults>,
    pub(in crate::sandbox) middleware: Arc<Middleware>,
    pub(in crate::sandbox) record_of: RecordOf,
}

/// Puts `router` behind `instrumentation`.
pub(in crate::sandbox) fn instrumented(router: Router, instrumentation: Instrumentation) -> Router {
    router.layer(from_fn_with_state(Arc::new(instrumentation), observe))
}

async fn observe(
    State(instrumentation): State<Arc<Instrumentation>>,
    Extension(cutter): Extension<ConnectionCutter>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let received = (instrumentation.journal).open(instrumentation.received(&parts, &body));
    let exchange = Exchange {
        instrumentation: &instrumentation,
        cutter,
        received,
    };
    let request = Request::from_parts(parts, Body::from(body));
    exchange.run(request, next).await
}

/// One request and its answer.
struct Exchange<'a> {
    instrumentation: &'a Instrumentation,
    cutter: ConnectionCutter,
    received: Received,
}

impl Exchange<'_> {
    async fn run(&self, request: Request, next: Next) -> Response {
        let response = match self.instrumentation.faults.next_for(&self.received) {
            Some(kind) => self.disturb(kind, request, next).await,
            None => Some(self.handle(request, next).await),
        };
        if let Some(response) = response {
            let status = response.status().as_u16();
            let journal = &self.instrumentation.journal;
            journal.note_status(self.received.number, status);
            return response;
        }
        self.cutter.cut();
        // Never seen: the connection refuses to write it.
        StatusCode::NO_CONTENT.into_response()
    }

    /// The answer, or `None` for a connection that is to be cut.
    async fn disturb(&self, kind: FaultKind, request: Request, next: Next) -> Option<Response> {
        let middleware = &self.instrumentation.middleware;
        match kind {
            FaultKind::Answer(answer) => Some(response_of(&answer)),
            FaultKind::AnswerAfterEffect(answer) => {
                self.handle(request, next).await;
                Some(response_of(&answer))
            }
            FaultKind::CutBeforeEffect => None,
            FaultKind::CutAfterEffect => {
                self.handle(request, next).await;
                None
            }
            FaultKind::StallBeforeEffect => {
                middleware.stop.cancelled().await;
                None
            }
            FaultKind::StallAfterEffect => {
                self.handle(request, next).await;
                middleware.stop.cancelled().await;
                None
            }
            FaultKind::Delay(late) => {
                middleware.wait(late).await;
                Some(self.handle(request, next).await)
            }
            FaultKind::Truncate(length) => {
                let response = self.handle(request, next).await;
                Some(self.truncated(response, length))
            }
            FaultKind::Pretend => match wire::success_message(&self.received.method) {
                Some((status, message)) => Some(response_of(
                    &Answer::status(status).json(&Value::from(message)),
                )),
                None => Some(self.handle(request, next).await),
            },
            FaultKind::EchoAccount { id } => {
                let response = self.handle(request, next).await;
                Some(match (self.instrumentation.record_of)(&id) {
                    Some(record) => response_of(
                        &Answer::status(response.status().as_u16())
                            .header("content-type", "application/json")
                            .body(record),
                    ),
                    None => response,
                })
            }
        }
    }

    /// What a server without injected faults does.
    async fn handle(&self, request: Request, next: Next) -> Response {
        let mut response = next.run(request).await;
        if let Some(effect) = response.extensions_mut().remove::<Effect>() {
            let journal = &self.instrumentation.journal;
            journal.note_effect(self.received.number, effect);
        }
        response
    }

    fn truncated(&self, response: Response, length: usize) -> Response {
        let cutter = self.cutter.clone();
        let (mut parts, body) = response.into_parts();
        // A length would give the whole body's, and hyper then holds the body to it.
        parts.headers.remove(header::CONTENT_LENGTH);
        let head = body.into_data_stream().scan(length, |left, chunk| {
            let piece = chunk.ok().filter(|_| *left > 0).map(|mut bytes| {
                bytes.truncate(*left);
                *left -= bytes.len();
                Ok::<Bytes, std::io::Error>(bytes)
            });
            std::future::ready(piece)
        });
        let tail = futures::stream::once(async move {
            // Lets the connection send what it has before it breaks.
            tokio::task::yield_now().await;
            cutter.cut();
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        });
        Response::from_parts(parts, Body::from_stream(head.chain(tail)))
    }
}

impl Instrumentation {
    fn received(&self, parts: &http::request::Parts, body: &[u8]) -> Received {
        let raw_path = parts.uri.path();
        let below = raw_path
            .strip_prefix(&self.base)
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(raw_path);
        let mut body: Option<Value> = serde_json::from_slice(body).ok();
        if let Some(secret) = body.as_mut().and_then(|b| b.get_mut("key_secret")) {
            *secret = Value::from("…");
        }
        let query = parts.uri.query().unwrap_or_default();
        let refusal = (self.middleware).refusal(&parts.method, raw_path, &parts.headers);
        Received {
            number: 0,
            at: self.middleware.clock.now(),
            api: self.middleware.api,
            method: parts.method.as_str().to_owned(),
            path: percent_decode_str(below).decode_utf8_lossy().into_owned(),
            raw_path: raw_path.to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            body,
            authorised: refusal.is_none(),
        }
    }
}

fn response_of(answer: &Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, answer.body.clone()).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value.as_str()),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
