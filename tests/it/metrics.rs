//! What is scraped: a strict reader of Prometheus' text format takes every line, and nothing in it
//! is about a person.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use crate::daemon_world::{DaemonWorld, send};

/// A family as its comments describe it, with its samples.
#[derive(Debug, Default)]
struct Scraped {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, String>,
}

impl Scraped {
    fn get(&self, series: &str) -> f64 {
        self.text(series).parse().unwrap()
    }

    fn count(&self, series: &str) -> u64 {
        self.text(series).parse().unwrap()
    }

    fn text(&self, series: &str) -> &str {
        let found = self.samples.get(series);
        found.unwrap_or_else(|| panic!("no {series} in {:?}", self.samples))
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Prometheus' text format 0.0.4, without mercy: a HELP and a TYPE before a family's samples, each
/// once, samples of a family together, no series twice, buckets that grow and end with +Inf.
fn parse(text: &str) -> Scraped {
    let mut scraped = Scraped::default();
    let mut helped = BTreeSet::new();
    let mut done = BTreeSet::new();
    let mut family = String::new();
    assert!(text.ends_with('\n'), "the last line ends");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(is_name(name) && !words.is_empty(), "{line}");
            assert!(helped.insert(name.to_owned()), "HELP twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "TYPE without HELP: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(done.insert(family.clone()), "{family} comes in pieces");
            family = name.to_owned();
            let before = scraped.types.insert(name.to_owned(), kind.to_owned());
            assert!(before.is_none(), "TYPE twice: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let number: f64 = value.parse().unwrap();
            let name = check_series(series);
            let base = if scraped.types[&family] == "histogram" {
                ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix))
                    .unwrap_or_else(|| panic!("{line}"))
            } else {
                name
            };
            assert_eq!(base, family, "a sample away from its family");
            assert!(number >= 0.0 && number.is_finite(), "{line}");
            let before = scraped.samples.insert(series.to_owned(), value.to_owned());
            assert!(before.is_none(), "twice: {series}");
        }
    }
    check_histograms(text);
    scraped
}

/// The name of a series whose labels are well formed.
fn check_series(series: &str) -> &str {
    let Some((name, labels)) = series.split_once('{') else {
        assert!(is_name(series), "{series}");
        return series;
    };
    assert!(is_name(name), "{series}");
    for pair in labels.strip_suffix('}').unwrap().split(',') {
        let (label, value) = pair.split_once('=').unwrap();
        assert!(is_name(label) && !label.starts_with("__"), "{series}");
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        assert!(!value.unwrap().contains(['"', '\\', '\n']), "{series}");
    }
    name
}

fn check_histograms(text: &str) {
    let buckets: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("rolecall_run_duration_seconds_bucket{le=\""))
        .map(|rest| {
            let (bound, count) = rest.split_once("\"} ").unwrap();
            let bound = if bound == "+Inf" {
                f64::INFINITY
            } else {
                bound.parse().unwrap()
            };
            (bound, count.parse().unwrap())
        })
        .collect();
    assert!(
        buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
        "{buckets:?}"
    );
    assert!(buckets.last().unwrap().0.is_infinite());
}

/// Nothing of a person: the addresses, the names, the ids.
fn assert_impersonal(world: &DaemonWorld, text: &str) {
    for person in world.sandbox.opa().people() {
        for word in [person.id, person.name] {
            assert!(!text.contains(&format!("\"{word}")), "{word} in {text}");
        }
    }
    for account in world.sandbox.opsera().accounts() {
        assert!(!text.contains(&account.id), "{text}");
    }
    assert!(!text.contains('@'), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_scrape_is_well_formed_and_impersonal() {
    let world = DaemonWorld::start("").await;
    world.sandbox.opa().disable("bob").unwrap();
    let mut daemon = world.daemon(&[]);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 1)
        .await;
    let (status, head, body) = daemon.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert_impersonal(&world, &body);
    let scraped = parse(&body);
    assert_eq!(scraped.count("rolecall_runs_total{outcome=\"applied\"}"), 1);
    assert_eq!(
        scraped.count("rolecall_runs_total{outcome=\"another_run\"}"),
        0
    );
    assert_eq!(
        scraped.count("rolecall_actions_total{kind=\"deactivate\",status=\"succeeded\"}"),
        1
    );
    assert_eq!(scraped.count("rolecall_managed_accounts"), 2);
    assert_eq!(scraped.count("rolecall_opa_users{status=\"active\"}"), 2);
    assert_eq!(scraped.count("rolecall_queue_depth{state=\"planned\"}"), 0);
    assert_eq!(scraped.count("rolecall_held_plans"), 0);
    assert_eq!(
        scraped.count("rolecall_findings{kind=\"invalid_email\"}"),
        0
    );
    assert_eq!(
        scraped.count("rolecall_guard_limit{guard=\"max_deactivations\"}"),
        25
    );
    assert_eq!(
        scraped.count("rolecall_guard_actual{guard=\"min_opa_users\"}"),
        2
    );
    assert!(scraped.get("rolecall_requests_total{api=\"opa\",class=\"success\"}") > 3.0);
    assert!(scraped.get("rolecall_requests_total{api=\"opsera\",class=\"success\"}") > 3.0);
    assert!(scraped.get("rolecall_run_duration_seconds_count") >= 2.0);
    let version = format!(
        "rolecall_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(scraped.count(&version), 1);
    for clock in [
        "rolecall_last_attempt_timestamp_seconds",
        "rolecall_last_success_timestamp_seconds",
        "rolecall_last_complete_read_timestamp_seconds{api=\"opa\"}",
        "rolecall_last_complete_read_timestamp_seconds{api=\"opsera\"}",
    ] {
        assert!(scraped.get(clock) > 1.7e9, "{clock}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scraper_that_asks_for_openmetrics_gets_it() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&[]);
    let port = daemon.port().await;
    let answer = send(
        port,
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.contains("application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    assert!(answer.contains("# TYPE rolecall_runs counter"), "{answer}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shows_the_clocks_of_before() {
    let world = DaemonWorld::start("").await;
    let mut daemon = world.daemon(&["--metrics-file", "m.prom"]);
    daemon
        .metric("rolecall_runs_total{outcome=\"in_sync\"}", |runs| runs >= 1)
        .await;
    daemon.stop().await;
    let before = parse(&std::fs::read_to_string(world.path("m.prom")).unwrap());
    // Nothing will run before it is asked: the next occurrence is months away.
    world.configure(
        "\n[schedule]\ncron = \"0 0 0 1 1 *\"\nrun_on_start = false\n[http]\nlisten = \"127.0.0.1:0\"\n",
    );
    let mut daemon = world.daemon(&["--metrics-file", "m.prom"]);
    daemon.readiness(200, "").await;
    let (_, _, body) = daemon.get("/metrics").await;
    let after = parse(&body);
    for clock in [
        "rolecall_last_attempt_timestamp_seconds",
        "rolecall_last_success_timestamp_seconds",
        "rolecall_last_complete_read_timestamp_seconds{api=\"opa\"}",
        "rolecall_last_complete_read_timestamp_seconds{api=\"opsera\"}",
    ] {
        let (before, after) = (before.get(clock), after.get(clock));
        assert!((after - before).abs() < 5.0, "{clock}: {before} {after}");
    }
    assert_eq!(after.count("rolecall_managed_accounts"), 3);
    assert_eq!(after.count("rolecall_runs_total{outcome=\"in_sync\"}"), 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_writes_the_same_into_a_file_that_a_collector_can_read() {
    let world = DaemonWorld::start("").await;
    let sync = || {
        let output = world
            .command(&["sync", "--metrics-file", "m.prom"])
            .output()
            .unwrap();
        let file = world.path("m.prom");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let text = std::fs::read_to_string(file).unwrap();
        assert_impersonal(&world, &text);
        (output.status.code().unwrap(), parse(&text))
    };
    let (status, good) = sync();
    assert_eq!(status, 0);
    assert_eq!(good.count("rolecall_runs_total{outcome=\"in_sync\"}"), 1);
    let success = good.get("rolecall_last_success_timestamp_seconds");
    assert!(success > 1.7e9);

    let broken = rolecall::sandbox::FaultKind::Answer(rolecall::sandbox::Answer::status(403));
    world.sandbox.inject(
        rolecall::sandbox::Fault::opa(broken)
            .on("GET", "/users")
            .always(),
    );
    let (status, bad) = sync();
    assert_eq!(status, 1);
    assert_eq!(bad.count("rolecall_runs_total{outcome=\"failed\"}"), 1);
    let later = bad.get("rolecall_last_success_timestamp_seconds");
    assert!((later - success).abs() < 1.0, "a failure is no success");
    assert!(bad.get("rolecall_last_attempt_timestamp_seconds") > success);
    assert_eq!(
        bad.count("rolecall_requests_total{api=\"opa\",class=\"refused\"}"),
        1
    );
}
