//! No statement that is run again and again reads a whole table of a snapshot or of the memory.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use super::snapshot::{Pull, Sealed, Side, path_of, snapshot_schema};
use super::{Store, diff_sql, pending_leavers, person, settled, settled_roles, similar};
use crate::domain::time::SystemClock;

const PULL: Pull = Pull(1);

/// A store with an empty snapshot.
async fn store(directory: &tempfile::TempDir) -> Store {
    let clock = SystemClock::shared();
    let store = Store::open(&directory.path().join("s.db"), &*clock)
        .await
        .unwrap();
    for side in [Side::Opa, Side::Opsera] {
        let mut file = SqliteConnectOptions::new()
            .filename(path_of(store.path(), PULL, side))
            .create_if_missing(true)
            .connect()
            .await
            .unwrap();
        for statement in snapshot_schema(side) {
            file.execute(statement).await.unwrap();
        }
        file.close().await.unwrap();
    }
    let sealed = Sealed::open(store.path(), PULL).await.unwrap();
    *store.sealed.lock().await = Some(sealed);
    store
}

/// What SQLite does for a statement, step by step.
async fn steps(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let steps: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(explain).fetch_all(connection).await.unwrap();
    assert!(!steps.is_empty());
    steps.into_iter().map(|step| step.3).collect()
}

/// Scans of a table that is not small.
fn whole_tables<'s>(steps: &'s [String], small: &[&str]) -> Vec<&'s String> {
    let small = |step: &str| {
        ["SCAN j", "SCAN CONSTANT", "SCAN (subquery"]
            .iter()
            .chain(small)
            .any(|small| step.starts_with(small))
    };
    steps
        .iter()
        .filter(|step| step.starts_with("SCAN") && !small(step))
        .collect()
}

#[tokio::test]
async fn nothing_that_is_done_per_page_reads_the_whole_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    let mut connection = store.snapshot(PULL).await.unwrap().acquire().await.unwrap();
    connection.execute(settled_roles::TABLES).await.unwrap();
    for (statement, small) in [
        (diff_sql::ACCOUNTS_AT, ""),
        (diff_sql::ONE_ACCOUNT, ""),
        (diff_sql::KEYLESS_PAGE, ""),
        (diff_sql::SHARED_KEYS, ""),
        (diff_sql::FIRST_ACCOUNTS, ""),
        (diff_sql::FIRST_MANAGED, ""),
        (diff_sql::PEOPLE, ""),
        (diff_sql::GROUPS, ""),
        (diff_sql::FORMER_HOLDERS, ""),
        (diff_sql::LAST_CARRIED, ""),
        (diff_sql::HOLDERS_OF_KEY, ""),
        (diff_sql::KEYS_OF_HOLDER, ""),
        (diff_sql::KEYS_OF_HOLDERS, ""),
        (diff_sql::PRESENT_RECORDS, ""),
        (diff_sql::COMPARED_WITH, ""),
        // The first entry of an index.
        (
            diff_sql::NAMES_ARE_ADDRESSES,
            "SCAN n USING COVERING INDEX people_by_name",
        ),
        // Of the rows of one text, at most eleven.
        (diff_sql::POSSIBLE, "SCAN x"),
        (diff_sql::JOINER_PAGE, ""),
        (diff_sql::IS_JOINER, ""),
        (diff_sql::UNIDENTIFIED, ""),
        (diff_sql::UNKNOWN_STATUS, ""),
        (diff_sql::UNREADABLE, "SCAN r"),
        (pending_leavers::LIST, "SCAN p"),
        // The 500 keys of this very statement.
        (settled::KEY_PAGE, "SCAN t"),
        (similar::SPELLED, ""),
        (similar::WITH_LOCAL_PART, ""),
        (similar::BESIDE, ""),
        (similar::WITH_LOOK, ""),
        (similar::OWNERS, ""),
        (person::ACCOUNTS_NAMED, ""),
        (person::entries_where(person::NAMED).as_str(), ""),
        (person::entries_where(person::WITH_KEY).as_str(), ""),
    ] {
        let small: Vec<&str> = Some(small).filter(|s| !s.is_empty()).into_iter().collect();
        let steps = steps(&mut connection, statement).await;
        assert!(
            whole_tables(&steps, &small).is_empty(),
            "{steps:#?} in {statement}"
        );
    }
    for statement in [
        settled_roles::ENTITLED,
        settled::NOT_ONE_TO_ONE,
        settled::not_entitled().as_str(),
    ] {
        let steps = steps(&mut connection, statement).await;
        assert!(
            whole_tables(&steps, &[]).len() <= 1,
            "{steps:#?} in {statement}"
        );
    }
    drop(connection);
    store.close().await;
}

#[tokio::test]
async fn what_the_ledger_learns_from_a_snapshot_reads_one_table_at_most() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory).await;
    let mut ledger = store.ledger_beside_snapshot(PULL).await.unwrap();
    for statement in super::memory::LEARNING.into_iter().chain([
        pending_leavers::TAKE_IN,
        pending_leavers::TAKE_IN_OTHERWISE_PRESENT,
        pending_leavers::LET_GO,
    ]) {
        let steps = steps(&mut ledger, statement).await;
        assert!(
            whole_tables(&steps, &[]).len() <= 1,
            "{steps:#?} in {statement}"
        );
    }
    ledger.close().await.unwrap();
    store.close().await;
}
