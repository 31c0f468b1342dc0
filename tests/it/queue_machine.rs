//! The queue as a state machine: random histories against a small model, a way on from every
//! state, and a schema that refuses every move that is not in the table.
//!
//! `PROPTEST_CASES=n` sets the number of histories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rolecall::audit::{Actor, AuditWriter, Proof, Verdict};
use rolecall::domain::time::{Clock as _, ManualClock, Timestamp};
use rolecall::domain::{
    ActionOutcome, ActionState, Change, DecisionRecords, Effect, Evidence, Key, OpseraId, Plan,
    PlannedAction, RunId, SiteRole,
};
use rolecall::store::{QueueOutcome, QueueView, QueuedAction, Store, retry_at};

const DAY: Duration = Duration::from_hours(24);
const WORK: usize = 4;

/// The `n`-th piece of work there is, in the order of a plan (A9).
fn work(n: usize) -> PlannedAction {
    let id = OpseraId::new(format!("account{n}"));
    let email = format!("person{n}@example.com");
    let change = match n {
        2.. => Change::Deactivate {
            opsera_id: id,
            evidence: Evidence::Disabled,
            known_names: Vec::new(),
            earlier_names: Vec::new(),
        },
        0 => Change::SetRole {
            opsera_id: id,
            from: None,
            to: SiteRole::Auditors,
        },
        1 => Change::Create {
            first_name: "A".to_owned(),
            last_name: "B".to_owned(),
            to: SiteRole::Users,
        },
    };
    let address = rolecall::domain::Address::parse(&email).unwrap();
    let key: Key = rolecall::domain::Matching::default().opsera_key(&address);
    PlannedAction {
        change,
        address: email.clone(),
        email,
        key,
        reason: "a test".to_owned(),
        evidence: DecisionRecords::default(),
    }
}

/// Something that happens to the queue.
#[derive(Clone, Debug)]
enum Happening {
    /// A new run wants this work.
    Plan([bool; WORK]),
    /// A request is announced.
    Reserve(usize),
    /// It will be repeated.
    Note(usize),
    /// It ends so.
    Close(usize, ActionState),
    /// It certainly did nothing and is for a later run.
    PutBack(usize),
    /// An operator takes it out.
    Cancel(usize),
    /// An operator lets everything be tried again.
    Release,
    /// Hours pass, or the clock is set back.
    Hours(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let ends = prop_oneof![
        Just(ActionState::Succeeded),
        Just(ActionState::Already),
        Just(ActionState::Failed),
        Just(ActionState::Rejected),
        Just(ActionState::Skipped),
    ];
    prop_oneof![
        3 => any::<[bool; WORK]>().prop_map(Happening::Plan),
        4 => (0..WORK).prop_map(Happening::Reserve),
        1 => (0..WORK).prop_map(Happening::Note),
        4 => (0..WORK, ends).prop_map(|(n, end)| Happening::Close(n, end)),
        1 => (0..WORK).prop_map(Happening::PutBack),
        1 => (0..WORK).prop_map(Happening::Cancel),
        1 => Just(Happening::Release),
        2 => (-30_i64..30).prop_map(Happening::Hours),
    ]
}

/// What the model knows of one row.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// The store's number of it; 0 until it is looked up.
    id: i64,
    work: usize,
    state: &'static str,
    attempts: u32,
    until: Option<Timestamp>,
    run: usize,
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    runs: usize,
}

impl Model {
    fn open(&mut self, work: usize) -> Option<&mut Row> {
        self.rows
            .iter_mut()
            .find(|row| row.work == work && matches!(row.state, "planned" | "in_flight"))
    }

    fn is_refused(&self, work: usize, now: Timestamp) -> bool {
        self.rows.iter().any(|row| {
            row.work == work
                && (row.state == "in_flight" || row.until.is_some_and(|until| until > now))
        })
    }

    fn plan(&mut self, wanted: [bool; WORK], now: Timestamp) -> Vec<usize> {
        self.runs += 1;
        let run = self.runs;
        for row in &mut self.rows {
            if row.state == "planned" && !wanted[row.work] {
                row.state = "superseded";
            }
        }
        let mut refused = Vec::new();
        for work in (0..WORK).filter(|&work| wanted[work]) {
            if self.is_refused(work, now) {
                refused.push(work);
            } else if let Some(row) = self.open(work) {
                (row.run, row.attempts) = (run, 0);
            } else {
                self.rows.push(Row {
                    id: 0,
                    work,
                    state: "planned",
                    attempts: 0,
                    until: None,
                    run,
                });
            }
        }
        refused
    }
}

/// The real queue beside its model.
struct Bench {
    store: Store,
    clock: Arc<ManualClock>,
    audit_writer: AuditWriter,
    model: Model,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at("2026-03-01T12:00:00Z".parse().unwrap());
        let store = Store::open(&dir.path().join("rolecall.db"), &*clock)
            .await
            .unwrap();
        let audit_writer = AuditWriter {
            clock: clock.clone(),
            actor: Actor::of_this_process(),
            key: None,
        };
        Self {
            store,
            clock,
            audit_writer,
            model: Model::default(),
            _dir: dir,
        }
    }

    fn run_id(&self) -> RunId {
        RunId::new(format!("run{}", self.model.runs))
    }

    /// The row of `work` as the worker would have it.
    fn queued(&mut self, work: usize) -> Option<QueuedAction> {
        let rows = &self.model.rows;
        let index = rows
            .iter()
            .position(|row| row.work == work && matches!(row.state, "planned" | "in_flight"))?;
        Some(QueuedAction {
            id: rows[index].id,
            position: 0,
            action: self::work(work),
            attempts: rows[index].attempts,
        })
    }

    async fn happen(&mut self, what: &Happening) {
        let now = self.clock.now();
        match what {
            Happening::Plan(wanted) => {
                let refused = self.model.plan(*wanted, now);
                self.plan(*wanted, refused).await;
            }
            Happening::Reserve(work) => {
                let Some(queued) = self.queued(*work) else {
                    return;
                };
                let run = self.run_id();
                let attempts = self
                    .store
                    .reserve(&self.audit_writer, &run, &queued)
                    .await
                    .unwrap();
                // The same reservation twice would be the same request twice.
                let again = self.store.reserve(&self.audit_writer, &run, &queued).await;
                assert!(again.is_err());
                let row = self.model.open(*work).unwrap();
                (row.state, row.attempts) = ("in_flight", row.attempts + 1);
                assert_eq!(row.attempts, attempts);
            }
            Happening::Note(work) => {
                let Some(queued) = self.queued(*work) else {
                    return;
                };
                let run = self.run_id();
                let noted =
                    self.store
                        .note_attempt(&self.audit_writer, &run, &queued, Some(500), "no");
                noted.await.unwrap();
            }
            Happening::Close(work, end) => self.close(*work, *end, now).await,
            Happening::PutBack(work) => {
                let Some(queued) = self.queued(*work) else {
                    return;
                };
                let run = self.run_id();
                let back = self
                    .store
                    .requeue(&self.audit_writer, &run, &queued, Some(401), "no")
                    .await;
                let row = self.model.open(*work).unwrap();
                assert_eq!(back.is_ok(), row.state == "in_flight");
                row.state = "planned";
            }
            Happening::Cancel(work) => {
                let Some(queued) = self.queued(*work) else {
                    return;
                };
                let until = retry_at(now, DAY);
                let ruling = self
                    .store
                    .cancel_action(&self.audit_writer, queued.id, until, None)
                    .await;
                let row = self.model.open(*work).unwrap();
                if row.state == "planned" {
                    assert!(matches!(ruling.unwrap(), QueueOutcome::Done(_)));
                    (row.state, row.until) = ("cancelled", Some(until));
                } else {
                    assert!(matches!(ruling.unwrap(), QueueOutcome::Impossible(_)));
                }
            }
            Happening::Release => {
                let released = self
                    .store
                    .release_refused(&self.audit_writer)
                    .await
                    .unwrap();
                let mut expected = 0;
                for row in &mut self.model.rows {
                    if matches!(row.state, "rejected" | "cancelled") {
                        (row.state, row.until) = ("released", None);
                        expected += 1;
                    }
                }
                assert_eq!(released, expected);
            }
            Happening::Hours(hours) => {
                self.clock.jump_to(now + chrono::TimeDelta::hours(*hours));
            }
        }
    }

    async fn plan(&mut self, wanted: [bool; WORK], refused: Vec<usize>) {
        let actions: Vec<_> = (0..WORK).filter(|&n| wanted[n]).map(work).collect();
        let plan = Plan::new(actions);
        let now = self.clock.now();
        let told = self
            .store
            .enqueue(&self.run_id(), &plan, now)
            .await
            .unwrap();
        let mut told: Vec<String> = told
            .keys()
            .map(|&position| plan.actions()[position].email.clone())
            .collect();
        told.sort();
        let expected: Vec<String> = refused.iter().map(|&n| work(n).email).collect();
        assert_eq!(told, expected);
        for row in self
            .store
            .list_queue(QueueView::All, 100_000)
            .await
            .unwrap()
            .iter()
            .rev()
        {
            let known = self.model.rows.iter().any(|known| known.id == row.id);
            let mut new = self.model.rows.iter_mut();
            let new = new.find(|new| new.id == 0 && work(new.work).email == row.action.email);
            if let (false, Some(new)) = (known, new) {
                new.id = row.id;
            }
        }
    }

    async fn close(&mut self, work: usize, end: ActionState, now: Timestamp) {
        let Some(queued) = self.queued(work) else {
            return;
        };
        let mut outcome = ActionOutcome::new(end, Effect::Unknown, "so");
        outcome.next_attempt_at = (end == ActionState::Rejected).then(|| retry_at(now, DAY));
        let run = self.run_id();
        let closed = self
            .store
            .close_action(&self.audit_writer, &run, &queued, &outcome)
            .await;
        let row = self.model.open(work).unwrap();
        // Without a request there is nothing to have succeeded or to be refused.
        let legal = row.state == "in_flight"
            || !matches!(end, ActionState::Succeeded | ActionState::Rejected);
        assert_eq!(
            closed.is_ok(),
            legal,
            "{end:?} from {}: {closed:?}",
            row.state
        );
        if legal {
            (row.state, row.until) = (end.as_str(), outcome.next_attempt_at);
        }
    }

    async fn check(&self) {
        let rows = self
            .store
            .list_queue(QueueView::All, 100_000)
            .await
            .unwrap();
        let told: BTreeMap<i64, (String, u32, bool)> = rows
            .into_iter()
            .map(|row| {
                (
                    row.id,
                    (
                        row.state.to_string(),
                        row.attempts,
                        row.next_attempt_at.is_some(),
                    ),
                )
            })
            .collect();
        let rows = self.model.rows.iter();
        let expected: BTreeMap<i64, (String, u32, bool)> = rows
            .map(|row| {
                (
                    row.id,
                    (row.state.to_owned(), row.attempts, row.until.is_some()),
                )
            })
            .collect();
        assert_eq!(told, expected);
    }

    /// From wherever it is, everything can be brought to a good end.
    async fn finish(&mut self) {
        for work in 0..WORK {
            if self
                .model
                .open(work)
                .is_some_and(|row| row.state == "in_flight")
            {
                self.happen(&Happening::Close(work, ActionState::Failed))
                    .await;
            }
        }
        self.happen(&Happening::Release).await;
        let refused = self.model.plan([true; WORK], self.clock.now());
        assert_eq!(refused, Vec::<usize>::new());
        self.plan([true; WORK], refused).await;
        for work in 0..WORK {
            self.happen(&Happening::Reserve(work)).await;
            self.happen(&Happening::Close(work, ActionState::Succeeded))
                .await;
        }
        self.check().await;
        let verdict = self.store.verify_audit(&Proof::default()).await.unwrap();
        assert!(!matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
        let open = self
            .store
            .list_queue(QueueView::Unsettled, 100)
            .await
            .unwrap();
        assert!(open.is_empty(), "{open:?}");
        self.store.close().await;
    }
}

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok();
    let mut config = ProptestConfig::with_cases(cases.map_or(default, |n| n.parse().unwrap()));
    config.failure_persistence = None;
    config
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn every_history_keeps_to_the_model_and_has_a_way_on(
        history in prop::collection::vec(happening(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new().await;
            bench.happen(&Happening::Plan([true; WORK])).await;
            for what in &history {
                bench.happen(what).await;
                bench.check().await;
            }
            bench.finish().await;
        });
    }
}

/// Every state, and where a row may go from it.
const MOVES: [(&str, &[&str]); 10] = [
    (
        "planned",
        &[
            "in_flight",
            "already",
            "skipped",
            "failed",
            "superseded",
            "cancelled",
        ],
    ),
    (
        "in_flight",
        &[
            "succeeded",
            "already",
            "failed",
            "rejected",
            "skipped",
            "planned",
        ],
    ),
    ("rejected", &["released"]),
    ("cancelled", &["released"]),
    ("succeeded", &[]),
    ("already", &[]),
    ("failed", &[]),
    ("skipped", &[]),
    ("superseded", &[]),
    ("released", &[]),
];

#[tokio::test]
async fn the_schema_refuses_every_move_that_is_not_in_the_table() {
    let bench = Bench::new().await;
    let refused = |state: &str| matches!(state, "rejected" | "cancelled");
    for (n, (from, legal)) in MOVES.iter().enumerate() {
        for (m, (to, _)) in MOVES.iter().enumerate() {
            let mut tx = bench.store.begin().await.unwrap();
            sqlx::query(
                "INSERT INTO actions (run_id, plan_id, position, identity, kind, opsera_id, key,
                     email, action, state, attempts, next_attempt_at, created_at, updated_at)
                 VALUES ('r', 'p', 0, ?1, 'deactivate', 'o', 'k', 'e', '{}', ?2, 1, ?3, '', '')",
            )
            .bind(format!("{n}-{m}"))
            .bind(from)
            .bind(refused(from).then_some("2026-01-01T00:00:00.000Z"))
            .execute(&mut *tx)
            .await
            .unwrap();
            let moved = sqlx::query(
                "UPDATE actions SET state = ?2, next_attempt_at = ?3 WHERE identity = ?1",
            )
            .bind(format!("{n}-{m}"))
            .bind(to)
            .bind(refused(to).then_some("2026-01-01T00:00:00.000Z"))
            .execute(&mut *tx)
            .await;
            let expected = from == to || legal.contains(to);
            assert_eq!(moved.is_ok(), expected, "{from} → {to}: {moved:?}");
            drop(tx);
        }
    }
    bench.store.close().await;
}
