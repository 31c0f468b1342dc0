//! What a test needs beyond a build: a right or a tool that not every machine has.
//!
//! A test that lacks one says so and ends early, which the test runner counts as passed. So where
//! `CI=true`, a lack is a failure instead, unless `ROLECALL_EXPECTED_SKIPS` names it:
//! `ROLECALL_EXPECTED_SKIPS=not-root,kubernetes`. `.ci/run` installs the tools and sets the
//! variable. The tests that call [`require`] are listed in `.config/nextest.toml` as the profile
//! `privileged`; the default profile leaves them out and counts them as skipped.

use std::process::{Command, Stdio};

/// One thing that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// The process may mount a file system in memory and one in a file.
    Mounts,
    /// `mkfs.ext4` is installed.
    Ext4,
    /// The process is not root, whom no permission of a file stops.
    NotRoot,
    /// `strace` is installed and may trace here.
    Strace,
    /// `faketime` is installed.
    Faketime,
    /// `sqlite3`, the command of SQLite as the distribution builds it, is installed.
    Sqlite3,
    /// `systemd-analyze` is installed.
    SystemdAnalyze,
    /// `valgrind` is installed.
    Valgrind,
    /// `deploy/kubernetes/validate` has what it needs; it says itself what it lacks ([`skip`]).
    Kubernetes,
    /// `tests/browser/run` has what it needs; it says itself what it lacks ([`skip`]).
    Browser,
}

impl Requirement {
    /// The name in `ROLECALL_EXPECTED_SKIPS`.
    fn as_str(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Ext4 => "ext4",
            Self::NotRoot => "not-root",
            Self::Strace => "strace",
            Self::Faketime => "faketime",
            Self::Sqlite3 => "sqlite3",
            Self::SystemdAnalyze => "systemd-analyze",
            Self::Valgrind => "valgrind",
            Self::Kubernetes => "kubernetes",
            Self::Browser => "browser",
        }
    }

    /// What is missing here, if anything is.
    fn lack(self) -> Option<&'static str> {
        let (met, lack) = match self {
            Self::Mounts => (
                mounting_works(),
                "mounting a file system needs root and CAP_SYS_ADMIN",
            ),
            Self::Ext4 => (
                succeeds("mkfs.ext4", &["-V"]),
                "mkfs.ext4 is not installed (Debian: e2fsprogs)",
            ),
            Self::NotRoot => (!is_root(), "root may read and write everywhere"),
            Self::Strace => (
                succeeds("strace", &["-f", "-o", "/dev/null", "true"]),
                "strace is not installed, or may not trace here",
            ),
            Self::Faketime => (
                succeeds("faketime", &["--version"]),
                "faketime is not installed (Debian: faketime)",
            ),
            Self::Sqlite3 => (
                succeeds("sqlite3", &["-version"]),
                "sqlite3 is not installed (Debian: sqlite3)",
            ),
            Self::SystemdAnalyze => (
                succeeds("systemd-analyze", &["--version"]),
                "systemd-analyze is not installed (Debian: systemd)",
            ),
            Self::Valgrind => (
                succeeds("valgrind", &["--version"]),
                "valgrind is not installed (Debian: valgrind)",
            ),
            Self::Kubernetes | Self::Browser => (true, ""),
        };
        (!met).then_some(lack)
    }
}

/// Whether the test can go on. If not, it has said why, and the caller returns.
///
/// # Panics
/// In CI, if the lack is not an expected one; and anywhere, if the calling test is not part of the
/// profile `privileged`.
#[must_use]
#[track_caller]
pub(crate) fn require(requirement: Requirement) -> bool {
    check_listed(std::thread::current().name());
    if let Some(lack) = requirement.lack() {
        skip(requirement, lack);
        return false;
    }
    true
}

/// Says that the calling test ends early, because of this lack.
///
/// # Panics
/// In CI, if the lack is not an expected one.
#[track_caller]
pub(crate) fn skip(requirement: Requirement, lack: &str) {
    let expected = std::env::var("ROLECALL_EXPECTED_SKIPS").unwrap_or_default();
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    if let Err(refusal) = judge_skip(requirement, in_ci, &expected) {
        panic!("{refusal}: {lack}");
    }
    println!("skipped: {lack}");
}

/// Runs a script that needs `requirement` and says itself what it lacks: it ends with 77 then.
///
/// # Panics
/// It failed, or must not lack anything here.
#[track_caller]
pub(crate) fn run_script(requirement: Requirement, script: &mut Command) {
    let output = script.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let lack = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => println!("{said}"),
        Some(77) => skip(requirement, lack.trim()),
        _ => panic!("{said}{lack}"),
    }
}

fn judge_skip(requirement: Requirement, in_ci: bool, expected: &str) -> Result<(), String> {
    let name = requirement.as_str();
    if !in_ci || expected.split(',').any(|other| other.trim() == name) {
        return Ok(());
    }
    Err(format!(
        "CI must not skip this test; install what it needs, or add `{name}` to ROLECALL_EXPECTED_SKIPS"
    ))
}

/// The test harness names a test's thread after the test, except where it runs one test alone.
fn check_listed(thread: Option<&str>) {
    let configuration = include_str!("../../.config/nextest.toml");
    let test = thread.filter(|name| name.contains("::"));
    // Left out of the profile `default`, and part of the profile `privileged`.
    let listed = |name| configuration.matches(&format!("test(={name})")).count() == 2;
    assert!(
        test.is_none_or(listed),
        "{test:?} needs more than a build: list it in both profiles of .config/nextest.toml"
    );
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn mounting_works() -> bool {
    let at = tempfile::tempdir().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(at.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let mounted = mount.is_ok_and(|status| status.success());
    if mounted {
        let unmounted = Command::new("umount").arg(at.path()).status();
        assert!(unmounted.unwrap().success());
    }
    mounted
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn a_skip_fails_in_ci_unless_it_is_expected() {
    let judge = |in_ci, expected| judge_skip(Requirement::Strace, in_ci, expected);
    assert!(judge(false, "").is_ok());
    assert!(judge(true, "").is_err());
    assert!(judge(true, "mounts").is_err());
    assert!(judge(true, "mounts, strace").is_ok());
}

#[test]
#[should_panic(expected = "of .config/nextest.toml")]
fn a_test_that_needs_more_than_a_build_is_listed() {
    let _ = require(Requirement::NotRoot);
}
