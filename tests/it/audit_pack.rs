//! The evidence pack: what an auditor gets, and that it verifies without rolecall.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::operator::{COUNTING, Desk, Told};
use crate::queue_commands::attach;

const FILES: [&str; 8] = [
    "README.md",
    "audit.csv",
    "audit.jsonl",
    "decisions.json",
    "runs.csv",
    "settings.json",
    "verdict.json",
    "verify.py",
];

/// Two people leave; a guard holds it until somebody approves.
async fn history(settings: &str) -> Desk {
    let desk = Desk::with(&format!("{COUNTING}{settings}")).await;
    if settings.contains("key_file") {
        desk.write("key", &"k".repeat(40));
    }
    desk.leave(&["p1", "p2"]);
    let plan = desk.hold();
    let told = desk.run(&["plan", "reject", &plan, "--reason", "=erst klären 😀"]);
    assert_eq!(told.status, 0, "{told:?}");
    desk.approve(&plan);
    desk.sync(0);
    desk
}

fn pack(desk: &Desk, more: &[&str]) -> Told {
    desk.run(
        &[
            &["audit", "pack", "--since", "1h", "--output", "evidence"],
            more,
        ]
        .concat(),
    )
}

fn json(desk: &Desk, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(desk.path(name)).unwrap()).unwrap()
}

/// Whether the script can be run here; in CI it must.
fn has_python() -> bool {
    match Command::new("python3").arg("--version").output() {
        Ok(output) => output.status.success(),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "python3 is needed in CI: {error}"
            );
            eprintln!("skipped: python3 cannot be run here: {error}");
            false
        }
    }
}

/// Exit status and the first line of what the script says.
fn script(folder: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new("python3")
        .arg(folder.join("verify.py"))
        .args(args)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let line = said.lines().next().unwrap_or_default().to_owned();
    (output.status.code().unwrap(), line)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_holds_all_that_an_auditor_asks_for_and_nothing_secret() {
    let desk = history("").await;
    let told = pack(&desk, &["--format", "json"]);
    assert_eq!((told.status, told.err.as_str()), (0, ""), "{told:?}");
    let said = told.json();
    assert_eq!(said["verdict"]["verdict"], "unanchored");
    assert_eq!((&said["runs"], &said["decisions"]), (&2.into(), &2.into()));
    let names: Vec<&str> = said["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .filter(|name| !name.starts_with("reports/"))
        .collect();
    assert_eq!(names[..8], FILES);
    assert_eq!(names[8..], ["SHA256SUMS"]);

    let log = desk.run(&["audit", "export", "--format", "jsonl"]).out;
    let packed = fs::read_to_string(desk.path("evidence/audit.jsonl")).unwrap();
    assert_eq!(packed, log);
    let verdict = json(&desk, "evidence/verdict.json");
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(verdict["export"]["last_hash"], last["hash"]);
    assert_eq!(verdict["entries"], last["seq"]);
    let decisions = json(&desk, "evidence/decisions.json");
    assert_eq!(decisions[0]["event"], "plan_rejected");
    assert_eq!(decisions[0]["reason"], "=erst klären 😀");
    assert_eq!(decisions[1]["event"], "plan_approved");
    assert_eq!(decisions[1]["reason"], "they left");

    let mut runs = csv::Reader::from_path(desk.path("evidence/runs.csv")).unwrap();
    let runs: Vec<csv::StringRecord> = runs.records().map(Result::unwrap).collect();
    let outcomes: Vec<&str> = runs.iter().map(|run| &run[4]).collect();
    assert_eq!(outcomes, ["held", "applied"]);
    for run in &runs {
        let report = json(&desk, &format!("evidence/{}", &run[12]));
        assert_eq!(report["schema"], "rolecall.report/1");
        assert_eq!(report["run_id"], run[0]);
        assert_eq!(report["outcome"], run[4]);
        assert_eq!(report["actions"].as_array().unwrap().len(), 2, "whole");
        assert_eq!(&run[13], "yes");
    }
    let settings = json(&desk, "evidence/settings.json");
    assert_eq!(settings["digest"], runs[0][6]);
    let readme = fs::read_to_string(desk.path("evidence/README.md")).unwrap();
    assert!(
        readme.contains("- **Runs**: 2\n") && !readme.contains("{{"),
        "{readme}"
    );
    let secret = desk.sandbox.settings_toml();
    let secret = secret
        .lines()
        .find(|line| line.starts_with("key_secret"))
        .unwrap();
    let secret = secret.split('"').nth(1).unwrap();
    for file in said["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        let path = desk.path("evidence").join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(secret), "{name} tells a secret");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(desk.path("evidence"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    let left = fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.contains("rolecall-pack"));
    assert_eq!(left, None);
    let sums = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(desk.path("evidence"))
        .output()
        .unwrap();
    assert!(sums.status.success(), "{sums:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_never_replaces_what_is_there() {
    let desk = history("").await;
    fs::create_dir(desk.path("evidence")).unwrap();
    assert_eq!(pack(&desk, &[]).status, 0, "an empty directory is a place");
    let told = pack(&desk, &[]);
    assert_eq!(
        told.refused(),
        "the pack is not written: evidence is there already; choose another place with --output"
    );
    let zip = ["audit", "pack", "--since", "1h", "--output", "evidence.zip"];
    assert_eq!(desk.run(&zip).status, 0);
    assert_eq!(desk.run(&zip).status, 1);
    let mode = fs::metadata(desk.path("evidence.zip"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = desk.run(&[
        "audit",
        "pack",
        "--since",
        "2100-01-01",
        "--output",
        "later",
    ]);
    assert_eq!(told.status, 1);
    assert!(told.err.contains("has no time in it"), "{}", told.err);
    assert!(!desk.path("later").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_log_is_packed_as_it_is_and_the_exit_status_says_so() {
    let desk = history("").await;
    let mut store = attach(&desk).await;
    for statement in [
        "DROP TRIGGER audit_refuses_update",
        "UPDATE audit SET reason = 'absent' WHERE seq = 4",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    let told = pack(&desk, &["--format", "json"]);
    assert_eq!(told.status, 1, "{told:?}");
    let verdict = &told.json()["verdict"];
    assert_eq!(verdict["verdict"], "broken");
    assert_eq!(verdict["broken"]["entry"], 4);
    if has_python() {
        let (status, said) = script(&desk.path("evidence"), &[]);
        assert_eq!(
            (status, said.as_str()),
            (1, "entry 4: it was changed, or the key is another one")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_accepts_a_pack_and_names_the_first_entry_that_is_wrong() {
    if !has_python() {
        return;
    }
    let desk = history("").await;
    assert_eq!(pack(&desk, &[]).status, 0);
    let folder = desk.path("evidence");
    let (status, said) = script(&folder, &[]);
    assert_eq!(status, 0, "{said}");
    let honest = fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    let lines: Vec<&str> = honest.lines().collect();
    let end = lines.len();
    assert!(
        said.starts_with(&format!("entries 1 to {end} are whole")),
        "{said}"
    );

    let edited: Vec<String> = lines
        .iter()
        .map(|line| line.replace("they left", "they stayed"))
        .collect();
    let at = 1 + edited.iter().zip(&lines).position(|(a, b)| a != b).unwrap();
    let mut removed = lines.clone();
    removed.remove(2);
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let older: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| match index {
            4 => line.replace(",\"format\":2", ""),
            _ => (*line).to_owned(),
        })
        .collect();
    for (what, forged, words) in [
        (
            "edited",
            edited.join("\n"),
            format!("entry {at}: it was changed, or the key is another one"),
        ),
        (
            "removed",
            removed.join("\n"),
            "entry 3: entry 4 is in its place".to_owned(),
        ),
        (
            "swapped",
            swapped.join("\n"),
            "entry 4: entry 5 is in its place".to_owned(),
        ),
        (
            "older",
            older.join("\n"),
            "entry 5: its format goes back".to_owned(),
        ),
        (
            "cut",
            lines[..end - 1].join("\n"),
            format!("entry {end}: it is missing, or verdict.json is of another export"),
        ),
        (
            "doubled",
            lines[0].replacen('{', "{\"seq\":9,", 1),
            "entry 1: a member is there twice".to_owned(),
        ),
        ("torn", lines[0][..50].to_owned(), "entry 1: ".to_owned()),
    ] {
        fs::write(folder.join("audit.jsonl"), forged + "\n").unwrap();
        let (status, said) = script(&folder, &[]);
        assert_eq!(status, 1, "{what}: {said}");
        assert!(said.starts_with(&words), "{what}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_begins_in_the_middle_and_its_anchor_is_said_to_be_unproven() {
    let desk = history("").await;
    let all = desk.run(&["audit", "list"]).json();
    // The second run alone.
    let begin = all
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .find(|entry| entry["event"] == "run_started")
        .unwrap();
    let since = begin["at"].as_str().unwrap();
    let told = desk.run(&["audit", "pack", "--since", since, "--output", "evidence"]);
    assert_eq!(told.status, 0, "{told:?}");
    let export = &json(&desk, "evidence/verdict.json")["export"];
    assert_eq!(export["first"], begin["seq"]);
    assert_eq!(export["prev_hash"], begin["prev_hash"]);
    let told = desk.run(&[
        "audit", "pack", "--since", "1h", "--until", since, "--output", "before",
    ]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_eq!(
        json(&desk, "before/verdict.json")["export"]["last_hash"],
        begin["prev_hash"]
    );
    let told = desk.run(&[
        "audit",
        "pack",
        "--since",
        "2001-01-01",
        "--until",
        "2001-12-31",
        "--output",
        "empty",
    ]);
    assert_eq!(told.status, 0, "{told:?}");
    if !has_python() {
        return;
    }
    let (status, said) = script(&desk.path("evidence"), &[]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.starts_with(&format!("entries {} to ", begin["seq"])),
        "{said}"
    );
    assert_eq!(script(&desk.path("before"), &[]).0, 0);
    assert_eq!(
        script(&desk.path("empty"), &[]),
        (0, "audit.jsonl has no entries".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_key_the_script_wants_that_key() {
    if !has_python() {
        return;
    }
    let desk = history("[audit]\nkey_file = \"key\"\n").await;
    assert_eq!(pack(&desk, &[]).status, 0);
    let folder = desk.path("evidence");
    desk.write("other", &"x".repeat(40));
    let with = |name: &str| {
        script(
            &folder,
            &["--key-file", &desk.path(name).display().to_string()],
        )
    };
    assert_eq!(with("key").0, 0);
    assert_eq!(
        with("other"),
        (
            1,
            "entry 1: it was changed, or the key is another one".to_owned()
        )
    );
    assert_eq!(
        script(&folder, &[]),
        (
            1,
            "entry 1: it is hashed under a key: give --key-file".to_owned()
        )
    );
}

/// The script reads a log that 0.1 began and this version went on with.
#[tokio::test]
async fn the_script_knows_both_forms() {
    if !has_python() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let export = crate::audit_old_format::export_of_both_forms(directory.path()).await;
    let script_text = include_str!("../../src/commands/audit/pack/verify.py");
    fs::write(directory.path().join("verify.py"), script_text).unwrap();
    fs::write(directory.path().join("audit.jsonl"), &export).unwrap();
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    let verdict = serde_json::json!({ "export": {
        "first": 1, "prev_hash": rolecall::audit::GENESIS,
        "last": last["seq"], "last_hash": last["hash"],
    }});
    fs::write(directory.path().join("verdict.json"), verdict.to_string()).unwrap();
    let (status, said) = script(directory.path(), &[]);
    assert_eq!(status, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zip_holds_the_same_files_in_one_folder() {
    let desk = history("").await;
    let zip = ["audit", "pack", "--since", "1h", "--output", "evidence.zip"];
    assert_eq!(desk.run(&zip).status, 0);
    let file = fs::File::open(desk.path("evidence.zip")).unwrap();
    let mut zip = zip::ZipArchive::new(file).unwrap();
    let mut names: Vec<String> = zip
        .file_names()
        .map(|name| name.unwrap().strip_prefix("evidence/").unwrap().to_owned())
        .filter(|name| !name.starts_with("reports/"))
        .collect();
    names.sort();
    let mut expected: Vec<&str> = FILES.to_vec();
    expected.push("SHA256SUMS");
    expected.sort_unstable();
    assert_eq!(names, expected);
    let log = std::io::read_to_string(zip.by_name("evidence/audit.jsonl").unwrap()).unwrap();
    assert_eq!(log, desk.run(&["audit", "export", "--format", "jsonl"]).out);
}
