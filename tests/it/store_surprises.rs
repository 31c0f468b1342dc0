//! The store is not what the last run left: newer, somebody else's, gone, or older than its
//! checkpoints. That is said plainly, and nothing is applied until the operator decides.

use std::path::PathBuf;

use crate::child::Ended;
use crate::fault_world::World;
use rolecall::store::Store;

/// Refused: exit 1, a JSON report with an error that says these words, and nobody asked anything.
#[track_caller]
fn check_refused(world: &World, ended: &Ended, words: &[&str]) {
    ended.assert_code(1);
    let report = ended.report();
    assert_eq!(report["outcome"], "failed");
    let error = report["error"].as_str().unwrap();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(ended.stderr.contains("error:"), "people are told too");
    let asked = world.sandbox.journal().entries();
    assert!(asked.is_empty(), "{asked:?}");
}

fn checkpoints(world: &World) -> PathBuf {
    world.dir.path().join("checkpoints")
}

/// A world with a checkpoint file that has run once, and has new work.
async fn ran_once() -> World {
    let world = World::staffed().await;
    let file = checkpoints(&world);
    world.settings(&format!("[audit]\ncheckpoint_file = {file:?}\n"));
    world.sync_child().await.assert_code(0);
    world.leaver("lou");
    world.sandbox.journal().clear();
    world
}

fn remove_store(world: &World) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = world.store_path().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_newer_version_is_left_alone() {
    let world = ran_once().await;
    let store = Store::open(&world.store_path(), &*world.clock)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(store.writer())
    .await
    .unwrap();
    store.close().await;
    let ended = world.sync_child().await;
    check_refused(&world, &ended, &["newer version", "rolecall.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_installation_is_left_alone() {
    let world = ran_once().await;
    let other = World::with(|options| {
        options.clock = rolecall::domain::time::SystemClock::shared();
        options.team = "another".to_owned();
    })
    .await;
    std::fs::copy(world.store_path(), other.store_path()).unwrap();
    let ended = other.sync_child().await;
    check_refused(&other, &ended, &["belongs to"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_not_made_anew_until_the_operator_says_so() {
    let world = ran_once().await;
    remove_store(&world);
    for dry in [false, true] {
        let mut args = vec!["sync", "--format", "json"];
        args.extend(dry.then_some("--dry-run"));
        let ended = crate::child::Victim::start(&mut world.command(&args), world.dir.path());
        check_refused(&world, &ended.end().await, &["checkpoint"]);
        assert!(!world.store_path().exists(), "none was made");
    }
    // An empty file is no store either.
    std::fs::write(world.store_path(), b"").unwrap();
    check_refused(&world, &world.sync_child().await, &["checkpoint"]);
    std::fs::rename(checkpoints(&world), world.dir.path().join("old")).unwrap();
    world.sync_child().await.assert_code(0);
    world.recover().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_from_an_older_copy_is_not_believed_until_the_operator_says_so() {
    let world = ran_once().await;
    let copy = world.dir.path().join("backup");
    std::fs::copy(world.store_path(), &copy).unwrap();
    world.sync_child().await.assert_code(0);
    world.leaver("leo");
    world.sandbox.journal().clear();
    remove_store(&world);
    std::fs::copy(&copy, world.store_path()).unwrap();
    for _ in 0..2 {
        check_refused(&world, &world.sync_child().await, &["checkpoint"]);
    }
    std::fs::rename(checkpoints(&world), world.dir.path().join("old")).unwrap();
    world.sync_child().await.assert_code(0);
    world.recover().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_before_its_checkpoint_leaves_a_store_that_goes_on() {
    let world = ran_once().await;
    let before = std::fs::read(checkpoints(&world)).unwrap();
    world.sync_child().await.assert_code(0);
    // As if the last line had never been written, or only half of it.
    let after = std::fs::read(checkpoints(&world)).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len());
    for kept in [before.len(), before.len() + 7, after.len() - 1] {
        std::fs::write(checkpoints(&world), &after[..kept]).unwrap();
        let ended = world.sync_child().await;
        ended.assert_code(0);
    }
    world.recover().await;
}
