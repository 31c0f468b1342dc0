//! Retention: what is old and over goes, what anything still depends on stays, and the store of a
//! stable organisation does not grow but for its audit log (`store.retain`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rolecall::audit::AuditWriter;
use rolecall::domain::time::{Clock as _, ManualClock};
use rolecall::domain::{ActionKind, Decider, KindSet, Mode, Outcome, Plan, PlanState, RunId};
use rolecall::reconcile::Context;
use rolecall::sandbox::{
    AccountSeed, Answer, Fault, FaultKind, PersonSeed, Sandbox, SandboxOptions,
};
use rolecall::store::{RunLimits, Store};
use sqlx::{Connection as _, SqliteConnection};

use crate::program::{self, actor};

const DAY: Duration = Duration::from_hours(24);

struct World {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    context: Context,
    directory: tempfile::TempDir,
}

impl World {
    async fn of(people: usize, settings: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = ManualClock::at(program::BEGINNING.parse().unwrap());
        let sandbox = Sandbox::start(SandboxOptions::empty(clock.clone()))
            .await
            .unwrap();
        for number in 0..people {
            let (name, email) = (format!("p{number}"), format!("p{number}@example.com"));
            let person = PersonSeed::active(&name, &email).in_groups(["staff"]);
            sandbox.opa().add_person(person).unwrap();
            sandbox.opsera().add(AccountSeed::active(&email)).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rolecall.toml");
        let store = directory.path().join("rolecall.db");
        let text = format!(
            "{}{settings}\npath = {:?}\n",
            sandbox.settings_toml(),
            store.display().to_string()
        );
        std::fs::write(&file, text).unwrap();
        let context = Context {
            settings: program::load(vec![file]),
            clock: clock.clone(),
            actor: actor(),
        };
        Self {
            sandbox,
            clock,
            context,
            directory,
        }
    }

    fn store(&self) -> &Path {
        &self.context.settings.store.path
    }

    async fn run(&self, mode: Mode) -> (Outcome, RunId) {
        let report = program::run(&self.context, program::request(mode))
            .await
            .report;
        (report.outcome, report.run_id)
    }

    /// The first column of every row.
    async fn column(&self, query: &'static str) -> Vec<String> {
        let mut store = connect(self.store()).await;
        sqlx::query_scalar(query)
            .fetch_all(&mut store)
            .await
            .unwrap()
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_over_goes_and_what_anything_depends_on_stays() {
    let world = World::of(
        10,
        "[guards]\nmax_opa_drop_percent = 100\nmax_deactivations_percent = 100\n\
         [retry]\nrejected_retry = \"30d\"\n[store]\nretain = \"2d\"",
    )
    .await;
    let (outcome, first) = world.run(Mode::Apply).await;
    assert_eq!(outcome, Outcome::InSync);
    world.clock.advance(DAY);

    // p1 is refused, p2 goes, and before p3 the token is not accepted any more.
    for name in ["p1", "p2", "p3"] {
        world.sandbox.opa().disable(name).unwrap();
    }
    world
        .sandbox
        .opsera()
        .edit("p1@example.com", |account| account.owned_objects = 1)
        .unwrap();
    let unauthorized = FaultKind::Answer(Answer::status(401));
    let fault = Fault::opsera(unauthorized).on("DELETE", "/user/").after(2);
    world.sandbox.inject(fault);
    let (outcome, second) = world.run(Mode::Apply).await;
    assert_eq!(outcome, Outcome::Failed);
    let states = "SELECT state FROM actions ORDER BY id";
    assert_eq!(
        world.column(states).await,
        ["rejected", "succeeded", "planned"]
    );
    decide_on_a_plan(&world, &second).await;

    // From here on OPA cannot be read: the second run's pull stays the latest one.
    let forbidden = FaultKind::Answer(Answer::status(403));
    let fault = Fault::opa(forbidden).on("GET", "/users").always();
    world.sandbox.inject(fault);
    world.clock.advance(3 * DAY);
    let (outcome, third) = world.run(Mode::Apply).await;
    assert_eq!(outcome, Outcome::Failed);
    // Older than `retain`, but G3 counts seven days.
    assert_eq!(
        world.column(states).await,
        ["rejected", "succeeded", "planned"]
    );
    let runs = "SELECT id FROM runs ORDER BY seq";
    assert_eq!(world.column(runs).await, [second.as_str(), third.as_str()]);
    assert!(world.column("SELECT id FROM plans").await.is_empty());

    world.clock.advance(7 * DAY);
    let (_, fourth) = world.run(Mode::Apply).await;
    assert_eq!(world.column(states).await, ["rejected", "planned"]);
    // The second run holds the latest complete pull and the baseline of G2.
    assert_eq!(world.column(runs).await, [second.as_str(), fourth.as_str()]);
    assert_eq!(
        world
            .column("SELECT id FROM runs WHERE opa_accepted = 1")
            .await,
        [second.as_str()]
    );
    let store = Store::open_existing_read_only(world.store()).await.unwrap();
    let (pull, _) = store.latest_pull().await.unwrap().unwrap();
    // Seven of the ten are ACTIVE.
    assert_eq!(store.count_sides(pull).await.unwrap().0, 7);
    store.close().await;
    // The audit log is kept for ever.
    let logged = world.column("SELECT run_id FROM audit ORDER BY seq").await;
    assert_eq!(logged.first().map(String::as_str), Some(first.as_str()));

    // The refusal goes with its date, not before.
    world.clock.advance(25 * DAY);
    world.run(Mode::Apply).await;
    assert_eq!(world.column(states).await, ["planned"]);
}

async fn decide_on_a_plan(world: &World, run: &RunId) {
    let store = Store::open_existing(world.store(), &*world.clock)
        .await
        .unwrap();
    let audit_writer = AuditWriter {
        clock: world.clock.clone(),
        actor: actor(),
        key: None,
    };
    let plan = Plan::new(Vec::new());
    let kinds = KindSet::only([ActionKind::Deactivate]);
    store
        .hold_plan(&audit_writer, run, deactivations(&kinds), &plan, &[], DAY)
        .await
        .unwrap();
    let decider = Decider {
        by: actor().to_string(),
        reviewer: None,
        reason: None,
        at: world.clock.now(),
    };
    let checked = |_: Option<&rolecall::domain::HeldPlan>| Ok::<_, std::convert::Infallible>(());
    let Ok(rejected) = store
        .decide_plan(
            &audit_writer,
            plan.id(),
            PlanState::Rejected,
            &decider,
            checked,
        )
        .await
        .unwrap();
    assert_eq!(rejected.state, PlanState::Rejected);
    store.close().await;
}

#[tokio::test]
async fn an_approval_given_while_a_run_looks_at_its_guards_is_not_lost_when_it_holds() {
    let world = World::of(1, "[store]\nretain = \"2d\"").await;
    let (_, id) = world.run(Mode::Apply).await;
    let store = Store::open_existing(world.store(), &*world.clock)
        .await
        .unwrap();
    let audit_writer = AuditWriter {
        clock: world.clock.clone(),
        actor: actor(),
        key: None,
    };
    let plan = Plan::new(Vec::new());
    let kinds = KindSet::only([ActionKind::Deactivate]);
    let hold = || store.hold_plan(&audit_writer, &id, deactivations(&kinds), &plan, &[], DAY);
    assert_eq!(hold().await.unwrap(), PlanState::Held);
    let decider = Decider {
        by: actor().to_string(),
        reviewer: None,
        reason: Some("seen".to_owned()),
        at: world.clock.now(),
    };
    let checked = |_: Option<&rolecall::domain::HeldPlan>| Ok::<_, std::convert::Infallible>(());
    let Ok(_) = store
        .decide_plan(
            &audit_writer,
            plan.id(),
            PlanState::Approved,
            &decider,
            checked,
        )
        .await
        .unwrap();
    assert_eq!(hold().await.unwrap(), PlanState::Approved);
    // An approval that lapsed is gone with the next hold.
    world.clock.advance(DAY);
    assert_eq!(hold().await.unwrap(), PlanState::Held);
    store.close().await;
}

/// `ROLECALL_STABLE_RUNS=1000` for the figure in the documentation, with 200 people.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_a_stable_organisation_grows_by_its_audit_log_alone() {
    let asked = std::env::var("ROLECALL_STABLE_RUNS").ok();
    let (people, runs) = asked.map_or((20, 60), |text| (200, text.parse().unwrap()));
    let world = World::of(
        people,
        "[[roles.rules]]\ngroup = \"staff\"\nrole = \"Users\"\n[guards]\n\
         max_role_changes = 1000\nmax_role_changes_percent = 100\n\
         [store]\nretain = \"2d\"",
    )
    .await;
    let mut halfway = (0, 0);
    for number in 0..runs {
        let mode = if number % 2 == 0 {
            Mode::DryRun
        } else {
            Mode::Apply
        };
        world.run(mode).await;
        world.clock.advance(DAY / 12);
        if number + 1 == runs / 2 {
            halfway = measure(&world).await;
        }
    }
    let end = measure(&world).await;
    let kept = world
        .column("SELECT CAST(count(*) AS TEXT) FROM runs")
        .await;
    println!(
        "{runs} runs: without audit log, with: {halfway:?} at half, {end:?} at the end; {kept:?} runs kept"
    );
    assert!(end.0 <= halfway.0 + 16 * 1024, "{halfway:?}, then {end:?}");
    let entries: u64 = world
        .column("SELECT CAST(count(*) AS TEXT) FROM audit")
        .await[0]
        .parse()
        .unwrap();
    assert!(
        end.1 < end.0 + entries * 2048 + 512 * 1024,
        "{end:?}, {entries} entries"
    );
    let write_ahead = world.directory.path().join("rolecall.db-wal");
    assert!(std::fs::metadata(write_ahead).map_or(0, |file| file.len()) == 0);
}

/// Bytes without the audit log, as they would be in a file of their own, and on disk.
async fn measure(world: &World) -> (u64, u64) {
    let copy: PathBuf = world.directory.path().join("copy.db");
    std::fs::copy(world.store(), &copy).unwrap();
    let mut store = connect(&copy).await;
    for statement in [
        "DROP TABLE audit",
        "VACUUM",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    store.close().await.unwrap();
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    (size(&copy), size(world.store()))
}

fn deactivations(kinds: &KindSet) -> RunLimits<'_> {
    RunLimits {
        kinds,
        people: None,
    }
}
