//! What Prometheus is told.
//!
//! One set of metrics per process: the daemon serves it at `/metrics`, and both `daemon` and
//! `sync` write it to `--metrics-file`. Counters start with the process, as Prometheus expects;
//! the clocks and the state of queue and plans come from the store, so that a restart raises no
//! alarm. No label and no value carries anything about a person.

mod exposition;
mod file;
mod labels;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::clients::{AnswerClass, Api, RequestMetricsSnapshot};
use crate::domain::{ActionState, FindingKind, Outcome, Report, time::Timestamp};
use crate::reconcile::Finished;
use crate::store::StoreStatus;

pub use exposition::Exposition;
pub use file::{MetricsFileError, write as write_file};

use labels::{ActionLabels, ApiLabels, Build, FindingLabels, GuardLabels, RequestLabels};
use labels::{OutcomeLabels, StateLabels, StatusLabels};

/// Seconds; a run takes from a fraction of one to the hour that a pull may take.
const DURATION_BUCKETS: [f64; 13] = [
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0,
];
/// `outcome` of a run that did not begin because another one was under way (A8).
const ANOTHER_RUN: &str = "another_run";
const OUTCOMES: [Outcome; 5] = [
    Outcome::InSync,
    Outcome::Applied,
    Outcome::Held,
    Outcome::Partial,
    Outcome::Failed,
];

/// The states of the queue that are not final.
fn shown_states() -> impl Iterator<Item = ActionState> {
    let all = ActionState::ALL.iter().copied();
    all.filter(|state| state.is_open() || state.is_resting())
}

type Seconds = Gauge<f64, AtomicU64>;
type Amount = Gauge<u64, AtomicU64>;

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    last_attempt: Seconds,
    last_success: Seconds,
    last_read: Family<ApiLabels, Seconds>,
    next_run: Seconds,
    runs: Family<OutcomeLabels, Counter>,
    skipped: Counter,
    consecutive_failures: Amount,
    actions: Family<ActionLabels, Counter>,
    findings: Family<FindingLabels, Amount>,
    held_plans: Amount,
    queue: Family<StateLabels, Amount>,
    requests: Family<RequestLabels, Counter>,
    rate_limit_wait: Family<ApiLabels, Counter<f64, AtomicU64>>,
    duration: Histogram,
    managed: Amount,
    opa_users: Family<StatusLabels, Amount>,
    guard_actual: Family<GuardLabels, Amount>,
    guard_limit: Family<GuardLabels, Amount>,
    actions_refused: Amount,
    opa_quota_limit: Amount,
    opa_quota_remaining: Amount,
    opsera_token_expires_at: Seconds,
    audit_stream_behind: Amount,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("rolecall");
        let metrics = Self {
            last_attempt: Seconds::default(),
            last_success: Seconds::default(),
            last_read: Family::default(),
            next_run: Seconds::default(),
            runs: Family::default(),
            skipped: Counter::default(),
            consecutive_failures: Amount::default(),
            actions: Family::default(),
            findings: Family::default(),
            held_plans: Amount::default(),
            queue: Family::default(),
            requests: Family::default(),
            rate_limit_wait: Family::default(),
            duration: Histogram::new(DURATION_BUCKETS),
            managed: Amount::default(),
            opa_users: Family::default(),
            guard_actual: Family::default(),
            guard_limit: Family::default(),
            actions_refused: Amount::default(),
            opa_quota_limit: Amount::default(),
            opa_quota_remaining: Amount::default(),
            opsera_token_expires_at: Seconds::default(),
            audit_stream_behind: Amount::default(),
            registry: Registry::default(),
        };
        metrics.register(&mut registry);
        metrics.start_at_zero();
        Self {
            registry,
            ..metrics
        }
    }

    fn register_limits(&self, r: &mut Registry) {
        r.register(
            "actions_refused",
            "Actions of the last plan that Opsera has refused and that rest until they may be tried again",
            self.actions_refused.clone(),
        );
        r.register(
            "opa_quota_limit",
            "Requests that OPA permits in a period, in the last run; 0: OPA tells no quota",
            self.opa_quota_limit.clone(),
        );
        r.register(
            "opa_quota_remaining",
            "Requests that OPA still permitted at the end of the last run; 0 without a limit: not told",
            self.opa_quota_remaining.clone(),
        );
        r.register(
            "opsera_token_expires_at_seconds",
            "When opsera.token ends; 0: the token does not say",
            self.opsera_token_expires_at.clone(),
        );
        r.register(
            "audit_stream_behind",
            "Entries of the audit log that the target of audit.stream does not have yet",
            self.audit_stream_behind.clone(),
        );
    }

    fn register(&self, r: &mut Registry) {
        let build = Family::<Build, Amount>::default();
        build.get_or_create(&Build::of_this_program()).set(1);
        r.register("build_info", "The program, always 1", build);
        r.register(
            "last_attempt_timestamp_seconds",
            "When a run last started; 0: never",
            self.last_attempt.clone(),
        );
        r.register(
            "last_success_timestamp_seconds",
            "When a run last did everything there was to do; 0: never",
            self.last_success.clone(),
        );
        r.register(
            "last_complete_read_timestamp_seconds",
            "When a directory was last read to its end; 0: never",
            self.last_read.clone(),
        );
        r.register(
            "next_run_timestamp_seconds",
            "When the schedule's next run is due; 0: no schedule",
            self.next_run.clone(),
        );
        r.register("runs", "Runs by outcome", self.runs.clone());
        r.register(
            "schedule_skipped",
            "Due runs that were left out, because one was still under way or after failures",
            self.skipped.clone(),
        );
        r.register(
            "consecutive_failures",
            "Runs that failed in a row",
            self.consecutive_failures.clone(),
        );
        r.register(
            "actions",
            "Actions by kind and status",
            self.actions.clone(),
        );
        r.register(
            "findings",
            "Findings of the last run",
            self.findings.clone(),
        );
        r.register(
            "held_plans",
            "Plans that wait for a decision",
            self.held_plans.clone(),
        );
        r.register(
            "queue_depth",
            "Actions in the queue by state",
            self.queue.clone(),
        );
        r.register(
            "requests",
            "Requests by directory and class of answer",
            self.requests.clone(),
        );
        r.register(
            "rate_limit_wait_seconds",
            "Time that requests waited for rate limits and pauses",
            self.rate_limit_wait.clone(),
        );
        r.register(
            "run_duration_seconds",
            "How long runs took",
            self.duration.clone(),
        );
        self.register_limits(r);
        r.register(
            "managed_accounts",
            "Opsera accounts that are managed, in the last complete read",
            self.managed.clone(),
        );
        r.register(
            "opa_users",
            "People in the Team by status, in the last complete read",
            self.opa_users.clone(),
        );
        r.register(
            "guard_actual",
            "What the last plan came to, by guard",
            self.guard_actual.clone(),
        );
        r.register(
            "guard_limit",
            "The guard's limit for the last plan",
            self.guard_limit.clone(),
        );
    }

    /// A series that only appears with its first event cannot be alerted on.
    fn start_at_zero(&self) {
        for api in [Api::Opa, Api::Opsera] {
            drop(self.last_read.get_or_create(&ApiLabels::new(api)));
            drop(self.rate_limit_wait.get_or_create(&ApiLabels::new(api)));
            for class in AnswerClass::ALL {
                drop(
                    self.requests
                        .get_or_create(&RequestLabels::new(api, *class)),
                );
            }
        }
        let outcomes = OUTCOMES.map(Outcome::as_str).into_iter();
        for outcome in outcomes.chain([ANOTHER_RUN]) {
            drop(self.runs.get_or_create(&OutcomeLabels { outcome }));
        }
        for kind in FindingKind::ALL.iter().map(|kind| kind.as_str()) {
            drop(self.findings.get_or_create(&FindingLabels { kind }));
        }
        for state in shown_states() {
            drop(self.queue.get_or_create(&StateLabels {
                state: state.as_str(),
            }));
        }
    }

    /// What the store remembers from before this process.
    pub fn restore(&self, status: &StoreStatus) {
        set_time(&self.last_attempt, status.last_attempt);
        set_time(&self.last_success, status.last_success);
        for (api, at) in [
            (Api::Opa, status.last_opa_read),
            (Api::Opsera, status.last_opsera_read),
        ] {
            set_time(&self.last_read.get_or_create(&ApiLabels::new(api)), at);
        }
        if let Some(report) = &status.last_report {
            self.show_sizes(report);
            self.show_guards(report);
        }
        self.show_store(status);
    }

    /// The queue and the held plans as they stand.
    pub fn show_store(&self, status: &StoreStatus) {
        self.held_plans.set(status.held_plans);
        for state in shown_states() {
            let depth = status.queue.get(&state).copied().unwrap_or(0);
            let labels = StateLabels {
                state: state.as_str(),
            };
            self.queue.get_or_create(&labels).set(depth);
        }
    }

    /// How far behind the target of `audit.stream` is; `None` without one.
    pub fn show_audit_stream(&self, behind: Option<u64>) {
        self.audit_stream_behind.set(behind.unwrap_or(0));
    }

    /// A run begins.
    pub fn attempt(&self, at: Timestamp) {
        set_time(&self.last_attempt, Some(at));
    }

    /// A run has ended, well or not, after `took`.
    pub fn finished(&self, finished: &Finished, took: Duration) {
        let report = &finished.report;
        let outcome = report.outcome.as_str();
        self.runs.get_or_create(&OutcomeLabels { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
        if report.outcome.is_success(report.mode) {
            set_time(&self.last_success, Some(report.finished_at));
        }
        for (api, complete) in [
            (Api::Opa, report.opa.complete),
            (Api::Opsera, report.opsera.complete),
        ] {
            if complete {
                let clock = self.last_read.get_or_create(&ApiLabels::new(api));
                set_time(&clock, Some(report.finished_at));
            }
        }
        for action in &report.actions {
            let labels = ActionLabels {
                kind: action.kind.as_str(),
                status: action.status.as_str(),
            };
            self.actions.get_or_create(&labels).inc();
        }
        if report.outcome != Outcome::Failed {
            for kind in FindingKind::ALL.iter().copied() {
                let of_kind = report
                    .findings
                    .iter()
                    .filter(|finding| finding.kind == kind);
                let labels = FindingLabels {
                    kind: kind.as_str(),
                };
                let count = u64::try_from(of_kind.count()).unwrap_or(u64::MAX);
                self.findings.get_or_create(&labels).set(count);
            }
        }
        self.show_sizes(report);
        self.show_guards(report);
        if let Some(traffic) = &finished.traffic {
            self.count_traffic(traffic);
        }
    }

    /// A run did not begin because another one was under way (A8).
    pub fn another_run(&self) {
        let labels = OutcomeLabels {
            outcome: ANOTHER_RUN,
        };
        self.runs.get_or_create(&labels).inc();
    }

    /// A due run was left out.
    pub fn skipped(&self) {
        self.skipped.inc();
    }

    /// Where the schedule stands.
    pub fn show_schedule(&self, next: Option<Timestamp>, failures: u32) {
        set_time(&self.next_run, next);
        self.consecutive_failures.set(u64::from(failures));
    }

    /// All of it, as text.
    pub fn render(&self, exposition: Exposition) -> String {
        exposition.render(&self.registry)
    }

    fn show_sizes(&self, report: &Report) {
        if report.outcome != Outcome::Failed {
            self.actions_refused.set(report.summary.refused);
        }
        if report.opsera.complete {
            self.managed.set(report.opsera.managed);
        }
        if report.opa.complete {
            let opa = &report.opa;
            for (status, people) in [
                ("active", opa.active),
                ("disabled", opa.disabled),
                ("deleted", opa.deleted),
                ("service", opa.service),
            ] {
                self.opa_users
                    .get_or_create(&StatusLabels { status })
                    .set(people);
            }
        }
    }

    fn show_guards(&self, report: &Report) {
        for guard in &report.guards {
            let labels = GuardLabels {
                guard: guard.guard.as_str(),
            };
            self.guard_actual.get_or_create(&labels).set(guard.actual);
            self.guard_limit.get_or_create(&labels).set(guard.limit);
        }
    }

    fn count_traffic(&self, traffic: &RequestMetricsSnapshot) {
        for (api, class, count) in &traffic.requests {
            self.requests
                .get_or_create(&RequestLabels::new(*api, *class))
                .inc_by(*count);
        }
        let (limit, remaining) = traffic
            .opa_quota
            .map_or((0, 0), |quota| (quota.limit, quota.remaining));
        self.opa_quota_limit.set(limit);
        self.opa_quota_remaining.set(remaining);
        set_time(
            &self.opsera_token_expires_at,
            traffic.opsera_token_expires_at,
        );
        for (api, waited) in &traffic.waited {
            self.rate_limit_wait
                .get_or_create(&ApiLabels::new(*api))
                .inc_by(waited.as_secs_f64());
        }
    }
}

fn set_time(gauge: &Seconds, at: Option<Timestamp>) {
    if let Some(at) = at {
        // Milliseconds since 1970 are exact in a double for the next 280,000 years.
        let seconds = Duration::from_millis(u64::try_from(at.timestamp_millis()).unwrap_or(0));
        gauge.set(seconds.as_secs_f64());
    }
}
