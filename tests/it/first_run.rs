//! The very first run of the program itself, on the machine's own clock.

use rolecall::domain::time::SystemClock;
use rolecall::sandbox::{AccountSeed, PersonSeed, Sandbox, SandboxOptions};

#[tokio::test]
async fn a_checkpoint_file_that_cannot_be_written_stops_the_run_before_it_does_anything() {
    let sandbox = Sandbox::start(SandboxOptions::empty(SystemClock::shared()))
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("rolecall.toml");
    let settings = format!(
        "{}\n[audit]\ncheckpoint_file = '{1}/missing/checkpoints'\n[store]\npath = '{1}/rolecall.db'\n",
        sandbox.settings_toml(),
        directory.path().display()
    );
    std::fs::write(&config, settings).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_rolecall"))
        .arg("--config")
        .arg(&config)
        .args(["sync", "--format", "json"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = crate::report_schema::parsed(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(report["outcome"], "failed");
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("missing/checkpoints"), "{error}");
    assert_eq!(sandbox.journal().count(), 0, "nothing was even asked for");
}

#[tokio::test]
async fn without_a_grace_an_absent_person_is_due_in_the_run_that_misses_them() {
    let sandbox = Sandbox::start(SandboxOptions::empty(SystemClock::shared()))
        .await
        .unwrap();
    sandbox
        .opa()
        .add_person(PersonSeed::active("ada", "ada@example.com"))
        .unwrap();
    for name in ["ada", "bob"] {
        let seed = AccountSeed::active(&format!("{name}@example.com"));
        sandbox.opsera().add(seed).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("rolecall.toml");
    let settings = format!(
        "{}\n[deactivation]\nabsent_grace = \"0s\"\n[store]\npath = '{}'\n",
        sandbox.settings_toml(),
        directory.path().join("rolecall.db").display()
    );
    std::fs::write(&config, settings).unwrap();
    for _ in 0..3 {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_rolecall"))
            .arg("--config")
            .arg(&config)
            .args(["sync", "--dry-run", "--format", "json"])
            .output()
            .await
            .unwrap();
        let report = crate::report_schema::parsed(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(report["summary"]["waiting"], 0, "{report:#}");
        assert_eq!(report["actions"][0]["email"], "bob@example.com");
        assert_eq!(report["actions"][0]["reason"], "absent");
        // A fresh store each time: the first run is what this is about.
        for file in ["rolecall.db", "rolecall.db-wal", "rolecall.db-shm"] {
            let _ = std::fs::remove_file(directory.path().join(file));
        }
    }
}
