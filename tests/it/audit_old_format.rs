//! A log that 0.1 began goes on in RFC 8785, and an entry cannot be moved from one form to the other.

use std::path::{Path, PathBuf};

use rolecall::audit::{
    Actor, AuditWriter, Event, ExportFormat, Format, HashedEntry, IntegrityError, NewEntry, Proof,
    Verdict, Verifier,
};
use rolecall::domain::time::SystemClock;
use rolecall::store::Store;
use rolecall::store::audit::{AuditFilter, Period, append};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::other_sqlite::store_of_0_1;

/// What 0.1 exported.
const EXPORT: &str = include_str!("fixtures/audit_0_1.jsonl");

/// The entries of an export of 0.1.
pub(crate) fn entries_of_0_1() -> Vec<HashedEntry> {
    EXPORT.lines().map(entry_of).collect()
}

fn entry_of(line: &str) -> HashedEntry {
    let json: Value = serde_json::from_str(line).unwrap();
    let maybe = |name: &str| json[name].as_str().map(str::to_owned);
    let text = |name: &str| maybe(name).unwrap();
    let column = |name: &str| {
        let value = &json[name];
        (!value.is_null()).then(|| Format::One.canonical(value))
    };
    HashedEntry {
        seq: json["seq"].as_u64().unwrap(),
        at: text("at"),
        run_id: maybe("run_id"),
        host: text("host"),
        user: text("user"),
        version: text("version"),
        event: text("event"),
        email: maybe("email"),
        opsera_id: maybe("opsera_id"),
        before: column("before"),
        after: column("after"),
        reason: maybe("reason"),
        evidence: column("evidence"),
        http_status: json["http_status"]
            .as_u64()
            .map(|it| u16::try_from(it).unwrap()),
        words: maybe("words"),
        algorithm: text("algorithm"),
        format: 1,
        prev_hash: text("prev_hash"),
        hash: text("hash"),
    }
}

fn writer() -> AuditWriter {
    AuditWriter {
        clock: SystemClock::shared(),
        actor: Actor::of_this_process(),
        key: None,
    }
}

/// A log of 0.1 with three entries after it whose values differ between the two forms.
async fn mixed(directory: &Path) -> (PathBuf, Vec<HashedEntry>) {
    let path = directory.join("old.db");
    store_of_0_1(&path, &entries_of_0_1()).await;
    let audit_writer = AuditWriter {
        clock: rolecall::domain::time::ManualClock::at("2027-01-01T00:00:00Z".parse().unwrap()),
        ..writer()
    };
    let store = Store::open(&path, &*SystemClock::shared()).await.unwrap();
    for _ in 0..3 {
        let mut transaction = store.begin().await.unwrap();
        let entry = NewEntry::new(Event::PlanApproved)
            .because("\u{7f}\u{1}łucja 😀")
            .evidence(json!({"\u{fb33}": 0.5, "😀": 1e-7, "plan_id": "x", "big": u64::MAX}));
        append(&mut transaction, &audit_writer, entry)
            .await
            .unwrap();
        store.commit(transaction).await.unwrap();
    }
    let entries = store.list_audit(&AuditFilter::default()).await.unwrap();
    store.close().await;
    (path, entries)
}

async fn export(store: &Store) -> String {
    let mut out = Vec::new();
    store
        .export_audit(ExportFormat::Jsonl, Period::default(), &mut out)
        .await
        .unwrap();
    String::from_utf8(out).unwrap()
}

/// An export that has entries of both forms.
pub(crate) async fn export_of_both_forms(directory: &Path) -> String {
    let (path, _) = mixed(directory).await;
    let store = Store::open_existing_read_only(&path).await.unwrap();
    let export = export(&store).await;
    store.close().await;
    export
}

fn verdict(entries: &[HashedEntry]) -> Verdict {
    let proof = Proof::default();
    let mut verifier = Verifier::new(&proof);
    for entry in entries {
        if let Err(broken) = verifier.next(entry) {
            return Verdict::Broken(broken);
        }
    }
    verifier.finish()
}

fn fault(entries: &[HashedEntry]) -> (Option<u64>, IntegrityError) {
    match verdict(entries) {
        Verdict::Broken(broken) => (broken.entry, broken.fault),
        sound => panic!("{sound:?}"),
    }
}

/// Hashes from the entry with this index on as somebody without a key can.
fn hash_anew(entries: &mut [HashedEntry], from: usize) {
    let mut prev = entries[from].prev_hash.clone();
    for entry in &mut entries[from..] {
        entry.prev_hash = prev;
        let bytes = format!("{}{}", entry.prev_hash, entry.canonical().unwrap());
        entry.hash = hex::encode(Sha256::digest(bytes));
        prev = entry.hash.clone();
    }
}

#[tokio::test]
async fn a_log_of_0_1_goes_on_in_the_new_form_and_keeps_its_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (path, entries) = mixed(directory.path()).await;
    let old = entries_of_0_1().len();
    assert_eq!(
        entries[..old],
        entries_of_0_1(),
        "what 0.1 wrote is as it was"
    );
    assert!(entries[old..].iter().all(|entry| entry.format == 2));
    let store = Store::open_existing_read_only(&path).await.unwrap();
    let sound = store.verify_audit(&Proof::default()).await.unwrap();
    assert!(matches!(sound, Verdict::Unanchored { .. }), "{sound:?}");
    let export = export(&store).await;
    store.close().await;
    let new = export
        .strip_prefix(EXPORT)
        .expect("the old lines, byte for byte");
    for line in new.lines() {
        assert!(
            line.contains("\"evidence\":{\"big\":\"18446744073709551615\",\"plan_id\":\"x\",\"😀\":1e-7,\"\u{fb33}\":0.5},\"format\":2,"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_entry_cannot_be_moved_to_the_other_form() {
    let directory = tempfile::tempdir().unwrap();
    let (_, honest) = mixed(directory.path()).await;
    let old = entries_of_0_1().len();
    let number = |index: usize| u64::try_from(index + 1).ok();
    for (index, format) in [(0, 2), (old - 1, 2), (old, 1)] {
        let mut forged = honest.clone();
        forged[index].format = format;
        let (entry, _) = fault(&forged);
        assert_eq!(entry, number(index), "entry {index} in format {format}");
    }
    // Even hashed anew, no entry of the old form comes after one of the new.
    for index in [old + 1, old + 2] {
        let mut forged = honest.clone();
        let old_form = |json: &mut Option<String>| {
            if let Some(text) = json {
                let value: Value = serde_json::from_str(text).unwrap();
                *text = Format::One.canonical(&value);
            }
        };
        forged[index].format = 1;
        old_form(&mut forged[index].evidence);
        hash_anew(&mut forged, index);
        assert_eq!(
            fault(&forged),
            (number(index), IntegrityError::FormatDropped(1))
        );
    }
    let mut forged = honest.clone();
    forged[old].format = 3;
    assert_eq!(
        fault(&forged),
        (number(old), IntegrityError::UnknownFormat(3))
    );
    // A value that is not written as its form writes it.
    let mut forged = honest;
    forged[old].evidence = forged[old]
        .evidence
        .as_ref()
        .map(|text| text.replace("0.5", "0.50"));
    assert_eq!(fault(&forged).0, number(old));
}

#[tokio::test]
async fn the_store_refuses_an_entry_of_the_old_form_after_one_of_the_new() {
    let directory = tempfile::tempdir().unwrap();
    let (path, entries) = mixed(directory.path()).await;
    let store = Store::open(&path, &*SystemClock::shared()).await.unwrap();
    let last = entries.last().unwrap();
    let mut next = HashedEntry::chain_entry(
        &writer(),
        &rolecall::audit::Head {
            entries: last.seq,
            hash: last.hash.clone(),
        },
        SystemClock::shared().now().max(last.at.parse().unwrap()),
        NewEntry::new(Event::RunStarted),
    );
    next.format = 1;
    let refused = sqlx::query(
        "INSERT INTO audit (seq, at, host, user, version, event, algorithm, prev_hash, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(i64::try_from(next.seq).unwrap())
    .bind(&next.at)
    .bind(&next.host)
    .bind(&next.user)
    .bind(&next.version)
    .bind(&next.event)
    .bind(&next.algorithm)
    .bind(&next.prev_hash)
    .bind(&next.hash)
    .execute(store.writer())
    .await
    .unwrap_err();
    assert!(
        refused.to_string().contains("must continue the last one"),
        "{refused}"
    );
    let changed = sqlx::query("UPDATE audit SET format = 2 WHERE seq = 1")
        .execute(store.writer())
        .await
        .unwrap_err();
    assert!(changed.to_string().contains("append-only"), "{changed}");
    store.close().await;
}
