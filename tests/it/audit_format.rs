//! An export can be verified by somebody who has read `docs/audit-format.md` and nothing else.
//!
//! The verifier below is written from that document: it shares no code with the program.

use std::time::Duration;

use chrono::TimeZone as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rolecall::audit::{Actor, AuditKey, AuditWriter, Event, ExportFormat, NewEntry};
use rolecall::domain::time::ManualClock;
use rolecall::store::Store;
use rolecall::store::audit::{Period, append};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by_key(|name| name.encode_utf16().collect::<Vec<u16>>());
            let inner: Vec<String> = names
                .iter()
                .map(|name| {
                    format!(
                        "{}:{}",
                        Value::from(name.as_str()),
                        canonical(&members[*name])
                    )
                })
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => {
            let inner: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", inner.join(","))
        }
        scalar => scalar.to_string(),
    }
}

fn script(export: &str, key: &[u8]) -> Result<String, String> {
    let (mut prev, mut last_at, mut keyed) = ("0".repeat(64), String::new(), false);
    for (line, number) in export.lines().zip(1_u64..) {
        let mut entry: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let members = entry.as_object_mut().ok_or("not an object")?;
        let hash = members.remove("hash").ok_or("no hash")?;
        let prev_hash = members.remove("prev_hash").ok_or("no prev_hash")?;
        if members["seq"] != number || prev_hash != prev.as_str() {
            return Err(format!("entry {number} does not follow"));
        }
        let at = members["at"].as_str().ok_or("no time")?.to_owned();
        if at < last_at {
            return Err(format!("entry {number} goes back in time"));
        }
        let is_keyed = members["algorithm"] == "hmac-sha256";
        if keyed && !is_keyed {
            return Err(format!("entry {number} is not keyed"));
        }
        if members["format"] != 2 {
            return Err(format!("entry {number} is in another format"));
        }
        let bytes = format!("{prev}{}", canonical(&entry));
        let expected = if is_keyed {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
            mac.update(bytes.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        } else {
            hex::encode(Sha256::digest(bytes))
        };
        if hash != expected.as_str() {
            return Err(format!("entry {number} was changed"));
        }
        (prev, last_at, keyed) = (expected, at, is_keyed);
    }
    Ok(prev)
}

async fn export_of_a_log_that_got_a_key_later(format: ExportFormat) -> (String, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("key");
    std::fs::write(&key_file, [b'k'; 40]).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let start = chrono::Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap();
    let clock = ManualClock::at(start);
    let mut audit_writer = AuditWriter {
        clock: clock.clone(),
        actor: Actor {
            host: "höst".into(),
            user: "keeper".into(),
            version: "0.1.0".into(),
        },
        key: None,
    };
    let store = Store::open(&directory.path().join("store.db"), &*clock)
        .await
        .unwrap();
    let mut head = rolecall::audit::Head::genesis();
    for number in 0..10 {
        if number == 4 {
            audit_writer.key = Some(AuditKey::read(&key_file).unwrap());
        }
        clock.advance(Duration::from_millis(1500));
        let mut transaction = store.begin().await.unwrap();
        let entry = NewEntry::new(Event::ActionSucceeded)
            .about(Some("=é@example.com"), None)
            .because("line\nbreak \u{1}\u{8}\u{c} \u{7f} \u{2028} 😀 \"\\/")
            .evidence(json!({"\u{fb33}": [1, -2, null], "😀": {"z": 0.5, "b": u64::MAX}}))
            .outcome(Some(200), None);
        head = append(&mut transaction, &audit_writer, entry)
            .await
            .unwrap();
        store.commit(transaction).await.unwrap();
    }
    let mut out = Vec::new();
    assert_eq!(
        store
            .export_audit(format, Period::default(), &mut out)
            .await
            .unwrap()
            .entries,
        10
    );
    (String::from_utf8(out).unwrap(), head.hash)
}

#[tokio::test]
async fn a_script_written_from_the_document_accepts_an_export() {
    let (export, head) = export_of_a_log_that_got_a_key_later(ExportFormat::Jsonl).await;
    assert_eq!(script(&export, &[b'k'; 40]), Ok(head));
}

#[tokio::test]
async fn the_same_script_finds_what_was_changed() {
    let (export, _) = export_of_a_log_that_got_a_key_later(ExportFormat::Jsonl).await;
    assert_eq!(
        script(&export, &[b'x'; 40]),
        Err("entry 5 was changed".into()),
        "another key"
    );
    let edited = export.replacen("keeper", "sweeper", 1);
    assert_eq!(
        script(&edited, &[b'k'; 40]),
        Err("entry 1 was changed".into())
    );
    let without_third: Vec<&str> = export
        .lines()
        .enumerate()
        .filter(|(index, _)| *index != 2)
        .map(|(_, line)| line)
        .collect();
    assert_eq!(
        script(&without_third.join("\n"), &[b'k'; 40]),
        Err("entry 3 does not follow".into())
    );
}

#[tokio::test]
async fn the_csv_export_holds_no_formula() {
    let (export, _) = export_of_a_log_that_got_a_key_later(ExportFormat::Csv).await;
    let mut reader = csv::Reader::from_reader(export.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 10);
    assert_eq!(&records[0][7], "'=é@example.com");
    for field in records.iter().flat_map(csv::StringRecord::iter) {
        assert!(
            !field.starts_with(['=', '+', '-', '@', '\t', '\r']),
            "{field}"
        );
    }
}

#[tokio::test]
async fn a_key_may_come_later_and_never_go_again() {
    use rolecall::audit::{IntegrityError, Proof, Verdict};
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("key");
    std::fs::write(&key_file, [b'k'; 32]).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let key = AuditKey::read(&key_file).unwrap();
    let clock = rolecall::domain::time::SystemClock::shared();
    let unkeyed = AuditWriter {
        clock: clock.clone(),
        actor: Actor::of_this_process(),
        key: None,
    };
    let keyed = AuditWriter {
        key: Some(key.clone()),
        ..unkeyed.clone()
    };
    let store = Store::open(&directory.path().join("store.db"), &*clock)
        .await
        .unwrap();
    let mut conn = store.writer().acquire().await.unwrap();
    let entry = || NewEntry::new(Event::RunStarted);
    let proof = Proof {
        key: Some(key),
        ..Proof::default()
    };

    append(&mut conn, &unkeyed, entry()).await.unwrap();
    let Verdict::Broken(broken) = store.verify_audit(&proof).await.unwrap() else {
        panic!("a log without a keyed end proves nothing under a key")
    };
    assert_eq!(
        (broken.entry, broken.fault),
        (Some(1), IntegrityError::EndsUnkeyed)
    );
    store.check_anchor(&keyed, None).await.unwrap();

    append(&mut conn, &keyed, entry()).await.unwrap();
    let verdict = store.verify_audit(&proof).await.unwrap();
    assert!(
        matches!(
            verdict,
            Verdict::Anchored {
                entry: 2,
                unkeyed: 1,
                ..
            }
        ),
        "{verdict:?}"
    );
    let error = store.check_anchor(&unkeyed, None).await.unwrap_err();
    assert!(error.to_string().contains("audit.key_file"), "{error}");
    assert!(append(&mut conn, &unkeyed, entry()).await.is_err());
}
