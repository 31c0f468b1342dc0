//! What every request goes through: it is entered in the journal, things may go wrong with it,
//! its credential is looked at, and what came of it is entered too.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::faults::{Answer, Faults, Misbehaviour};
use super::journal::{Api, Effect, Journal, Received};
use super::server::Scissors;
use super::weather::{Gust, Weather};
use super::wire;
use crate::domain::time::SharedClock;

/// No request of either API is nearly this large.
const LARGEST_BODY: usize = 1 << 20;

/// Whether a request carries the right credential.
pub(super) type Credential = Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>;

/// The record of an account, as a body, by `_id`.
pub(super) type RecordOf = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// One directory's gate.
pub(super) struct Gate {
    pub(super) api: Api,
    /// The path that all calls are below.
    pub(super) base: String,
    pub(super) journal: Arc<Journal>,
    pub(super) faults: Arc<Faults>,
    pub(super) weather: Weather,
    pub(super) clock: SharedClock,
    pub(super) stop: CancellationToken,
    pub(super) credential: Credential,
    pub(super) record_of: RecordOf,
}

/// Puts `router` behind `gate`.
pub(super) fn guarded(router: Router, gate: Gate) -> Router {
    router.layer(from_fn_with_state(Arc::new(gate), pass))
}

async fn pass(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let received = gate.journal.open(gate.received(&parts, &body));
    let passage = Passage {
        gate: &gate,
        scissors,
        received,
    };
    let request = Request::from_parts(parts, Body::from(body));
    passage.run(request, next).await
}

/// One request on its way.
struct Passage<'a> {
    gate: &'a Gate,
    scissors: Scissors,
    received: Received,
}

impl Passage<'_> {
    async fn run(&self, request: Request, next: Next) -> Response {
        self.wait(self.gate.weather.latency()).await;
        let response = match self.gate.faults.strike(&self.received) {
            Some(misbehaviour) => self.misbehave(misbehaviour, request, next).await,
            None => match self.gate.weather.strike(&self.received) {
                Gust::Calm => Some(self.handle(request, next).await),
                Gust::Before(answer) => Some(written(&answer)),
                Gust::After(answer) => {
                    self.handle(request, next).await;
                    Some(written(&answer))
                }
            },
        };
        if let Some(response) = response {
            let status = response.status().as_u16();
            self.gate.journal.note_status(self.received.number, status);
            return response;
        }
        self.scissors.cut();
        // Never seen: the connection refuses to write it.
        StatusCode::NO_CONTENT.into_response()
    }

    /// The answer, or `None` for a connection that is to be cut.
    async fn misbehave(
        &self,
        misbehaviour: Misbehaviour,
        request: Request,
        next: Next,
    ) -> Option<Response> {
        match misbehaviour {
            Misbehaviour::Answer(answer) => Some(written(&answer)),
            Misbehaviour::AnswerAfterEffect(answer) => {
                self.handle(request, next).await;
                Some(written(&answer))
            }
            Misbehaviour::CutBeforeEffect => None,
            Misbehaviour::CutAfterEffect => {
                self.handle(request, next).await;
                None
            }
            Misbehaviour::StallBeforeEffect => {
                self.gate.stop.cancelled().await;
                None
            }
            Misbehaviour::StallAfterEffect => {
                self.handle(request, next).await;
                self.gate.stop.cancelled().await;
                None
            }
            Misbehaviour::Delay(late) => {
                self.wait(late).await;
                Some(self.handle(request, next).await)
            }
            Misbehaviour::Truncate(length) => {
                let response = self.handle(request, next).await;
                Some(self.truncated(response, length))
            }
            Misbehaviour::Pretend => match wire::praise(&self.received.method) {
                Some((status, words)) => {
                    Some(written(&Answer::status(status).json(&Value::from(words))))
                }
                None => Some(self.handle(request, next).await),
            },
            Misbehaviour::EchoAccount { id } => {
                let response = self.handle(request, next).await;
                Some(match (self.gate.record_of)(&id) {
                    Some(record) => written(
                        &Answer::status(response.status().as_u16())
                            .header("content-type", "application/json")
                            .body(record),
                    ),
                    None => response,
                })
            }
        }
    }

    /// What an honest server does.
    async fn handle(&self, request: Request, next: Next) -> Response {
        if !self.received.authorised {
            return match self.gate.api {
                Api::Opa => wire::opa_error(StatusCode::UNAUTHORIZED, "the token is not valid"),
                Api::Opsera => wire::opsera_error(StatusCode::UNAUTHORIZED, "Unauthorized"),
            };
        }
        let mut response = next.run(request).await;
        if let Some(effect) = response.extensions_mut().remove::<Effect>() {
            self.gate.journal.note_effect(self.received.number, effect);
        }
        response
    }

    fn truncated(&self, response: Response, length: usize) -> Response {
        let scissors = self.scissors.clone();
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
            scissors.cut();
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        });
        Response::from_parts(parts, Body::from_stream(head.chain(tail)))
    }

    async fn wait(&self, duration: Duration) {
        if !duration.is_zero() {
            tokio::select! {
                () = self.gate.clock.sleep(duration) => {}
                () = self.gate.stop.cancelled() => {}
            }
        }
    }
}

impl Gate {
    fn received(&self, parts: &axum::http::request::Parts, body: &[u8]) -> Received {
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
        Received {
            number: 0,
            at: self.clock.now(),
            api: self.api,
            method: parts.method.as_str().to_owned(),
            path: percent_decode_str(below).decode_utf8_lossy().into_owned(),
            raw_path: raw_path.to_owned(),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            body,
            authorised: is_open(self.api, &parts.method, raw_path)
                || (self.credential)(&parts.headers),
        }
    }
}

/// Minting is the one call without a bearer token, also of a Team that is not there.
fn is_open(api: Api, method: &Method, path: &str) -> bool {
    api == Api::Opa && *method == Method::POST && path.ends_with("/service_token")
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn written(answer: &Answer) -> Response {
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
