//! A store of 0.1, whose snapshot is in its tables, is brought over: no grace clock, role,
//! rejection, remembered address or audit entry is lost.

use rolecall::domain::time::SystemClock;
use rolecall::domain::{Key, OpseraId};
use rolecall::store::Store;
use sqlx::migrate::{Migration, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

static ALL: Migrator = sqlx::migrate!("./migrations");

/// What 0.1 left: a pull whose run was killed before the memory had learnt it.
const OLD: &str = "
INSERT INTO meta (key, value) VALUES ('team', 'example');
INSERT INTO runs (id, mode, kinds, started_at, pulled_at, finished_at, outcome, opa_active, opa_accepted)
VALUES ('first', 'apply', 'set_role,create,deactivate', '2026-01-01T00:00:00.000Z',
        '2026-01-01T00:00:01.000Z', '2026-01-01T00:00:02.000Z', 'applied', 2, 1),
       ('second', 'apply', 'set_role,create,deactivate', '2026-01-02T00:00:00.000Z',
        '2026-01-02T00:00:01.000Z', '2026-01-02T00:00:02.000Z', 'failed', 2, 0);
INSERT INTO opa_users (pull, id, name, status, status_rank, service, email, address, key, skeleton,
                       name_folded, name_key)
VALUES (2, 'o1', 'ann', 'ACTIVE', 0, 0, 'ann@new.example', 'ann@new.example', 'ann@new.example',
        'ann@new.example', 'ann', 'ann');
INSERT INTO opsera_accounts (pull, id, email, address, key, own_key, skeleton, active, managed)
VALUES (2, 'a9', 'made@x.example', 'made@x.example', 'made@x.example', 'made@x.example',
        'made@x.example', 1, 1);
INSERT INTO carriers (key, opa_id, name, carried_until, active_until)
VALUES ('ann@old.example', 'o1', 'ann', NULL, NULL);
INSERT INTO absences (key, since) VALUES ('gone@x.example', '2026-01-01T00:00:01.000Z');
INSERT INTO known_roles (opsera_id, role, source, at)
VALUES ('a1', 'Auditors', 'set', '2026-01-01T00:00:02.000Z');
INSERT INTO told_troubles (subject, told_at) VALUES ('failed', '2026-01-02T00:00:02.000Z');
INSERT INTO told_findings (kind, email, seen_at)
VALUES ('invalid_email', 'nobody', '2026-01-02T00:00:02.000Z');
INSERT INTO created_roles (key, role, at)
VALUES ('made@x.example', 'PowerUsers', '2026-01-01T00:00:02.000Z'),
       ('later@x.example', 'Users', '2026-01-01T00:00:02.000Z');
INSERT INTO actions (run_id, plan_id, position, identity, kind, opsera_id, key, email, action, state,
                     attempts, next_attempt_at, http_status, message, created_at, updated_at)
VALUES ('first', 'p', 0, 'deactivate a2', 'deactivate', 'a2', 'b@x.example', 'b@x.example', '{}',
        'rejected', 1, '2026-02-01T00:00:00.000Z', 400, 'owns pipelines',
        '2026-01-01T00:00:02.000Z', '2026-01-01T00:00:02.000Z');
INSERT INTO audit (seq, at, host, user, version, event, algorithm, prev_hash, hash)
VALUES (1, '2026-01-01T00:00:00.000Z', 'h', 'u', '0.1.0', 'run_started', 'sha256',
        '0000000000000000000000000000000000000000000000000000000000000000',
        'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');";

async fn column(store: &Store, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query)
        .fetch_all(store.reader())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_store_of_0_1_keeps_everything_that_lasts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rolecall.db");
    let mut old = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    let known: Vec<Migration> = ALL.iter().filter(|m| m.version <= 5).cloned().collect();
    Migrator::with_migrations(known)
        .run_direct(None, &mut old, false)
        .await
        .unwrap();
    old.execute(OLD).await.unwrap();
    sqlx::Connection::close(old).await.unwrap();

    let store = Store::open(&path, &*SystemClock::shared()).await.unwrap();
    assert_eq!(
        column(&store, "SELECT key || ' ' || since FROM absences").await,
        ["gone@x.example 2026-01-01T00:00:01.000Z"]
    );
    assert_eq!(
        column(
            &store,
            "SELECT opsera_id || ' ' || role || ' ' || source FROM known_roles ORDER BY 1"
        )
        .await,
        ["a1 Auditors set", "a9 PowerUsers created"]
    );
    assert_eq!(
        column(&store, "SELECT key FROM created_roles").await,
        ["later@x.example"]
    );
    assert_eq!(
        column(
            &store,
            "SELECT identity || ' ' || state || ' ' || message FROM actions"
        )
        .await,
        ["deactivate a2 rejected owns pipelines"]
    );
    let told = column(
        &store,
        "SELECT receiver || ' ' || subject FROM told_troubles",
    );
    assert_eq!(told.await, ["webhook failed"]);
    let told = column(&store, "SELECT receiver || ' ' || email FROM told_findings");
    assert_eq!(told.await, ["webhook nobody"]);
    assert_eq!(
        column(&store, "SELECT hash FROM audit").await,
        ["a".repeat(64)]
    );
    // The address that was given up in the pull that the memory had not learnt.
    assert_eq!(
        column(
            &store,
            "SELECT key || ' ' || coalesce(carried_until, 'now') FROM carriers ORDER BY key"
        )
        .await,
        ["ann@new.example now", "ann@old.example 1"]
    );
    // What was only a snapshot is read again by the next pull, and missed by nobody until then.
    let (pull, _) = store.latest_pull().await.unwrap().unwrap();
    let lost = store
        .find_account(pull, &OpseraId::new("a9"), true)
        .await
        .unwrap_err();
    assert!(lost.to_string().contains("sync"), "{lost}");
    let holders = store.list_key_holders(&holder_key()).await.unwrap();
    assert_eq!(holders.len(), 1);
    store.close().await;
}

fn holder_key() -> Key {
    let address = rolecall::domain::Address::parse("ann@old.example").unwrap();
    rolecall::domain::Matching::default().opa_key(&address)
}
