//! Everything that starts rolecall agrees: the Helm chart, the kustomization, the units and the table of
//! `docs/exit-codes.md` treat each exit code alike, and the chart names this version and settings that load.
//!
//! What the chart renders is tested by `deploy/helm/test`, which needs helm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use rolecall::domain::ExitStatus::{self, AnotherRun, Differences, Done, Failed};
use rolecall::domain::ExitStatus::{Held, Partial, Usage};

const EVERY_STATUS: [ExitStatus; 7] = [Done, Failed, Usage, Held, Partial, AnotherRun, Differences];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The table of the schedulers: each code with a word for each column.
fn documented() -> BTreeMap<u8, Vec<String>> {
    let page = read("docs/exit-codes.md");
    let (_, section) = page.split_once("## What schedulers make of it").unwrap();
    let mut rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .map(|line| {
            line.trim_end_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect::<Vec<_>>()
        });
    assert_eq!(
        rows.next().unwrap(),
        [
            "code",
            "`rolecall-sync.service`",
            "`rolecall-dry-run.service`",
            "`rolecall.service`",
            "Kubernetes Job"
        ]
    );
    rows.map(|row| (row[0].parse().unwrap(), row[1..].to_vec()))
        .collect()
}

/// The exit codes of a unit's directive.
fn codes(unit: &str, directive: &str) -> BTreeSet<u8> {
    read(unit)
        .lines()
        .filter_map(|line| line.strip_prefix(directive))
        .flat_map(|codes| codes.split(' '))
        .map(|code| code.parse().unwrap())
        .collect()
}

/// The exit codes of each action of a manifest's `podFailurePolicy`, in the order of its rules.
fn pod_failure_policy(manifest: &str) -> Vec<(String, BTreeSet<u8>)> {
    let text = read(manifest);
    let (_, policy) = text.split_once("podFailurePolicy:").unwrap();
    let mut rules = Vec::new();
    let mut action = String::new();
    for line in policy.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- action: ") {
            name.clone_into(&mut action);
        } else if let Some(values) = line
            .strip_prefix("values: [")
            .and_then(|values| values.strip_suffix(']'))
        {
            let codes = values.split(", ").map(|code| code.parse().unwrap());
            rules.push((action.clone(), codes.collect()));
        }
    }
    rules
}

#[test]
fn units_manifests_and_documentation_treat_every_exit_code_alike() {
    let table = documented();
    let all: Vec<u8> = EVERY_STATUS.map(ExitStatus::code).to_vec();
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), all);

    let sync = codes("deploy/systemd/rolecall-sync.service", "SuccessExitStatus=");
    let dry_run = codes(
        "deploy/systemd/rolecall-dry-run.service",
        "SuccessExitStatus=",
    );
    let not_again = codes(
        "deploy/systemd/rolecall.service",
        "RestartPreventExitStatus=",
    );
    let policy = pod_failure_policy("deploy/kubernetes/base/cronjob.yaml");
    for status in EVERY_STATUS {
        let code = status.code();
        let ended = |successes: &BTreeSet<u8>| {
            if status == Done || successes.contains(&code) {
                "success"
            } else {
                "failed"
            }
        };
        let daemon = if status == Done || not_again.contains(&code) {
            "stays stopped"
        } else {
            "started again"
        };
        let rule = policy.iter().find(|(_, codes)| codes.contains(&code));
        let job = match rule.map(|(action, _)| action.as_str()) {
            Some("FailJob") => "failed at once",
            Some("Ignore") => "waited for",
            Some(other) => panic!("{code}: {other}"),
            None if status == Done => "complete",
            None => "tried again once",
        };
        assert_eq!(
            table[&code],
            [ended(&sync), ended(&dry_run), daemon, job],
            "exit code {code}"
        );
    }
}

#[test]
fn another_run_in_progress_fails_nothing_anywhere() {
    let row = &documented()[&AnotherRun.code()];
    assert_eq!(
        [&row[0], &row[1], &row[3]],
        ["success", "success", "waited for"]
    );
}

#[test]
fn what_a_person_must_decide_is_never_tried_again_by_a_scheduler() {
    let table = documented();
    for status in [Held, Partial, Usage] {
        assert_eq!(table[&status.code()][3], "failed at once");
    }
    for unit in ["rolecall-sync", "rolecall-dry-run"] {
        let text = read(&format!("deploy/systemd/{unit}.service"));
        assert!(text.lines().any(|line| line == "Restart=no"), "{unit}");
    }
    for manifest in [
        "deploy/kubernetes/base/cronjob.yaml",
        "deploy/helm/rolecall/templates/cronjob.yaml",
    ] {
        let text = read(manifest);
        assert!(text.contains("backoffLimit: 1\n"), "{manifest}");
    }
}

#[test]
fn the_chart_has_the_exit_code_policy_of_the_kustomization() {
    let chart = pod_failure_policy("deploy/helm/rolecall/templates/cronjob.yaml");
    let kustomization = pod_failure_policy("deploy/kubernetes/base/cronjob.yaml");
    assert_eq!(chart, kustomization);
    assert_eq!(chart.len(), 2);
}

#[test]
fn chart_and_kustomizations_are_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = read("deploy/helm/rolecall/Chart.yaml");
    for line in [
        format!("version: {version}"),
        format!("appVersion: {version}"),
    ] {
        assert!(chart.lines().any(|found| found == line), "{line}");
    }
    for kustomization in ["base", "overlays/daemon"] {
        let text = read(&format!(
            "deploy/kubernetes/{kustomization}/kustomization.yaml"
        ));
        assert!(
            text.contains(&format!("newTag: {version}\n")),
            "{kustomization}"
        );
    }
}

/// The settings in a values file: the lines below `settings: |`, in comments or not.
fn settings_in(path: &str) -> String {
    let text = read(path);
    let mut lines = text
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .skip_while(|line| line.trim() != "settings: |");
    let indent = lines.next().unwrap().find('s').unwrap();
    let mut settings = String::new();
    for line in lines {
        let depth = line.find(|c: char| c != ' ');
        if depth.is_some_and(|depth| depth <= indent) {
            break;
        }
        settings.push_str(line.trim_start());
        settings.push('\n');
    }
    settings
}

#[test]
fn the_settings_that_the_chart_shows_are_accepted_by_the_program() {
    for path in [
        "deploy/helm/rolecall/values.yaml",
        "deploy/helm/tests/accepted/report.yaml",
    ] {
        let place = tempfile::tempdir().unwrap();
        let secrets = place.path().display().to_string();
        for file in ["opa-key-secret", "opsera-token"] {
            std::fs::write(place.path().join(file), "secret").unwrap();
        }
        let text = settings_in(path).replace("/run/secrets/rolecall", &secrets);
        assert_eq!(text.matches(&secrets).count(), 2, "{path}: {text}");
        std::fs::write(place.path().join("rolecall.toml"), text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_rolecall"))
            .current_dir(place.path())
            .env_clear()
            .args(["--config", "rolecall.toml", "config", "show"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path}: {said}");
    }
}
