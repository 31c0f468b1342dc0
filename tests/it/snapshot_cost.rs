//! What a run costs where no clock is asked: requests, rows, and what is written to the ledger.
//! A machine does not matter for these, so a change that makes a run dearer fails here.

use std::path::Path;

use rolecall::domain::{Mode, Outcome};
use rolecall::sandbox::{AccountSeed, PersonSeed};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::fault_world::{World, assert_outcome};

const PEOPLE: usize = 400;
/// SQLite's page.
const PAGE: usize = 4096;

async fn organisation() -> World {
    let world = World::empty().await;
    world.fill(PEOPLE);
    world
}

fn requests(world: &World) -> usize {
    world.sandbox.journal().entries().len()
}

async fn rows(file: &Path, table: &'static str) -> usize {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .immutable(true)
        .read_only(true)
        .connect()
        .await
        .unwrap();
    let count: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut connection)
            .await
            .unwrap();
    connection.close().await.unwrap();
    usize::try_from(count).unwrap()
}

fn snapshot_file(world: &World, end: &str) -> std::path::PathBuf {
    let parent = world.store_path().parent().unwrap().to_owned();
    std::fs::read_dir(parent)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == end))
        .unwrap()
}

/// Pages of the ledger that differ, or are new.
fn changed_pages(before: &[u8], after: &[u8]) -> usize {
    after
        .chunks(PAGE)
        .enumerate()
        .filter(|(number, page)| before.get(number * PAGE..(number + 1) * PAGE) != Some(page))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_asks_for_its_pages_and_a_few_things_more() {
    let world = organisation().await;
    let first = world.run(Mode::DryRun).await;
    assert_outcome(&first, Outcome::ChangesPending);
    // A token, three listings of people, the groups and one group's people, the accounts, and the
    // second counts of both sides; whoever left is asked for once where no account is listed.
    let asked = requests(&world);
    assert!((8..=12).contains(&asked), "{asked} requests");
    world.run(Mode::DryRun).await;
    assert_eq!(requests(&world), asked, "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_has_a_row_for_each_record_and_none_more() {
    let world = organisation().await;
    world.run(Mode::DryRun).await;
    let (opa, opsera) = (
        snapshot_file(&world, "opa"),
        snapshot_file(&world, "opsera"),
    );
    assert_eq!(rows(&opa, "people").await, PEOPLE);
    assert_eq!(rows(&opa, "memberships").await, PEOPLE / 20);
    assert_eq!(rows(&opa, "shields").await, 0);
    assert_eq!(rows(&opsera, "accounts").await, PEOPLE);
    let bytes = std::fs::metadata(&opa).unwrap().len() + std::fs::metadata(&opsera).unwrap().len();
    assert!(
        bytes < 400 * 1024,
        "{bytes} bytes for {PEOPLE} on each side"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_over_the_same_directories_writes_next_to_nothing_to_the_ledger() {
    let world = organisation().await;
    world.run(Mode::DryRun).await;
    world.run(Mode::DryRun).await;
    let before = std::fs::read(world.store_path()).unwrap();
    world.run(Mode::DryRun).await;
    let after = std::fs::read(world.store_path()).unwrap();
    let changed = changed_pages(&before, &after);
    assert!(changed * PAGE < 100_000, "{changed} pages");
    assert!(
        after.len() <= before.len() + 4 * PAGE,
        "it grew by the audit log alone"
    );
}

/// Half of everybody has left, which is more than may go.
async fn held_organisation() -> World {
    let world = World::empty().await;
    for number in 0..PEOPLE {
        let (name, email) = (format!("p{number}"), format!("p{number}@example.com"));
        let mut person = PersonSeed::active(&name, &email);
        if number % 2 == 0 {
            person = person.status("DISABLED");
        }
        world.sandbox.opa().add_person(person).unwrap();
        world
            .sandbox
            .opsera()
            .add(AccountSeed::active(&email))
            .unwrap();
    }
    world.settings("[guards]\nmax_deactivations = 10\n");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actions_of_a_held_plan_are_written_while_its_row_is_short() {
    let world = held_organisation().await;
    world.run(Mode::DryRun).await;
    let mut store = SqliteConnectOptions::new()
        .filename(world.store_path())
        .connect()
        .await
        .unwrap();
    for statement in [
        "DELETE FROM plans",
        "CREATE TRIGGER row_is_short BEFORE INSERT ON plan_actions
         WHEN (SELECT length(guards) FROM plans WHERE id = NEW.plan_id) > 1000
         BEGIN SELECT RAISE(ABORT, 'the foreign key of each action costs a reading of this row'); END",
    ] {
        sqlx::query(statement).execute(&mut store).await.unwrap();
    }
    store.close().await.unwrap();
    let held = world.run(Mode::DryRun).await;
    assert_outcome(&held, Outcome::Held);
    let concerned = held.guards.iter().map(|guard| guard.concerned.len()).max();
    assert_eq!(concerned, Some(PEOPLE / 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_held_again_is_not_written_again() {
    let world = held_organisation().await;
    for _ in 0..2 {
        let held = world.run(Mode::DryRun).await;
        assert_outcome(&held, Outcome::Held);
    }
    let before = std::fs::read(world.store_path()).unwrap();
    world.run(Mode::DryRun).await;
    let after = std::fs::read(world.store_path()).unwrap();
    let changed = changed_pages(&before, &after);
    assert!(changed * PAGE < 100_000, "{changed} pages");
    assert_eq!(rows(&world.store_path(), "plan_actions").await, PEOPLE / 2);
}
