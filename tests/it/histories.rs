//! Many runs in a row while both directories change underneath, guarded by what must hold over
//! the whole history: nobody who is entitled is ever deactivated, nobody who is due is missed.
//!
//! `ROLECALL_HISTORIES` sets how many histories are lived through (default 25),
//! `ROLECALL_HISTORY_SEED` where to start.

mod approvals;
mod events;
mod witness;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rolecall::audit::Event;
use rolecall::clock::Timestamp;
use rolecall::report::{ActionStatus, Mode, Outcome, Report};
use rolecall::store::audit::AuditFilter;

use self::approvals::Approvals;
use self::events::{Happening, Life};
use self::witness::Witness;
use crate::model::decide::{Plan, Pulled, plan};
use crate::model::memory::Memory;
use crate::model::wild::Dice;
use crate::model::{Limits, Org, Rules};
use crate::world::World;

const RUNS: usize = 14;

#[tokio::test]
async fn over_many_runs_nobody_entitled_goes_and_nobody_due_stays() {
    let number = |variable: &str, default| {
        std::env::var(variable).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let first = number("ROLECALL_HISTORY_SEED", 1);
    let count = number("ROLECALL_HISTORIES", 25);
    let mut seen = BTreeMap::new();
    for seed in first..first + count {
        let mut story = Vec::new();
        if let Err(words) = live(seed, &mut story, &mut seen).await {
            panic!("seed {seed}: {words}\n{}", story.join("\n"));
        }
    }
    println!("{count} histories: {seen:?}");
    let everything = [
        "deactivated",
        "held",
        "approved",
        "skipped",
        "inconsistent",
        "renamed",
        "failed pull",
        "waiting",
        "fault",
        "twist",
    ];
    for what in everything {
        assert!(
            count < 25 || seen.contains_key(what),
            "never seen: {what}: {seen:?}"
        );
    }
}

/// The settings of one history.
fn rules(dice: &mut Dice) -> Rules {
    let mut rules = Rules {
        grace: dice.pick(&[0, 3600, 10_000]),
        provision: dice.one_in(2),
        adopt: dice.one_in(3),
        protect: vec!["p00@*".to_owned()],
        ..Rules::default()
    };
    if dice.one_in(2) {
        rules.required.push("members".to_owned());
    }
    if dice.one_in(2) {
        rules
            .role_rules
            .push(("admins".to_owned(), "Administrators".to_owned()));
        rules
            .role_rules
            .push(("dev-*".to_owned(), "PowerUsers".to_owned()));
        rules.default = dice.pick(&["", "Users"]).to_owned();
    }
    if dice.one_in(2) {
        rules.limits = Limits {
            min_opa_users: dice.pick(&[0, 1, 5]),
            max_opa_drop_percent: dice.pick(&[20, 40, 100]),
            max_deactivations: dice.pick(&[1, 2, 25]),
            max_deactivations_percent: dice.pick(&[10, 25, 100]),
            max_deactivations_7d: dice.pick(&[2, 4, 75]),
            max_administrator_grants: dice.pick(&[0, 3]),
            ..Limits::wide()
        };
    }
    rules
}

fn beginning(dice: &mut Dice) -> Org {
    let mut org = Org::in_step((0..6 + dice.below(14)).map(|n| format!("p{n:02}")));
    org.roles_reported = dice.one_in(2);
    org.groups = ["members", "admins", "dev-a"].map(str::to_owned).to_vec();
    for person in &mut org.people {
        if !dice.one_in(12) {
            person.groups.push("members".to_owned());
        }
        if dice.one_in(5) {
            person.groups.push("dev-a".to_owned());
        }
        if dice.one_in(8) {
            person.groups.push("admins".to_owned());
        }
    }
    org
}

async fn live(
    seed: u64,
    story: &mut Vec<String>,
    seen: &mut BTreeMap<&'static str, u64>,
) -> Result<(), String> {
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let rules = rules(&mut dice);
    let world = World::start(&beginning(&mut dice), &rules).await;
    let mut history = History {
        witness: Witness::watching(&world, &rules),
        life: Life::default(),
        memory: Memory::default(),
        approvals: Approvals::default(),
        unsettled: Vec::new(),
        refused: HashMap::new(),
        world,
        rules,
    };
    for turn in 0..RUNS {
        let mut happenings = Vec::new();
        for _ in 0..dice.below(4) {
            let happening = history
                .life
                .something(&mut dice, &history.world, &history.memory);
            happenings.extend(happening);
        }
        let pause = dice.pick(&[601, 3607, 9_011, 90_017, 400_009]) + dice.below(50) as u64;
        history.world.pass(Duration::from_secs(pause));
        let fault = dice
            .one_in(4)
            .then(|| events::fault(&mut dice, &history.world));
        let twist = fault.is_none() && history.unsettled.is_empty() && dice.one_in(4);
        story.push(format!(
            "run {turn} after {pause} s: {happenings:?} fault {fault:?} twist {twist}"
        ));
        let mode = if dice.one_in(6) {
            Mode::DryRun
        } else {
            Mode::Apply
        };
        let calm = fault.is_none() && !twist;
        *seen.entry("fault").or_default() += u64::from(fault.is_some());
        *seen.entry("twist").or_default() += u64::from(twist);
        let report = history
            .run(
                mode,
                calm,
                twist.then(|| dice.below(1000) as u64),
                seen,
                story,
            )
            .await?;
        history.world.sandbox.clear_faults();
        if report.outcome == Outcome::Held && dice.one_in(2) {
            history.world.approve(&report).await;
            history.approvals.approve(&report, history.world.now());
            *seen.entry("approved").or_default() += 1;
            story.push("  approved".to_owned());
        }
        history.life.forget_masks(&mut dice, &history.world);
    }
    Ok(())
}

struct History {
    world: World,
    rules: Rules,
    life: Life,
    memory: Memory,
    approvals: Approvals,
    witness: Witness,
    /// Deactivations that had their effect while the program could not learn of it.
    unsettled: Vec<String>,
    /// Deactivations that Opsera refused, and until when they are left alone (A5).
    refused: HashMap<String, Timestamp>,
}

impl History {
    async fn run(
        &mut self,
        mode: Mode,
        calm: bool,
        twist: Option<u64>,
        seen: &mut BTreeMap<&'static str, u64>,
        story: &mut Vec<String>,
    ) -> Result<Report, String> {
        let org = self.world.truth();
        self.witness.expect_nothing();
        let (rules, world) = (&self.rules, &self.world);
        world.sandbox.journal().clear();
        if let Some(seed) = twist {
            self.witness.twist(seed);
        }
        // What may be deactivated is known before the run: whatever the model says is due now.
        let mut foreseen = self.memory.clone();
        foreseen.move_clocks(&org, rules, world.now());
        // Waiting for a pause of the server may bring somebody's grace to its end.
        let later = world.now() + chrono::TimeDelta::hours(2);
        let due = plan(&org, rules, &foreseen, later);
        self.witness.allow(&due);
        let report = world.run(mode).await;
        self.witness.verdict()?;
        story.push(format!(
            "  {mode:?} {:?} {:?} {:?}",
            report.outcome,
            report
                .actions
                .iter()
                .map(|a| format!(
                    "{} {} {} {:?} {:?}",
                    a.kind, a.email, a.reason, a.status, a.message
                ))
                .collect::<Vec<_>>(),
            report.error
        ));
        self.check_audit(&report).await?;
        let Some(pulled_at) = self.pulled_at(&report).await else {
            *seen.entry("failed pull").or_default() += 1;
            if calm && !due.incomplete {
                return Err(format!("failed without a reason: {:?}", report.error));
            }
            return self.no_writes("an incomplete pull").map(|()| report);
        };
        self.settle_up(report.started_at);
        self.memory.move_clocks(&org, &self.rules, pulled_at);
        let mut expected = plan(&org, &self.rules, &self.memory, pulled_at);
        self.approvals.apply(&mut expected, &report, pulled_at);
        if report.plan_id.is_some() {
            self.compare(&expected, &report)?;
            self.memory.learn(&org, &self.rules, &expected);
            self.approvals.correct_baseline(&mut self.memory, &expected);
        } else if calm {
            return Err(format!("no plan: {:?}", report.error));
        }
        for (kind, _) in &expected.findings {
            *seen.entry(kind).or_default() += 1;
        }
        *seen.entry("waiting").or_default() += expected.waiting.len() as u64;
        if expected.held() {
            *seen.entry("held").or_default() += 1;
            self.approvals.held_again(&expected);
            return self.no_writes("a held plan").map(|()| report);
        }
        if mode == Mode::DryRun || report.plan_id.is_none() {
            return self.no_writes("a dry run, or no plan").map(|()| report);
        }
        self.memory.roles.extend(
            expected
                .adopted
                .iter()
                .map(|(id, role)| (id.clone(), Some(role.clone()))),
        );
        self.witness.remember_writes(&self.world, &mut self.memory);
        self.after_apply(&org, &expected, &report, calm, seen)?;
        for write in self.world.sandbox.journal().writes() {
            if write.received.method == "DELETE" && matches!(write.status, Some(400 | 403 | 422)) {
                let id = write.received.path.trim_start_matches("/user/").to_owned();
                let day = chrono::TimeDelta::hours(24);
                self.refused.insert(id, write.received.at + day);
            }
        }
        Ok(report)
    }

    fn no_writes(&self, when: &str) -> Result<(), String> {
        let writes = self.world.sandbox.journal().writes();
        if writes.is_empty() {
            Ok(())
        } else {
            Err(format!("written in spite of {when}: {writes:?}"))
        }
    }

    /// The program reads what came of earlier requests when the next run begins.
    fn settle_up(&mut self, at: Timestamp) {
        for id in std::mem::take(&mut self.unsettled) {
            self.memory.deactivated.push(at);
            self.approvals.done(&format!("deactivate {id} "));
        }
    }

    fn compare(&self, expected: &Plan, report: &Report) -> Result<(), String> {
        let model: Vec<String> = expected
            .actions
            .iter()
            .map(|a| {
                let subject = a.id.clone().unwrap_or_else(|| a.email.clone());
                format!("{} {subject} {:?}→{:?}", a.kind, a.from, a.to)
            })
            .collect();
        let program: Vec<String> = report
            .actions
            .iter()
            .map(|a| {
                let subject = a
                    .opsera_id
                    .as_ref()
                    .map_or(a.email.clone(), ToString::to_string);
                format!("{} {subject} {:?}→{:?}", a.kind, a.from, a.to)
            })
            .collect();
        if model != program {
            return Err(format!(
                "model {model:#?}\nprogram {program:#?}\n{:#?}",
                self.memory
            ));
        }
        let guards: Vec<_> = report
            .guards
            .iter()
            .map(|g| (g.guard.as_str(), g.actual, g.held))
            .collect();
        if expected.guards != guards {
            return Err(format!("model {:?}\nprogram {guards:?}", expected.guards));
        }
        let mut findings: Vec<(&str, String)> = report
            .findings
            .iter()
            .map(|f| (f.kind.as_str(), f.email.clone()))
            .filter(|(kind, _)| *kind != "inconsistent_listing")
            .collect();
        findings.sort();
        findings.dedup();
        if expected.findings != findings {
            return Err(format!(
                "model {:?}\nprogram {findings:?}",
                expected.findings
            ));
        }
        let waiting = report.waiting.len();
        if expected.waiting.len() != waiting {
            return Err(format!(
                "model {:?}\nprogram {:?}",
                expected.waiting, report.waiting
            ));
        }
        Ok(())
    }

    /// Everybody who is due is gone, but for those the last look speaks for.
    fn after_apply(
        &mut self,
        org: &Org,
        expected: &Plan,
        report: &Report,
        calm: bool,
        seen: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), String> {
        let truth = self.world.truth();
        let pulled = Pulled::of(org, &self.rules);
        let memory = self.memory.clone();
        let rules = self.rules.clone();
        let spoken_for = |key: &str, evidence: &str| {
            let last = memory.last_carriers(key);
            truth.people.iter().find(|human| {
                let own = human
                    .email
                    .as_deref()
                    .and_then(crate::model::address::canonical);
                let own_key = own.map(|a| crate::model::address::opa_key(&rules, &a));
                let ever = memory
                    .carriers
                    .get(key)
                    .is_some_and(|c| c.contains_key(&human.id));
                let concerned =
                    last.contains(&human.id) || ever && own_key.as_deref().is_none_or(|k| k == key);
                let strange = !["ACTIVE", "DISABLED", "DELETED"].contains(&human.status.as_str());
                let back = human.status == "ACTIVE"
                    && (evidence != "not_in_required_group"
                        || human.groups.iter().any(|g| rules.required.contains(g)));
                concerned && !human.service && (back || strange)
            })
        };
        let leavers: Vec<_> = expected
            .actions
            .iter()
            .filter(|a| a.kind == "deactivate")
            .collect();
        let distrusted = leavers.iter().any(|a| {
            spoken_for(&a.key, &a.reason).is_some_and(|human| {
                human.status == "ACTIVE" && !pulled.people.iter().any(|p| p.human.id == human.id)
            })
        });
        *seen.entry("inconsistent").or_default() += u64::from(distrusted);
        for action in &report.actions {
            let subject = action
                .opsera_id
                .as_ref()
                .map_or(action.email.clone(), ToString::to_string);
            let role = action.to.clone().unwrap_or_default();
            match action.status {
                ActionStatus::Succeeded | ActionStatus::Already => {
                    self.approvals
                        .done(&format!("{} {subject} {role}", action.kind));
                }
                ActionStatus::Skipped => *seen.entry("skipped").or_default() += 1,
                _ => {}
            }
        }
        for leaver in leavers {
            let id = leaver.id.clone().unwrap();
            let gone = truth
                .accounts
                .iter()
                .any(|a| a.id == id && a.life == crate::model::Life::Inactive);
            let refused = self
                .refused
                .get(&id)
                .is_some_and(|until| report.started_at < *until);
            let wanted = !refused
                && spoken_for(&leaver.key, &leaver.reason).is_none()
                && !(distrusted && leaver.reason == "absent");
            if calm && gone != wanted {
                return Err(format!(
                    "{} gone: {gone}, and should be: {wanted}",
                    leaver.email
                ));
            }
            let told = report
                .actions
                .iter()
                .find(|a| a.opsera_id.as_ref().is_some_and(|o| o.as_str() == id))
                .map(|a| a.status);
            let sent_here = self.witness.effective(&id);
            match told {
                Some(ActionStatus::Succeeded) => {
                    if !gone {
                        return Err(format!("{} is said to be gone", leaver.email));
                    }
                    self.memory.deactivated.push(report.finished_at);
                    *seen.entry("deactivated").or_default() += 1;
                }
                _ if sent_here => self.unsettled.push(id),
                _ => {}
            }
        }
        if calm
            && distrusted
                != report
                    .findings
                    .iter()
                    .any(|f| f.kind.as_str() == "inconsistent_listing")
        {
            return Err(format!(
                "inconsistent_listing should be {distrusted}: {:?}",
                report.findings
            ));
        }
        Ok(())
    }

    /// When the pull was complete; `None`: it never was.
    async fn pulled_at(&self, report: &Report) -> Option<Timestamp> {
        let store = self.world.store().await;
        let filter = AuditFilter {
            run: Some(report.run_id.clone()),
            event: Some(Event::PullCompleted),
            ..AuditFilter::default()
        };
        let entries = store.list_audit(&filter).await.unwrap();
        store.close().await;
        entries.first().map(|entry| entry.at.parse().unwrap())
    }

    /// The chain holds, and every write was announced before it was sent.
    async fn check_audit(&self, report: &Report) -> Result<(), String> {
        if !self.world.audit_holds().await {
            return Err("the audit chain is broken".to_owned());
        }
        let store = self.world.store().await;
        let filter = AuditFilter {
            run: Some(report.run_id.clone()),
            event: Some(Event::ActionStarted),
            ..AuditFilter::default()
        };
        let announced = store.list_audit(&filter).await.unwrap();
        store.close().await;
        let writes = self.world.sandbox.journal().writes();
        if announced.len() < writes.len() {
            return Err(format!(
                "{} writes, {} announced",
                writes.len(),
                announced.len()
            ));
        }
        // A request may be announced and never arrive; the order is the same.
        let mut entries = announced.iter();
        for write in &writes {
            let announces = |entry: &&rolecall::audit::HashedEntry| {
                let at: Timestamp = entry.at.parse().unwrap();
                let subject = write.received.path.split('/').nth(2).unwrap_or_default();
                at <= write.received.at
                    && (entry.opsera_id.as_deref() == Some(subject)
                        || write.received.body.as_ref().is_some_and(|body| {
                            body["email"].is_string()
                                && body["email"].as_str() == entry.email.as_deref()
                        }))
            };
            if !entries.by_ref().any(|entry| announces(&entry)) {
                return Err(format!("not announced: {:?}", write.received));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Happening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
