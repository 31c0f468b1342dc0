//! A store that version 0.1 wrote keeps its grace clocks, its memory of addresses and its roles.

use std::path::Path;
use std::time::Duration;

use rolecall::domain::Outcome;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use crate::model::{Human, Org, Rules};
use crate::world::{World, account, findings, person};

/// What version 0.1 had: the migrations up to the fifth.
async fn store_of_0_1(path: &Path, rows: &[&'static str]) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .unwrap();
    let all = Migrator::new(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/migrations"
    )))
    .await
    .unwrap();
    let first_five = Migrator {
        migrations: all
            .migrations
            .iter()
            .filter(|migration| migration.version <= 5)
            .cloned()
            .collect(),
        ..all
    };
    first_five.run(&pool).await.unwrap();
    for row in rows {
        sqlx::query(*row).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

/// One complete run of 0.1, two hours before the world begins.
const RUN: &str = "
INSERT INTO runs (id, mode, kinds, started_at, pulled_at, finished_at, outcome, opa_active, opa_accepted)
VALUES ('run-of-0-1', 'apply', 'deactivate,set_role,create', '2026-03-01T10:00:00.000Z',
        '2026-03-01T10:00:01.000Z', '2026-03-01T10:00:02.000Z', 'in_sync', 2, 1)";

/// The snapshot of that run, as far as it concerns bob.
const BOB: &str = "
INSERT INTO opa_users (pull, id, name, status, status_rank, service, email, address, key, skeleton,
                       name_folded, name_key)
VALUES (1, 'id-bob', 'bob', 'ACTIVE', 0, 0, 'bob@example.com', 'bob@example.com',
        'bob@example.com', 'bob@example.com', 'bob', 'bob')";

/// A later run, in which bob had another address.
const RUN_AND_ROBERT: [&str; 2] = [
    "INSERT INTO runs (id, mode, kinds, started_at, pulled_at, finished_at, outcome, opa_active, opa_accepted)
     VALUES ('another-of-0-1', 'apply', 'deactivate,set_role,create', '2026-03-01T11:00:00.000Z',
             '2026-03-01T11:00:01.000Z', '2026-03-01T11:00:02.000Z', 'in_sync', 2, 1)",
    "INSERT INTO opa_users (pull, id, name, status, status_rank, service, email, address, key, skeleton,
                            name_folded, name_key)
     VALUES (2, 'id-bob', 'bob', 'ACTIVE', 0, 0, 'robert@example.com', 'robert@example.com',
             'robert@example.com', 'robert@example.com', 'bob', 'bob')",
];

#[tokio::test]
async fn a_grace_that_began_under_0_1_goes_on_and_wants_three_pulls() {
    let mut org = Org::in_step(["ada", "bob"]);
    org.accounts.push(account("gone"));
    let rules = Rules {
        grace: 3600,
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    store_of_0_1(
        &world.context.settings.store.path,
        &[
            RUN,
            "INSERT INTO absences VALUES ('gone@example.com', '2026-03-01T10:00:01.000Z')",
        ],
    )
    .await;
    let report = world.sync().await;
    let since = report.waiting[0].since.to_rfc3339();
    assert!(since.starts_with("2026-03-01T10:00:01"), "{since}");
    assert_eq!(world.deactivated(), [""; 0], "two pulls have missed them");
    world.pass(Duration::from_mins(1));
    world.sync().await;
    assert_eq!(world.deactivated(), ["gone"]);
}

#[tokio::test]
async fn who_carried_an_address_under_0_1_is_still_known() {
    // bob was renamed under 0.1, and his record was replaced since the last run of it.
    let mut org = Org::in_step(["ada"]);
    org.accounts.push(account("bob"));
    org.people.push(Human {
        email: Some("robert@example.com".to_owned()),
        ..person("u17")
    });
    let rules = Rules {
        grace: 0,
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    store_of_0_1(
        &world.context.settings.store.path,
        &[
            RUN,
            RUN_AND_ROBERT[0],
            RUN_AND_ROBERT[1],
            "INSERT INTO carriers VALUES ('bob@example.com', 'id-bob', 'bob', 1, 1)",
            "INSERT INTO carriers VALUES ('robert@example.com', 'id-bob', 'bob', NULL, NULL)",
        ],
    )
    .await;
    for _ in 0..3 {
        let report = world.sync().await;
        assert_eq!(findings(&report, "renamed"), ["bob@example.com"]);
    }
    assert_eq!(world.deactivated(), [""; 0]);
}

#[tokio::test]
async fn a_leaver_without_details_counts_under_the_key_that_0_1_remembers() {
    let mut org = Org::in_step(["ada", "bob"]);
    let bob = org.person("bob");
    (bob.status, bob.email) = ("DELETED".to_owned(), None);
    let world = World::start(&org, &Rules::default()).await;
    store_of_0_1(
        &world.context.settings.store.path,
        &[
            RUN,
            BOB,
            "INSERT INTO carriers VALUES ('bob@example.com', 'id-bob', 'bob', NULL, NULL)",
        ],
    )
    .await;
    let report = world.sync().await;
    assert_eq!(report.actions[0].reason, "deleted");
    assert_eq!(world.deactivated(), ["bob"]);
}

#[tokio::test]
async fn roles_that_0_1_set_are_known_and_not_set_again() {
    let mut org = Org::in_step(["ada", "bob"]);
    for name in ["ada", "bob"] {
        org.join(name, "dev");
        org.account(name).role = "PowerUsers".to_owned();
    }
    let rules = Rules {
        patterns: vec![("dev".to_owned(), "PowerUsers".to_owned())],
        ..Rules::default()
    };
    let world = World::start(&org, &rules).await;
    store_of_0_1(
        &world.context.settings.store.path,
        &[
            RUN,
            "INSERT INTO known_roles VALUES
                 ('acct-ada', 'PowerUsers', 'set', '2026-03-01T10:00:01.000Z')",
            "INSERT INTO created_roles VALUES
                 ('bob@example.com', 'PowerUsers', '2026-03-01T10:00:01.000Z')",
        ],
    )
    .await;
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::InSync, "{:?}", report.actions);
}
