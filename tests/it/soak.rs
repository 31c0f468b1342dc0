//! Run after run against servers that keep failing: everything comes right whenever they let it,
//! and nothing grows with the number of runs but the audit log.
//!
//! `ROLECALL_SOAK_RUNS=1000` runs it for long and, alone in its process, looks at memory, file
//! descriptors and the size of the store too:
//! `ROLECALL_SOAK_RUNS=1000 cargo test --test it soak:: -- --nocapture`

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rolecall::domain::Outcome;
use rolecall::sandbox::{AccountStatus, FaultOptions};

use crate::fault_world::{World, assert_outcome};

const PEOPLE: usize = 20;
const RUNS: usize = 30;

/// What must not grow.
#[derive(Clone, Copy, Debug)]
struct Size {
    resident_kb: u64,
    files: usize,
    rows: i64,
    store_kb: u64,
    audit: i64,
}

async fn measure(world: &World) -> Size {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS"));
    let resident = resident.unwrap().split_whitespace().nth(1).unwrap();
    let store = world.store().await;
    let mut rows = 0;
    for table in [
        "actions",
        "runs",
        "snapshots",
        "plans",
        "absences",
        "carriers",
        "known_roles",
    ] {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(store.reader())
            .await
            .unwrap();
        rows += count;
    }
    let audit = sqlx::query_scalar("SELECT count(*) FROM audit")
        .fetch_one(store.reader())
        .await
        .unwrap();
    store.close().await;
    Size {
        resident_kb: resident.parse().unwrap(),
        files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        rows,
        store_kb: std::fs::metadata(world.store_path()).unwrap().len() / 1024,
        audit,
    }
}

/// Somebody leaves, somebody comes back, somebody changes groups.
fn disturb(world: &World, rng: &mut StdRng) {
    let opa = world.sandbox.opa();
    for _ in 0..2 {
        let name = format!("p{}", rng.random_range(0..PEOPLE));
        match rng.random_range(0..3) {
            0 => opa.disable(&name).unwrap(),
            1 => {
                opa.enable(&name).unwrap();
                let id = world.id(&name);
                let back = |account: &mut rolecall::sandbox::Account| {
                    account.status = AccountStatus::Active;
                };
                world.sandbox.opsera().edit(&id, back).unwrap();
            }
            _ if opa.groups_of(&name).is_empty() => opa.join(&name, "power").unwrap(),
            _ => opa.leave(&name, "power").unwrap(),
        }
    }
}

#[tokio::test]
async fn nothing_grows_over_many_runs_against_failing_servers() {
    let asked = std::env::var("ROLECALL_SOAK_RUNS").ok();
    let runs = asked.as_ref().map_or(RUNS, |text| text.parse().unwrap());
    let world = World::with(|options| {
        options.faults = FaultOptions {
            error_rate: 0.08,
            ..FaultOptions::default()
        };
    })
    .await;
    world.settings(
        "[store]\nretain = \"1d\"\n[retry]\nrejected_retry = \"1h\"\n\
         [provision]\nenabled = false\n",
    );
    for n in 0..PEOPLE {
        world.member(&format!("p{n}"), &[]);
    }
    world.member("boss", &["power"]);
    let mut rng = StdRng::seed_from_u64(3);
    let mut outcomes = std::collections::BTreeMap::<&str, u32>::new();
    let mut requests = 0;
    let mut early = None;
    for run in 0..runs {
        disturb(&world, &mut rng);
        let report = world.sync().await;
        *outcomes.entry(report.outcome.as_str()).or_default() += 1;
        requests += world.sandbox.journal().entries().len();
        world.clock.advance(Duration::from_mins(15));
        if run == runs * 3 / 4 {
            early = Some(measure(&world).await);
        }
    }
    let (early, late) = (early.unwrap(), measure(&world).await);
    println!(
        "{runs} runs, {requests} requests: {outcomes:?}\nafter three quarters {early:?}\nat the end {late:?}"
    );
    assert!(outcomes["applied"] > 0);
    if asked.is_some() {
        // The audit log is kept for ever, and nothing else makes the file grow.
        let grown_kb = late.store_kb.saturating_sub(early.store_kb);
        let logged = u64::try_from(late.audit - early.audit).unwrap();
        assert!(grown_kb < 200 + 3 * logged, "{early:?} {late:?}");
        assert!(
            late.rows < early.rows + early.rows / 4,
            "{early:?} {late:?}"
        );
        assert!(late.files <= early.files + 3, "{early:?} {late:?}");
        assert!(
            late.resident_kb < early.resident_kb + 20_000,
            "{early:?} {late:?}"
        );
    }
    // In the end everybody has what is due.
    world.clock.advance(Duration::from_hours(25));
    for _ in 0..50 {
        let outcome = world.sync().await.outcome;
        world.clock.advance(Duration::from_hours(2));
        if outcome == Outcome::InSync {
            break;
        }
    }
    for n in 0..PEOPLE {
        let name = format!("p{n}");
        let person = world.sandbox.opa().person(&name).unwrap();
        let expected = match person.status.as_str() {
            "ACTIVE" => AccountStatus::Active,
            _ => AccountStatus::Inactive,
        };
        assert_eq!(world.standing(&name), Some(expected), "{name}");
    }
    world.audit().await;
    assert_outcome(&world.sync().await, Outcome::InSync);
}
