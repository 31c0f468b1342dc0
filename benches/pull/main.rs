//! How long a dry run takes, beside the lower bound (moving and parsing the same bytes) and beside
//! the script that somebody would write instead, all in the same run on the same machine.
//!
//! `cargo bench --bench pull -- 1k 10k 100k 1m`: for each size an organisation with 3 % leavers is
//! rendered into pages, served on loopback, and read three times by each of the three. The table
//! goes to standard error, the same as JSON to standard output.
//!
//! `cargo bench --bench pull -- --serve 100k DIRECTORY` only serves, and leaves the settings in the
//! directory: what to run beside a profiler.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a program to be read, and nothing that anybody relies on"
)]

mod directories;
mod lower_bound;
mod measure;

use std::path::{Path, PathBuf};
use std::process::Command;

use directories::Directories;
use measure::Cost;

/// Runs of each program; the one with the median wall time is told.
const RUNS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--measure") => return measure::run_and_tell(arguments.get(1..).unwrap_or_default()),
        Some("--lower-bound") => {
            return lower_bound::run(arguments.get(1..).unwrap_or_default());
        }
        Some("--serve") => return serve(arguments.get(1..).unwrap_or_default()),
        _ => {}
    }
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|text| size(text)).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let results: Vec<serde_json::Value> = sizes
        .into_iter()
        .map(|people| {
            let directories = runtime.block_on(Directories::start(people));
            measure_all(&directories)
        })
        .collect();
    println!(
        "{}",
        serde_json::to_string_pretty(&results).expect("it is JSON")
    );
}

/// Serves an organisation until it is ended, and writes the settings that reach it, for a profiler
/// or a store that is to be looked at.
fn serve(arguments: &[String]) {
    let (Some(people), Some(home)) = (arguments.first().and_then(|t| size(t)), arguments.get(1))
    else {
        eprintln!("usage: --serve SIZE DIRECTORY");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let directories = Directories::start(people).await;
        let home = Path::new(home);
        let settings = home.join("rolecall.toml");
        std::fs::write(&settings, directories.settings(home)).expect("the settings");
        println!("{}", settings.display());
        std::future::pending::<()>().await;
    });
}

/// `1k`, `100k`, `1m` or a plain number.
fn size(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    let (digits, factor) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix('m') {
            Some(digits) => (digits, 1_000_000),
            None => (text.as_str(), 1),
        },
    };
    Some(digits.parse::<usize>().ok()? * factor)
}

fn measure_all(directories: &Directories) -> serde_json::Value {
    let home = tempfile::tempdir().expect("a directory");
    let settings = home.path().join("rolecall.toml");
    std::fs::write(&settings, directories.settings(home.path())).expect("the settings");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_rolecall"));
    let rolecall = || {
        let mut command = vec![binary.display().to_string()];
        command.extend(["sync", "--dry-run", "--format", "json", "--config"].map(str::to_owned));
        command.push(settings.display().to_string());
        command
    };
    let own = std::env::current_exe().expect("this program");
    let lower_bound = vec![
        own.display().to_string(),
        "--lower-bound".to_owned(),
        directories.opa_url(),
        directories.opsera_url(),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/baseline.py");
    let python = vec![
        "python3".to_owned(),
        script.display().to_string(),
        directories.opa_url(),
        directories.opsera_url(),
        "bench".to_owned(),
    ];
    directories.forget_requests();
    let first = measure::run(&rolecall());
    let requests = directories.requests();
    let stores = sizes_of(home.path());
    let mut again: Vec<Cost> = (0..RUNS).map(|_| measure::run(&rolecall())).collect();
    let mut bound: Vec<Cost> = (0..RUNS).map(|_| measure::run(&lower_bound)).collect();
    let has_python = Command::new("python3")
        .args(["-c", "import requests"])
        .status()
        .is_ok_and(|status| status.success());
    let mut scripts: Vec<Cost> = (0..if has_python { RUNS } else { 0 })
        .map(|_| measure::run(&python))
        .collect();
    let again = measure::median(&mut again);
    let bound = measure::median(&mut bound);
    let script = measure::median(&mut scripts);
    eprintln!(
        "\n{} people on each side, {requests} requests",
        directories.people()
    );
    eprintln!(
        "{:<28}{:>9}{:>9}{:>9}{:>10}",
        "", "wall s", "user s", "sys s", "peak MiB"
    );
    for (what, cost) in [
        ("rolecall, first run", Some(first)),
        ("rolecall, nothing changed", again),
        ("lower bound", bound),
        ("Python script", script),
    ] {
        if let Some(cost) = cost {
            eprintln!(
                "{what:<28}{:>9.3}{:>9.3}{:>9.3}{:>10.1}",
                cost.wall, cost.user, cost.system, cost.peak_mib
            );
        }
    }
    if let (Some(again), Some(script)) = (again, script) {
        let (wall, cpu, memory) = again.ratios(&script);
        eprintln!("to the script: wall {wall:.2}, CPU {cpu:.2}, memory {memory:.2}");
    }
    for (name, bytes) in &stores {
        eprintln!("{name}: {bytes} bytes");
    }
    serde_json::json!({
        "people": directories.people(),
        "requests": requests,
        "first_run": first,
        "nothing_changed": again,
        "lower_bound": bound,
        "script": script,
        "files": stores,
    })
}

/// The files of the store, by name.
fn sizes_of(home: &Path) -> std::collections::BTreeMap<String, u64> {
    std::fs::read_dir(home)
        .expect("the directory")
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let bytes = entry.metadata().ok()?.len();
            name.starts_with("rolecall.db").then_some((name, bytes))
        })
        .collect()
}
