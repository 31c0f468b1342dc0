//! The page of one held plan, served until somebody has decided.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::decide::{Asked, Decision, Decisions};
use super::gate::{Denial, Gate, Pass};
use crate::domain::text::error_chain;
use crate::domain::time::SharedClock;
use crate::domain::{HeldPlan, PlanId, PlanState};
use crate::output::{self, DecisionForm, PlanView, Severity};
use crate::serving;
use crate::store::StoreError;

/// Characters of a reason.
const LONGEST_REASON: usize = 1000;
/// Bytes of a form: a reason whose every character takes twelve, and the other fields.
const LONGEST_FORM: usize = 16 * 1024;

/// How long the page waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For somebody to look or to decide.
    pub idle: Duration,
    /// After the decision, so that other windows with the same page are told.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(15),
            linger: Duration::from_secs(2),
        }
    }
}

/// How a review ends.
#[derive(Debug)]
pub enum End {
    /// Somebody decided.
    Decided(Box<HeldPlan>),
    /// Nobody looked for too long.
    Idle,
    /// The program is asked to stop.
    Interrupted,
}

/// A page that is being served.
pub struct Review {
    desk: Arc<ReviewDesk>,
    url: String,
    limits: Limits,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

/// What the handler works with.
struct ReviewDesk {
    decisions: Decisions,
    plan: PlanId,
    gate: Gate,
    /// `Content-Security-Policy` of every answer.
    policy: HeaderValue,
    clock: SharedClock,
    session: Mutex<Session>,
    /// One decision at a time, and one in all.
    decided: tokio::sync::Mutex<()>,
    outcome: watch::Sender<Option<HeldPlan>>,
}

struct Session {
    is_opened: bool,
    last_used: Duration,
}

impl Review {
    /// Listens on the loopback interface, on `port` or, if that is 0, on a free one.
    ///
    /// # Errors
    /// The port is in use, or the system gives no random numbers.
    pub async fn open(
        decisions: Decisions,
        plan: PlanId,
        port: u16,
        clock: SharedClock,
        limits: Limits,
    ) -> io::Result<Self> {
        let listener = serving::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let gate = Gate::new(listener.local_addr()?)?;
        let policy = HeaderValue::from_str(&output::decision_policy()).map_err(io::Error::other)?;
        let url = gate.url();
        let desk = Arc::new(ReviewDesk {
            decisions,
            plan,
            gate,
            policy,
            session: Mutex::new(Session {
                is_opened: false,
                last_used: clock.monotonic(),
            }),
            decided: tokio::sync::Mutex::new(()),
            outcome: watch::Sender::new(None),
            clock: clock.clone(),
        });
        let router = Router::new().fallback(answer).with_state(desk.clone());
        let stop = CancellationToken::new();
        let served = tokio::spawn(serving::serve(listener, router, clock, stop.clone()));
        Ok(Self {
            desk,
            url,
            limits,
            stop,
            served,
        })
    }

    /// The address with the token in it, for the person who is to decide and for nobody else.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the decision.
    pub async fn wait(&self, interrupted: &CancellationToken) -> End {
        let mut outcome = self.desk.outcome.subscribe();
        loop {
            let unused = self.desk.unused_for();
            let Some(left) = self
                .limits
                .idle
                .checked_sub(unused)
                .filter(|left| !left.is_zero())
            else {
                return End::Idle;
            };
            tokio::select! {
                biased;
                Ok(decided) = outcome.wait_for(Option::is_some) => {
                    if let Some(plan) = decided.clone() {
                        return End::Decided(Box::new(plan));
                    }
                }
                () = interrupted.cancelled() => return End::Interrupted,
                () = self.desk.clock.sleep(left) => {}
            }
        }
    }

    /// Tells other windows for a moment what was decided, and stops serving.
    pub async fn close(self, end: &End) {
        if matches!(end, End::Decided(_)) {
            self.desk.clock.sleep(self.limits.linger).await;
        }
        self.stop.cancel();
        // A task that panicked has stopped serving, too.
        drop(self.served.await);
    }
}

impl ReviewDesk {
    fn unused_for(&self) -> Duration {
        let now = self.clock.monotonic();
        now.saturating_sub(self.session().last_used)
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request in or turns it away; the first one that is let in uses the token up.
    fn let_in(&self, head: &axum::http::request::Parts) -> Result<Pass, Denial> {
        let mut session = self.session();
        let pass = self.gate.judge(head, session.is_opened)?;
        session.is_opened = true;
        session.last_used = self.clock.monotonic();
        Ok(pass)
    }

    /// The page as the plan is now.
    async fn page(&self, status: StatusCode, notice: Option<&str>) -> Result<Response, StoreError> {
        let Some((plan, actions)) = self.decisions.look(&self.plan).await? else {
            let words = format!("There is no plan {} any more.", self.plan);
            return Ok(said(StatusCode::GONE, &words));
        };
        let refusal = self.decisions.refusal(&self.plan).await?;
        let refusal = refusal.map(|refusal| capitalized(&refusal.to_string()));
        let actor = self.decisions.audit_writer.actor.to_string();
        let view = PlanView {
            plan: &plan,
            actions: &actions,
            ttl: self.decisions.ttl,
            now: self.clock.now(),
        };
        let form = DecisionForm {
            plan_id: plan.id.as_str(),
            actor: &actor,
            longest_reason: LONGEST_REASON,
            notice: notice.or(refusal.as_deref()),
            open: refusal.is_none(),
        };
        Ok(page(status, output::decision_page(view, form)))
    }

    async fn decide(&self, body: Body) -> Result<Response, StoreError> {
        let Ok(body) = to_bytes(body, LONGEST_FORM).await else {
            let words = "The form is too long, or it ended early. Nothing was recorded.";
            return self.page(StatusCode::PAYLOAD_TOO_LARGE, Some(words)).await;
        };
        let _one_at_a_time = self.decided.lock().await;
        let decided = self.outcome.borrow().clone();
        if let Some(plan) = decided {
            let words = format!(
                "Plan {} was {} on this page already. Nothing more was recorded.",
                plan.id,
                verb(plan.state)
            );
            return Ok(said(StatusCode::CONFLICT, &words));
        }
        let asked = match read_form(&body, &self.plan) {
            Ok(asked) => asked,
            Err(words) => {
                return self
                    .page(StatusCode::UNPROCESSABLE_ENTITY, Some(words))
                    .await;
            }
        };
        // The store may have been open for a while: is it still the one that the last run left?
        let decisions = &self.decisions;
        decisions
            .store
            .check_anchor(
                &decisions.audit_writer,
                decisions.checkpoint_file.as_deref(),
            )
            .await?;
        match decisions.decide(&asked).await? {
            Ok(plan) => {
                let words = format!(
                    "Plan {} is {}. This window can be closed; the terminal says what comes next.",
                    plan.id,
                    verb(plan.state)
                );
                self.outcome.send_replace(Some(plan));
                Ok(page(
                    StatusCode::OK,
                    output::notice_page(&words, Severity::Good),
                ))
            }
            Err(refusal) => {
                let words = format!(
                    "Nothing was recorded: {}.",
                    capitalized(&refusal.to_string())
                );
                Ok(said(StatusCode::CONFLICT, &words))
            }
        }
    }
}

async fn answer(State(desk): State<Arc<ReviewDesk>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let answered = match desk.let_in(&head) {
        Err(Denial::Silent(status)) => Ok(status.into_response()),
        Err(Denial::OpenedBefore) => Ok(said(
            StatusCode::FORBIDDEN,
            "This address was opened before, and can be opened once. If that was not you, end \
             `rolecall review` with Ctrl-C and start it again.",
        )),
        Err(Denial::NotThisPage) => Ok(said(
            StatusCode::FORBIDDEN,
            "The browser does not say that the page itself sent this form. Nothing was recorded; \
             `rolecall plan approve` and `rolecall plan reject` decide as well.",
        )),
        Ok(Pass::First) => desk.page(StatusCode::OK, None).await.map(|mut response| {
            if let Ok(cookie) = HeaderValue::from_str(&desk.gate.set_cookie()) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }),
        Ok(Pass::Look) => desk.page(StatusCode::OK, None).await,
        Ok(Pass::Decide) => desk.decide(body).await,
    };
    let mut response = answered.unwrap_or_else(|error| {
        let words = error_chain(&error);
        tracing::error!(error = words, "the page of a plan could not be served");
        said(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("It could not be done: {words}."),
        )
    });
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, desk.policy.clone());
    response
}

/// What a form asks for, or what is wrong with it.
fn read_form(body: &[u8], plan: &PlanId) -> Result<Asked, &'static str> {
    let mut decision = None;
    let mut reason = None;
    let mut id = None;
    for (name, value) in url::form_urlencoded::parse(body) {
        match &*name {
            "decision" => decision = Some(value),
            "reason" => reason = Some(value),
            "plan" => id = Some(value),
            _ => {}
        }
    }
    if id.as_deref() != Some(plan.as_str()) {
        return Err("The form is not about the plan of this page. Nothing was recorded.");
    }
    let decision = match decision.as_deref() {
        Some("approve") => Decision::Approve,
        Some("reject") => Decision::Reject,
        _ => return Err("Neither approve nor reject was chosen. Nothing was recorded."),
    };
    // One line, as it is given on a command line.
    let reason: Vec<&str> = reason.iter().flat_map(|r| r.split_whitespace()).collect();
    let reason = reason.join(" ");
    if reason.is_empty() {
        return Err("A reason is missing: it goes into the audit log. Nothing was recorded.");
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err("The reason is longer than 1000 characters. Nothing was recorded.");
    }
    Ok(Asked {
        id: plan.clone(),
        decision,
        reason: Some(reason),
        reviewer: None,
    })
}

fn verb(state: PlanState) -> &'static str {
    match state {
        PlanState::Approved => "approved",
        _ => "rejected",
    }
}

fn capitalized(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

fn said(status: StatusCode, words: &str) -> Response {
    page(status, output::notice_page(words, Severity::Warning))
}

fn page(status: StatusCode, text: Result<String, impl std::fmt::Display>) -> Response {
    match text {
        Ok(text) => (status, axum::response::Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be put together");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
