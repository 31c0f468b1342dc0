//! Killed at any instant, the program loses nothing and repeats nothing: the next run puts Opsera
//! right, and the log holds every request with its outcome.
//!
//! `ROLECALL_KILLS=n` sets the number of kills at random instants (12 by default).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rolecall::sandbox::{Effect, Fault, FaultKind};

use crate::child::Victim;
use crate::fault_world::World;

/// Random kills without `ROLECALL_KILLS`.
const KILLS: u64 = 12;

/// When, seen from the sandbox, a run is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The request has arrived and will have no effect.
    BeforeEffect,
    /// The request has arrived and will have its effect, and no answer gets back.
    AfterEffect,
    /// The answer is on its way.
    Answered,
}

/// The requests of one undisturbed run.
async fn requests_of_one_run() -> u64 {
    let world = World::staffed().await;
    let ended = world.sync_child().await;
    ended.assert_code(0);
    assert!(world.is_settled());
    world.sandbox.journal().count()
}

/// Runs once, killed when the `n`-th request arrives; gives whether that was a write.
async fn kill_at(world: &World, n: u64, moment: Moment) -> bool {
    let journal = world.sandbox.journal();
    let opa = move |does: FaultKind| Fault::opa(does).when(move |r| r.number == n);
    let opsera = move |does: FaultKind| Fault::opsera(does).when(move |r| r.number == n);
    let late = Duration::from_millis(2);
    let does = match moment {
        Moment::BeforeEffect => FaultKind::CutBeforeEffect,
        Moment::AfterEffect => FaultKind::CutAfterEffect,
        Moment::Answered => FaultKind::Delay(Duration::ZERO),
    };
    world.sandbox.inject(opa(does.clone()));
    world.sandbox.inject(opsera(does));
    let victim: Arc<std::sync::OnceLock<Victim>> = Arc::default();
    journal.on_receive({
        let victim = Arc::clone(&victim);
        move |request| {
            if request.number != n {
                return;
            }
            let victim = victim.wait().clone();
            match moment {
                Moment::BeforeEffect | Moment::AfterEffect => victim.kill(),
                Moment::Answered => {
                    std::thread::spawn(move || {
                        std::thread::sleep(late);
                        victim.kill();
                    });
                }
            }
        }
    });
    victim.set(world.start_sync()).ok().unwrap();
    victim.wait().end().await;
    let entries = journal.entries();
    entries
        .iter()
        .any(|entry| entry.received.number == n && entry.received.is_write())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_at_any_request_is_finished_by_the_next_one() {
    let requests = requests_of_one_run().await;
    assert!(requests > 20, "{requests}");
    let mut kills = 0;
    for n in 1..=requests {
        let world = World::staffed().await;
        let was_write = kill_at(&world, n, Moment::AfterEffect).await;
        world.check_after_kill().await;
        world.recover().await;
        kills += 1;
        if was_write {
            for moment in [Moment::BeforeEffect, Moment::Answered] {
                let world = World::staffed().await;
                kill_at(&world, n, moment).await;
                world.check_after_kill().await;
                world.recover().await;
                kills += 1;
            }
        }
    }
    println!("{kills} kills at {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_again_and_again_is_finished_in_the_end() {
    let world = World::staffed().await;
    let mut rng = StdRng::seed_from_u64(5);
    for _ in 0..8 {
        let next = world.sandbox.journal().count() + rng.random_range(1..30);
        kill_at(&world, next, Moment::AfterEffect).await;
        world.check_after_kill().await;
    }
    world.recover().await;
    let effects = world.sandbox.journal().effects();
    let gone = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Deactivated { .. }))
        .count();
    assert_eq!(gone, crate::child::OF_EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_at_a_random_instant_is_finished_by_the_next_one() {
    let kills = std::env::var("ROLECALL_KILLS")
        .ok()
        .map_or(KILLS, |text| text.parse().unwrap());
    let seed = std::env::var("ROLECALL_SEED")
        .ok()
        .map_or(1, |text| text.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(seed);
    let world = World::staffed().await;
    let started = Instant::now();
    world.sync_child().await.assert_code(0);
    let whole = started.elapsed();
    let killed = AtomicU64::new(0);
    let (mut in_flight, mut writes) = (0, 0);
    for _ in 0..kills {
        let world = World::staffed().await;
        let victim = world.start_sync();
        let after = whole.mul_f64(rng.random_range(0.0..1.0));
        victim.after(after, Victim::kill).await;
        if victim.end().await.was_killed() {
            killed.fetch_add(1, Ordering::Relaxed);
        }
        writes += world.writes().len();
        in_flight += left_in_flight(&world).await;
        world.check_after_kill().await;
        world.recover().await;
    }
    println!(
        "{kills} random kills within {whole:?}: {} before the end, {writes} writes received by \
         then, {in_flight} actions left in flight",
        killed.into_inner()
    );
}

async fn left_in_flight(world: &World) -> i64 {
    if world.writes().is_empty() {
        return 0;
    }
    let store = world.store().await;
    let count = sqlx::query_scalar("SELECT count(*) FROM actions WHERE state = 'in_flight'")
        .fetch_one(store.reader())
        .await
        .unwrap();
    store.close().await;
    count
}
