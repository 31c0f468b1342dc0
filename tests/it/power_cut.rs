//! The power goes: at the moment Opsera receives a write, what is on the disk then, and only that,
//! holds the intent of every request received so far (A1); at any other moment, what is on the disk
//! is what the next run finishes.
//!
//! The store is on a file system in a file. When a write arrives, the file is copied as it is:
//! what the program wrote without flushing is in the machine's memory alone, and not in the copy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use rolecall::audit::{Proof, Verdict};
use rolecall::sandbox::{Entry, Fault, FaultKind};
use rolecall::store::{Store, audit::AuditFilter};

use crate::child::OF_EACH;
use crate::fault_world::{World, check_announcements};
use crate::mounts::{Mount, quietly};
use crate::requirements::{Requirement, require};

fn make_image(at: &Path) {
    std::fs::File::create(at)
        .unwrap()
        .set_len(16 * 1024 * 1024)
        .unwrap();
    assert!(quietly(
        Command::new("mkfs.ext4").args(["-q", "-F"]).arg(at)
    ));
}

/// What the copied disk holds of the requests received by then.
async fn check_copy(image: &Path, at: &Path, received: &[Entry]) {
    let mounted = Mount::image(at, image);
    let path = at.join("rolecall.db");
    let store = Store::open_existing(&path, &*rolecall::domain::time::SystemClock::shared())
        .await
        .unwrap();
    let verdict = store.verify_audit(&Proof::default()).await.unwrap();
    assert!(!matches!(verdict, Verdict::Broken(_)), "{verdict:?}");
    let found: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(store.reader())
        .await
        .unwrap();
    assert_eq!(found, "ok");
    let in_flight: i64 =
        sqlx::query_scalar("SELECT count(*) FROM actions WHERE state = 'in_flight'")
            .fetch_one(store.reader())
            .await
            .unwrap();
    assert_eq!(in_flight, 1, "the request that was just received");
    let entries = store.list_audit(&AuditFilter::default()).await.unwrap();
    check_announcements(received, &entries);
    store.close().await;
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_holds_the_intent_of_every_request_before_it_is_received() {
    if !require(Requirement::Mounts) || !require(Requirement::Ext4) {
        return;
    }
    let world = World::staffed().await;
    let image = world.dir.path().join("image");
    make_image(&image);
    let disk = Mount::image(&world.disk(), &image);
    world.settings("");
    // One answer is lost, so that a repeated request is among them.
    let lost = Fault::opsera(FaultKind::CutBeforeEffect).on("DELETE", "/user");
    world.sandbox.inject(lost);
    let copies: Arc<Mutex<Vec<(u64, PathBuf)>>> = Arc::default();
    world.sandbox.journal().on_receive({
        let (copies, image, dir) = (
            Arc::clone(&copies),
            image.clone(),
            world.dir.path().to_owned(),
        );
        move |request| {
            if request.is_write() {
                let copy = dir.join(format!("copy{}", request.number));
                std::fs::copy(&image, &copy).unwrap();
                copies.lock().unwrap().push((request.number, copy));
            }
        }
    });
    world.sync_child().await.assert_code(0);
    assert!(world.is_settled());
    let copies = copies.lock().unwrap().clone();
    assert_eq!(copies.len(), 3 * OF_EACH + 1);
    for (number, copy) in copies {
        let mut received = world.writes();
        received.retain(|entry| entry.received.number <= number);
        let at = world.dir.path().join("restored");
        check_copy(&copy, &at, &received).await;
    }
    world.recover().await;
    drop(disk);
}

/// `ROLECALL_POWER_CUTS` sets how many (default 8), `ROLECALL_SEED` where to start.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_the_disk_at_any_instant_is_finished_by_the_next_run() {
    if !require(Requirement::Mounts) || !require(Requirement::Ext4) {
        return;
    }
    let number = |variable: &str, default| {
        std::env::var(variable).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let mut rng = StdRng::seed_from_u64(number("ROLECALL_SEED", 1));
    let world = World::staffed().await;
    let started = Instant::now();
    world.sync_child().await.assert_code(0);
    let whole = started.elapsed();
    let cuts = number("ROLECALL_POWER_CUTS", 8);
    let (mut before_the_end, mut writes) = (0, 0);
    for _ in 0..cuts {
        let world = World::staffed().await;
        let image = world.dir.path().join("image");
        make_image(&image);
        let disk = Mount::image(&world.disk(), &image);
        world.settings("");
        let victim = world.start_sync();
        let after = whole.mul_f64(rng.random_range(0.0..1.0));
        victim.after(after, |victim| victim.signal("STOP")).await;
        let copy = world.dir.path().join("copy");
        std::fs::copy(&image, &copy).unwrap();
        victim.kill();
        before_the_end += u64::from(victim.end().await.was_killed());
        writes += world.writes().len();
        drop(disk);
        let _disk = Mount::image(&world.disk(), &copy);
        world.check_after_kill().await;
        world.recover().await;
    }
    println!(
        "{cuts} cuts within {whole:?}: {before_the_end} before the end, {writes} writes received by then"
    );
}
