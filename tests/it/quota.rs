//! OPA's hourly quota beside a second client of the same service user (A3).

use rolecall::domain::Outcome;
use rolecall::rules::Lookup;
use rolecall::sandbox::{Api, PageLimit};

use crate::model::{Org, Rules};
use crate::world::World;

const LIMIT: u64 = 10_000;
const MINUTES: usize = 60;

/// A Team that is read person by person, with the default pace of a tenant.
async fn tenant(size: usize, rules: &Rules) -> World {
    let mut world = World::start(&Org::of_size(size), rules).await;
    world.sandbox.opa().page_limit(PageLimit::clamp(1));
    let opa = &mut world.context.settings.opa;
    (opa.requests_per_second, opa.burst) = (10.0, 10);
    world.context.settings.policy.roles.lookup = Lookup::User;
    world.sandbox.quota().set_limit(Some(LIMIT));
    // It eats half of the hour.
    world.sandbox.quota().second_client(LIMIT / 2);
    world
}

/// Requests to OPA in each minute since the world began.
fn in_each_minute(world: &World) -> Vec<usize> {
    let beginning: rolecall::domain::time::Timestamp = crate::program::BEGINNING.parse().unwrap();
    let mut minutes = Vec::new();
    for entry in world.sandbox.journal().requests(Api::Opa, "GET", "/") {
        let minute = (entry.received.at - beginning).num_minutes();
        let minute = usize::try_from(minute).unwrap();
        if minutes.len() <= minute {
            minutes.resize(minute + 1, 0);
        }
        minutes[minute] += 1;
    }
    minutes
}

#[tokio::test]
async fn a3_a_pull_that_does_not_fit_the_hour_ends_at_an_even_pace_and_meets_no_429() {
    let world = tenant(3_400, &Rules::default()).await;
    let report = world.sync().await;
    assert_eq!(report.outcome, Outcome::InSync, "{:?}", report.error);
    assert_eq!(world.sandbox.quota().refused(), 0);
    let minutes = in_each_minute(&world);
    assert!(
        minutes.len() > MINUTES,
        "it needs a second hour: {minutes:?}"
    );
    // While the rate of the other client is not known yet, the pull goes as fast as it may.
    let hour = &minutes[1..MINUTES];
    let (least, most) = (hour.iter().min().unwrap(), hour.iter().max().unwrap());
    assert!(*least >= 40 && *most <= 60, "{minutes:?}");
    let ours: usize = minutes[..MINUTES].iter().sum();
    let reserve = 10_000 - 5_000 - ours;
    assert!((1_900..2_200).contains(&reserve), "{reserve} are left");
}

#[tokio::test]
async fn a3_looking_up_each_person_is_paced_like_the_listing() {
    let rules = Rules {
        patterns: vec![("dev".to_owned(), "PowerUsers".to_owned())],
        ..Rules::default()
    };
    let world = tenant(1_700, &rules).await;
    world.sandbox.opa().add_group("dev");
    let report = world.sync().await;
    assert_eq!(report.error, None);
    assert_eq!(world.sandbox.quota().refused(), 0);
    let minutes = in_each_minute(&world);
    let ours: usize = minutes.iter().take(MINUTES).sum();
    assert!(ours <= 3_100, "the reserve is left to others: {minutes:?}");
}
