//! A store edited by hand in every column: what reads it says table, column and row, and never
//! panics.

use rolecall::domain::{Key, PlanId, RunId};
use rolecall::store::audit::AuditFilter;
use rolecall::store::{QueueView, Store, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::operator::{COUNTING, Desk};

/// Every table that `status`, `queue list`, `plan list`, `audit list` and `explain` read.
const TABLES: [&str; 7] = [
    "runs",
    "plans",
    "plan_actions",
    "actions",
    "audit",
    "told_troubles",
    "carriers",
];

/// Null, another type, out of every range, and text that means nothing.
const VALUES: [&str; 8] = [
    "NULL",
    "'absurd'",
    "''",
    "x'ff00'",
    "-1",
    "9223372036854775807",
    "0.5",
    "'2026-99-99T99:99:99.999Z'",
];

async fn attach(desk: &Desk) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(desk.path("rolecall.db"))
        .connect()
        .await
        .unwrap()
}

/// A store with runs, a held plan, refused and planned actions, without any constraint left.
async fn used_store() -> Desk {
    let desk = Desk::with(COUNTING).await;
    desk.own_something("p1");
    desk.leave(&["p1"]);
    desk.sync(4);
    desk.leave(&["p2", "p3"]);
    desk.hold();
    let mut store = attach(&desk).await;
    for statement in [
        "INSERT INTO told_troubles (receiver, subject, told_at) VALUES ('webhook', 'failed', '2026-03-01T12:00:00.000Z')",
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_schema WHERE type IN ('trigger', 'view')",
        "DELETE FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN
             ('runs', 'plans', 'plan_actions', 'actions', 'audit', 'told_troubles')
             AND name NOT IN ('actions_by_run', 'actions_by_identity')",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    let schemas: Vec<(String, String)> =
        sqlx::query_as("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut store)
            .await
            .unwrap();
    for (name, sql) in schemas {
        if !TABLES.contains(&name.as_str()) {
            continue;
        }
        let columns: Vec<(i64, String, String, i64, Option<String>, i64)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("PRAGMA table_info({name})")))
                .fetch_all(&mut store)
                .await
                .unwrap();
        drop(sql);
        let list: Vec<String> = columns
            .iter()
            .map(|column| format!("\"{}\"", column.1))
            .collect();
        let list = list.join(", ");
        for statement in [
            format!("CREATE TABLE plain_{name} ({list})"),
            format!("INSERT INTO plain_{name} ({list}) SELECT {list} FROM {name}"),
            "PRAGMA foreign_keys = OFF".to_owned(),
            format!("DROP TABLE {name}"),
            format!("ALTER TABLE plain_{name} RENAME TO {name}"),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
                .execute(&mut store)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    for statement in [
        "CREATE INDEX actions_by_run ON actions (run_id, position)",
        "CREATE INDEX actions_by_identity ON actions (identity, id)",
        // The pages of what was deleted from the schema alone.
        "VACUUM",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    store.close().await.unwrap();
    desk
}

/// Everything that the commands read, each with its own answer.
async fn read_all(store: &Store, plan: &PlanId, run: &RunId) -> Vec<Option<StoreError>> {
    let filter = AuditFilter {
        run: Some(run.clone()),
        ..AuditFilter::default()
    };
    let key: Key = serde_json::from_value("p2@example.com".into()).unwrap();
    vec![
        store.list_runs(100).await.err(),
        store.last_success().await.err(),
        store.latest_pull().await.err(),
        store.accepted_source().await.err(),
        store.last_clock().await.err(),
        store.read_status().await.err(),
        store.past_report(run).await.err(),
        store.list_queue(QueueView::All, 100).await.err(),
        store.list_queue(QueueView::Unsettled, 100).await.err(),
        store.count_queue().await.err(),
        store.list_in_flight().await.err(),
        store.list_plans().await.err(),
        store.find_plan(plan).await.err(),
        store.list_plan_actions(plan).await.err(),
        store.list_audit(&AuditFilter::default()).await.err(),
        store.list_audit(&filter).await.err(),
        store.audit_head().await.err(),
        store.list_troubles("webhook").await.err(),
        store.list_key_holders(&key).await.err(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_edited_by_hand_is_named_by_table_column_and_row() {
    let desk = used_store().await;
    let path = desk.path("rolecall.db");
    let good = std::fs::read(&path).unwrap();
    let (mut edited, mut refused) = (0, 0);
    let mut store = attach(&desk).await;
    let mut columns = Vec::new();
    for table in TABLES {
        let of_table: Vec<(i64, String, String, i64, Option<String>, i64)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("PRAGMA table_info({table})")))
                .fetch_all(&mut store)
                .await
                .unwrap();
        columns.extend(of_table.into_iter().map(|column| (table, column.1)));
    }
    let plan: String = sqlx::query_scalar("SELECT id FROM plans LIMIT 1")
        .fetch_one(&mut store)
        .await
        .unwrap();
    let run: String = sqlx::query_scalar("SELECT id FROM runs LIMIT 1")
        .fetch_one(&mut store)
        .await
        .unwrap();
    store.close().await.unwrap();
    for (table, column) in columns {
        for value in VALUES {
            for suffix in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(desk.path(&format!("rolecall.db{suffix}")));
            }
            std::fs::write(&path, &good).unwrap();
            let mut store = attach(&desk).await;
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "UPDATE {table} SET \"{column}\" = {value}"
            )))
            .execute(&mut store)
            .await
            .unwrap();
            store.close().await.unwrap();
            edited += 1;
            let store = Store::open_existing_read_only(&path).await.unwrap();
            let what = format!("{table}.{column} = {value}");
            let errors =
                read_all(&store, &PlanId::new(plan.clone()), &RunId::new(run.clone())).await;
            for error in errors.into_iter().flatten() {
                refused += 1;
                let words = error.to_string();
                let StoreError::Corrupt { table, column, .. } = &error else {
                    panic!("{what}: {error:?}");
                };
                assert!(
                    words.contains(&format!("of {table} has an impossible {column}")),
                    "{what}: {words}"
                );
            }
            store.close().await;
        }
    }
    assert!(edited > 400, "{edited}");
    assert!(refused > 300, "{refused}");
}
