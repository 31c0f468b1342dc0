//! `sync --person`: only what concerns these people is planned.

use rolecall::domain::{Address, Mode, Outcome, PeopleFilter, Report};
use rolecall::reconcile::FailedOn;

use crate::model::{Limits, Org, Rules};
use crate::operator::{COUNTING, Desk};
use crate::world::World;

fn filter(addresses: &[&str]) -> Option<PeopleFilter> {
    PeopleFilter::of(addresses.iter().map(|text| Address::parse(text).unwrap()))
}

async fn three_leavers() -> World {
    let rules = Rules {
        limits: Limits::wide(),
        grace: 0,
        ..Rules::default()
    };
    let world = World::start(&Org::in_step(["ada", "bob", "cem", "dan"]), &rules).await;
    for name in ["ada", "bob", "cem"] {
        world.sandbox.opa().disable(name).unwrap();
    }
    world
}

fn planned(report: &Report) -> Vec<&str> {
    report.actions.iter().map(|a| a.email.as_str()).collect()
}

#[tokio::test]
async fn only_the_people_who_are_named_are_planned() {
    let world = three_leavers().await;
    let people = filter(&["BOB@example.com", "dan@example.com"]);
    let finished = world.run_for(Mode::DryRun, people.clone()).await;
    assert_eq!(planned(&finished.report), ["bob@example.com"]);
    assert_eq!(finished.report.outcome, Outcome::ChangesPending);
    let finished = world.run_for(Mode::Apply, people).await;
    assert_eq!(finished.report.outcome, Outcome::Applied);
    assert_eq!(world.deactivated(), ["bob"]);
    let rest = world.sync().await;
    assert_eq!(planned(&rest), ["ada@example.com", "cem@example.com"]);
}

#[tokio::test]
async fn an_address_that_nobody_knows_is_a_wrong_use_and_plans_nothing() {
    let world = three_leavers().await;
    let people = filter(&["bob@example.com", "nobody@example.com"]);
    let finished = world.run_for(Mode::Apply, people).await;
    assert_eq!(finished.failed_on, Some(FailedOn::Request));
    let error = finished.report.error.unwrap();
    assert!(
        error.starts_with("nobody knows nobody@example.com"),
        "{error}"
    );
    assert_eq!(world.sandbox.journal().writes(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_takes_several_and_a_held_plan_names_them_again() {
    let desk = Desk::with(COUNTING).await;
    desk.sync(0);
    desk.leave(&["p1", "p2", "p3"]);
    let limited = [
        "sync",
        "--person",
        "p1@example.com",
        "--person",
        "P2@example.com",
        "--format",
        "json",
    ];
    let held = desk.run(&limited);
    assert_eq!(held.status, 3, "{held:?}");
    let id = held.json()["plan_id"].as_str().unwrap().to_owned();
    // A run for everybody wants another plan, and does not take this one away.
    desk.sync(3);
    assert_eq!(desk.state(&id), "held");
    let shown = desk.run(&["plan", "show", &id]).json();
    assert_eq!(
        shown["people"],
        serde_json::json!(["p1@example.com", "p2@example.com"])
    );
    desk.approve(&id);
    assert_eq!(desk.run(&limited).status, 0);
    assert_eq!(desk.deactivated().len(), 2);

    let unknown = desk.run(&["sync", "--person", "who@example.com"]);
    assert_eq!(unknown.status, 2, "{unknown:?}");
    assert!(unknown.err.contains("nobody knows who@example.com"));
    let wrong = desk.run(&["sync", "--person", "no address"]);
    assert_eq!(wrong.status, 2, "{wrong:?}");
}
