//! The faults of a remote service that come at random: latency, failing requests, a rate limit.
//!
//! They are drawn from the seed and not aimed at any request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::api::Api;
use super::wire;
use crate::domain::time::SharedClock;

/// Faults on demand (§9).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultOptions {
    /// How late every answer is.
    pub latency: Duration,
    /// The share of requests that fail, from 0 to 1.
    pub error_rate: f64,
    /// Requests per second that each directory answers; `None`: any number.
    pub rate_limit: Option<f64>,
}

/// What happens to one request.
pub(super) enum RandomFault {
    /// Nothing.
    None,
    /// It fails before it had an effect.
    BeforeEffect(Response),
    /// It fails although it had its effect.
    AfterEffect(Response),
}

/// The random faults of one directory.
#[derive(Debug)]
pub(super) struct RandomFaults {
    api: Api,
    options: FaultOptions,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    tokens: f64,
    refilled_at: Duration,
}

impl RandomFaults {
    /// The faults of `api`, drawn from `seed`.
    pub(super) fn new(api: Api, options: FaultOptions, seed: u64, clock: SharedClock) -> Self {
        let state = Mutex::new(State {
            rng: StdRng::seed_from_u64(seed),
            tokens: burst(options.rate_limit),
            refilled_at: clock.monotonic(),
        });
        Self {
            api,
            options,
            clock,
            state,
        }
    }

    /// How late the next answer is.
    pub(super) fn latency(&self) -> Duration {
        self.options.latency
    }

    /// What happens to the next request.
    pub(super) fn draw(&self, is_write: bool) -> RandomFault {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = self.over_the_limit(&mut state) {
            return RandomFault::BeforeEffect(self.throttled(wait));
        }
        let rate = self.options.error_rate.clamp(0.0, 1.0);
        if rate <= 0.0 || !state.rng.random_bool(rate) {
            return RandomFault::None;
        }
        let number = state.rng.random_range(0..6_u8);
        match (number, self.api) {
            (0, _) => RandomFault::BeforeEffect(self.throttled(Duration::from_secs(1))),
            (1, _) => {
                let mut response = self.temporary(StatusCode::SERVICE_UNAVAILABLE);
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
                RandomFault::BeforeEffect(response)
            }
            (2, _) => RandomFault::BeforeEffect(
                (
                    StatusCode::BAD_GATEWAY,
                    [(header::CONTENT_TYPE, "text/html")],
                    "<html><body><h1>502 Bad Gateway</h1></body></html>",
                )
                    .into_response(),
            ),
            // The hardest case for a client: the write had its effect, and the answer denies it.
            (3, Api::Opsera) if is_write => {
                RandomFault::AfterEffect(StatusCode::INTERNAL_SERVER_ERROR.into_response())
            }
            (3, Api::Opa) => RandomFault::BeforeEffect(wire::opa_client_closed()),
            (4, _) => RandomFault::BeforeEffect(self.temporary(StatusCode::GATEWAY_TIMEOUT)),
            _ => RandomFault::BeforeEffect(self.temporary(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    fn temporary(&self, status: StatusCode) -> Response {
        match self.api {
            Api::Opa => wire::opa_temporary(status),
            Api::Opsera => wire::opsera_error(status, "Internal server error"),
        }
    }

    /// Takes one from the bucket; how long to wait if it is empty.
    fn over_the_limit(&self, state: &mut State) -> Option<Duration> {
        let rate = self.options.rate_limit.filter(|rate| *rate > 0.0)?;
        let now = self.clock.monotonic();
        let passed = now.saturating_sub(state.refilled_at).as_secs_f64();
        state.refilled_at = now;
        state.tokens = (state.tokens + passed * rate).min(burst(Some(rate)));
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return None;
        }
        let seconds = (1.0 - state.tokens) / rate;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    fn throttled(&self, wait: Duration) -> Response {
        // Whole seconds, rounded up: a client that comes back when told must be let in.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        match self.api {
            Api::Opa => {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                let now = self.clock.now();
                let partial = i64::from(now.timestamp_subsec_nanos() > 0);
                wire::opa_throttled(
                    now.timestamp()
                        .saturating_add(seconds)
                        .saturating_add(partial),
                )
            }
            Api::Opsera => {
                let mut response =
                    wire::opsera_error(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded");
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
        }
    }
}

fn burst(rate: Option<f64>) -> f64 {
    rate.unwrap_or_default().max(1.0)
}
