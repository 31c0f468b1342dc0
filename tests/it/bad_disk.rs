//! A disk that is full or read-only, and a store that is damaged: refused or finished cleanly,
//! with a name for what is wrong, and nothing sent that is not in the log.

use std::path::PathBuf;
use std::process::Command;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rolecall::store::audit::AuditFilter;
use rolecall::store::{Store, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::child::{Ended, Victim};
use crate::fault_world::{World, check_announcements};
use crate::mounts::Mount;
use crate::requirements::{Requirement, require};

/// It ended by itself: all done, or not done and told why. Gives whether it was done.
#[track_caller]
fn check_end(ended: &Ended, what: &str) -> bool {
    let context = format!("{what}: {:?}\n{}", ended.status, ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{context}");
    match ended.code() {
        Some(0) => true,
        Some(1) => {
            let report = ended.report();
            assert_eq!(report["outcome"], "failed", "{context}");
            let error = report["error"].as_str().unwrap();
            assert!(error.contains("rolecall.db"), "{what}: {error}");
            false
        }
        _ => panic!("{context}"),
    }
}

/// What was sent is announced in the log, as far as the log can be read.
async fn check_log(world: &World) {
    if world.writes().is_empty() {
        return;
    }
    let store = match Store::open_existing_read_only(&world.store_path()).await {
        Ok(store) => store,
        // Damage that the check at opening finds is named, and the log is not read. The run itself
        // may have passed that check: it counts the rows of a table and of its index and does not
        // compare them. A flipped bit in a row of `carriers` makes it another row; the run then
        // learns the true one anew, whose entry the index still has, and so the table has one row
        // more than the index ("wrong # of entries in index carriers_by_id").
        Err(StoreError::FailedCheck { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let entries = store.list_audit(&AuditFilter::default()).await;
    store.close().await;
    match entries {
        Ok(entries) => check_announcements(&world.sandbox.journal().entries(), &entries),
        // Damage in the log itself is named, with its row.
        Err(StoreError::Corrupt { table, .. }) => assert_eq!(table, "audit"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_at_any_point_stops_the_run_cleanly() {
    if !require(Requirement::Mounts) {
        return;
    }
    let (mut failed, mut kilobytes) = (0, 4);
    loop {
        let world = World::staffed().await;
        let disk = Mount::memory(&world.disk(), &format!("{kilobytes}k"));
        world.settings("");
        let ended = world.sync_child().await;
        let done = check_end(&ended, &format!("{kilobytes} kB"));
        if !done {
            failed += 1;
            let error = ended.report()["error"].to_string();
            assert!(error.contains("full") || error.contains("space"), "{error}");
        }
        disk.change("size=64m");
        check_log(&world).await;
        world.recover().await;
        if done {
            break;
        }
        kilobytes += 24;
    }
    println!("{failed} sizes of a disk that was too small, up to {kilobytes} kB");
    assert!(failed > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_the_size_of_files_stops_the_run_cleanly() {
    for blocks in [0, 8, 64, 200, 300, 400, 500, 600] {
        let world = World::staffed().await;
        let script = format!("ulimit -f {blocks} && exec \"$0\" \"$@\"");
        let mut command = Command::new("/bin/bash");
        command
            .args(["-c", &script])
            .arg(env!("CARGO_BIN_EXE_rolecall"));
        world.finish_command(&mut command, &["sync", "--format", "json"]);
        // The limit holds for standard output too, which the report must fit into: a pipe.
        let ended = Victim::with_pipes(&mut command);
        check_end(&ended, &format!("{blocks} blocks"));
        check_log(&world).await;
        world.recover().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_may_not_be_written_is_named_and_nothing_is_sent() {
    if !require(Requirement::Mounts) {
        return;
    }
    for first in [false, true] {
        let world = World::staffed().await;
        let disk = Mount::memory(&world.disk(), "16m");
        world.settings("");
        if first {
            let dry = ["sync", "--dry-run", "--format", "json"];
            let made = Victim::start(&mut world.command(&dry), world.dir.path());
            made.end().await.assert_code(0);
        }
        disk.change("ro");
        let ended = world.sync_child().await;
        assert!(!check_end(&ended, "read-only"));
        assert!(world.writes().is_empty());
        disk.change("rw");
        world.recover().await;
    }
}

/// A store that has been used, with work waiting, and its files.
async fn used_store() -> (World, Vec<(PathBuf, Vec<u8>)>) {
    used_store_remembering(0).await
}

/// The same, with so many people of long ago remembered: a million make it larger than what is
/// checked when it is opened.
async fn used_store_remembering(people: u32) -> (World, Vec<(PathBuf, Vec<u8>)>) {
    let world = World::staffed().await;
    world.sync_child().await.assert_code(0);
    let path = world.store_path();
    if people > 0 {
        let mut store = SqliteConnectOptions::new()
            .filename(&path)
            .connect()
            .await
            .unwrap();
        sqlx::query(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)
             INSERT INTO carriers (key, opa_id, name, carried_until, active_until)
             SELECT 'old' || i || '@example.com', 'old-' || i, 'old' || i, 1, 1 FROM n",
        )
        .bind(people)
        .execute(&mut store)
        .await
        .unwrap();
        store.close().await.unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    world.sandbox.journal().clear();
    world.leaver("lou");
    (world, vec![(path, bytes)])
}

fn side_file(world: &World, suffix: &str) -> PathBuf {
    let mut name = world.store_path().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn put_back(world: &World, files: &[(PathBuf, Vec<u8>)]) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(side_file(world, suffix));
    }
    for (path, bytes) in files {
        std::fs::write(path, bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_cut_or_overwritten_is_refused_by_name() {
    let (world, files) = used_store().await;
    let whole = &files[0].1;
    let length = whole.len();
    let mut cases: Vec<(String, Vec<u8>)> = [2, 15, 100, 512, 4096, 8192, length / 2, length - 1]
        .into_iter()
        .map(|kept| (format!("cut to {kept}"), whole[..kept].to_vec()))
        .collect();
    let overwritten = |from: usize, bytes: &[u8]| {
        let mut copy = whole.clone();
        copy[from..from + bytes.len()].copy_from_slice(bytes);
        copy
    };
    cases.push(("no header".into(), overwritten(0, &[0; 100])));
    cases.push((
        "a text".into(),
        b"[opa]\nthis is a settings file\n".repeat(200),
    ));
    cases.push(("zeros".into(), vec![0; length]));
    cases.push(("a first page of zeros".into(), overwritten(0, &[0; 4096])));
    cases.push((
        "a middle of zeros".into(),
        overwritten(length / 2, &[0; 8192]),
    ));
    for (what, bytes) in cases {
        put_back(&world, &files);
        std::fs::write(world.store_path(), bytes).unwrap();
        let ended = world.sync_child().await;
        assert!(!check_end(&ended, &what), "{what}");
        assert!(world.writes().is_empty(), "{what}");
        assert!(
            world.sandbox.journal().entries().is_empty(),
            "{what}: not even asked"
        );
    }
    put_back(&world, &files);
    world.recover().await;
}

/// `ROLECALL_DAMAGED_STORES` sets how many (default 40), `ROLECALL_SEED` which, and
/// `ROLECALL_REMEMBERED` how many people the store remembers beside.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_flipped_bits_never_makes_the_program_panic_hang_or_hide_a_request() {
    let number = |variable: &str, default| {
        std::env::var(variable).map_or(default, |text| text.parse::<u32>().unwrap())
    };
    let (world, files) = used_store_remembering(number("ROLECALL_REMEMBERED", 0)).await;
    let mut rng = StdRng::seed_from_u64(number("ROLECALL_SEED", 11).into());
    let (mut refused, mut ran) = (0, 0);
    for round in 0..number("ROLECALL_DAMAGED_STORES", 40) {
        put_back(&world, &files);
        world.sandbox.journal().clear();
        let lou = world.id("lou");
        let active = rolecall::sandbox::AccountStatus::Active;
        world
            .sandbox
            .opsera()
            .edit(&lou, |account| account.status = active)
            .unwrap();
        let mut bytes = files[0].1.clone();
        for _ in 0..rng.random_range(1..200) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        std::fs::write(world.store_path(), bytes).unwrap();
        let ended = world.sync_child().await;
        assert!(
            !ended.stderr.contains("panicked"),
            "{round}: {}",
            ended.stderr
        );
        match ended.code() {
            Some(0 | 3 | 4) => {
                ran += 1;
                check_log(&world).await;
            }
            Some(1) => {
                refused += 1;
                assert!(ended.report()["error"].is_string());
                if !world.writes().is_empty() {
                    check_log(&world).await;
                }
            }
            _ => panic!("{round}: {:?}\n{}", ended.status, ended.stderr),
        }
    }
    println!("{refused} damaged stores refused, {ran} with damage where it does no harm");
}

#[tokio::test(flavor = "multi_thread")]
async fn side_files_of_another_store_or_of_no_store_are_not_believed() {
    let (world, files) = used_store().await;
    let (other, _) = used_store().await;
    // The side file of a store whose process was killed.
    let store = Store::open(&other.store_path(), &*other.clock)
        .await
        .unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::query("CREATE TABLE stranger (a)")
        .execute(&mut *tx)
        .await
        .unwrap();
    store.commit(tx).await.unwrap();
    let foreign = std::fs::read(side_file(&other, "-wal")).unwrap();
    store.close().await;
    assert!(foreign.len() > 4096);
    let mut cut = foreign.clone();
    cut.truncate(foreign.len() / 2);
    for (what, wal) in [
        ("another store's", foreign),
        ("a cut one", cut),
        ("zeros", vec![0; 9000]),
    ] {
        put_back(&world, &files);
        world.sandbox.journal().clear();
        std::fs::write(side_file(&world, "-wal"), wal).unwrap();
        let ended = world.sync_child().await;
        check_end(&ended, what);
        check_log(&world).await;
        put_back(&world, &files);
    }
    world.recover().await;
}
