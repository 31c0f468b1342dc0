//! The everyday trouble of a remote service: latency, failing requests, a rate limit.
//!
//! Unlike a [`Fault`](super::Fault) it is not aimed at a request; it is rolled from the seed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::faults::Answer;
use super::journal::{Api, Received};
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

/// What the weather does to one request.
pub(super) enum Gust {
    /// Nothing.
    Calm,
    /// It fails before anything happened.
    Before(Answer),
    /// It fails although it was done.
    After(Answer),
}

/// The weather over one directory.
#[derive(Debug)]
pub(super) struct Weather {
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

impl Weather {
    /// The weather over `api`, rolled from `seed`.
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

    /// What happens to `received`.
    pub(super) fn strike(&self, received: &Received) -> Gust {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = self.over_the_limit(&mut state) {
            return Gust::Before(self.throttled(wait));
        }
        let rate = self.options.error_rate.clamp(0.0, 1.0);
        if rate <= 0.0 || !state.rng.random_bool(rate) {
            return Gust::Calm;
        }
        match state.rng.random_range(0..5_u8) {
            0 => Gust::Before(self.throttled(Duration::from_secs(1))),
            1 => Gust::Before(Answer::status(503).header("retry-after", 1)),
            2 => Gust::Before(
                Answer::status(502)
                    .header("content-type", "text/html")
                    .body("<html><body><h1>502 Bad Gateway</h1></body></html>"),
            ),
            // The cruel one: the write happened, and nobody says so.
            3 if received.is_write() => Gust::After(Answer::status(500)),
            _ => Gust::Before(
                Answer::status(500).json(&serde_json::json!({"message": "internal error"})),
            ),
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

    fn throttled(&self, wait: Duration) -> Answer {
        let answer =
            Answer::status(429).json(&serde_json::json!({"message": "rate limit exceeded"}));
        // Whole seconds, rounded up: a client that comes back when told must be let in.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        match self.api {
            Api::Opa => {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                let now = self.clock.now();
                let partial = i64::from(now.timestamp_subsec_nanos() > 0);
                let at = now
                    .timestamp()
                    .saturating_add(seconds)
                    .saturating_add(partial);
                answer.header("x-ratelimit-retry-at", at)
            }
            Api::Opsera => answer.header("retry-after", seconds),
        }
    }
}

fn burst(rate: Option<f64>) -> f64 {
    rate.unwrap_or_default().max(1.0)
}
