//! The process holds tokens and keys in memory, so no core dump is ever written of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_running_process_can_leave_no_core_dump() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rolecall"))
        .arg("sandbox")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Once it prints, it runs.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!line.is_empty(), "the sandbox started");
    let limits = limits.unwrap();
    let core = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap();
    let values: Vec<&str> = core.split_whitespace().take(2).collect();
    assert_eq!(values, ["0", "0"], "soft and hard limit");
}
