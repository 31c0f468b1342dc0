//! Held plans: looked at, decided on, and applied exactly as they were approved (§6).

use rolecall::sandbox::{Answer, Fault, FaultKind};

use crate::operator::{COUNTING, Desk, addresses};

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_is_shown_approved_and_applied_exactly_once() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2", "p3"]);
    let id = desk.hold();
    assert!(desk.sandbox.journal().writes().is_empty());
    assert_eq!(desk.state(&id), "held");

    let told = desk.run(&[
        "plan", "approve", &id, "--reason", "HR-4711", "--format", "table",
    ]);
    assert_eq!((told.status, told.err.as_str()), (0, ""));
    let mut lines = told.out.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with(&format!("Plan {id} is approved by "))
            && first.ends_with(". It covers these 3 actions and not one person more."),
        "{first}"
    );
    assert!(told.out.ends_with("Reason: HR-4711\n"), "{}", told.out);
    let entries = desk.entries("plan_approved");
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["reason"], "HR-4711");
    assert_eq!(entries[0]["evidence"]["plan_id"], id.as_str());
    assert!(entries[0]["evidence"]["by"].as_str().unwrap().contains('@'));

    let again = desk.run(&["plan", "approve", &id, "--reason", "twice"]);
    let refusal = again.refused();
    assert!(
        refusal.starts_with(&format!("plan {id} is already approved, by ")),
        "{refusal}"
    );
    assert_eq!(desk.entries("plan_approved").len(), 1);

    let report = desk.sync(0);
    assert_eq!(report["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1", "p2", "p3"]));
    assert_eq!(desk.state(&id), "used");
    let again = desk.run(&["plan", "approve", &id, "--reason", "twice"]);
    let refusal = again.refused();
    assert!(
        refusal.starts_with(&format!(
            "plan {id} is already used: everything in it was done under the approval of "
        )),
        "{refusal}"
    );
    assert_eq!(desk.sync(0)["outcome"], "in_sync");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_sees_guards_people_and_evidence() {
    let desk = Desk::with(&format!(
        "{COUNTING}\n[deactivation]\nabsent_grace = \"0s\"\n[roles]\n\
         [[roles.rules]]\ngroup = \"admins\"\nrole = \"Administrators\"\n"
    ))
    .await;
    desk.sandbox.opa().add_group("admins");
    desk.sandbox.opa().join("p7", "admins").unwrap();
    desk.leave(&["p1", "p2"]);
    desk.sandbox.opa().purge("p3").unwrap();
    let id = desk.hold();

    let shown = desk.run(&["plan", "show", &id, "--format", "table"]);
    assert_eq!((shown.status, shown.err.as_str()), (0, ""));
    let text = shown.out;
    let position = |needle: &str| {
        text.find(needle)
            .unwrap_or_else(|| panic!("no “{needle}” in:\n{text}"))
    };
    let order = [
        format!("Plan {id} is held: 3 deactivations, the limit is 1. Nothing of it is done until somebody approves it. 3 accounts would be deactivated, 1 role would be changed."),
        "Actions".to_owned(),
        "Deactivations: absent, no OPA record has the address (1)".to_owned(),
        "A deactivation cannot be undone.".to_owned(),
        "p3@example.com".to_owned(),
        "Deactivations: disabled in OPA (2)".to_owned(),
        "p1@example.com".to_owned(),
        "p2@example.com".to_owned(),
        "Role changes (1)".to_owned(),
        "p7@example.com".to_owned(),
        "in group admins (rule 1: admins)".to_owned(),
        "Guards (1 holds this plan)".to_owned(),
        "max_deactivations ".to_owned(),
        "██████████".to_owned(),
        format!("  rolecall plan approve {id} --reason \"…\""),
        format!("  rolecall review {id}"),
    ]
    .map(|needle| position(&needle));
    assert!(order.is_sorted(), "{order:?} in:\n{text}");

    let json = desk.run(&["plan", "show", &id]).json();
    assert_eq!(json["schema"], "rolecall.plan/1");
    assert_eq!(json["state"], "held");
    assert_eq!(json["actions"].as_array().unwrap().len(), 4);
    assert_eq!(json["actions"][0]["to"], "Administrators");
    assert_eq!(
        json["actions"][1]["evidence"]["opa_records"][0]["status"],
        "DISABLED"
    );
    let guard = &json["guards"][3];
    assert_eq!(guard["guard"], "max_deactivations");
    assert_eq!(
        (guard["limit"].as_u64(), guard["actual"].as_u64()),
        (Some(1), Some(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_holds_too_and_its_plan_can_be_approved() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let told = desk.run(&["sync", "--dry-run"]);
    assert_eq!(told.status, 3);
    let id = told.json()["plan_id"].as_str().unwrap().to_owned();
    assert_eq!(desk.state(&id), "held");
    desk.approve(&id);
    // A dry run under the approval passes, and uses nothing of it up.
    let told = desk.run(&["sync", "--dry-run"]);
    assert_eq!(told.status, 0);
    assert_eq!(told.json()["outcome"], "changes_pending");
    assert_eq!(desk.sync(0)["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1", "p2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_covers_a_part_of_its_people_and_not_one_more() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2", "p3"]);
    let id = desk.hold();
    desk.approve(&id);

    desk.leave(&["p4"]);
    let other = desk.hold();
    assert_ne!(other, id);
    assert!(desk.deactivated().is_empty());

    // Without the fourth, and with one of the three back, it is a part of what was approved.
    desk.sandbox.opa().enable("p4").unwrap();
    desk.sandbox.opa().enable("p3").unwrap();
    assert_eq!(desk.sync(0)["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1", "p2"]));
    assert_eq!(desk.state(&id), "approved");
    assert_eq!(desk.state(&other), "superseded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_some_kinds_is_applied_by_a_run_of_the_same_kinds() {
    let desk = Desk::with(&format!(
        "{COUNTING}\n[[roles.rules]]\ngroup = \"admins\"\nrole = \"Administrators\"\n"
    ))
    .await;
    desk.sandbox.opa().add_group("admins");
    desk.sandbox.opa().join("p7", "admins").unwrap();
    desk.leave(&["p1", "p2"]);
    let only = ["sync", "--only", "deactivate"];
    let held = desk.run(&only);
    assert_eq!(held.status, 3);
    let id = held.json()["plan_id"].as_str().unwrap().to_owned();
    let told = desk.run(&["plan", "approve", &id, "--reason", "they left"]);
    assert_eq!(told.json()["next"], "rolecall sync --only deactivate");
    // Everything together is more than what was approved.
    assert_ne!(desk.hold(), id);
    assert!(desk.deactivated().is_empty());
    assert_eq!(desk.run(&only).status, 0);
    assert_eq!(desk.deactivated(), addresses(&["p1", "p2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_and_an_approval_expire() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let at_once = [("ROLECALL__GUARDS__APPROVAL_TTL", "1ms")];
    let late = desk.run_with(&["plan", "approve", &id, "--reason", "late"], &at_once);
    let refusal = late.refused();
    assert!(
        refusal.starts_with(&format!("plan {id} was last held at "))
            && refusal.ends_with(
                "(guards.approval_ttl): run `rolecall sync --dry-run` and look at it again"
            ),
        "{refusal}"
    );
    desk.approve(&id);
    let told = desk.run_with(&["sync"], &at_once);
    assert_eq!(told.status, 3, "{told:?}");
    assert!(desk.deactivated().is_empty());
    // The run held it afresh: the approval that lapsed is gone.
    assert_eq!(desk.state(&id), "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_survives_a_run_that_stops_half_way() {
    let refusals = [
        // The token is not accepted any more: the run stops at once.
        (401, 1),
        // Five failures in a row: the run gives up.
        (503, 4),
    ];
    for (answer, status) in refusals {
        let desk = Desk::with(COUNTING).await;
        desk.leave(&["p1", "p2", "p3"]);
        let id = desk.hold();
        desk.approve(&id);
        let refused = FaultKind::Answer(Answer::status(answer));
        let fault = Fault::opsera(refused).on("DELETE", "/user/").after(1);
        desk.sandbox.inject(fault.always());
        desk.sync(status);
        assert_eq!(desk.deactivated().len(), 1, "{answer}");
        assert_eq!(desk.state(&id), "approved", "{answer}");

        desk.sandbox.clear_faults();
        assert_eq!(desk.sync(0)["outcome"], "applied", "{answer}");
        assert_eq!(desk.deactivated(), addresses(&["p1", "p2", "p3"]));
        assert_eq!(desk.state(&id), "used", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_plan_stays_rejected_until_somebody_approves_it_after_all() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let told = desk.run(&[
        "plan",
        "reject",
        &id,
        "--reason",
        "a mistake",
        "--format",
        "table",
    ]);
    assert_eq!(told.status, 0);
    assert!(
        told.out.starts_with(&format!("Plan {id} is rejected by ")),
        "{}",
        told.out
    );
    let entries = desk.entries("plan_rejected");
    assert_eq!(entries[0]["reason"], "a mistake");
    let told = desk.run(&["plan", "reject", &id]);
    let refusal = told.refused();
    assert!(
        refusal.starts_with(&format!("plan {id} is already rejected, by ")),
        "{refusal}"
    );
    assert_eq!(desk.hold(), id);
    assert_eq!(desk.state(&id), "rejected");
    assert!(desk.deactivated().is_empty());
    // The run says who decided, why and until when, and offers what can be done about it.
    let report = desk.sync(3);
    let rejection = &report["rejection"];
    assert_eq!(rejection["reason"], "a mistake");
    assert!(rejection["by"].as_str().is_some_and(|by| by.contains('@')));
    assert!(rejection["until"].as_str() > rejection["at"].as_str());

    let approved = desk.run(&["plan", "approve", &id, "--reason", "after all"]);
    assert_eq!(approved.status, 0);
    assert_eq!(desk.entries("plan_rejected").len(), 1);
    assert_eq!(desk.entries("plan_approved")[0]["reason"], "after all");
    assert_eq!(desk.sync(0)["outcome"], "applied");
    assert_eq!(desk.deactivated(), addresses(&["p1", "p2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_can_be_taken_back_without_a_reason() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    desk.approve(&id);
    let told = desk.run(&["plan", "reject", &id]);
    assert_eq!(told.status, 0);
    assert_eq!(told.json()["state"], "rejected");
    assert_eq!(told.json()["reason"], serde_json::Value::Null);
    desk.sync(3);
    assert!(desk.deactivated().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_whose_people_changed_is_refused_and_the_present_one_named() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    desk.leave(&["p3"]);
    let wanted = desk.hold();
    let told = desk.run(&["plan", "approve", &id, "--reason", "too late"]);
    assert_eq!(
        told.refused(),
        format!(
            "plan {id} is superseded because the people changed: plan {wanted} is what the latest \
             run wants"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_passes_its_guards_is_not_held_any_more() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let wider = [("ROLECALL__GUARDS__MAX_DEACTIVATIONS", "5")];
    let told = desk.run_with(&["sync", "--dry-run"], &wider);
    assert_eq!(told.status, 0);
    let told = desk.run(&["plan", "approve", &id, "--reason", "no need"]);
    assert_eq!(
        told.refused(),
        format!(
            "plan {id} is not held any more: it passed the guards in the latest run and needs no \
             decision"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_plan_is_approved_by_its_own_id_alone() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let full = desk.hold();
    desk.approve(&full);
    for name in ["p1", "p2"] {
        desk.sandbox.opa().enable(name).unwrap();
    }
    let demanding = [("ROLECALL__GUARDS__MIN_OPA_USERS", "11")];
    let held = desk.run_with(&["sync"], &demanding);
    assert_eq!(held.status, 3, "{held:?}");
    let empty = held.json()["plan_id"].as_str().unwrap().to_owned();
    assert_ne!(empty, full);
    let shown = desk.run(&["plan", "show", &empty, "--format", "table"]).out;
    assert!(
        shown.contains("It has no actions: the guards doubt the source"),
        "{shown}"
    );

    desk.approve(&empty);
    let told = desk.run_with(&["sync"], &demanding);
    assert_eq!(
        (told.status, &told.json()["outcome"]),
        (0, &"in_sync".into())
    );
    assert_eq!(desk.state(&empty), "used");
    // Used up: the next run is held again.
    assert_eq!(desk.run_with(&["sync"], &demanding).status, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_not_is_said_plainly() {
    let desk = Desk::with(COUNTING).await;
    let listed = desk.run(&["plan", "list", "--format", "table"]);
    let store = desk.path("rolecall.db").display().to_string();
    let expected = format!("There has been no run yet: there is no store at {store}.\n");
    assert_eq!((listed.status, listed.out), (0, expected));
    assert_eq!(desk.run(&["plan", "list"]).out, "[]\n");
    for args in [
        &["plan", "show", "0123456789ab"][..],
        &["plan", "approve", "0123456789ab", "--reason", "x"],
        &["plan", "reject", "0123456789ab"],
    ] {
        assert_eq!(
            desk.run(args).refused(),
            format!(
                "there is no store at {store} yet: nothing has run with this store.path; begin with `rolecall sync --dry-run`, or name other settings with --config"
            )
        );
    }
    assert!(!desk.path("rolecall.db").exists());

    desk.sync(0);
    for args in [
        &["plan", "show", "0123456789ab"][..],
        &["plan", "approve", "0123456789ab", "--reason", "x"],
        &["plan", "reject", "0123456789ab"],
    ] {
        assert_eq!(
            desk.run(args).refused(),
            "there is no held plan 0123456789ab: only a plan that a guard holds can be decided \
             on, and `rolecall plan list` shows them"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_approved_in_a_store_that_was_put_back() {
    let desk = Desk::with(&format!(
        "{COUNTING}\n[audit]\ncheckpoint_file = \"checkpoints\"\n"
    ))
    .await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    std::fs::copy(desk.path("rolecall.db"), desk.path("older.db")).unwrap();
    desk.hold();
    std::fs::copy(desk.path("older.db"), desk.path("rolecall.db")).unwrap();
    let told = desk.run(&["plan", "approve", &id, "--reason", "x"]);
    let refusal = told.refused();
    assert!(
        refusal.starts_with("the checkpoint file checkpoints names entry ")
            && refusal.contains("the store was restored from an older copy"),
        "{refusal}"
    );
    assert_eq!(desk.state(&id), "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_keyed_as_the_log_is() {
    let desk = Desk::with(&format!("{COUNTING}\n[audit]\nkey_file = \"key\"\n")).await;
    desk.write("key", &"k".repeat(40));
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let keyless = [("ROLECALL__AUDIT__KEY_FILE", "")];
    let told = desk.run_with(&["plan", "approve", &id, "--reason", "x"], &keyless);
    assert!(
        told.refused()
            .contains("was hashed under a key and no key is configured"),
        "{told:?}"
    );
    desk.approve(&id);
    assert_eq!(desk.entries("plan_approved")[0]["algorithm"], "hmac-sha256");
    let told = desk.run(&["audit", "verify"]);
    assert_eq!(told.status, 0);
    assert!(told.out.starts_with("anchored to entry "), "{}", told.out);
}

/// Runs as a user without a line in `/etc/passwd`, as containers do, with a `USER` that lies.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_cannot_say_who_decided() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    use std::os::unix::process::CommandExt as _;

    const NOBODY_KNOWS: u32 = 54_321;

    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2", "p3"]);
    let id = desk.hold();
    let directory = desk.path("");
    let own = std::fs::metadata(&directory).unwrap().uid();
    let uid = if own == 0 { NOBODY_KNOWS } else { own };
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rolecall"));
    if uid != own {
        for file in std::fs::read_dir(&directory).unwrap() {
            chown(file.unwrap().path(), Some(uid), None).unwrap();
        }
        chown(&directory, Some(uid), None).unwrap();
        // The program itself may stand where that user cannot go.
        let copy = directory.join("rolecall");
        std::fs::copy(env!("CARGO_BIN_EXE_rolecall"), &copy).unwrap();
        chown(&copy, Some(uid), None).unwrap();
        command = std::process::Command::new(copy);
        command.uid(uid);
    }
    let output = command
        .current_dir(&directory)
        .env_clear()
        .env("USER", "ceo")
        .env("LOGNAME", "ceo")
        .args(["plan", "approve", &id, "--reason", "HR-4711"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let entries = desk.entries("plan_approved");
    let user = entries[0]["user"].as_str().unwrap();
    assert!(user.starts_with(&format!("uid:{uid}")), "{user}");
    assert!(!entries[0].to_string().contains("ceo"), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_is_recorded_beside_the_systems_user() {
    let desk = Desk::with(COUNTING).await;
    desk.leave(&["p1", "p2"]);
    let id = desk.hold();
    let decide = |verb: &str, reviewer: &str| {
        let args = [
            "plan",
            verb,
            &id,
            "--reason",
            "seen",
            "--reviewer",
            reviewer,
        ];
        let told = desk.run(&args);
        assert_eq!(told.status, 0, "{told:?}");
        told.json()
    };
    let rejected = decide("reject", "Jo");
    assert_eq!(rejected["reviewer"], "Jo");
    let held = desk.sync(3);
    assert_eq!(held["rejection"]["reviewer"], "Jo");

    let approved = decide("approve", "Jane\u{202e} Doe");
    let by = approved["decided_by"].as_str().unwrap();
    assert!(by.starts_with("uid:"), "{by}");
    let entries = desk.entries("plan_approved");
    assert_eq!(entries[0]["evidence"]["reviewer"], "Jane\u{202e} Doe");
    assert_eq!(entries[0]["evidence"]["by"], by);
    let shown = desk.run(&["plan", "show", &id, "--format", "table"]).out;
    let line = shown.lines().find(|line| line.starts_with("Reviewer"));
    assert!(line.unwrap().ends_with("Jane Doe"), "{shown}");
    assert!(
        shown.contains(&format!("by {by} (reviewer: Jane Doe)")),
        "{shown}"
    );

    let report = desk.sync(0);
    assert_eq!(report["approval"]["plan_id"], id.as_str());
    assert_eq!(report["approval"]["by"], by);
    assert_eq!(report["approval"]["reviewer"], "Jane\u{202e} Doe");
    // The next decision says nothing of a reviewer, so nobody is named.
    desk.leave(&["p3", "p4"]);
    let next = desk.hold();
    desk.approve(&next);
    assert!(desk.sync(0)["approval"].get("reviewer").is_none());
}
