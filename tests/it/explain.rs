//! `explain` tells what the next run does about one person, and why, from the snapshot alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assert_cmd::Command;
use rolecall::clients::{Opa, OpseraReader, Transport};
use rolecall::domain::time::{Clock as _, ManualClock, Timestamp};
use rolecall::domain::{Mode, Report, RunId};
use rolecall::explain::{Explanation, Found, Question, explain, live, render};
use rolecall::output::TableStyle;
use rolecall::reconcile::{Context, RunRequest};
use rolecall::sandbox::{
    AccountSeed, Answer, Fault, FaultKind, PersonSeed, Sandbox, SandboxOptions, SiteRoleField,
    UserKind,
};
use rolecall::settings::Settings;
use rolecall::store::Store;
use tempfile::TempDir;

use crate::program;

mod blocked;
mod prediction;

const POLICY: &str = r#"
[protect]
emails = ["eve@*"]

[matching]
ignore_plus_tag = true
domain_aliases = { "old.example" = "example.com" }
aliases = { "robert@example.com" = "bob@example.com" }

[guards]
max_deactivations_percent = 100
max_role_changes_percent = 100

[[roles.rules]]
group = "opsera-admins"
role = "Administrators"

[[roles.rules]]
group = "eng-*"
role = "PowerUsers"
"#;

fn settings(sandbox: &Sandbox, directory: &Path, policy: &str) -> Settings {
    let file = directory.join("rolecall.toml");
    let store = directory.join("rolecall.db");
    let text = format!(
        "{}\n[store]\npath = {store:?}\n{policy}",
        sandbox.settings_toml()
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    program::load(vec![file])
}

/// A sandbox with settings and a store, on a clock that stands at noon.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    clock: Arc<ManualClock>,
    directory: TempDir,
    context: Context,
    runs: u32,
}

impl World {
    async fn new(policy: &str) -> Self {
        let world = Self::with(policy, |options| options).await;
        // A Team without anybody is held by a guard.
        world.person("somebody", &[]);
        world
    }

    pub(crate) async fn with(
        policy: &str,
        adjust: impl FnOnce(SandboxOptions) -> SandboxOptions,
    ) -> Self {
        let clock = ManualClock::at(program::BEGINNING.parse::<Timestamp>().unwrap());
        let options = SandboxOptions {
            site_role: SiteRoleField::Reported,
            ..SandboxOptions::empty(clock.clone())
        };
        let sandbox = Sandbox::start(adjust(options)).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let context = Context {
            settings: settings(&sandbox, directory.path(), policy),
            clock: clock.clone(),
            actor: program::actor(),
        };
        Self {
            sandbox,
            clock,
            directory,
            context,
            runs: 0,
        }
    }

    fn set_policy(&mut self, policy: &str) {
        self.context.settings = settings(&self.sandbox, self.directory.path(), policy);
    }

    fn person(&self, name: &str, groups: &[&str]) {
        let mut seed = PersonSeed::active(name, &format!("{name}@example.com"));
        seed.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.sandbox.opa().add_person(seed).unwrap();
    }

    fn account(&self, email: &str, role: &str) -> String {
        let seed = AccountSeed::active(email).role(role);
        self.sandbox.opsera().add(seed).unwrap()
    }

    pub(crate) async fn run(&mut self, mode: Mode) -> Report {
        self.runs += 1;
        let request = RunRequest {
            id: RunId::new(format!("run-{}", self.runs)),
            ..program::request(mode)
        };
        let report = program::run(&self.context, request).await.report;
        assert_eq!(report.error, None);
        report
    }

    pub(crate) async fn explain(&self, text: &str) -> Explanation {
        let store = Store::open_existing_read_only(&self.context.settings.store.path)
            .await
            .unwrap();
        let question = Question {
            text,
            policy: &self.context.settings.policy,
            settings_digest: &self.context.settings.digest(),
            now: self.clock.now(),
        };
        let explanation = explain(&store, question).await.unwrap();
        store.close().await;
        explanation
    }

    async fn explain_live(&self, text: &str) -> Explanation {
        let mut explanation = self.explain(text).await;
        let settings = &self.context.settings;
        let transport = Transport::new(&settings.http, self.clock.clone()).unwrap();
        let opa = Opa::new(&transport, &settings.opa, &settings.retry).unwrap();
        let opsera = OpseraReader::new(&transport, &settings.opsera, &settings.retry).unwrap();
        live::compare(&mut explanation, &settings.policy, &opa, &opsera).await;
        explanation
    }

    async fn told(&self, text: &str) -> String {
        rendered(&self.explain(text).await)
    }

    fn rolecall(&self, args: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_rolecall"))
            .current_dir(self.directory.path())
            .env_clear()
            .args(args)
            .output()
            .unwrap()
    }
}

fn rendered(explanation: &Explanation) -> String {
    let mut text = Vec::new();
    render(explanation, TableStyle::default(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_role_change_that_is_due_is_told_with_the_rules_that_decide_it() {
    let mut world = World::new(POLICY).await;
    world.person("ada", &["opsera-admins", "eng-web"]);
    world.account("Ada@Example.COM", "Users");
    world.run(Mode::DryRun).await;
    insta::assert_snapshot!("role_change", world.told("ada+x@old.example").await);
    let document = serde_json::to_value(world.explain("ada@example.com").await).unwrap();
    insta::assert_snapshot!(
        "role_change_json",
        serde_json::to_string_pretty(&document).unwrap()
    );
}

#[tokio::test]
async fn a_leaver_who_waits_is_told_with_the_clock() {
    let mut world = World::new(POLICY).await;
    world.person("ada", &[]);
    world.account("bea@example.com", "Users");
    world.run(Mode::DryRun).await;
    world.clock.advance(Duration::from_mins(20));
    insta::assert_snapshot!("waiting", world.told("bea@example.com").await);
    world.clock.advance(Duration::from_mins(40));
    // The time has come, but one complete pull that missed the person proves little.
    insta::assert_snapshot!("waiting_for_pulls", world.told("bea@example.com").await);
    world.run(Mode::DryRun).await;
    let explanation = world.explain("bea@example.com").await;
    assert_eq!(explanation.accounts[0].decision.kind, "deactivate");
    assert_eq!(
        world.run(Mode::DryRun).await.summary.deactivate,
        1,
        "the third"
    );
}

#[tokio::test]
async fn nobody_is_foretold_to_go_as_absent_while_the_clock_is_not_trusted() {
    let mut world = World::new(POLICY).await;
    world.person("ada", &[]);
    world.account("bea@example.com", "Users");
    for _ in 0..3 {
        world.run(Mode::DryRun).await;
        world.clock.advance(Duration::from_mins(30));
    }
    let ahead = world.clock.now() + chrono::TimeDelta::hours(9000);
    world.clock.jump_to(ahead);
    world.run(Mode::DryRun).await;
    let explanation = world.explain("bea@example.com").await;
    let decision = &explanation.accounts[0].decision;
    assert_eq!(decision.kind, "waiting");
    assert!(
        decision.words.contains("trusts this machine's clock again"),
        "{}",
        decision.words
    );
}

#[tokio::test]
async fn a_renamed_person_is_named_as_the_shield() {
    let mut world = World::new(POLICY).await;
    world.person("cleo", &[]);
    world.account("cleo@example.com", "Users");
    world.run(Mode::DryRun).await;
    let new = Some("cleo.new@example.com");
    world.sandbox.opa().rename_address("cleo", new).unwrap();
    world.run(Mode::DryRun).await;
    insta::assert_snapshot!("renamed", world.told("cleo@example.com").await);
}

#[tokio::test]
async fn accounts_that_share_an_address_are_all_shown() {
    let mut world = World::new(POLICY).await;
    world.person("dan", &[]);
    world.account("dan@example.com", "Users");
    world.account("DAN@example.com", "Users");
    world.run(Mode::DryRun).await;
    insta::assert_snapshot!("duplicate", world.told("dan@example.com").await);
}

#[tokio::test]
async fn a_protected_leaver_is_told_with_the_pattern() {
    let mut world = World::new(POLICY).await;
    world.person("eve", &[]);
    world.sandbox.opa().disable("eve").unwrap();
    world.account("eve@example.com", "Users");
    world.run(Mode::DryRun).await;
    insta::assert_snapshot!("protected", world.told("eve@example.com").await);
}

#[tokio::test]
async fn an_alias_leads_from_the_account_to_the_person() {
    let mut world = World::new(POLICY).await;
    world.person("bob", &["eng-web"]);
    let id = world.account("robert@example.com", "PowerUsers");
    world.run(Mode::DryRun).await;
    let told = world.told("robert@example.com").await;
    assert!(told.contains("matching.aliases"), "{told}");
    for text in ["robert@example.com", "bob@example.com", "bob", id.as_str()] {
        let explanation = world.explain(text).await;
        assert_eq!(explanation.found, Found::Account, "{text}");
        assert_eq!(explanation.accounts[0].opsera_id.as_str(), id, "{text}");
        assert_eq!(explanation.people[0].name.as_str(), "bob", "{text}");
        assert_eq!(explanation.accounts[0].decision.kind, "unchanged", "{text}");
    }
}

#[tokio::test]
async fn a_stranger_gets_a_plain_answer_with_near_misses() {
    let mut world = World::new(POLICY).await;
    world.person("frank", &[]);
    world.account("frank@example.com", "Users");
    world.person("zoe.king", &[]);
    world.run(Mode::DryRun).await;
    insta::assert_snapshot!("stranger", world.told("frnak@example.com").await);
    let misses = |explanation: Explanation| -> Vec<(String, &str)> {
        assert_eq!(explanation.found, Found::Nobody);
        let misses = explanation.suggestions.into_iter();
        misses.map(|miss| (miss.email, miss.why)).collect()
    };
    let looks_the_same = "looks the same, and is written with other letters";
    assert_eq!(
        misses(world.explain("fr\u{430}nk@example.com").await),
        [("frank@example.com".to_owned(), looks_the_same)]
    );
    let differs = "differs in a letter or two";
    let same_name = "has the same name before the @, in another spelling or domain";
    for (asked, why) in [
        ("rank@example.com", differs),
        ("fraank@example.com", differs),
        ("grank@example.com", differs),
        ("rfank@example.com", differs),
        ("franck.@example.com", differs),
        ("frank@exmaple.com", same_name),
        ("f_rank@elsewhere.example", same_name),
    ] {
        let found = misses(world.explain(asked).await);
        assert_eq!(found, [("frank@example.com".to_owned(), why)], "{asked}");
    }
    for asked in ["zoeking@elsewhere.example", "zoe-king@example.com"] {
        let found = misses(world.explain(asked).await);
        assert_eq!(
            found,
            [("zoe.king@example.com".to_owned(), same_name)],
            "{asked}"
        );
    }
    assert!(misses(world.explain("nobody at all").await).is_empty());
}

#[tokio::test]
async fn a_refused_action_is_told_with_its_back_off_and_its_history() {
    let mut world = World::new(POLICY).await;
    world.person("gil", &[]);
    world.sandbox.opa().disable("gil").unwrap();
    let owner = AccountSeed::active("gil@example.com").owning(2);
    world.sandbox.opsera().add(owner).unwrap();
    world.run(Mode::Apply).await;
    insta::assert_snapshot!("refused", world.told("gil@example.com").await);
}

#[tokio::test]
async fn a_person_whose_account_is_gone_is_known_from_the_past() {
    let mut world = World::new(POLICY).await;
    world.account("hal@example.com", "Users");
    // A listing without any account would be incomplete (G0).
    world.account("somebody@example.com", "Users");
    world.run(Mode::Apply).await;
    world.clock.advance(Duration::from_hours(2));
    // The third complete pull that misses the person ends the grace; the fourth misses the account.
    for _ in 0..3 {
        world.run(Mode::Apply).await;
    }
    let explanation = world.explain("hal@example.com").await;
    assert_eq!(explanation.found, Found::Past);
    let events: Vec<&str> = explanation
        .history
        .iter()
        .map(|entry| entry.event.as_str())
        .collect();
    assert_eq!(events, ["action_started", "action_succeeded"]);
}

#[tokio::test]
async fn a_guard_that_would_hold_the_plan_is_named() {
    let mut world = World::new("[guards]\nmax_deactivations = 0\n").await;
    world.person("ivy", &[]);
    world.sandbox.opa().disable("ivy").unwrap();
    world.account("ivy@example.com", "Users");
    world.run(Mode::DryRun).await;
    let guards = world.explain("ivy@example.com").await.guards;
    assert!(guards.held && guards.concerns_this_person);
    let holding: Vec<&str> = guards.holding.iter().map(|g| g.guard.as_str()).collect();
    assert_eq!(holding, ["max_deactivations"]);
    assert!(
        !world
            .explain("ada@example.com")
            .await
            .guards
            .concerns_this_person
    );
}

#[tokio::test]
async fn the_guards_are_those_that_the_run_met_until_the_settings_are_others() {
    let mut world = World::new("[guards]\nmax_deactivations = 0\n").await;
    world.person("ivy", &[]);
    world.sandbox.opa().disable("ivy").unwrap();
    world.account("ivy@example.com", "Users");
    let report = world.run(Mode::DryRun).await;
    let guards = world.explain("ada@example.com").await.guards;
    assert!(guards.held);
    assert_eq!(guards.met_by_run, Some(report.run_id));
    assert_eq!(Some(guards.plan_id), report.plan_id);
    world.set_policy("[guards]\nmax_deactivations = 1\n");
    let guards = world.explain("ada@example.com").await.guards;
    assert!(!guards.held);
    assert_eq!((guards.met_by_run, guards.actions), (None, 1));
}

#[tokio::test]
async fn joiners_are_told_what_a_run_would_create() {
    let mut world =
        World::new("[provision]\nenabled = true\n[roles]\ndefault = \"Auditors\"\n").await;
    world.person("kim", &[]);
    let report = world.run(Mode::DryRun).await;
    let explanation = world.explain("kim@example.com").await;
    assert_eq!(explanation.found, Found::Person);
    let decision = explanation.without_account.unwrap();
    assert_eq!(
        (decision.kind, decision.to.as_deref()),
        ("create", Some("Auditors"))
    );
    let planned = report
        .actions
        .iter()
        .find(|action| action.email == "kim@example.com");
    assert_eq!(
        decision.reason.as_ref(),
        planned.map(|action| &action.reason)
    );
    assert_eq!(explanation.guards.creations_at_most, 2);
}

#[tokio::test]
async fn live_tells_what_has_changed_since_the_snapshot() {
    let mut world = World::new(POLICY).await;
    world.person("lea", &["eng-web"]);
    world.account("lea@example.com", "PowerUsers");
    world.run(Mode::DryRun).await;
    let same = world.explain_live("lea@example.com").await.live.unwrap();
    assert_eq!(
        (same.differences.len(), same.errors.len()),
        (0, 0),
        "{same:?}"
    );

    let opa = world.sandbox.opa();
    opa.join("lea", "opsera-admins").unwrap();
    opa.leave("lea", "eng-web").unwrap();
    world
        .sandbox
        .opsera()
        .set_role("lea@example.com", "Auditors")
        .unwrap();
    insta::assert_snapshot!(
        "live",
        rendered(&world.explain_live("lea@example.com").await)
    );

    opa.disable("lea").unwrap();
    let live = world.explain_live("lea@example.com").await.live.unwrap();
    assert!(
        live.differences
            .contains(&"OPA record lea was ACTIVE and is DISABLED now".to_owned()),
        "{live:?}"
    );
    world
        .sandbox
        .inject(Fault::opsera(FaultKind::Answer(Answer::status(403))).always());
    let live = world.explain_live("lea@example.com").await.live.unwrap();
    assert!(live.errors[0].contains("403"), "{live:?}");
    assert!(
        !live.differences.is_empty(),
        "one side's failure hides nothing of the other"
    );
}

#[tokio::test]
async fn people_without_a_claim_are_told_why() {
    let mut world = World::new(POLICY).await;
    let opa = world.sandbox.opa();
    let mut robot = PersonSeed::active("robot", "robot@example.com");
    robot.kind = UserKind::Service;
    opa.add_person(robot).unwrap();
    let mut nameless = PersonSeed::active("nell", "");
    nameless.email = None;
    opa.add_person(nameless).unwrap();
    let gone = PersonSeed::active("olaf", "olaf@example.com").status("DELETED");
    opa.add_person(gone).unwrap();
    world.account("nell@example.com", "Users");
    world.run(Mode::DryRun).await;
    for (text, words) in [
        ("robot@example.com", "service user"),
        ("nell", "without a usable address"),
        ("olaf", "which is not ACTIVE"),
    ] {
        let explanation = world.explain(text).await;
        assert_eq!(explanation.found, Found::Person, "{text}");
        assert!(
            explanation.headline.contains(words),
            "{}",
            explanation.headline
        );
    }
    let shields = &world.explain("nell@example.com").await.accounts[0].shields;
    assert_eq!(
        (shields[0].rule, shields[0].people[0].name.as_str()),
        ("I7", "nell")
    );
}

#[tokio::test]
async fn hostile_texts_do_not_reach_the_terminal() {
    let mut world = World::new(POLICY).await;
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}";
    let mut seed = PersonSeed::active(&format!("mal{hostile}"), "mal@example.com");
    seed.groups = vec![format!("eng-{hostile}")];
    seed.first_name = Some(hostile.to_owned());
    world.sandbox.opa().add_person(seed).unwrap();
    let account = AccountSeed::active("mal@example.com")
        .named(hostile, "x")
        .role(hostile);
    world.sandbox.opsera().add(account).unwrap();
    let nameless = AccountSeed::active(hostile);
    world.sandbox.opsera().add(nameless).unwrap();
    world.run(Mode::DryRun).await;
    for text in ["mal@example.com", hostile, &format!("mal{hostile}")] {
        let told = world.told(text).await;
        assert!(!told.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{told:?}");
    }
}

// The child process asks the sandbox of this one.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_asks_both_directories_with_live_and_fails_if_one_does_not_answer() {
    let mut world = World::new(POLICY).await;
    world.person("pam", &[]);
    world.account("pam@example.com", "Users");
    world.run(Mode::DryRun).await;
    world.sandbox.opa().disable("pam").unwrap();
    let args = ["explain", "pam@example.com", "--live"];
    let asked = world.rolecall(&args);
    assert_eq!(asked.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&asked.stdout).unwrap();
    let difference = &document["live"]["differences"][0];
    assert_eq!(difference, "OPA record pam was ACTIVE and is DISABLED now");
    let forbidden = FaultKind::Answer(Answer::status(403));
    world.sandbox.inject(Fault::opsera(forbidden).always());
    assert_eq!(world.rolecall(&args).status.code(), Some(1));
}

#[tokio::test]
async fn the_command_exits_with_0_for_a_stranger_and_with_1_before_any_run() {
    let mut world = World::new(POLICY).await;
    let before = world.rolecall(&["explain", "ada@example.com"]);
    assert_eq!(before.status.code(), Some(1));
    let words = String::from_utf8(before.stderr).unwrap();
    assert!(words.contains("there is no store"), "{words}");

    world.person("ada", &[]);
    world.run(Mode::DryRun).await;
    let stranger = world.rolecall(&["explain", "who@example.com"]);
    assert_eq!(stranger.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&stranger.stdout).unwrap();
    assert_eq!(document["schema"], "rolecall.explain/1");
    assert_eq!(document["found"], "nobody");
    let table = world.rolecall(&["explain", "ada", "--format", "table"]);
    assert_eq!(table.status.code(), Some(0));
}
