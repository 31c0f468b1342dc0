//! The files around the program: units that systemd accepts and rates as well confined, manifests
//! that Kubernetes accepts, alert rules over metrics that exist, packages that name files that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rolecall::metrics::{Exposition, Metrics};

use crate::requirements::{Requirement, require, skip};

/// What `systemd-analyze security` may say at most (0 is nothing exposed, 10 everything).
const MOST_EXPOSURE: f64 = 1.5;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn units(extension: &str) -> Vec<PathBuf> {
    let mut units: Vec<PathBuf> = std::fs::read_dir(root().join("deploy/systemd"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    units.sort();
    assert!(!units.is_empty());
    units
}

fn systemd_analyze(args: &[&str], files: &[PathBuf]) -> Output {
    Command::new("systemd-analyze")
        .args(args)
        .args(files)
        .output()
        .unwrap()
}

fn everything_said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat())
        .into_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if !require(Requirement::SystemdAnalyze) {
        return;
    }
    // It wants the program to exist where the unit says, which is here only after an installation.
    let place = tempfile::tempdir().unwrap();
    let mut copies = Vec::new();
    for unit in units("service").into_iter().chain(units("timer")) {
        let text = std::fs::read_to_string(&unit)
            .unwrap()
            .replace("/usr/bin/rolecall", env!("CARGO_BIN_EXE_rolecall"));
        let copy = place.path().join(unit.file_name().unwrap());
        std::fs::write(&copy, text).unwrap();
        copies.push(copy);
    }
    let output = systemd_analyze(&["verify"], &copies);
    let said = everything_said(&output);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("rolecall"), "{said}");
}

#[test]
fn systemd_rates_every_service_as_hardly_exposed() {
    if !require(Requirement::SystemdAnalyze) {
        return;
    }
    for unit in units("service") {
        let output = systemd_analyze(
            &["security", "--offline=true", "--no-pager"],
            std::slice::from_ref(&unit),
        );
        let said = everything_said(&output);
        let exposure = said
            .lines()
            .find_map(|line| line.split_once("Overall exposure level for"))
            .and_then(|(_, rest)| rest.split_once(": "))
            .and_then(|(_, rating)| rating.split_whitespace().next())
            .and_then(|number| number.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("no rating of {}: {said}", unit.display()));
        println!("{}: exposure {exposure}", unit.display());
        assert!(exposure <= MOST_EXPOSURE, "{}: {said}", unit.display());
    }
}

#[test]
fn the_services_share_one_sandbox() {
    let confinement = |path: &Path| -> BTreeSet<String> {
        std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .filter(|line| {
                [
                    "Protect",
                    "Private",
                    "Restrict",
                    "SystemCall",
                    "Capability",
                    "LoadCredential",
                    "Environment",
                    "DynamicUser",
                    "StateDirectory",
                    "UMask",
                    "NoNew",
                    "LimitCORE",
                    "Memory",
                ]
                .iter()
                .any(|start| line.starts_with(start))
                    && !line.starts_with("RestartPrevent")
            })
            .map(str::to_owned)
            .collect()
    };
    let services = units("service");
    let expected = confinement(&services[0]);
    assert!(expected.len() > 20, "{expected:?}");
    for service in &services {
        assert_eq!(confinement(service), expected, "{}", service.display());
    }
}

#[test]
fn kubernetes_accepts_every_manifest() {
    if !require(Requirement::Kubernetes) {
        return;
    }
    let output = Command::new(root().join("deploy/kubernetes/validate"))
        .arg("--offline")
        .output()
        .unwrap();
    let said = everything_said(&output);
    if output.status.code() == Some(77) {
        return skip(Requirement::Kubernetes, said.trim());
    }
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cronjob/rolecall"), "{said}");
}

#[test]
fn pods_are_restricted_wherever_they_are_described() {
    for manifest in [
        "deploy/kubernetes/base/cronjob.yaml",
        "deploy/kubernetes/overlays/daemon/statefulset.yaml",
    ] {
        let text = read(manifest);
        for line in [
            "automountServiceAccountToken: false",
            "runAsNonRoot: true",
            "type: RuntimeDefault",
            "allowPrivilegeEscalation: false",
            "readOnlyRootFilesystem: true",
            "- ALL",
            "fsGroup: 65532",
            "defaultMode: 0400",
            "claimName: rolecall-store",
        ] {
            assert!(
                text.lines().any(|found| found.trim() == line),
                "{manifest} lacks {line:?}"
            );
        }
    }
}

/// Metrics whose series first appear with a run.
const AFTER_A_RUN: [&str; 4] = [
    "rolecall_actions_total",
    "rolecall_opa_users",
    "rolecall_guard_actual",
    "rolecall_guard_limit",
];

/// The names that `/metrics` has, without what a histogram adds to its own.
fn metrics() -> BTreeSet<String> {
    let names: BTreeSet<String> = Metrics::new()
        .render(Exposition::Prometheus)
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .chain(AFTER_A_RUN)
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

#[test]
fn every_metric_is_documented() {
    let documentation = read("docs/alerts.md");
    for metric in metrics() {
        assert!(documentation.contains(&metric), "{metric}");
    }
}

#[test]
fn alerts_and_their_documentation_name_metrics_that_exist() {
    let metrics = metrics();
    for file in ["deploy/prometheus/alerts.yaml", "docs/alerts.md"] {
        let text = read(file);
        let mut named = 0;
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if !word.starts_with("rolecall_") {
                continue;
            }
            named += 1;
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word);
            assert!(metrics.contains(base), "{file} names {word}");
        }
        assert!(named > 5, "{file} names {named} metrics");
    }
}

#[test]
fn every_alert_is_documented() {
    let documentation = read("docs/alerts.md");
    for alert in read("deploy/prometheus/alerts.yaml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            documentation.contains(&format!("### {alert}")),
            "docs/alerts.md has no section {alert}"
        );
    }
}

#[test]
fn the_package_names_only_files_that_exist_or_are_made_for_it() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"]
        .as_array()
        .unwrap();
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        if source.starts_with("target/") {
            continue;
        }
        let (directory, pattern) = source.rsplit_once('/').unwrap_or((".", source));
        let suffix = pattern.strip_prefix('*').unwrap_or(pattern);
        let found = std::fs::read_dir(root().join(directory))
            .unwrap_or_else(|error| panic!("{source}: {error}"))
            .any(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name == pattern || (pattern.starts_with('*') && name.ends_with(suffix))
            });
        assert!(found, "{source} does not exist");
    }
}

#[test]
fn the_image_is_built_with_a_compiler_that_is_new_enough_from_files_that_are_sent() {
    let dockerfile = read("deploy/Dockerfile");
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let version =
        |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let least = version(manifest["package"]["rust-version"].as_str().unwrap());
    let image = dockerfile
        .lines()
        .find_map(|line| line.split_once("library/rust:"))
        .and_then(|(_, tag)| tag.split('-').next())
        .unwrap();
    assert!(version(image) >= least, "{image} < {least:?}");

    let sent = read(".dockerignore");
    let mut copied = 0;
    for line in dockerfile.lines().filter(|line| !line.contains("--from")) {
        let Some(paths) = line.strip_prefix("COPY ") else {
            continue;
        };
        let paths: Vec<&str> = paths.split_whitespace().collect();
        for path in &paths[..paths.len() - 1] {
            assert!(root().join(path).exists(), "{path}");
            assert!(
                sent.lines().any(|line| line == format!("!{path}")),
                ".dockerignore keeps {path} back"
            );
            copied += 1;
        }
    }
    assert!(copied > 3, "{copied}");
}
