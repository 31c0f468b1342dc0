//! Which folder of the library may know which: dependencies point inwards.
//!
//! Read from the `crate::…` paths of the sources, tests inside them included. A folder that needs
//! an arrow that is not here either holds something that belongs further in, or the arrow is added
//! here with a reason that a reader accepts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Each folder with the folders it may use. Order: from the core outwards.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("rules", &["domain"]),
    ("audit", &["domain"]),
    ("settings", &["domain", "rules"]),
    ("clients", &["domain", "settings"]),
    ("store", &["domain", "rules", "audit"]),
    ("output", &["domain"]),
    (
        "reconcile",
        &["domain", "rules", "audit", "settings", "clients", "store"],
    ),
    ("metrics", &["domain", "clients", "store", "reconcile"]),
    (
        "notifications",
        &["domain", "settings", "clients", "store", "reconcile"],
    ),
    ("audit_stream", &["domain", "audit", "settings", "store"]),
    (
        "explain",
        &[
            "domain",
            "rules",
            "settings",
            "clients",
            "store",
            "reconcile",
            "output",
        ],
    ),
    (
        "check",
        &[
            "domain",
            "rules",
            "audit",
            "settings",
            "clients",
            "store",
            "reconcile",
            "output",
        ],
    ),
    ("serving", &["domain"]),
    ("review", &["domain", "audit", "store", "output", "serving"]),
    (
        "init",
        &["domain", "rules", "settings", "clients", "check", "output"],
    ),
    (
        "daemon",
        &[
            "domain",
            "audit",
            "settings",
            "store",
            "reconcile",
            "metrics",
            "notifications",
            "audit_stream",
            "serving",
        ],
    ),
    ("sandbox", &["domain"]),
    ("cli", &["audit", "domain", "settings"]),
];

/// Crates that the two inner folders must not know: they decide, and nothing else.
const FOREIGN_TO_THE_CORE: &[&str] = &["sqlx", "reqwest", "clap", "config", "std::fs", "tokio::fs"];

#[test]
fn every_folder_uses_only_what_lies_further_in() {
    let mut wrong = Vec::new();
    for (folder, allowed) in ALLOWED {
        for (file, text) in sources(folder) {
            for used in crate_paths(&text) {
                if used != *folder && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{file} uses crate::{used}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_has_its_place() {
    let placed: BTreeSet<String> = ALLOWED
        .iter()
        .map(|(folder, _)| (*folder).to_owned())
        // The outermost: a command may use everything.
        .chain(["commands".to_owned()])
        .collect();
    let there: BTreeSet<String> = fs::read_dir(source_root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, placed);
}

#[test]
fn the_core_knows_no_http_no_sql_no_command_line_and_no_files() {
    let mut wrong = Vec::new();
    for folder in ["domain", "rules"] {
        for (file, text) in sources(folder) {
            for foreign in FOREIGN_TO_THE_CORE {
                let path = format!("{foreign}::");
                if code_lines(&text).any(|line| mentions(line, &path)) {
                    wrong.push(format!("{file} uses {foreign}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn escape_sequences_are_written_in_one_place() {
    let mut wrong = Vec::new();
    for (file, text) in sources("") {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        // What takes them out of foreign text knows them as well.
        let may = ["src/output/style.rs", "src/domain/text.rs"];
        if code.contains("\\u{1b}") && !may.iter().any(|known| file.ends_with(known)) {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn source_root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![source_root().join(folder)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "src/{folder} has no sources");
    found
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// The first segment after every `crate::` in the code.
fn crate_paths(text: &str) -> Vec<String> {
    code_lines(text)
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

/// Whether `path` stands in the line as a path of its own, not as the end of another one.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        line.get(..at).is_none_or(|before| {
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}
