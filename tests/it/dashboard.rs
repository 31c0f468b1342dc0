//! The dashboard shows what the program tells: every metric and label in it and in the alert rules
//! exists in what a real run exposes, and every metric of it is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::daemon_world::DaemonWorld;

/// Labels that Prometheus adds, and a histogram's own.
const OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/rolecall.json")).unwrap()
}

fn panels() -> Vec<Value> {
    let panels = dashboard()["panels"].as_array().unwrap().clone();
    assert!(panels.len() > 15);
    panels
}

/// A query with the names that its legend shows.
fn queries() -> Vec<(String, String)> {
    panels()
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten()
        .map(|target| {
            let text = |key: &str| target[key].as_str().unwrap().to_owned();
            (text("expr"), text("legendFormat"))
        })
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The metrics in a query, by the names of their families.
fn metrics_in(text: &str) -> BTreeSet<String> {
    words(text)
        .filter(|word| word.starts_with("rolecall_"))
        .map(|word| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word)
                .to_owned()
        })
        .collect()
}

/// The labels that a query selects and groups by, and that its legend names.
fn labels_in(expression: &str, legend: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for part in expression.split('{').skip(1) {
        let selector = part.split('}').next().unwrap();
        for matcher in selector.split(", ") {
            labels.extend(words(matcher).next().map(str::to_owned));
        }
    }
    for part in expression.split(" by (").skip(1) {
        let names = part.split(')').next().unwrap();
        labels.extend(words(names).map(str::to_owned));
    }
    for part in legend.split("{{").skip(1) {
        labels.extend(part.split("}}").next().map(str::to_owned));
    }
    labels
}

/// What one run with something to do exposes: each family with the labels of its series.
async fn exposed() -> BTreeMap<String, BTreeSet<String>> {
    let world = DaemonWorld::start("").await;
    world.sandbox.opa().disable("bob").unwrap();
    let output = world
        .command(&["sync", "--metrics-file", "m.prom"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(world.path("m.prom")).unwrap();
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            families.entry(name.to_owned()).or_default();
        } else if let Some((series, labels)) = line.split_once('{') {
            let family = metrics_in(series).pop_first().unwrap();
            let labels = labels.split('}').next().unwrap().split(',');
            families
                .entry(family)
                .or_default()
                .extend(labels.filter_map(|pair| pair.split('=').next().map(str::to_owned)));
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_in_dashboard_and_alerts_exists() {
    let exposed = exposed().await;
    let exists = |metric: &String| exposed.contains_key(metric);
    for (expression, _) in queries() {
        let metrics = metrics_in(&expression);
        assert!(!metrics.is_empty(), "{expression}");
        for metric in metrics {
            assert!(exists(&metric), "the dashboard shows {metric}");
        }
    }
    for metric in metrics_in(&read("deploy/prometheus/alerts.yaml")) {
        assert!(exists(&metric), "an alert is about {metric}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_label_in_the_dashboard_exists_on_a_metric_of_its_query() {
    let exposed = exposed().await;
    for (expression, legend) in queries() {
        let metrics = metrics_in(&expression);
        for label in labels_in(&expression, &legend) {
            let known = OF_PROMETHEUS.contains(&label.as_str())
                || metrics
                    .iter()
                    .filter_map(|metric| exposed.get(metric))
                    .any(|labels| labels.contains(&label));
            assert!(known, "{label} in {expression} ({legend})");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_a_run_and_of_the_dashboard_is_documented() {
    let page = read("docs/alerts.md");
    let documented = metrics_in(&page);
    let shown: BTreeSet<String> = queries()
        .iter()
        .flat_map(|(expression, _)| metrics_in(expression))
        .collect();
    for metric in exposed().await.into_keys().chain(shown) {
        assert!(
            documented.contains(&metric),
            "docs/alerts.md lacks {metric}"
        );
    }
}

#[test]
fn the_dashboard_answers_the_questions_of_whoever_is_called_at_night() {
    let shown: BTreeSet<String> = queries()
        .iter()
        .flat_map(|(expression, _)| metrics_in(expression))
        .collect();
    for metric in [
        "rolecall_last_attempt_timestamp_seconds",
        "rolecall_last_success_timestamp_seconds",
        "rolecall_last_complete_read_timestamp_seconds",
        "rolecall_guard_actual",
        "rolecall_guard_limit",
        "rolecall_opa_users",
        "rolecall_queue_depth",
        "rolecall_actions_refused",
        "rolecall_requests_total",
        "rolecall_opa_quota_remaining",
        "rolecall_opsera_token_expires_at_seconds",
        "rolecall_held_plans",
    ] {
        assert!(shown.contains(metric), "{metric}");
    }
}

#[test]
fn panels_have_titles_and_ids_of_their_own_and_do_not_overlap() {
    let mut ids = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap().to_owned();
        assert!(!title.is_empty());
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                let other = taken.insert((x, y), title.clone());
                assert_eq!(other, None, "{title} lies over another panel");
            }
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}
