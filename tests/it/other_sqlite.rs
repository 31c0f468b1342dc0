//! The store as other people's SQLite sees it: Debian's `sqlite3` finds it whole and can copy it,
//! and a store of 0.1 keeps every byte of its audit log when its tables are brought up to date.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rolecall::audit::{
    Actor, AuditWriter, Event, Format, HashedEntry, Head, NewEntry, Proof, Verdict, Verifier,
};
use rolecall::domain::time::SystemClock;
use rolecall::domain::{OpseraId, Outcome, RunId};
use rolecall::store::Store;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::fault_world::{World, assert_outcome};
use crate::requirements::{Requirement, require};

fn sqlite3(database: &Path, input: &str) -> String {
    let mut child = Command::new("sqlite3")
        .arg("-bail")
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && words.is_empty(), "{words}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sqlite3_of_the_distribution_finds_the_store_whole_and_copies_it() {
    if !require(Requirement::Sqlite3) {
        return;
    }
    let world = World::one_of_each().await;
    assert_outcome(&world.sync().await, Outcome::Applied);
    assert_outcome(&world.sync().await, Outcome::InSync);
    let store = world.store_path();
    assert_eq!(sqlite3(&store, "PRAGMA integrity_check;"), "ok\n");
    assert_eq!(sqlite3(&store, "PRAGMA foreign_key_check;"), "");
    let dump = sqlite3(&store, ".dump");
    assert!(dump.trim_end().ends_with("COMMIT;"), "it ends early");
    let copy = world.dir.path().join("copy.db");
    sqlite3(&copy, &dump);
    assert_eq!(sqlite3(&copy, "PRAGMA integrity_check;"), "ok\n");
    let entries = "SELECT count(*), max(hash) FROM audit;";
    assert_eq!(sqlite3(&copy, entries), sqlite3(&store, entries));
    // The copy is a store, and its log is the same.
    let copied = Store::open_existing_read_only(&copy).await.unwrap();
    let verdict = copied.verify_audit(&Proof::default()).await.unwrap();
    assert!(!matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
    copied.close().await;
}

/// A store with the tables of 0.1, and a log that has a value in every column.
pub(crate) async fn store_of_0_1(path: &Path, entries: &[HashedEntry]) {
    let old = tempfile::tempdir().unwrap();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for name in [
        "0001_audit.sql",
        "0002_runs_and_snapshot.sql",
        "0003_memory.sql",
        "0004_plans_and_queue.sql",
        "0005_notifications.sql",
    ] {
        std::fs::copy(migrations.join(name), old.path().join(name)).unwrap();
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let migrator = sqlx::migrate::Migrator::new(old.path()).await.unwrap();
    migrator.run(&pool).await.unwrap();
    for entry in entries {
        sqlx::query(
            r#"INSERT INTO audit (seq, at, run_id, host, user, version, event, email, opsera_id,
                   "before", "after", reason, evidence, http_status, words, algorithm, prev_hash,
                   hash)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"#,
        )
        .bind(i64::try_from(entry.seq).unwrap())
        .bind(&entry.at)
        .bind(&entry.run_id)
        .bind(&entry.host)
        .bind(&entry.user)
        .bind(&entry.version)
        .bind(&entry.event)
        .bind(&entry.email)
        .bind(&entry.opsera_id)
        .bind(&entry.before)
        .bind(&entry.after)
        .bind(&entry.reason)
        .bind(&entry.evidence)
        .bind(entry.http_status)
        .bind(&entry.words)
        .bind(&entry.algorithm)
        .bind(&entry.prev_hash)
        .bind(&entry.hash)
        .execute(&pool)
        .await
        .unwrap();
    }
    pool.close().await;
}

/// The same entry in the form of 0.1.
fn as_0_1_wrote_it(mut entry: HashedEntry) -> HashedEntry {
    use sha2::{Digest as _, Sha256};
    entry.format = Format::One.number();
    for json in [&mut entry.before, &mut entry.after, &mut entry.evidence] {
        *json = json.take().map(|text| {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            Format::One.canonical(&value)
        });
    }
    let bytes = format!("{}{}", entry.prev_hash, entry.canonical().unwrap());
    entry.hash = hex::encode(Sha256::digest(bytes));
    entry
}

/// Every value of every entry, with its type and bytes.
async fn all_bytes(path: &Path) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(path);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let rows = sqlx::query_scalar(
        r#"SELECT concat_ws('|', quote(seq), quote(at), quote(run_id), quote(host), quote(user),
               quote(version), quote(event), quote(email), quote(opsera_id), quote("before"),
               quote("after"), quote(reason), quote(evidence), quote(http_status), quote(words),
               quote(algorithm), quote(prev_hash), quote(hash))
           FROM audit ORDER BY seq"#,
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    pool.close().await;
    rows
}

#[tokio::test]
async fn a_store_of_0_1_keeps_every_byte_of_its_audit_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old.db");
    let clock = SystemClock::shared();
    let audit_writer = AuditWriter {
        clock: clock.clone(),
        actor: Actor::of_this_process(),
        key: None,
    };
    let run = RunId::new("a run");
    let account = OpseraId::new("5f0000000000000000000001");
    let mut head = Head::genesis();
    let mut entries = Vec::new();
    for number in 0..40_u16 {
        let entry = match number % 4 {
            0 => NewEntry::new(Event::RunStarted).in_run(&run),
            1 => NewEntry::new(Event::ActionStarted)
                .in_run(&run)
                .about(Some("łucja@example.com"), Some(&account))
                .change(
                    Some(json!({ "active": true })),
                    Some(json!({ "active": false })),
                )
                .because("her record\u{2028}is 'DISABLED' | gone"),
            2 => NewEntry::new(Event::ActionFailed)
                .about(Some("o'neil@example.com"), None)
                .evidence(json!({ "action": number, "seen": ["\u{0}", "é", 1.5, null] }))
                .outcome(Some(500 + number), Some("line\nline".to_owned())),
            _ => NewEntry::new(Event::RunFinished).outcome(None, Some(String::new())),
        };
        let chained = as_0_1_wrote_it(HashedEntry::chain_entry(
            &audit_writer,
            &head,
            clock.now(),
            entry,
        ));
        head = Head {
            entries: chained.seq,
            hash: chained.hash.clone(),
        };
        entries.push(chained);
    }
    let proof = Proof::default();
    let mut verifier = Verifier::new(&proof);
    for entry in &entries {
        verifier.next(entry).unwrap();
    }
    store_of_0_1(&path, &entries).await;
    let before = all_bytes(&path).await;
    assert_eq!(before.len(), entries.len());
    let store = Store::open(&path, &*clock).await.unwrap();
    let verdict = store.verify_audit(&proof).await.unwrap();
    assert!(!matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
    assert_eq!(store.audit_head().await.unwrap(), head);
    store.close().await;
    assert_eq!(all_bytes(&path).await, before);
}
