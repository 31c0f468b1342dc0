//! How many requests went out, how they were answered and how long the rate limits made us wait:
//! what the daemon's metrics show of both directories.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use strum::VariantArray as _;

use super::call::Api;
use super::quota::QuotaStatus;
use crate::domain::Heartbeat;
use crate::domain::time::Timestamp;

/// How a request was answered, coarsely enough for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum AnswerClass {
    /// 1xx or 2xx.
    Success,
    /// 3xx, which is never followed.
    Redirect,
    /// 4xx other than 429 and 499.
    #[strum(serialize = "refused")]
    ClientError,
    /// 429.
    Throttled,
    /// 499 or 5xx.
    #[strum(serialize = "trouble")]
    ServerError,
    /// No answer at all.
    #[strum(serialize = "no_answer")]
    NoResponse,
}

impl AnswerClass {
    /// Every class, in the order of a snapshot.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The class of a status.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            429 => Self::Throttled,
            300..=399 => Self::Redirect,
            499.. => Self::ServerError,
            400..=498 => Self::ClientError,
            _ => Self::Success,
        }
    }

    /// The name used as a metric's label.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Counters of one process, shared by both clients.
#[derive(Debug, Default)]
pub struct RequestMetrics {
    opa: Counters,
    opsera: Counters,
    heartbeat: OnceLock<Heartbeat>,
    opa_quota: Mutex<Option<QuotaStatus>>,
    opsera_token_expires_at: Mutex<Option<Timestamp>>,
}

#[derive(Debug, Default)]
struct Counters {
    success: AtomicU64,
    redirect: AtomicU64,
    refused: AtomicU64,
    throttled: AtomicU64,
    trouble: AtomicU64,
    no_answer: AtomicU64,
    waited_millis: AtomicU64,
}

impl Counters {
    fn of(&self, class: AnswerClass) -> &AtomicU64 {
        match class {
            AnswerClass::Success => &self.success,
            AnswerClass::Redirect => &self.redirect,
            AnswerClass::ClientError => &self.refused,
            AnswerClass::Throttled => &self.throttled,
            AnswerClass::ServerError => &self.trouble,
            AnswerClass::NoResponse => &self.no_answer,
        }
    }
}

/// What the counters stood at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMetricsSnapshot {
    /// Requests by directory and answer, zeros included.
    pub requests: Vec<(Api, AnswerClass, u64)>,
    /// Time spent waiting for rate limits and pauses, summed over all requests.
    pub waited: Vec<(Api, Duration)>,
    /// OPA's quota as its last answer told it; `None` where it tells none.
    pub opa_quota: Option<QuotaStatus>,
    /// The end of `opsera.token`; `None` where the token names none.
    pub opsera_token_expires_at: Option<Timestamp>,
}

impl RequestMetrics {
    /// Lets every answered or lost request beat `heartbeat`. The first call counts.
    pub fn beat_with(&self, heartbeat: Heartbeat) {
        // A second heartbeat for the same run has nobody who listens to it.
        let _ = self.heartbeat.set(heartbeat);
    }

    /// Reads every counter.
    pub fn snapshot(&self) -> RequestMetricsSnapshot {
        let apis = [Api::Opa, Api::Opsera];
        RequestMetricsSnapshot {
            requests: apis
                .into_iter()
                .flat_map(|api| AnswerClass::ALL.iter().map(move |class| (api, *class)))
                .map(|(api, class)| {
                    let count = self.counters(api).of(class).load(Ordering::Relaxed);
                    (api, class, count)
                })
                .collect(),
            waited: apis
                .map(|api| {
                    let millis = self.counters(api).waited_millis.load(Ordering::Relaxed);
                    (api, Duration::from_millis(millis))
                })
                .to_vec(),
            opa_quota: *lock(&self.opa_quota),
            opsera_token_expires_at: *lock(&self.opsera_token_expires_at),
        }
    }

    pub(super) fn count(&self, api: Api, class: AnswerClass) {
        self.counters(api).of(class).fetch_add(1, Ordering::Relaxed);
        self.beat();
    }

    /// A sign of life of a request that waits.
    pub(super) fn beat(&self) {
        if let Some(heartbeat) = self.heartbeat.get() {
            heartbeat.beat();
        }
    }

    pub(super) fn note_quota(&self, quota: Option<QuotaStatus>) {
        *lock(&self.opa_quota) = quota;
    }

    pub(super) fn note_token_expiry(&self, expires_at: Option<Timestamp>) {
        *lock(&self.opsera_token_expires_at) = expires_at;
    }

    pub(super) fn waited(&self, api: Api, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.counters(api)
            .waited_millis
            .fetch_add(millis, Ordering::Relaxed);
    }

    fn counters(&self, api: Api) -> &Counters {
        match api {
            Api::Opa => &self.opa,
            Api::Opsera => &self.opsera,
        }
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
