//! How a run ends is told once: on paper, in the store, in the log and by the exit status.

use std::time::Duration;

use rolecall::domain::{Mode, Outcome};
use rolecall::reconcile::exit_status;
use rolecall::store::Store;
use rolecall::store::audit::AuditFilter;

use crate::fault_world::World;

async fn last_run(store: &Store) -> (Option<String>, Option<String>, Outcome) {
    let run = store.list_runs(1).await.unwrap().remove(0);
    (run.outcome, run.error, run.report.unwrap().outcome)
}

#[tokio::test]
async fn a_run_is_closed_although_the_old_ones_cannot_be_removed() {
    let world = World::one_of_each().await;
    world.settings("[store]\nretain = \"1d\"\n");
    world.run(Mode::DryRun).await;
    world.clock.advance(Duration::from_hours(72));
    world.run(Mode::DryRun).await;
    let store = Store::open(&world.store_path(), &*world.clock)
        .await
        .unwrap();
    sqlx::query(
        "CREATE TRIGGER broken BEFORE DELETE ON runs
         BEGIN SELECT RAISE(ABORT, 'the disk is broken here'); END",
    )
    .execute(store.writer())
    .await
    .unwrap();
    store.close().await;
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::Applied, "{report:?}");
    let store = world.store().await;
    let (outcome, error, _) = last_run(&store).await;
    assert_eq!((outcome.as_deref(), error), (Some("applied"), None));
    let entries = store.list_audit(&AuditFilter::default()).await.unwrap();
    assert_eq!(entries.last().unwrap().event, "run_finished");
    store.close().await;
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_left_fails_the_run_everywhere() {
    let world = World::one_of_each().await;
    let volume = world.dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    world.settings(&format!(
        "[audit]\ncheckpoint_file = {:?}\n",
        volume.join("checkpoints")
    ));
    let watch = async {
        // The volume goes away while the run works.
        while world.sandbox.journal().entries().is_empty() {
            tokio::task::yield_now().await;
        }
        std::fs::remove_dir_all(&volume).unwrap();
    };
    let (report, ()) = tokio::join!(world.sync(), watch);
    assert_eq!(report.outcome, Outcome::Failed);
    assert_eq!(exit_status(&report, false).code(), 1);
    let told = report.error.clone().unwrap();
    assert!(told.contains("the checkpoint of the run could not be left"));
    let store = world.store().await;
    let (outcome, error, kept) = last_run(&store).await;
    assert_eq!(outcome.as_deref(), Some("failed"));
    assert_eq!((error, kept), (Some(told), Outcome::Failed));
    assert_eq!(
        store.past_report(&report.run_id).await.unwrap(),
        rolecall::store::PastReport::Whole(Box::new(report.clone())),
        "also what it failed on"
    );
    assert_eq!(store.last_success().await.unwrap(), None);
    let entries = store.list_audit(&AuditFilter::default()).await.unwrap();
    let last = entries.last().unwrap();
    assert_eq!(last.reason.as_deref(), Some("failed"));
    assert_eq!(report.audit_head.as_deref(), Some(last.hash.as_str()));
    store.close().await;
}

#[tokio::test]
async fn a_dry_run_is_no_success_of_the_job() {
    let world = World::empty().await;
    world.member("amy", &[]);
    assert_eq!(world.run(Mode::DryRun).await.outcome, Outcome::InSync);
    let store = world.store().await;
    assert_eq!(store.last_success().await.unwrap(), None);
    assert_eq!(store.read_status().await.unwrap().last_success, None);
    store.close().await;
    let report = world.sync().await;
    let store = world.store().await;
    assert_eq!(
        store.last_success().await.unwrap(),
        Some(report.finished_at)
    );
    store.close().await;
}

#[tokio::test]
async fn a_report_says_where_and_with_what_it_was_made() {
    let world = World::empty().await;
    world.member("amy", &[]);
    let first = world.sync().await.origin;
    let context = world.context();
    assert_eq!(
        first.team.as_deref(),
        Some(context.settings.opa.team.as_str())
    );
    assert_eq!(
        first.opsera_url.as_deref(),
        Some(context.settings.opsera.base_url.as_url().as_str())
    );
    assert_eq!(first.actor, Some(context.actor.user));
    assert_eq!(first.version, Some(context.actor.version));
    // What is known of the store grows; where and with what the run was made is the same.
    let second = world.sync().await.origin;
    let without_store = |origin: &rolecall::domain::Origin| rolecall::domain::Origin {
        store: None,
        ..origin.clone()
    };
    assert_eq!(without_store(&second), without_store(&first));
    let path = |origin: &rolecall::domain::Origin| origin.store.as_ref().unwrap().path.clone();
    assert_eq!(path(&second), path(&first));
    world.settings("[guards]\nmax_creations = 7\n");
    let changed = world.sync().await.origin;
    assert_ne!(changed.settings_digest, first.settings_digest);
    let text = format!("{changed:?}");
    assert!(!text.contains(&world.sandbox.opsera_token()));
}
