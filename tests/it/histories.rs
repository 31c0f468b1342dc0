//! Many runs in a row while both directories change underneath, guarded by what must hold over
//! the whole history: nobody who is entitled is ever deactivated, nobody who is due is missed.
//!
//! `ROLECALL_HISTORIES` sets how many histories are lived through (default 25),
//! `ROLECALL_HISTORY_SEED` where to start. The truth about who is who is kept beside both
//! directories ([`people`]): whoever is at work keeps the account, and at the end nobody who has
//! left has one. `how_many_a_version_harms` counts instead of comparing, so that it can be run
//! against other rules too.

mod approvals;
mod checks;
mod events;
mod people;
mod witness;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rolecall::domain::{Mode, Outcome, Report, time::Timestamp};

use self::approvals::Approvals;
use self::events::{Happening, Life};
use self::people::People;
use self::witness::Witness;
use crate::model::address::{canonical, opsera_key};
use crate::model::decide::{Pulled, plan};
use crate::model::memory::Memory;
use crate::model::wild::Dice;
use crate::model::{Limits, Org, Rules};
use crate::world::World;

const RUNS: usize = 20;

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
        if let Err(words) = Box::pin(live(seed, &mut story, &mut seen, true)).await {
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
        "possible_match",
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

/// Counts, over as many histories, the people at work who lose their account and those who have left
/// and keep it. `ROLECALL_HISTORIES` sets how many. Over the seeds 1 to 20 these rules harm nobody and
/// miss nobody. With I8 one step back and without I10 and I11, 24 people in 12 of those histories
/// lost the account while they were at work, and one leaver kept it.
#[tokio::test]
#[ignore = "a long campaign: run it by hand, against these rules or others"]
async fn how_many_a_version_harms() {
    let number = |variable: &str, default| {
        std::env::var(variable).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let first = number("ROLECALL_HISTORY_SEED", 1);
    let count = number("ROLECALL_HISTORIES", 1000);
    let mut seen = BTreeMap::new();
    let mut harmful = 0;
    for seed in first..first + count {
        let before = seen.get("harmed").copied();
        Box::pin(live(seed, &mut Vec::new(), &mut seen, false))
            .await
            .unwrap();
        harmful += u64::from(seen.get("harmed").copied() > before.or(Some(0)));
    }
    println!("{count} histories, {harmful} with harm: {seen:?}");
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
            .patterns
            .push(("admins".to_owned(), "Administrators".to_owned()));
        rules
            .patterns
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
    for number in 0..org.people.len() {
        let (first, last) = (format!("First{number}"), format!("Last{number}"));
        org.accounts[number].first.clone_from(&first);
        org.accounts[number].last.clone_from(&last);
        let person = &mut org.people[number];
        (person.first, person.last) = (Some(first), Some(last));
        // Renamed before this program ever ran.
        if dice.one_in(8) {
            person.email = Some(format!("married{number}@example.com"));
        }
    }
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
    tally: &mut BTreeMap<&'static str, u64>,
    strict: bool,
) -> Result<(), String> {
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let rules = rules(&mut dice);
    let org = beginning(&mut dice);
    let world = World::start(&org, &rules).await;
    let people = Arc::new(Mutex::new(People::of(&org)));
    let mut history = History {
        witness: Witness::watching(&world, &rules, Arc::clone(&people)),
        life: Life::of(people),
        strict,
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
        let pause =
            dice.pick(&[601, 3607, 9_011, 90_017, 400_009]) + crate::model::whole(dice.below(50));
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
        *tally.entry("fault").or_default() += u64::from(fault.is_some());
        *tally.entry("twist").or_default() += u64::from(twist);
        let report = history
            .run(
                mode,
                calm,
                twist.then(|| crate::model::whole(dice.below(1000))),
                tally,
                story,
            )
            .await?;
        history.world.sandbox.clear_faults();
        if report.outcome == Outcome::Held && dice.one_in(2) {
            history.world.approve(&report).await;
            history.approvals.approve(&report, history.world.now());
            *tally.entry("approved").or_default() += 1;
            story.push("  approved".to_owned());
        }
        history.life.forget_masks(&mut dice, &history.world);
    }
    history.life.end_masks(&history.world);
    let missed = Box::pin(history.missed()).await;
    *tally.entry("harmed").or_default() += crate::model::whole(history.witness.harmed());
    for reason in history.witness.lost_by_the_letter() {
        *tally.entry(reason).or_default() += 1;
    }
    *tally.entry("missed").or_default() += crate::model::whole(missed.len());
    if strict && !missed.is_empty() {
        return Err(format!("they left, and keep their accounts: {missed:?}"));
    }
    Ok(())
}

struct History {
    /// Whether the model is compared; else only the truth counts.
    strict: bool,
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
        tally: &mut BTreeMap<&'static str, u64>,
        story: &mut Vec<String>,
    ) -> Result<Report, String> {
        let org = self.world.truth();
        self.witness
            .expect_nothing(&self.world, &self.rules, &self.memory);
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
        if !self.strict {
            if self.pulled_at(&report).await.is_some() {
                self.memory.learn_pull(&org, &self.rules);
            }
            return Ok(report);
        }
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
            *tally.entry("failed pull").or_default() += 1;
            if calm && !due.incomplete {
                return Err(format!("failed without a reason: {:?}", report.error));
            }
            return self.no_writes("an incomplete pull").map(|()| report);
        };
        self.settle_up(report.started_at);
        self.memory.move_clocks(&org, &self.rules, pulled_at);
        let mut expected = plan(&org, &self.rules, &self.memory, pulled_at);
        let before = self.memory.clone();
        self.approvals.apply(&mut expected, &report, pulled_at);
        if report.plan_id.is_some() {
            Self::compare(&expected, &report, calm)?;
            self.memory.learn(&org, &self.rules, &expected);
            self.approvals.correct_baseline(&mut self.memory, &expected);
        } else if calm {
            return Err(format!("no plan: {:?}", report.error));
        } else {
            // The next run learns what this one saw.
            self.memory.learn_pull(&org, &self.rules);
        }
        for (kind, _) in &expected.findings {
            *tally.entry(kind).or_default() += 1;
        }
        *tally.entry("waiting").or_default() += crate::model::whole(expected.waiting.len());
        if expected.held() {
            *tally.entry("held").or_default() += 1;
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
        self.after_apply(&org, &before, &expected, &report, calm, tally)?;
        for write in self.world.sandbox.journal().writes() {
            if write.received.method == "DELETE" && matches!(write.status, Some(400 | 403 | 422)) {
                let id = write.received.path.trim_start_matches("/user/").to_owned();
                let day = chrono::TimeDelta::hours(24);
                self.refused.insert(id, write.received.at + day);
            }
        }
        Ok(report)
    }

    /// Days later and with all guards open: whoever has left and still has the account.
    async fn missed(&mut self) -> Vec<String> {
        self.rules.limits = Limits::wide();
        self.rules.only.clear();
        let rules = self.rules.clone();
        self.world.set_rules(&rules, "");
        let mut last = None;
        for _ in 0..4 {
            self.world.pass(Duration::from_hours(30));
            self.witness
                .expect_nothing(&self.world, &rules, &self.memory);
            let org = self.world.truth();
            let report = self.world.sync().await;
            if self.pulled_at(&report).await.is_some() {
                self.memory.learn_pull(&org, &rules);
            }
            last = Some(report);
        }
        let truth = self.world.truth();
        let pulled = Pulled::of(&truth, &rules, &self.memory);
        let people = self.life.people.lock().unwrap();
        let still_there = |id: &str| {
            let account = truth.accounts.iter().find(|a| a.id == id);
            account.filter(|a| a.life == crate::model::Life::Active)
        };
        let mut missed = Vec::new();
        for (id, person) in people.accounts() {
            let Some(account) = still_there(id) else {
                continue;
            };
            let alone = !truth.accounts.iter().any(|other| {
                let lower = |a: &crate::model::Acct| a.email.as_deref().map(str::to_lowercase);
                other.id != *id
                    && other.life == crate::model::Life::Active
                    && lower(other) == lower(account)
            });
            let mut records = people.records_of(&self.world.sandbox, person);
            let gone = records.all(|r| ["DISABLED", "DELETED"].contains(&r.status.as_str()));
            // Somebody else has the address now, or the way of I8 leads to somebody else, or a record
            // that ever had it is there without an address of its own, which the last look sees (A2).
            let key = account.email.as_deref().and_then(canonical);
            let went_to_another = key.is_some_and(|address| {
                let key = opsera_key(&rules, &address);
                let mut holders = pulled
                    .people
                    .iter()
                    .filter(|p| p.key.as_ref() == Some(&key));
                holders.any(|p| !["DISABLED", "DELETED"].contains(&p.human.status.as_str()))
                    || !self.memory.way(&key, &pulled).active.is_empty()
                    || pulled.people.iter().any(|p| {
                        p.key.is_none()
                            && !["DISABLED", "DELETED"].contains(&p.human.status.as_str())
                            && self.memory.ever_had(&key, &p.human.id)
                    })
            });
            // p00 is protected.
            if gone && alone && !went_to_another && person != "p00" {
                let told = last.as_ref().map(|report| {
                    let findings = report.findings.iter().map(|f| f.detail.clone());
                    let actions = report.actions.iter().map(|a| format!("{a:?}"));
                    findings
                        .chain(actions)
                        .filter(|text| text.contains(id.as_str()))
                        .collect::<Vec<_>>()
                });
                missed.push(format!("{person} ({id}): {told:?}"));
            }
        }
        missed.sort();
        missed
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
}

impl std::fmt::Debug for Happening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
