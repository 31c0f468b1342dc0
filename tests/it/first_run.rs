//! The very first run of the program itself, on the machine's own clock.

use rolecall::clock::SystemClock;
use rolecall::sandbox::{AccountSeed, PersonSeed, Sandbox, SandboxOptions};

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
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["summary"]["waiting"], 0, "{report:#}");
        assert_eq!(report["actions"][0]["email"], "bob@example.com");
        assert_eq!(report["actions"][0]["reason"], "absent");
        // A fresh store each time: the first run is what this is about.
        for file in ["rolecall.db", "rolecall.db-wal", "rolecall.db-shm"] {
            let _ = std::fs::remove_file(directory.path().join(file));
        }
    }
}
