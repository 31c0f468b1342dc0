//! What a child process costs.

use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// What one process cost, from its start to its end.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) peak_mib: f64,
}

impl Cost {
    /// Wall time, CPU time and memory as parts of another's.
    pub(crate) fn ratios(&self, other: &Self) -> (f64, f64, f64) {
        (
            self.wall / other.wall,
            (self.user + self.system) / (other.user + other.system),
            self.peak_mib / other.peak_mib,
        )
    }
}

/// Runs a command in a process of its own that has no other child, so that what the system says
/// of its children is about this command alone.
pub(crate) fn run(command: &[String]) -> Cost {
    let own = std::env::current_exe().expect("this program");
    let told = Command::new(own)
        .arg("--measure")
        .args(command)
        .stderr(Stdio::inherit())
        .output()
        .expect("it runs");
    serde_json::from_slice(&told.stdout).expect("the costs")
}

/// The other end of [`run`].
pub(crate) fn run_and_tell(command: &[String]) {
    let (program, arguments) = command.split_first().expect("a command");
    let started = Instant::now();
    let ended = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("the command");
    let wall = started.elapsed().as_secs_f64();
    // A plan that a guard holds is a plan as well.
    if !matches!(ended.status.code(), Some(0 | 3)) {
        eprintln!("{}", String::from_utf8_lossy(&ended.stderr));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the usage");
    let seconds = |time: nix::sys::time::TimeVal| {
        std::time::Duration::new(
            u64::try_from(time.tv_sec()).unwrap_or(0),
            u32::try_from(time.tv_usec() * 1000).unwrap_or(0),
        )
        .as_secs_f64()
    };
    let kib = u32::try_from(usage.max_rss()).unwrap_or(u32::MAX);
    let cost = Cost {
        wall,
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
        peak_mib: f64::from(kib) / 1024.0,
    };
    println!("{}", serde_json::to_string(&cost).expect("it is JSON"));
}

/// The run with the median wall time.
pub(crate) fn median(costs: &mut [Cost]) -> Option<Cost> {
    costs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    costs.get(costs.len() / 2).copied()
}
