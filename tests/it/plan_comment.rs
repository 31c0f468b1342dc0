//! The plan in a pull request: `deploy/github-action/plan` with this program on its own sandbox, against
//! a simulated forge. The tests are in Python, as the script is.

use std::path::Path;
use std::process::Command;

#[test]
fn the_plan_becomes_one_comment_that_fits_and_the_policy_decides() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/github-action/tests");
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "--start-directory"])
        .arg(folder)
        .env("ROLECALL", env!("CARGO_BIN_EXE_rolecall"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "python3 is needed in CI: {error}"
            );
            eprintln!("skipped: python3 cannot be run here: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // `unittest` is content with nothing.
    assert!(said.contains("Ran 1") && said.contains("\nOK"), "{said}");
}

/// Every action of others that a workflow or action here uses, with the line before.
fn uses() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/github-action");
    let mut found = Vec::new();
    for file in ["action.yml", "example-workflow.yml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let mut before = "";
        for line in text.lines() {
            let line = line.trim();
            if let Some(action) = line.trim_start_matches("- ").strip_prefix("uses: ")
                && !action.starts_with("./")
            {
                found.push((action.to_owned(), before.to_owned()));
            }
            before = line;
        }
    }
    assert!(found.len() > 1);
    found
}

#[test]
fn actions_of_others_are_pinned_by_the_whole_digest_of_a_named_version() {
    for (action, before) in uses() {
        let (_, digest) = action.split_once('@').unwrap();
        assert!(
            digest.len() == 40 && digest.chars().all(|c| c.is_ascii_hexdigit()),
            "{action}"
        );
        assert!(before.starts_with("# v"), "{action}: {before}");
    }
}
