//! `[[protect.accounts]]`: a protection with an end, whose end deactivates nobody by itself.

use crate::operator::{COUNTING, Desk, addresses};

fn settings(until: &str) -> String {
    format!(
        "{COUNTING}[[protect.accounts]]\nemail = \"p1@example.com\"\nreason = \"migration\"\n\
         owner = \"platform team\"\nuntil = \"{until}\"\n"
    )
}

fn findings(report: &serde_json::Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["kind"] == "protection_expired")
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap();
            (text("email"), text("detail"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn until_its_end_it_protects_like_any_other() {
    let desk = Desk::with(&settings("2999-12-31")).await;
    desk.leave(&["p1"]);
    let report = desk.sync(0);
    assert_eq!(report["summary"]["protected"], 1);
    assert_eq!(findings(&report), []);
    assert_eq!(desk.deactivated(), addresses(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_end_a_plan_that_touches_the_account_is_held_until_it_is_approved() {
    let desk = Desk::with(&settings("2025-12-31")).await;
    let calm = desk.sync(0);
    let [(email, detail)] = findings(&calm)[..] else {
        panic!("{calm:#}")
    };
    assert_eq!(email, "p1@example.com");
    for words in ["2026-01-01T00:00:00Z", "migration", "platform team"] {
        assert!(detail.contains(words), "{detail}");
    }
    assert!(guard(&calm).is_none(), "nothing is touched: {calm:#}");

    desk.leave(&["p1"]);
    let held = desk.sync(3);
    let found = guard(&held).unwrap();
    assert_eq!(
        (&found["limit"], &found["actual"], &found["held"]),
        (&0.into(), &1.into(), &true.into())
    );
    assert_eq!(found["concerned"], serde_json::json!(["p1@example.com"]));
    assert_eq!(findings(&held).len(), 1);
    assert_eq!(desk.deactivated(), addresses(&[]));

    desk.approve(held["plan_id"].as_str().unwrap());
    assert_eq!(desk.sync(0)["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protection_goes_on_and_an_ended_one_cannot_be_released() {
    let ended = settings("2025-12-31");
    let desk = Desk::with(&format!("[protect]\nemails = [\"p1@*\"]\n{ended}")).await;
    desk.leave(&["p1"]);
    assert_eq!(desk.sync(0)["summary"]["protected"], 1);

    let released = format!("{ended}[deactivation]\nrelease = [\"p1@example.com\"]\n");
    let desk = Desk::with(&released).await;
    let told = desk.run(&["sync"]);
    assert_eq!(told.status, 1);
    assert!(told.err.contains("cannot be released"), "{told:?}");
}

fn guard(report: &serde_json::Value) -> Option<&serde_json::Value> {
    let mut guards = report["guards"].as_array().unwrap().iter();
    guards.find(|guard| guard["guard"] == "max_expired_protections")
}
