//! Signals (A10) and runs that meet (A8): what is under way is finished and written down, nothing
//! new is started, and only one run at a time has the store.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rolecall::sandbox::{Answer, Api, Fault, FaultKind};
use rolecall::store::RunLock;

use crate::child::{Ended, Victim, check_outcomes};
use crate::fault_world::{World, check_requests};

/// Runs `sync` and sends it a signal when a fitting request arrives; gives that request's number.
async fn signal_at(
    world: &World,
    signal: &'static str,
    fits: impl Fn(&rolecall::sandbox::Received) -> bool + Send + Sync + 'static,
) -> (Ended, u64) {
    let victim: Arc<OnceLock<Victim>> = Arc::default();
    let at: Arc<OnceLock<u64>> = Arc::default();
    world.sandbox.journal().on_receive({
        let (victim, at) = (Arc::clone(&victim), Arc::clone(&at));
        move |request| {
            if fits(request) && at.set(request.number).is_ok() {
                victim.wait().signal(signal);
            }
        }
    });
    victim.set(world.start_sync()).ok().unwrap();
    let ended = victim.wait().end().await;
    (ended, at.get().copied().unwrap_or(u64::MAX))
}

/// Interrupted, told so, and everything that was sent is on record.
async fn check_interrupted(world: &World, ended: &Ended) {
    ended.assert_code(1);
    let report = ended.report();
    assert_eq!(report["outcome"], "failed");
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("interrupted"), "{error}");
    let audit = world.audit().await;
    check_requests(&world.sandbox.journal().entries(), &audit);
    assert_eq!(audit.last().unwrap().event, "run_finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_signal_no_request_is_started_and_those_under_way_are_recorded() {
    let undisturbed = World::staffed().await;
    undisturbed.sync_child().await.assert_code(0);
    let entries = undisturbed.sandbox.journal().entries();
    let first_write = entries
        .iter()
        .find(|entry| entry.received.is_write())
        .unwrap()
        .received
        .number;
    let last = u64::try_from(entries.len()).unwrap();
    for n in 1..=last {
        let signal = if n % 2 == 0 { "TERM" } else { "INT" };
        let world = World::staffed().await;
        // The answer is late, so that the signal comes while the request is under way.
        let late = FaultKind::Delay(Duration::from_millis(60));
        let nth = move |r: &rolecall::sandbox::Received| r.number == n;
        world.sandbox.inject(Fault::opa(late.clone()).when(nth));
        world.sandbox.inject(Fault::opsera(late).when(nth));
        let (ended, _) = signal_at(&world, signal, nth).await;
        let received = world.sandbox.journal().entries();
        let later = received.len() - usize::try_from(n).unwrap();
        if n < first_write {
            // Both sides are read at the same time: others may be on their way already.
            assert!(later <= 4, "{later} requests after the signal at {n}");
            check_interrupted(&world, &ended).await;
        } else {
            assert_eq!(later, 0, "a request after the signal at {n}: {received:#?}");
            if n < last - 1 {
                check_interrupted(&world, &ended).await;
            }
            check_outcomes(&world.audit().await);
            let write = received.iter().find(|entry| entry.received.number == n);
            if write.unwrap().received.is_write() {
                let done = ended.report()["actions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|action| action["status"] == "succeeded")
                    .count();
                assert_eq!(done, world.writes().len(), "its outcome is known");
            }
        }
        world.recover().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_a_request_waits_for_its_turn_stops_it() {
    let world = World::staffed().await;
    world.settings(
        "[opsera]\nrequests_per_second = 2\nburst = 1\n[roles]\nenabled = false\n\
         [provision]\nenabled = false\n",
    );
    // The last look has its answer at once; the turn of the deactivation comes half a second later.
    let (ended, _) = signal_at(&world, "TERM", |request| {
        request.api == Api::Opsera && request.method == "GET" && request.path.starts_with("/user/")
    })
    .await;
    check_interrupted(&world, &ended).await;
    assert!(world.writes().is_empty(), "{:#?}", world.writes());
    world.settings("");
    world.recover().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_a_long_pause_ends_it() {
    for api in ["opa", "opsera"] {
        let world = World::staffed().await;
        let slow = FaultKind::Answer(Answer::status(429).header("retry-after", 600));
        let fault = if api == "opa" {
            Fault::opa(slow).on("GET", "/users")
        } else {
            Fault::opsera(slow).on("PUT", "/user")
        };
        world.sandbox.inject(fault);
        let started = Instant::now();
        let victim = world.start_sync();
        while world.sandbox.faults_waiting() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(50)))
            .await
            .unwrap();
        victim.signal("TERM");
        let ended = victim.end().await;
        assert!(started.elapsed() < Duration::from_secs(20));
        check_interrupted(&world, &ended).await;
        check_outcomes(&world.audit().await);
        world.recover().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_waits_for_a_stalled_write_no_longer_than_its_time_limit() {
    for does in [FaultKind::StallBeforeEffect, FaultKind::StallAfterEffect] {
        for method in ["PUT", "POST", "DELETE"] {
            let world = World::staffed().await;
            world.settings("[opsera]\ntimeout = \"700ms\"\n");
            world
                .sandbox
                .inject(Fault::opsera(does.clone()).on(method, "/user"));
            let started = Instant::now();
            let (ended, n) =
                signal_at(&world, "TERM", move |r| r.is_write() && r.method == method).await;
            assert!(started.elapsed() < Duration::from_secs(10));
            check_interrupted(&world, &ended).await;
            let entries = world.sandbox.journal().entries();
            assert_eq!(
                world.sandbox.journal().count(),
                n,
                "{does:?} {:#?}",
                entries.last()
            );
            world.settings("");
            world.recover().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_and_the_next_run_recovers() {
    for method in ["PUT", "POST", "DELETE"] {
        let world = World::staffed().await;
        world.settings("[opsera]\ntimeout = \"50s\"\n");
        let stall = Fault::opsera(FaultKind::StallAfterEffect).on(method, "/user");
        world.sandbox.inject(stall);
        let victim = world.start_sync();
        while world.sandbox.faults_waiting() > 0 {
            tokio::task::yield_now().await;
        }
        victim.signal("TERM");
        // Two signals of one kind that come together are one.
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(100)))
            .await
            .unwrap();
        let second = Instant::now();
        victim.signal("INT");
        let ended = victim.end().await;
        ended.assert_code(1);
        assert!(second.elapsed() < Duration::from_secs(5));
        world.check_after_kill().await;
        world.recover().await;
    }
}

/// Starts `count` runs at once and waits for all of them.
async fn end_together(world: &World, count: usize) -> Vec<Ended> {
    let victims: Vec<Victim> = (0..count).map(|_| world.start_sync()).collect();
    let mut ends = Vec::new();
    for victim in &victims {
        ends.push(victim.end().await);
    }
    ends
}

fn says_that_another_runs(ended: &Ended) {
    ended.assert_code(5);
    assert!(ended.stderr.contains("another run is in progress"));
    assert_eq!(ended.stdout, "", "there was no run, so there is no report");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_has_the_store_nobody_else_runs_and_ten_together_run_one_at_a_time() {
    let world = World::staffed().await;
    // While somebody has the store, nobody else gets in.
    let lock = RunLock::acquire(&world.store_path(), &*world.clock).unwrap();
    for ended in end_together(&world, 9).await {
        says_that_another_runs(&ended);
        assert!(ended.stderr.contains("(pid "), "{}", ended.stderr);
    }
    assert_eq!(world.sandbox.journal().count(), 0);
    drop(lock);
    // Of ten that start together, those that get in do so one after the other.
    for ended in end_together(&world, 10).await {
        if ended.stderr.contains("another run is in progress") {
            says_that_another_runs(&ended);
        } else {
            ended.assert_code(0);
        }
    }
    let marks: Vec<String> = world
        .audit()
        .await
        .into_iter()
        .map(|entry| entry.event)
        .filter(|event| event == "run_started" || event == "run_finished")
        .collect();
    assert!(!marks.is_empty());
    for (position, mark) in marks.iter().enumerate() {
        let expected = ["run_started", "run_finished"][position % 2];
        assert_eq!(mark, expected, "two runs overlapped: {marks:?}");
    }
    assert!(world.is_settled());
    world.recover().await;
}
