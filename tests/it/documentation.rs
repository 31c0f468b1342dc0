//! The documentation says what is true: its settings load, its commands exist, its links lead
//! somewhere, and everything the program can say has its section.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use rolecall::cli::Cli;
use rolecall::domain::FindingKind;
use rolecall::settings::{ConfigSources, Settings};

/// What every snippet is laid over, so that it need only show its own point.
const BASE: &str = r#"
[opa]
base_url = "https://example.pam.okta.com"
team = "example"
"#;

const OPA_KEY: &str = "[opa]\nkey_id = \"k\"\nkey_secret = \"s\"\n";
const OPSERA_TOKEN: &str = "[opsera]\ntoken = \"t\"\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["", "docs", "docs/decisions", "fuzz"]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 20);
    pages
}

/// What the tests look at in one page.
#[derive(Default)]
struct Page {
    /// Language and text.
    blocks: Vec<(String, String)>,
    links: Vec<String>,
    anchors: BTreeSet<String>,
    headings: Vec<String>,
}

fn parse(path: &Path) -> Page {
    let text = std::fs::read_to_string(path).unwrap();
    let mut page = Page::default();
    let mut block: Option<(String, String)> = None;
    let mut heading: Option<String> = None;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                block = Some((language.to_string(), String::new()));
            }
            Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let words = heading.take().unwrap();
                let anchor = anchor_of(&words);
                let count = seen.entry(anchor.clone()).or_insert(0);
                page.anchors.insert(if *count == 0 {
                    anchor
                } else {
                    format!("{anchor}-{count}")
                });
                *count += 1;
                page.headings.push(words);
            }
            Event::Start(Tag::Link { dest_url, .. }) => page.links.push(dest_url.to_string()),
            Event::Text(words) | Event::Code(words) => {
                if let Some((_, text)) = &mut block {
                    text.push_str(&words);
                } else if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            _ => {}
        }
    }
    page
}

/// As GitHub makes them.
fn anchor_of(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut followed = 0;
    for path in pages() {
        for link in parse(&path).links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = match link.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor.to_owned())),
                None => (link.as_str(), None),
            };
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(target.exists(), "{}: {link}", name(&path));
            if let Some(anchor) = anchor {
                let known = parse(&target).anchors;
                assert!(known.contains(&anchor), "{}: {link}", name(&path));
            }
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed}");
}

/// Whoever adds a guard or a setting follows a list of files: all of them must be there.
#[test]
fn every_path_that_contributors_are_sent_to_exists() {
    let folders = [
        ".ci",
        ".github",
        "config",
        "deploy",
        "docs",
        "fuzz",
        "migrations",
        "src",
        "tests",
    ];
    let mut named = 0;
    for page in [
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/releasing.md",
    ] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for path in text.split('`').skip(1).step_by(2) {
            let folder = path.split('/').next().unwrap();
            if folders.contains(&folder) && !path.contains(['*', ' ']) {
                assert!(root().join(path).exists(), "{page} names {path}");
                named += 1;
            }
        }
    }
    assert!(named > 40, "{named}");
}

/// Settings that a page shows, with its secrets and other files put where there are some.
fn load(snippet: &str) -> Result<(), String> {
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("secret");
    std::fs::write(&secret, "https://hooks.example/secret-of-32-bytes-or-more").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let snippet: String = snippet
        .lines()
        .map(|line| match line.split_once("_file = \"") {
            Some((key, value)) if !line.starts_with('#') && !value.starts_with('"') => {
                format!("{key}_file = \"{}\"\n", secret.display())
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let table: toml::Table = snippet.parse().map_err(|error| format!("{error}"))?;
    let sets = |section: &str, keys: &[&str]| {
        let section = table.get(section).and_then(toml::Value::as_table);
        section.is_some_and(|section| keys.iter().any(|key| section.contains_key(*key)))
    };
    let mut files = vec![("base.toml", BASE.to_owned())];
    if !sets("opa", &["key_id", "token", "token_file"]) {
        files.push(("opa.toml", OPA_KEY.to_owned()));
    }
    if !sets("opsera", &["token", "token_file"]) {
        files.push(("opsera.toml", OPSERA_TOKEN.to_owned()));
    }
    files.push(("snippet.toml", snippet));
    let files = files
        .into_iter()
        .map(|(name, text)| {
            let path = place.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let loaded = Settings::load(&ConfigSources {
        files,
        environment: vec![],
        candidates: vec![],
    })
    .map_err(|error| error.to_string())?;
    match loaded.warnings.first() {
        None => Ok(()),
        Some(warning) => Err(format!("{}: {}", warning.key, warning.message)),
    }
}

#[test]
fn every_setting_in_the_documentation_loads_without_a_warning() {
    let mut loaded = 0;
    for path in pages() {
        for (_, text) in parse(&path).blocks.iter().filter(|(l, _)| l == "toml") {
            if let Err(error) = load(text) {
                panic!("{}: {error}\n{text}", name(&path));
            }
            loaded += 1;
        }
    }
    assert!(loaded > 10, "{loaded}");
}

#[test]
fn the_shipped_configurations_load_without_a_warning() {
    for file in [
        "config/rolecall.example.toml",
        "config/rolecall.system.toml",
        "deploy/kubernetes/base/rolecall.toml",
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        if let Err(error) = load(&text) {
            panic!("{file}: {error}");
        }
    }
}

/// The words of a command line as a shell takes them, as far as the documentation needs it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_in_the_documentation_is_one_that_exists() {
    let mut tried = 0;
    for path in pages() {
        for (_, text) in parse(&path).blocks.iter().filter(|(l, _)| l == "sh") {
            for line in text.replace("\\\n", " ").lines() {
                let line = line.split(" | ").next().unwrap_or_default();
                let line = line.split(" > ").next().unwrap_or_default();
                let line = line.split(" #").next().unwrap_or_default().trim();
                let line = line.replace("cargo run --release --", "rolecall");
                let Some(at) = line
                    .split(' ')
                    .position(|word| word == "rolecall" || word == "/usr/bin/rolecall")
                else {
                    continue;
                };
                let before: Vec<&str> = line.split(' ').take(at).collect();
                if before.iter().any(|word| !matches!(*word, "sudo" | "--")) {
                    continue;
                }
                let args = words(&line).split_off(at);
                if let Err(error) = Cli::try_parse_from(&args) {
                    assert!(!error.use_stderr(), "{}: {line}\n{error}", name(&path));
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 30, "{tried}");
}

fn has_section(page: &str, words: &str) -> bool {
    parse(&root().join("docs").join(page))
        .headings
        .iter()
        .any(|heading| heading.split([' ', ',', ':']).any(|word| word == words))
}

#[test]
fn every_finding_has_its_section() {
    for kind in FindingKind::ALL.iter().copied() {
        assert!(has_section("findings.md", kind.as_str()), "{kind:?}");
    }
}

#[test]
fn every_guard_has_its_section() {
    let defaults = std::fs::read_to_string(root().join("config/default.toml")).unwrap();
    let defaults: toml::Table = defaults.parse().unwrap();
    let guards = defaults["guards"].as_table().unwrap();
    assert!(guards.len() > 10);
    for guard in guards.keys() {
        assert!(has_section("guards.md", guard), "{guard}");
    }
}

#[test]
fn every_exit_code_has_its_section() {
    for code in 0..=6 {
        assert!(has_section("exit-codes.md", &code.to_string()), "{code}");
    }
}

#[test]
fn every_setting_is_spoken_of() {
    let text = std::fs::read_to_string(root().join("docs/configure.md")).unwrap();
    let defaults = std::fs::read_to_string(root().join("config/default.toml")).unwrap();
    let defaults: toml::Table = defaults.parse().unwrap();
    for (section, keys) in &defaults {
        for key in keys.as_table().unwrap().keys() {
            assert!(
                text.contains(&format!("{section}.{key}")),
                "docs/configure.md does not mention {section}.{key}"
            );
        }
    }
}
