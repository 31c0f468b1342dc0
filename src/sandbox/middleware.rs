//! What every request goes through: latency and random faults, the hourly quota, the credential;
//! and what every answer carries: a `Date`, and at OPA the three headers of the quota.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::date_header::DateControl;
use super::quota::Quota;
use super::random_faults::{RandomFault, RandomFaults};
use super::wire;
use crate::domain::time::SharedClock;

/// Looks at the credential of a request: the refusal, or `None` if it is good.
pub(super) type Credential = Arc<dyn Fn(&HeaderMap) -> Option<Response> + Send + Sync>;

/// What the requests of one directory go through.
pub(super) struct Middleware {
    pub(super) api: Api,
    pub(super) random_faults: RandomFaults,
    pub(super) quota: Option<Arc<Quota>>,
    pub(super) date: Arc<DateControl>,
    pub(super) clock: SharedClock,
    pub(super) stop: CancellationToken,
    pub(super) credential: Credential,
}

/// Puts faults, quota and credential in front of `router`.
pub(super) fn guarded(router: Router, middleware: &Arc<Middleware>) -> Router {
    router.layer(from_fn_with_state(Arc::clone(middleware), guard))
}

/// Gives every answer of `router` its headers. The outermost layer.
pub(super) fn stamped(router: Router, middleware: &Arc<Middleware>) -> Router {
    router.layer(from_fn_with_state(Arc::clone(middleware), stamp))
}

async fn guard(
    State(middleware): State<Arc<Middleware>>,
    request: Request,
    next: Next,
) -> Response {
    middleware.wait(middleware.random_faults.latency()).await;
    let is_write = middleware.api == Api::Opsera
        && *request.method() != Method::GET
        && *request.method() != Method::HEAD;
    match middleware.random_faults.draw(is_write) {
        RandomFault::None => middleware.handle(request, next).await,
        RandomFault::BeforeEffect(response) => response,
        RandomFault::AfterEffect(response) => {
            middleware.handle(request, next).await;
            response
        }
    }
}

async fn stamp(
    State(middleware): State<Arc<Middleware>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(quota) = middleware.quota.as_ref().and_then(|quota| quota.headers()) {
        quota.add_to(response.headers_mut());
    }
    let now = middleware.clock.now();
    middleware.date.stamp(response.headers_mut(), now);
    response
}

impl Middleware {
    /// Why a request is refused for its credential; `None` if it is good, or none is needed.
    pub(super) fn refusal(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<Response> {
        if is_open(self.api, method, path) {
            return None;
        }
        (self.credential)(headers)
    }

    async fn handle(&self, request: Request, next: Next) -> Response {
        if let Some(retry_at) = self.quota.as_ref().and_then(|quota| quota.take()) {
            return wire::opa_throttled(retry_at);
        }
        match self.refusal(request.method(), request.uri().path(), request.headers()) {
            Some(refusal) => refusal,
            None => next.run(request).await,
        }
    }

    /// Waits on the injected clock, but not beyond the sandbox's end.
    pub(super) async fn wait(&self, duration: Duration) {
        if !duration.is_zero() {
            tokio::select! {
                () = self.clock.sleep(duration) => {}
                () = self.stop.cancelled() => {}
            }
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
