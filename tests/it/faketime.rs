//! The program on a machine whose clock is wrong (libfaketime): nobody goes as `absent` by it.
//!
//! Only the time of day is faked: the monotonic clock, the boot id and the time since the boot stay
//! as they are, as on a machine whose clock somebody sets.

use std::process::Command;

use chrono::TimeDelta;
use rolecall::sandbox::{AccountStatus, Api, DateHeader};
use serde_json::Value;

use crate::child::Victim;
use crate::fault_world::World;
use crate::requirements::{Requirement, require};

/// What the wall clock is off by, as libfaketime reads it.
const YEAR_AHEAD: &str = "+365d";
const YEAR_BEHIND: &str = "-365d";
const RIGHT: &str = "+0";

/// Somebody with an account who is not in the Team.
async fn somebody_is_missing() -> World {
    let world = World::staffed().await;
    world.account("gone");
    world
}

/// One run at a wrong time.
async fn sync_at(world: &World, offset: &str) -> Value {
    let mut command = Command::new("faketime");
    command
        .args(["-m", "--exclude-monotonic", "-f", offset])
        .arg(env!("CARGO_BIN_EXE_rolecall"));
    world.finish_command(&mut command, &["sync", "--format", "json"]);
    let ended = Victim::start(&mut command, world.dir.path()).end().await;
    ended.assert_code(0);
    ended.report()
}

#[track_caller]
fn check(world: &World, report: &Value, trusted: bool) {
    let findings = report["findings"].as_array().unwrap();
    let told = findings.iter().any(|f| f["kind"] == "clock_not_trusted");
    assert_eq!(told, !trusted, "{findings:#?}");
    assert_eq!(world.standing("gone"), Some(AccountStatus::Active));
    assert_eq!(report["summary"]["waiting"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_clock_is_wrong_deactivates_nobody_who_is_absent() {
    if !require(Requirement::Faketime) {
        return;
    }
    // Ahead, behind, and right again: the grace of an hour has never passed.
    for wrong in [YEAR_AHEAD, YEAR_BEHIND] {
        let world = somebody_is_missing().await;
        check(&world, &sync_at(&world, RIGHT).await, true);
        for _ in 0..2 {
            check(&world, &sync_at(&world, wrong).await, false);
        }
        check(&world, &sync_at(&world, RIGHT).await, false);
        for _ in 0..3 {
            check(&world, &sync_at(&world, RIGHT).await, true);
        }
    }
    // Another time at every run.
    let world = somebody_is_missing().await;
    for hours in [0, 5, 11, 2, 30, 900] {
        check(
            &world,
            &sync_at(&world, &format!("+{hours}h")).await,
            hours == 0,
        );
    }
    // No answer says what time it is: what the machine knows of itself is enough.
    let world = somebody_is_missing().await;
    for api in [Api::Opa, Api::Opsera] {
        world.sandbox.date_header(api, DateHeader::Absent);
    }
    check(&world, &sync_at(&world, YEAR_BEHIND).await, true);
    check(&world, &sync_at(&world, RIGHT).await, false);
    check(&world, &sync_at(&world, RIGHT).await, true);
    check(&world, &sync_at(&world, YEAR_AHEAD).await, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_one_server_forges_ends_nobodys_grace() {
    if !require(Requirement::Faketime) {
        return;
    }
    let forged = [
        DateHeader::Fixed("Thu, 01 Jan 1970 00:00:00 GMT".to_owned()),
        DateHeader::Fixed("Fri, 01 Jan 2100 00:00:00 GMT".to_owned()),
        DateHeader::Offset(TimeDelta::days(365)),
    ];
    for date in forged {
        for api in [Api::Opa, Api::Opsera] {
            let world = somebody_is_missing().await;
            world.sandbox.date_header(api, date.clone());
            for offset in [RIGHT, RIGHT, RIGHT, YEAR_AHEAD] {
                sync_at(&world, offset).await;
                let standing = world.standing("gone");
                assert_eq!(standing, Some(AccountStatus::Active), "{date:?} {api:?}");
            }
        }
    }
}
