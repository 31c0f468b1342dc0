//! Forged logs are found, honest ones are accepted (§8).
//!
//! The forger has the store's file and SQLite, so the triggers are dropped first; what the forger
//! lacks is the key, or the checkpoint file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeZone as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rolecall::audit::{
    Actor, AuditKey, AuditWriter, Checkpoint, Event, HashedEntry, NewEntry, Proof, Verdict,
    read_checkpoints,
};
use rolecall::domain::{OpseraId, RunId, time::ManualClock};
use rolecall::store::Store;
use rolecall::store::audit::{AuditFilter, append};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

const COLUMNS: [&str; 19] = [
    "seq",
    "at",
    "run_id",
    "host",
    "user",
    "version",
    "event",
    "email",
    "opsera_id",
    "before",
    "after",
    "reason",
    "evidence",
    "http_status",
    "words",
    "algorithm",
    "prev_hash",
    "hash",
    "format",
];

struct World {
    directory: tempfile::TempDir,
    clock: std::sync::Arc<ManualClock>,
    audit_writer: AuditWriter,
}

impl World {
    fn new(keyed: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = chrono::Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap();
        let clock = ManualClock::at(start);
        let key = keyed.then(|| key(&directory.path().join("key"), 7));
        let audit_writer = AuditWriter {
            clock: clock.clone(),
            actor: Actor {
                host: "host-1".into(),
                user: "keeper".into(),
                version: "0.1.0".into(),
            },
            key,
        };
        Self {
            directory,
            clock,
            audit_writer,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn checkpoint_file(&self) -> PathBuf {
        self.path("checkpoints")
    }

    async fn open(&self, name: &str) -> Store {
        Store::open(&self.path(name), &*self.clock).await.unwrap()
    }

    /// A log of `entries` entries of every kind, with a checkpoint at its end.
    async fn write_log(&self, name: &str, entries: usize, rng: &mut StdRng) {
        let store = self.open(name).await;
        let mut transaction = store.begin().await.unwrap();
        let mut head = rolecall::audit::Head::genesis();
        for number in 0..entries {
            self.clock
                .advance(Duration::from_millis(rng.random_range(0..5000)));
            head = append(
                &mut transaction,
                &self.audit_writer,
                some_entry(number, rng),
            )
            .await
            .unwrap();
        }
        store.commit(transaction).await.unwrap();
        let now = rolecall::domain::time::Clock::now(&*self.clock);
        Checkpoint::new(now, head)
            .append_to(&self.checkpoint_file())
            .unwrap();
        store.close().await;
    }

    fn proof(&self, checkpoints: bool) -> Proof {
        Proof {
            key: self.audit_writer.key.clone(),
            expected_head: None,
            checkpoints: if checkpoints {
                read_checkpoints(&self.checkpoint_file()).unwrap()
            } else {
                Vec::new()
            },
        }
    }

    async fn verdict(&self, name: &str, proof: &Proof) -> Verdict {
        let store = self.open(name).await;
        let verdict = store.verify_audit(proof).await.unwrap();
        store.close().await;
        verdict
    }

    /// Copies the log and lets the forger at the copy.
    async fn forge(&self, statements: &[String]) -> String {
        let forged = "forged.db";
        std::fs::copy(self.path("honest.db"), self.path(forged)).unwrap();
        let mut conn = attacker(&self.path(forged)).await;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                .execute(&mut conn)
                .await
                .unwrap();
        }
        conn.close().await.unwrap();
        forged.to_owned()
    }
}

async fn attacker(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::raw_sql(
        "PRAGMA ignore_check_constraints = ON;
         DROP TRIGGER audit_refuses_update; DROP TRIGGER audit_refuses_delete;
         DROP TRIGGER audit_only_continues;",
    )
    .execute(&mut conn)
    .await
    .unwrap();
    conn
}

fn key(file: &Path, byte: u8) -> AuditKey {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(file, [byte; 32]).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    AuditKey::read(file).unwrap()
}

fn some_entry(number: usize, rng: &mut StdRng) -> NewEntry {
    let mut entry = NewEntry::new(Event::ALL[number % Event::ALL.len()])
        .because("disabled")
        .evidence(json!({"status": "DISABLED", "pull": number, "wild": "é\u{1}\"\\=1+1"}))
        .outcome(Some(200), Some("=cmd|' /C calc'!A0".into()))
        .change(Some(json!("Users")), Some(json!({"role": "Auditors"})))
        .in_run(&RunId::new(format!("run-{}", number / 12)));
    entry = entry.about(
        Some(&format!("p{number}@example.com")),
        Some(&OpseraId::new(format!("id-{number}"))),
    );
    if rng.random_bool(0.2) {
        entry.outcome = None;
        entry.evidence = None;
    }
    entry
}

fn edit(column: &str, seq: usize) -> String {
    let value = match column {
        "seq" => "seq + 1000".to_owned(),
        "http_status" => "coalesce(http_status, 0) + 1".to_owned(),
        "before" | "after" | "evidence" => "'{\"forged\":1}'".to_owned(),
        "event" => "CASE event WHEN 'run_started' THEN 'run_finished' ELSE 'run_started' END".into(),
        "at" => "substr(at, 1, 20) || CASE substr(at, 21, 3) WHEN '123' THEN '124' ELSE '123' END || 'Z'".into(),
        "format" => "3 - format".to_owned(),
        "algorithm" => {
            "CASE algorithm WHEN 'sha256' THEN 'hmac-sha256' ELSE 'sha256' END".to_owned()
        }
        "prev_hash" | "hash" => format!("substr(\"{column}\", 2) || CASE substr(\"{column}\", 1, 1) WHEN 'a' THEN 'b' ELSE 'a' END"),
        _ => format!("coalesce(\"{column}\", '') || 'x'"),
    };
    format!("UPDATE audit SET \"{column}\" = {value} WHERE seq = {seq}")
}

fn assert_found(verdict: &Verdict, what: &str) {
    assert!(
        matches!(verdict, Verdict::Broken(_)),
        "not found: {what}: {verdict:?}"
    );
}

#[tokio::test]
async fn every_edit_of_every_column_is_found_with_the_entry_it_was_made_in() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut tried = 0;
    for keyed in [false, true] {
        let world = World::new(keyed);
        world.write_log("honest.db", 24, &mut rng).await;
        for column in COLUMNS {
            for seq in [1, 2, 5, 8, 12, 13, 17, 20, 23, 24] {
                let forged = world.forge(&[edit(column, seq)]).await;
                let proof = world.proof(column == "seq" || column == "hash");
                let verdict = world.verdict(&forged, &proof).await;
                assert_found(&verdict, &format!("{column} of {seq}, keyed: {keyed}"));
                let Verdict::Broken(broken) = verdict else {
                    unreachable!()
                };
                assert_eq!(broken.entry, u64::try_from(seq).ok(), "{column}: {broken}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 380);
}

#[tokio::test]
async fn an_entry_that_is_removed_inserted_or_swapped_is_found() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut tried = 0;
    for keyed in [false, true] {
        let world = World::new(keyed);
        world.write_log("honest.db", 24, &mut rng).await;
        for seq in 1..=23 {
            let others = "at, run_id, host, user, version, event, email, opsera_id, \"before\", \
                          \"after\", reason, evidence, http_status, words, algorithm, prev_hash, hash, format";
            let forgeries = [
                (
                    "removed",
                    vec![format!("DELETE FROM audit WHERE seq = {seq}")],
                ),
                (
                    "removed and renumbered",
                    vec![
                        format!("DELETE FROM audit WHERE seq = {seq}"),
                        format!("UPDATE audit SET seq = -seq WHERE seq > {seq}"),
                        "UPDATE audit SET seq = -seq - 1 WHERE seq < 0".to_owned(),
                    ],
                ),
                (
                    "swapped with the next",
                    vec![
                        format!("UPDATE audit SET seq = 9000 WHERE seq = {seq}"),
                        format!("UPDATE audit SET seq = {seq} WHERE seq = {seq} + 1"),
                        format!("UPDATE audit SET seq = {seq} + 1 WHERE seq = 9000"),
                    ],
                ),
                (
                    "doubled",
                    vec![
                        format!("UPDATE audit SET seq = -seq WHERE seq > {seq}"),
                        "UPDATE audit SET seq = 1 - seq WHERE seq < 0".to_owned(),
                        format!(
                            "INSERT INTO audit SELECT {seq} + 1, {others} FROM audit WHERE seq = {seq}"
                        ),
                    ],
                ),
            ];
            for (what, statements) in forgeries {
                let forged = world.forge(&statements).await;
                let verdict = world.verdict(&forged, &world.proof(false)).await;
                assert_found(&verdict, &format!("{what} {seq}, keyed: {keyed}"));
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 184);
}

/// Rewrites the log from `seq` on as somebody without the key can: with plain SHA-256.
async fn rehash_from(world: &World, seq: u64, keep_algorithm: bool) -> String {
    let store = world.open("honest.db").await;
    let entries = store.list_audit(&AuditFilter::default()).await.unwrap();
    store.close().await;
    let forged = world.forge(&[]).await;
    let mut conn = attacker_again(&world.path(&forged)).await;
    let mut prev_hash = None;
    for mut entry in entries {
        if entry.seq < seq {
            prev_hash = Some(entry.hash);
            continue;
        }
        if entry.seq == seq {
            entry.reason = Some("it was somebody else".into());
        }
        if !keep_algorithm {
            entry.algorithm = "sha256".into();
        }
        entry.prev_hash = prev_hash.unwrap_or_else(|| rolecall::audit::GENESIS.into());
        entry.hash = plain_hash(&entry);
        sqlx::query(
            "UPDATE audit SET reason = ?, algorithm = ?, prev_hash = ?, hash = ? WHERE seq = ?",
        )
        .bind(&entry.reason)
        .bind(&entry.algorithm)
        .bind(&entry.prev_hash)
        .bind(&entry.hash)
        .bind(i64::try_from(entry.seq).unwrap())
        .execute(&mut conn)
        .await
        .unwrap();
        prev_hash = Some(entry.hash);
    }
    conn.close().await.unwrap();
    forged
}

async fn attacker_again(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}

fn plain_hash(entry: &HashedEntry) -> String {
    use sha2::{Digest as _, Sha256};
    let text = format!("{}{}", entry.prev_hash, entry.canonical().unwrap());
    hex::encode(Sha256::digest(text))
}

#[tokio::test]
async fn a_log_hashed_anew_without_the_key_is_found_by_key_checkpoint_and_head() {
    let mut rng = StdRng::seed_from_u64(3);
    for keyed in [false, true] {
        let world = World::new(keyed);
        world.write_log("honest.db", 12, &mut rng).await;
        let head = read_checkpoints(&world.checkpoint_file()).unwrap()[0]
            .head
            .hash
            .clone();
        for seq in 1..=12 {
            for keep_algorithm in [false, true] {
                let forged = rehash_from(&world, seq, keep_algorithm).await;
                assert_found(
                    &world.verdict(&forged, &world.proof(true)).await,
                    "checkpoint",
                );
                let expecting = world.proof(false).expect_head(&head).unwrap();
                assert_found(&world.verdict(&forged, &expecting).await, "head");
                let verdict = world.verdict(&forged, &world.proof(false)).await;
                if keyed {
                    assert_found(&verdict, "key");
                } else {
                    assert!(matches!(verdict, Verdict::Unanchored { .. }), "{verdict:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_cut_end_is_found_by_the_checkpoint_and_names_the_first_entry_that_is_gone() {
    let mut rng = StdRng::seed_from_u64(4);
    for keyed in [false, true] {
        let world = World::new(keyed);
        world.write_log("honest.db", 12, &mut rng).await;
        for left in 0..12_u64 {
            let forged = world
                .forge(&[format!("DELETE FROM audit WHERE seq > {left}")])
                .await;
            let verdict = world.verdict(&forged, &world.proof(true)).await;
            let Verdict::Broken(broken) = verdict else {
                panic!("{left} left, keyed {keyed}: {verdict:?}")
            };
            assert_eq!(broken.entry, Some(left + 1), "{broken}");
            let store = world.open(&forged).await;
            let refused = store
                .check_anchor(&world.audit_writer, Some(&world.checkpoint_file()))
                .await;
            assert!(
                refused.is_err(),
                "a run must not begin on a log that was cut"
            );
            store.close().await;
        }
    }
}

#[tokio::test]
async fn another_store_in_the_place_of_this_one_is_found() {
    let mut rng = StdRng::seed_from_u64(5);
    let world = World::new(true);
    world.write_log("honest.db", 20, &mut rng).await;
    let mut other = World::new(true);
    other.audit_writer.key = Some(key(&other.path("other-key"), 9));
    other.write_log("honest.db", 30, &mut rng).await;
    std::fs::copy(other.path("honest.db"), world.path("swapped.db")).unwrap();

    let by_key = world.verdict("swapped.db", &world.proof(false)).await;
    assert!(by_key_is_wrong(&by_key), "{by_key:?}");
    let store = world.open("swapped.db").await;
    let error = store
        .check_anchor(&world.audit_writer, Some(&world.checkpoint_file()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("names entry 20"), "{error}");
    let error = store
        .check_anchor(&world.audit_writer, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the key in"), "{error}");
}

fn by_key_is_wrong(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Broken(broken) if matches!(broken.fault, rolecall::audit::IntegrityError::WrongKey(_))
    )
}

#[tokio::test]
async fn a_hundred_honest_logs_are_accepted() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(100 + seed);
        let world = World::new(rng.random_bool(0.5));
        let mut counts = BTreeMap::new();
        for round in 0..rng.random_range(1..4) {
            let entries = rng.random_range(1..20);
            world.write_log("honest.db", entries, &mut rng).await;
            *counts.entry("entries").or_insert(0) += u64::try_from(entries).unwrap();
            if round == 1 {
                world
                    .clock
                    .jump_to(chrono::Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap());
            }
        }
        let verdict = world.verdict("honest.db", &world.proof(true)).await;
        let Verdict::Anchored { entry, .. } = verdict else {
            panic!("seed {seed}: {verdict:?}")
        };
        assert_eq!(entry, counts["entries"]);
        let store = world.open("honest.db").await;
        store
            .check_anchor(&world.audit_writer, Some(&world.checkpoint_file()))
            .await
            .unwrap();
    }
}
