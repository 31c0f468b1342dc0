//! The snapshot is two files beside the store: sealed or not there at all, never trusted when it is
//! not what was written, and readable for whoever has it open while it is replaced.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rolecall::domain::time::SystemClock;
use rolecall::domain::{Mode, OpseraId, Outcome};
use rolecall::sandbox::{Answer, Api, Fault, FaultKind};
use rolecall::store::{Store, StoreError};

use crate::child::Victim;
use crate::fault_world::{World, assert_outcome};
use crate::mounts::{Mount, quietly};
use crate::requirements::{Requirement, require};

/// The files of the snapshots of a world, by name.
fn files(world: &World) -> Vec<PathBuf> {
    let store = world.store_path();
    let prefix = format!("{}.snapshot.", store.file_name().unwrap().to_str().unwrap());
    let mut found: Vec<PathBuf> = std::fs::read_dir(store.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&prefix)
        })
        .collect();
    found.sort();
    found
}

fn explain(world: &World, email: &str) -> (Option<i32>, String) {
    let mut command = world.command(&["explain", email]);
    let ended = Victim::with_pipes(&mut command);
    (ended.code(), format!("{}{}", ended.stdout, ended.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pull_leaves_two_private_files_and_removes_those_before() {
    let world = World::one_of_each().await;
    for _ in 0..3 {
        world.run(Mode::DryRun).await;
        let files = files(&world);
        assert_eq!(files.len(), 2, "{files:?}");
        for file in &files {
            let mode = std::fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_not_complete_leaves_the_former_snapshot_and_nothing_else() {
    let world = World::one_of_each().await;
    world.run(Mode::DryRun).await;
    let before = files(&world);
    let refused = FaultKind::Answer(Answer::status(403));
    world
        .sandbox
        .inject(Fault::opa(refused).on("GET", "/groups"));
    let failed = world.run(Mode::DryRun).await;
    assert_outcome(&failed, Outcome::Failed);
    assert_eq!(files(&world), before);
    let (code, text) = explain(&world, "lea@example.com");
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_before_the_seal_leaves_files_that_nobody_reads_and_the_next_run_removes() {
    let world = World::staffed().await;
    world.sync_child().await.assert_code(0);
    let sealed = files(&world);
    let victim: Arc<std::sync::OnceLock<Victim>> = Arc::default();
    world.sandbox.journal().on_receive({
        let victim = Arc::clone(&victim);
        move |request| {
            if request.api == Api::Opa && request.path.ends_with("/groups") {
                victim.wait().kill();
            }
        }
    });
    victim.set(world.start_sync()).ok().unwrap();
    let ended = victim.wait().end().await;
    assert!(ended.was_killed());
    let left = files(&world);
    assert_eq!(left.len(), 4, "two sealed, two left over: {left:?}");
    let (code, text) = explain(&world, "amy@example.com");
    assert!(matches!(code, Some(0)), "the former one is read: {text}");
    world.sandbox.journal().on_receive(|_| {});
    world.sync_child().await.assert_code(0);
    let now = files(&world);
    assert_eq!(now.len(), 2, "{now:?}");
    assert!(
        now.iter()
            .all(|file| !sealed.contains(file) && !left.contains(file))
    );
}

/// A name, and what is done to a file.
type Damage = (String, Box<dyn Fn(&Path)>);

/// What is done to one of the two files.
fn damages(other: &Path) -> Vec<Damage> {
    let mut damages: Vec<Damage> = vec![
        (
            "deleted".into(),
            Box::new(|file| std::fs::remove_file(file).unwrap()),
        ),
        (
            "cut in half".into(),
            Box::new(|file| {
                let bytes = std::fs::read(file).unwrap();
                std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
            }),
        ),
        (
            "empty".into(),
            Box::new(|file| std::fs::write(file, b"").unwrap()),
        ),
        (
            "one byte longer".into(),
            Box::new(|file| {
                let mut bytes = std::fs::read(file).unwrap();
                bytes.push(0);
                std::fs::write(file, &bytes).unwrap();
            }),
        ),
    ];
    let other = other.to_owned();
    damages.push((
        "another installation's".into(),
        Box::new(move |file| {
            let end = file.extension().unwrap().to_owned();
            let same_side = std::fs::read_dir(other.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .find(|path| path.extension() == Some(&end))
                .unwrap();
            std::fs::copy(same_side, file).unwrap();
        }),
    ));
    damages
}

/// Nothing of a damaged snapshot is used, that is said, and the next run puts it right.
async fn check_lost(world: &World, what: &str) {
    let (code, text) = explain(world, "lea@example.com");
    assert_eq!(code, Some(1), "{what}: {text}");
    assert!(text.contains("lost or damaged"), "{what}: {text}");
    assert!(!text.contains("panicked"), "{what}: {text}");
    let report = world.run(Mode::DryRun).await;
    assert_outcome(&report, Outcome::ChangesPending);
    let (code, text) = explain(world, "lea@example.com");
    assert_eq!(code, Some(0), "{what}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_lost_or_foreign_snapshot_is_noticed_and_costs_a_pull() {
    let world = World::one_of_each().await;
    let other = World::staffed().await;
    other.run(Mode::DryRun).await;
    world.run(Mode::DryRun).await;
    let other_file = files(&other)[0].clone();
    for side in 0..2 {
        for (what, damage) in damages(&other_file) {
            let file = files(&world)[side].clone();
            damage(&file);
            check_lost(&world, &format!("{} {what}", file.display())).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_flipped_bit_of_a_snapshot_is_noticed() {
    let world = World::one_of_each().await;
    let mut rng = StdRng::seed_from_u64(13);
    world.run(Mode::DryRun).await;
    let pristine: Vec<(PathBuf, Vec<u8>)> = files(&world)
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(&file).unwrap()))
        .collect();
    for round in 0..60 {
        let (file, bytes) = &pristine[round % 2];
        let mut bytes = bytes.clone();
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
        std::fs::write(file, bytes).unwrap();
        let store = world.store().await;
        let (pull, _) = store.latest_pull().await.unwrap().unwrap();
        let error = store.count_sides(pull).await.unwrap_err();
        assert!(
            matches!(error, StoreError::LostSnapshot { .. }),
            "{round}: {error}"
        );
        store.close().await;
        std::fs::write(file, &pristine[round % 2].1).unwrap();
    }
    let store = world.store().await;
    let (pull, _) = store.latest_pull().await.unwrap().unwrap();
    assert_eq!(store.count_sides(pull).await.unwrap(), (3, 3));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_its_snapshot_while_a_run_replaces_it() {
    let world = World::one_of_each().await;
    world.run(Mode::DryRun).await;
    let reader = world.store().await;
    let (pull, _) = reader.latest_pull().await.unwrap().unwrap();
    assert_eq!(reader.count_sides(pull).await.unwrap(), (3, 3));
    let lea = OpseraId::new(world.id("lea"));
    world.member("new", &[]);
    world.sync_child().await.assert_code(0);
    assert_eq!(files(&world).len(), 2);
    // The former one is unlinked by now, and still what it was.
    assert_eq!(reader.count_sides(pull).await.unwrap(), (3, 3));
    let facts = reader.find_account(pull, &lea, true).await.unwrap();
    assert!(facts.unwrap().managed);
    let (latest, _) = reader.latest_pull().await.unwrap().unwrap();
    assert_ne!(latest, pull);
    assert_eq!(reader.count_sides(latest).await.unwrap().0, 4);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_after_the_seal_leaves_a_whole_snapshot() {
    if !require(Requirement::Mounts) || !require(Requirement::Ext4) {
        return;
    }
    let world = World::staffed().await;
    let image = world.dir.path().join("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(16 * 1024 * 1024)
        .unwrap();
    assert!(quietly(
        Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image)
    ));
    let disk = Mount::image(&world.disk(), &image);
    world.settings("");
    let copy = world.dir.path().join("copy");
    let taken: Arc<Mutex<bool>> = Arc::default();
    world.sandbox.journal().on_receive({
        let (image, copy, taken) = (image.clone(), copy.clone(), Arc::clone(&taken));
        move |request| {
            // The first request that is certain to come after the seal.
            let mut taken = taken.lock().unwrap();
            if request.is_write() && !*taken {
                std::fs::copy(&image, &copy).unwrap();
                *taken = true;
            }
        }
    });
    world.sync_child().await.assert_code(0);
    assert!(*taken.lock().unwrap());
    let at = world.dir.path().join("restored");
    let mounted = Mount::image(&at, &copy);
    let store = Store::open_existing(&at.join("rolecall.db"), &*SystemClock::shared())
        .await
        .unwrap();
    let (pull, _) = store.latest_pull().await.unwrap().expect("it was sealed");
    let (people, accounts) = store.count_sides(pull).await.unwrap();
    assert!(people > 0 && accounts > 0);
    store.close().await;
    drop(mounted);
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_its_snapshot_runs_as_if_it_had_one() {
    // A backup may leave the snapshot out.
    let world = World::staffed().await;
    world.sync_child().await.assert_code(0);
    for file in files(&world) {
        std::fs::remove_file(file).unwrap();
    }
    let lou = "lou";
    world.leaver(lou);
    world.sandbox.journal().clear();
    world.sync_child().await.assert_code(0);
    assert_eq!(world.writes_of("DELETE").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_snapshot_is_noticed_though_its_size_and_the_time_of_its_change_are_put_back() {
    let world = World::one_of_each().await;
    world.run(Mode::DryRun).await;
    for file in files(&world) {
        let pristine = std::fs::read(&file).unwrap();
        let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
        let mut bytes = pristine.clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        for (bytes, is_sound) in [(bytes, false), (pristine, true)] {
            std::fs::write(&file, bytes).unwrap();
            let opened = std::fs::File::options().write(true).open(&file).unwrap();
            opened.set_modified(modified).unwrap();
            let store = world.store().await;
            let (pull, _) = store.latest_pull().await.unwrap().unwrap();
            let read = store.count_sides(pull).await;
            assert_eq!(read.is_ok(), is_sound, "{}", file.display());
            store.close().await;
        }
    }
}
