//! The machine's own account of time: which boot this is, and how long ago it was.

use std::time::Duration;

use crate::domain::time::{SharedClock, SinceBoot, SystemClock};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Seconds since the machine started, the time it slept included.
const UPTIME: &str = "/proc/uptime";

/// The clock of this machine for a process that runs reconciliations: it also tells the time
/// since the machine started, which no one can set.
pub fn machine_clock() -> SharedClock {
    SystemClock::with_since_boot(since_boot)
}

/// `None` where the system does not tell.
fn since_boot() -> Option<SinceBoot> {
    let boot_id = std::fs::read_to_string(BOOT_ID).ok()?;
    let uptime = std::fs::read_to_string(UPTIME).ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(SinceBoot {
        boot_id: boot_id.trim().to_owned(),
        passed: Duration::try_from_secs_f64(seconds).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_its_boot_and_never_goes_back() {
        let first = since_boot().unwrap();
        let second = since_boot().unwrap();
        assert_eq!(first.boot_id, second.boot_id);
        assert!(!first.boot_id.is_empty());
        assert!(second.passed >= first.passed);
    }
}
