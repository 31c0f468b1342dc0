//! The slower campaign: the program is killed *at a system call*, so that every order of what is
//! on the disk and what is on the wire comes up. Needs strace, which Linux alone has:
//!
//! `cargo test --test it strace_kills -- --ignored --nocapture`
//!
//! `ROLECALL_STRACE_STEP=n` kills at every n-th occurrence of each call only (7 by default, 1 for
//! all of them).

use std::process::Command;

use crate::child::Victim;
use crate::fault_world::World;
use crate::requirements::{Requirement, require};

/// Calls by which the program changes something outside itself.
const CALLS: [&str; 7] = [
    "fdatasync",
    "fsync",
    "pwrite64",
    "sendto",
    "write",
    "ftruncate",
    "unlink",
];

fn traced(world: &World, arguments: &[&str]) -> Victim {
    let mut command = Command::new("/usr/bin/env");
    command
        .args(["strace", "-f", "-qq", "-o"])
        .arg(world.dir.path().join("trace"))
        .args(arguments)
        .arg(env!("CARGO_BIN_EXE_rolecall"));
    world.finish_command(&mut command, &["sync", "--format", "json"]);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    Victim::start(&mut command, world.dir.path())
}

/// How often one undisturbed run makes `call`.
async fn occurrences(call: &str) -> usize {
    let world = World::staffed().await;
    let ended = traced(&world, &["-e", &format!("trace={call}")])
        .end()
        .await;
    ended.assert_code(0);
    let trace = std::fs::read_to_string(world.dir.path().join("trace")).unwrap();
    let wanted = format!("{call}(");
    trace.lines().filter(|line| line.contains(&wanted)).count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and needs strace"]
async fn a_run_killed_at_any_system_call_is_finished_by_the_next_one() {
    if !require(Requirement::Strace) {
        return;
    }
    let step = std::env::var("ROLECALL_STRACE_STEP")
        .ok()
        .map_or(7, |text| text.parse().unwrap());
    let mut total = 0;
    for call in CALLS {
        let count = occurrences(call).await;
        let (mut kills, mut writes) = (0, 0);
        for n in (1..=count).step_by(step) {
            let world = World::staffed().await;
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let trace = format!("trace={call}");
            let ended = traced(&world, &["-e", &trace, "-e", &inject]).end().await;
            // Threads share the calls out anew in every run, so the last ones may not come.
            kills += usize::from(ended.code() != Some(0));
            writes += world.writes().len();
            world.check_after_kill().await;
            world.recover().await;
        }
        println!("{call}: {count} calls a run, {kills} kills, {writes} writes received by then");
        total += kills;
    }
    println!("{total} kills at system calls");
    assert!(total > 0);
}
