//! `rolecall undo`: the roles that a run changed come back, once, after somebody approved it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rolecall::sandbox::{Fault, FaultKind};
use serde_json::Value;

use crate::child::Victim;
use crate::operator::{COUNTING, Desk, addresses};

const GUARDS: &str = "
[retry]
base_delay = \"1ms\"
max_delay = \"2ms\"
[guards]
max_role_changes_percent = 100
max_deactivations_percent = 100
max_opa_drop_percent = 100
";

/// Ten people with the default role, as rolecall set it.
async fn desk(more: &str) -> Desk {
    let desk = Desk::with(&settings("Users", more)).await;
    assert_eq!(desk.sync(0)["summary"]["set_role"], 10);
    desk
}

fn settings(default: &str, more: &str) -> String {
    format!("{GUARDS}{more}\n[roles]\ndefault = \"{default}\"\n")
}

/// Rewrites the rules: the default role and nothing else.
fn set_default(desk: &Desk, default: &str, more: &str) {
    let text = format!(
        "{}{}",
        desk.sandbox.settings_toml(),
        settings(default, more)
    );
    desk.write("rolecall.toml", &text);
}

/// A run with a wrong rule; gives its id.
fn wrong_run(desk: &Desk, more: &str) -> String {
    set_default(desk, "PowerUsers", more);
    let report = desk.sync(0);
    assert_eq!(report["outcome"], "applied");
    report["run_id"].as_str().unwrap().to_owned()
}

fn role(desk: &Desk, name: &str) -> String {
    let account = desk.sandbox.opsera().get(&format!("{name}@example.com"));
    account.unwrap().site_role
}

fn roles(desk: &Desk) -> Vec<String> {
    (0..10).map(|n| role(desk, &format!("p{n}"))).collect()
}

#[track_caller]
fn undo(desk: &Desk, run: &str, status: i32) -> Value {
    let told = desk.run(&["undo", run]);
    assert_eq!(told.status, status, "{told:?}");
    told.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_that_a_run_changed_come_back_once_they_are_approved() {
    let desk = desk("").await;
    desk.leave(&["p9"]);
    let run = wrong_run(&desk, "");
    assert_eq!(desk.deactivated(), addresses(&["p9"]));
    assert_eq!(role(&desk, "p0"), "PowerUsers");

    // Somebody has another role by now, so that one is not the run's any more.
    desk.sandbox.opa().add_group("auditors");
    desk.sandbox.opa().join("p0", "auditors").unwrap();
    let rule = "[[roles.rules]]\ngroup = \"auditors\"\nrole = \"Auditors\"\n";
    let text = format!(
        "{}{}{rule}",
        desk.sandbox.settings_toml(),
        settings("PowerUsers", "")
    );
    desk.write("rolecall.toml", &text);
    assert_eq!(desk.sync(0)["summary"]["set_role"], 1);

    let prefix = run.get(..8).unwrap();
    let told = desk.run(&["undo", prefix, "--format", "table"]);
    assert_eq!((told.status, told.err.as_str()), (3, ""), "{told:?}");
    for words in [
        "gives 8 accounts the role back that they had before run ",
        "1 role left as they are\n  p0@example.com: changed since: the role is Auditors, and the \
         run set PowerUsers",
        "No undo for 1 account that run ",
        "deactivated; what was deactivated stays deactivated\n  p9@example.com",
        "Correct the rules first: as they are, they give 8 accounts the same role again",
    ] {
        assert!(told.out.contains(words), "no “{words}” in {}", told.out);
    }
    let json = undo(&desk, &run, 3);
    assert_eq!(json["schema"], "rolecall.undo/1");
    assert_eq!(json["actions"].as_array().unwrap().len(), 8);
    assert_eq!(json["no_undo"]["deactivated"][0]["email"], "p9@example.com");
    let id = json["plan_id"].as_str().unwrap().to_owned();
    assert_eq!(desk.state(&id), "held");
    let shown = desk.run(&["plan", "show", &id, "--format", "table"]);
    assert!(
        shown.out.starts_with(&format!(
            "Plan {id} is held: it takes back what run {run} changed."
        )),
        "{}",
        shown.out
    );

    // No run supersedes it, and nothing happens without an approval.
    let text = format!(
        "{}{}{rule}",
        desk.sandbox.settings_toml(),
        settings("Users", "max_role_changes = 1")
    );
    desk.write("rolecall.toml", &text);
    assert_eq!(desk.state(&id), "held");
    let before = roles(&desk);
    let held = desk.sync(3);
    assert_eq!(
        held["plan_id"],
        id.as_str(),
        "the corrected rules want the same"
    );
    assert_eq!(roles(&desk), before);

    desk.approve(&id);
    let report = desk.sync(0);
    assert_eq!(report["outcome"], "applied");
    assert_eq!(report["summary"]["set_role"], 8);
    assert_eq!(
        report["actions"][0]["reason"],
        format!("undo of run {run}").as_str()
    );
    assert_eq!(report["approval"]["plan_id"], id.as_str());
    assert_eq!(role(&desk, "p1"), "Users");
    assert_eq!(role(&desk, "p0"), "Auditors");
    assert_eq!(desk.state(&id), "used");
    assert_eq!(desk.sync(0)["outcome"], "in_sync");

    let started = desk.entries("action_started");
    let last = started.last().unwrap();
    assert_eq!(last["reason"], format!("undo of run {run}").as_str());
    let held = desk.entries("plan_held");
    assert_eq!(held[0]["evidence"]["undoes"], run.as_str());

    let again = undo(&desk, &run, 0);
    assert_eq!(again["plan_id"], Value::Null);
    assert_eq!(again["left_out"].as_array().unwrap().len(), 9);
    let told = desk.run(&["undo", &run, "--format", "table"]);
    assert!(
        told.out.starts_with("Nothing to restore: run "),
        "{}",
        told.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_rules_are_wrong_an_undo_holds_for_one_run() {
    let desk = desk("").await;
    let run = wrong_run(&desk, "");
    let id = undo(&desk, "latest", 3)["plan_id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The rules want what is there, so this run has nothing to do and supersedes nothing.
    assert_eq!(desk.sync(0)["outcome"], "in_sync");
    assert_eq!(desk.state(&id), "held");
    desk.approve(&id);
    let explained = desk.run(&["explain", "p1@example.com"]).json();
    let words = explained["accounts"][0]["decision"]["words"]
        .as_str()
        .unwrap();
    assert_eq!(
        words,
        format!("set the site role from PowerUsers to Users: undo of run {run}")
    );
    let dry = desk.run(&["sync", "--dry-run"]).json();
    assert_eq!(dry["summary"]["set_role"], 10);
    assert_eq!(dry["summary"]["unchanged"], 0);
    let report = desk.sync(0);
    assert_eq!(report["outcome"], "applied");
    assert_eq!(report["summary"]["set_role"], 10);
    assert_eq!(roles(&desk), ["Users"; 10]);
    // From here on the rules count again.
    let report = desk.sync(0);
    assert_eq!(report["summary"]["set_role"], 10);
    assert_eq!(roles(&desk), ["PowerUsers"; 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_undo_leaves_whoever_has_changed_since() {
    let desk = desk("").await;
    let run = wrong_run(&desk, "");
    let id = undo(&desk, &run, 3)["plan_id"].as_str().unwrap().to_owned();
    desk.approve(&id);
    desk.leave(&["p1"]);
    desk.write("protect.toml", "[protect]\nemails = [\"p2@example.com\"]\n");
    let told = desk.run(&[
        "--config",
        "rolecall.toml",
        "--config",
        "protect.toml",
        "sync",
    ]);
    assert_eq!(told.status, 0, "{told:?}");
    let report = told.json();
    assert_eq!(report["summary"]["set_role"], 8);
    assert_eq!(report["summary"]["deactivate"], 1);
    assert_eq!(role(&desk, "p2"), "PowerUsers");
    assert_eq!(desk.deactivated(), addresses(&["p1"]));
    assert_eq!(desk.state(&id), "approved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_passes_beside_work_that_passes_by_itself_and_no_other() {
    let desk = desk("max_deactivations = 1\nmax_administrator_grants = 10").await;
    let more = "max_deactivations = 1\nmax_role_changes = 3";
    set_default(&desk, "PowerUsers", more);
    let id = desk.hold();
    desk.approve(&id);
    let run = desk.sync(0)["run_id"].as_str().unwrap().to_owned();
    let undone = undo(&desk, &run, 3);
    let held: Vec<&str> = undone["guards"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|guard| guard["held"] == true)
        .map(|guard| guard["guard"].as_str().unwrap())
        .collect();
    assert_eq!(held, ["max_role_changes"]);
    let id = undone["plan_id"].as_str().unwrap().to_owned();
    desk.approve(&id);

    // Two people leave, which is more than one: that holds the whole.
    desk.leave(&["p8", "p9"]);
    let report = desk.sync(3);
    assert_eq!(report["outcome"], "held");
    assert_eq!(roles(&desk), ["PowerUsers"; 10]);
    // One comes back: the rest passes by itself, and the restores as they were approved.
    desk.sandbox.opa().enable("p9").unwrap();
    let report = desk.sync(0);
    assert_eq!(report["outcome"], "applied");
    assert_eq!(report["summary"]["set_role"], 9);
    assert_eq!(report["summary"]["deactivate"], 1);
    let guard = report["guards"]
        .as_array()
        .unwrap()
        .iter()
        .find(|guard| guard["guard"] == "max_role_changes")
        .unwrap();
    assert_eq!(guard["approved_by_plan"], id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_was_killed_half_way_is_finished_by_the_next_run() {
    let desk = desk("").await;
    let run = wrong_run(&desk, "");
    let id = undo(&desk, &run, 3)["plan_id"].as_str().unwrap().to_owned();
    desk.approve(&id);
    let journal = desk.sandbox.journal();
    let before = journal.writes().len();
    // The fourth request arrives and has its effect, and nobody is left to hear of it.
    let victim: Arc<OnceLock<Victim>> = Arc::default();
    let writes = Arc::new(AtomicUsize::new(0));
    desk.sandbox
        .inject(Fault::opsera(FaultKind::CutAfterEffect).when({
            let writes = Arc::clone(&writes);
            move |request| request.is_write() && writes.load(Ordering::SeqCst) == 4
        }));
    journal.on_receive({
        let victim = Arc::clone(&victim);
        move |request| {
            if request.is_write() && writes.fetch_add(1, Ordering::SeqCst) + 1 == 4 {
                victim.wait().kill();
            }
        }
    });
    let started = Victim::start(&mut desk.command(&["sync"]), &desk.path("."));
    victim.set(started).ok().unwrap();
    assert!(victim.wait().end().await.was_killed());
    let killed_after = journal.writes().len() - before;
    assert!((1..10).contains(&killed_after), "{killed_after}");
    assert_eq!(desk.state(&id), "approved");

    // The rules are still the wrong ones: without the approval they would win.
    let report = desk.sync(0);
    assert_eq!(report["outcome"], "applied");
    assert_eq!(roles(&desk), ["Users"; 10]);
    assert_eq!(desk.state(&id), "used");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_changed_roles_can_be_taken_back() {
    let desk = Desk::with(COUNTING).await;
    let told = desk.run(&["undo", "latest"]);
    assert_eq!(told.status, 1, "there is no store yet: {told:?}");
    let run = desk.sync(0)["run_id"].as_str().unwrap().to_owned();
    for unknown in ["0123", "no such run"] {
        let told = desk.run(&["undo", unknown]);
        assert_eq!((told.status, told.out.as_str()), (2, ""), "{told:?}");
        assert!(told.err.contains("there is no run"), "{told:?}");
    }
    for known in ["latest", &run] {
        let json = undo(&desk, known, 0);
        assert_eq!(json["run_id"], run.as_str());
        assert_eq!(json["plan_id"], Value::Null);
    }
    // The first roles of all replaced unknown ones.
    set_default(&desk, "Users", "");
    let run = desk.sync(0)["run_id"].as_str().unwrap().to_owned();
    let json = undo(&desk, &run, 0);
    assert_eq!(
        json["left_out"][0]["why"],
        "the role before the run was not known"
    );
    assert_eq!(desk.run(&["plan", "list"]).json(), serde_json::json!([]));
}
