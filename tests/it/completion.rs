//! What shells complete: ids from the store, offered without a word where there is none.

use std::process::Command;

use crate::operator::{COUNTING, Desk};

/// What is offered for the last of `words`, each with what it is.
fn offered(desk: &Desk, words: &[&str]) -> Vec<(String, String)> {
    let mut line = vec!["--", "rolecall", "--config", "rolecall.toml"];
    line.extend(words);
    let told = desk.run_with(&line, &[("ROLECALL_COMPLETE", "fish")]);
    assert_eq!((told.status, told.err.as_str()), (0, ""), "{}", told.out);
    let lines = told.out.lines().map(|line| {
        let (id, help) = line.split_once('\t').unwrap_or((line, ""));
        (id.to_owned(), help.to_owned())
    });
    lines.collect()
}

fn ids(desk: &Desk, words: &[&str]) -> Vec<String> {
    let offered = offered(desk, words).into_iter().map(|(id, _)| id);
    offered.filter(|id| !id.starts_with('-')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_completed_with_what_they_are() {
    let desk = Desk::with(COUNTING).await;
    desk.own_something("p1");
    desk.leave(&["p1"]);
    let first = desk.sync(4)["run_id"].as_str().unwrap().to_owned();
    desk.leave(&["p2", "p3"]);
    let plan = desk.hold();

    let plans = offered(&desk, &["plan", "approve", ""]);
    assert_eq!(plans[0].0, plan);
    assert!(
        plans[0].1.starts_with("held, 3 actions, last held 20"),
        "{plans:?}"
    );
    let beginning = &plan[..4];
    assert_eq!(ids(&desk, &["plan", "show", beginning]), [plan.as_str()]);
    assert_eq!(ids(&desk, &["review", beginning]), [plan.as_str()]);

    let runs = ids(&desk, &["report", ""]);
    assert_eq!(runs[..2], ["latest", "last-held"]);
    assert_eq!(runs.last(), Some(&first), "the newest first");
    assert!(ids(&desk, &["undo", ""]).contains(&first));
    assert!(ids(&desk, &["report", "--diff", "latest", &first[..6]]).contains(&first));

    let actions = offered(&desk, &["queue", "retry", ""]);
    assert_eq!(
        actions[0],
        ("1".to_owned(), "deactivate, rejected".to_owned())
    );
    // Commands and options are completed as ever.
    assert!(ids(&desk, &["pl"]).contains(&"plan".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decided_plan_is_shown_but_not_offered_for_a_decision() {
    let desk = Desk::with(COUNTING).await;
    desk.sync(0);
    desk.leave(&["p2", "p3"]);
    let plan = desk.hold();
    desk.run(&["plan", "approve", &plan, "--reason", "they left"]);
    assert!(ids(&desk, &["plan", "approve", ""]).is_empty());
    assert_eq!(ids(&desk, &["plan", "show", ""]), [plan.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_or_with_a_damaged_one_nothing_is_offered_and_nothing_is_made() {
    let desk = Desk::with(COUNTING).await;
    assert!(ids(&desk, &["plan", "show", ""]).is_empty());
    assert!(!desk.path("rolecall.db").exists());
    desk.write("rolecall.db", "no store at all");
    assert!(ids(&desk, &["plan", "show", ""]).is_empty());
    desk.write("rolecall.toml", "[opa]\nteam = 5\n[[[");
    assert!(ids(&desk, &["plan", "show", ""]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_a_plan() {
    let desk = Desk::with(COUNTING).await;
    desk.sync(0);
    desk.leave(&["p2", "p3"]);
    let plan = desk.hold();
    let script = desk.run_with(&[], &[("ROLECALL_COMPLETE", "bash")]);
    assert_eq!(script.status, 0, "{}", script.err);
    let words = format!(
        "{}\nCOMP_WORDS=(rolecall plan approve {}); COMP_CWORD=3; COMP_TYPE=9\n\
         _clap_complete_rolecall rolecall {} approve\necho \"${{COMPREPLY[@]}}\"",
        script.out,
        &plan[..3],
        &plan[..3],
    );
    let output = Command::new("bash")
        .args(["-c", &words])
        .current_dir(desk.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(told.trim(), plan, "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_is_not_known_is_an_error_in_words() {
    let desk = Desk::with(COUNTING).await;
    let told = desk.run_with(&[], &[("ROLECALL_COMPLETE", "tcsh")]);
    assert_eq!(told.status, 2, "{}", told.err);
    assert!(told.err.contains("tcsh"), "{}", told.err);
}
