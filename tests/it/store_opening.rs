//! A store opens private and up to date, or says in plain words why not; one run at a time has it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rolecall::audit::{Actor, AuditWriter, Checkpoint, Event, Head, NewEntry};
use rolecall::domain::base_url::{BaseUrl, PlainHttp};
use rolecall::domain::time::{SharedClock, SystemClock};
use rolecall::store::audit::{append, refuse_lost_store};
use rolecall::store::{Installation, LockError, RunLock, Store, StoreError};

const HOLDS_LOCK_OF: &str = "STORE_OPENING_HOLDS_LOCK_OF";

struct Place {
    directory: tempfile::TempDir,
    clock: SharedClock,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            clock: SystemClock::shared(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.path("s.db"), &*self.clock).await
    }

    fn audit_writer(&self) -> AuditWriter {
        AuditWriter {
            clock: self.clock.clone(),
            actor: Actor::of_this_process(),
            key: None,
        }
    }

    async fn append(&self, store: &Store) -> Result<Head, StoreError> {
        let mut transaction = store.begin().await?;
        let entry = NewEntry::new(Event::RunStarted);
        let head = append(&mut transaction, &self.audit_writer(), entry).await?;
        store.commit(transaction).await?;
        Ok(head)
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_store_and_its_side_files_are_private_even_after_a_careless_copy() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    place.append(&store).await.unwrap();
    for name in ["s.db", "s.db-wal", "s.db-shm"] {
        assert_eq!(mode(&place.path(name)), 0o600, "{name}");
    }
    store.close().await;
    std::fs::set_permissions(place.path("s.db"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = place.open().await.unwrap();
    place.append(&store).await.unwrap();
    for name in ["s.db", "s.db-wal", "s.db-shm"] {
        assert_eq!(mode(&place.path(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn ten_who_make_the_same_store_at_once_all_get_it() {
    let place = Place::new();
    let opened = futures::future::join_all((0..10).map(|_| place.open())).await;
    for store in opened {
        place.append(&store.unwrap()).await.unwrap();
    }
    let store = place.open().await.unwrap();
    let verdict = store
        .verify_audit(&rolecall::audit::Proof::default())
        .await
        .unwrap();
    assert!(
        matches!(&verdict, rolecall::audit::Verdict::Unanchored { head } if head.entries == 10),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', TRUE, x'00', 0)",
    )
    .execute(store.writer())
    .await
    .unwrap();
    store.close().await;
    let error = place.open().await.unwrap_err();
    assert!(
        matches!(error, StoreError::NewerSchema { version: 9999, .. }),
        "{error:?}"
    );
    let error = Store::open_existing_read_only(&place.path("s.db"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::NewerSchema { version: 9999, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn reading_needs_a_store_and_never_writes() {
    let place = Place::new();
    let error = Store::open_existing_read_only(&place.path("s.db"))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error:?}");
    assert!(!place.path("s.db").exists());

    place.open().await.unwrap().close().await;
    let store = Store::open_existing_read_only(&place.path("s.db"))
        .await
        .unwrap();
    let error = place.append(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_store_or_a_damaged_one_is_named() {
    let place = Place::new();
    std::fs::write(
        place.path("s.db"),
        "these are my shopping lists\n".repeat(100),
    )
    .unwrap();
    let error = place.open().await.unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
    assert!(error.to_string().contains("s.db"), "{error}");

    std::fs::remove_file(place.path("s.db")).unwrap();
    let store = place.open().await.unwrap();
    for _ in 0..200 {
        place.append(&store).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(place.path("s.db")).unwrap();
    let half = bytes.len() / 2;
    for byte in &mut bytes[half..] {
        *byte = 0xa5;
    }
    std::fs::write(place.path("s.db"), &bytes).unwrap();
    let error = place.open().await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error:?}");

    std::fs::write(place.path("s.db"), &bytes[..half]).unwrap();
    let error = place.open().await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error:?}");
}

#[tokio::test]
async fn a_side_file_without_its_store_is_not_thrown_away() {
    let place = Place::new();
    std::fs::write(place.path("s.db-wal"), "the last run's rows").unwrap();
    let error = place.open().await.unwrap_err();
    assert!(
        matches!(error, StoreError::StraySideFile { .. }),
        "{error:?}"
    );
    assert!(place.path("s.db-wal").exists() && !place.path("s.db").exists());
}

#[tokio::test]
async fn rows_of_another_store_in_the_side_file_are_found() {
    let (place, other) = (Place::new(), Place::new());
    for (place, entries) in [(&place, 30), (&other, 200)] {
        let store = place.open().await.unwrap();
        for _ in 0..entries {
            place.append(&store).await.unwrap();
        }
        if entries == 30 {
            let head = place.append(&store).await.unwrap();
            Checkpoint::new(place.clock.now(), head)
                .append_to(&place.path("checkpoints"))
                .unwrap();
            store.close().await;
        } else {
            // As a killed process leaves it: everything still in the side file.
            std::fs::copy(place.path("s.db-wal"), place.path("kept-wal")).unwrap();
            store.close().await;
        }
    }
    std::fs::copy(other.path("kept-wal"), place.path("s.db-wal")).unwrap();
    // Whether the pages happen to fit together or not, no run begins on them.
    let refused = match place.open().await {
        Err(error) => error,
        Ok(store) => store
            .check_anchor(&place.audit_writer(), Some(&place.path("checkpoints")))
            .await
            .unwrap_err(),
    };
    let words = refused.to_string();
    assert!(
        words.contains("is damaged") || words.contains("names entry 31"),
        "{words}"
    );
}

#[tokio::test]
async fn the_log_refuses_to_be_edited() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    place.append(&store).await.unwrap();
    place.append(&store).await.unwrap();
    for statement in [
        "UPDATE audit SET reason = 'x'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 1",
        "REPLACE INTO audit SELECT * FROM audit WHERE seq = 2",
    ] {
        let error = sqlx::query(statement)
            .execute(store.writer())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("append-only"),
            "{statement}: {error}"
        );
    }
}

#[tokio::test]
async fn a_store_stays_with_its_installation() {
    let place = Place::new();
    let store = place.open().await.unwrap();
    let at = |team: &str, opa: &str| {
        Installation::new(
            team,
            &BaseUrl::parse(opa, PlainHttp::LoopbackOnly).unwrap(),
            &BaseUrl::parse("https://app.opsera.io", PlainHttp::LoopbackOnly).unwrap(),
        )
    };
    let real = "https://example.pam.okta.com/";
    store.bind(&at("Example", real)).await.unwrap();
    store.bind(&at("example", real)).await.unwrap();
    for other in [
        at("other", real),
        at("example", "https://other.pam.okta.com"),
        at("example", "http://127.0.0.1:4000"),
    ] {
        let error = store.bind(&other).await.unwrap_err();
        assert!(
            matches!(error, StoreError::OtherInstallation { .. }),
            "{error:?}"
        );
    }

    let sandbox = Place::new();
    let store = sandbox.open().await.unwrap();
    store
        .bind(&at("example", "http://127.0.0.1:4000"))
        .await
        .unwrap();
    store
        .bind(&at("example", "http://localhost:5000"))
        .await
        .unwrap();
    let error = store.bind(&at("example", real)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::OtherInstallation { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_lost_store_is_not_begun_anew_beside_its_checkpoints() {
    let place = Place::new();
    let checkpoints = place.path("checkpoints");
    refuse_lost_store(&place.path("s.db"), &checkpoints).unwrap();
    let store = place.open().await.unwrap();
    let head = place.append(&store).await.unwrap();
    Checkpoint::new(place.clock.now(), head)
        .append_to(&checkpoints)
        .unwrap();
    refuse_lost_store(&place.path("s.db"), &checkpoints).unwrap();
    assert_eq!(mode(&checkpoints), 0o600);
    let error = refuse_lost_store(&place.path("gone.db"), &checkpoints).unwrap_err();
    assert!(
        error.to_string().contains("there is no store at"),
        "{error}"
    );
}

#[test]
fn one_run_at_a_time_and_the_second_learns_who_has_it() {
    let place = Place::new();
    let first = RunLock::acquire(&place.path("s.db"), &*place.clock).unwrap();
    let error = RunLock::acquire(&place.path("s.db"), &*place.clock).unwrap_err();
    assert!(matches!(error, LockError::Held { .. }), "{error:?}");
    let pid = format!("pid {} since", std::process::id());
    assert!(error.to_string().contains(&pid), "{error}");
    drop(first);
    RunLock::acquire(&place.path("s.db"), &*place.clock).unwrap();
    assert_eq!(mode(&place.path("s.db.lock")), 0o600);
}

#[test]
fn a_killed_run_leaves_no_lock() {
    let place = Place::new();
    let store = place.path("s.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store_opening::holds_the_lock_until_it_is_killed",
        ])
        .args(["--ignored", "--nocapture"])
        .env(HOLDS_LOCK_OF, &store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let locked = lines
        .map(Result::unwrap)
        .any(|line| line.contains("locked"));
    assert!(locked, "the child never took the lock");
    let error = RunLock::acquire(&store, &*place.clock).unwrap_err();
    assert!(
        error.to_string().contains(&format!("pid {}", child.id())),
        "{error}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    RunLock::acquire(&store, &*place.clock).unwrap();
}

#[test]
#[ignore = "the child process of a_killed_run_leaves_no_lock"]
fn holds_the_lock_until_it_is_killed() {
    let Some(store) = std::env::var_os(HOLDS_LOCK_OF) else {
        return;
    };
    let _lock = RunLock::acquire(Path::new(&store), &*SystemClock::shared()).unwrap();
    println!("locked");
    let _ = std::io::stdin().read(&mut [0]);
}
