//! Many runs in a row while both directories change underneath, guarded by what must hold over
//! the whole history: nobody who is entitled is ever deactivated, nobody who is due is missed.
//!
//! `ROLECALL_HISTORIES` sets how many histories are lived through (default 25),
//! `ROLECALL_HISTORY_SEED` where to start.

mod approvals;
mod checks;
mod events;
mod witness;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rolecall::domain::{Mode, Outcome, Report, time::Timestamp};

use self::approvals::Approvals;
use self::events::{Happening, Life};
use self::witness::Witness;
use crate::model::decide::plan;
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
        tally: &mut BTreeMap<&'static str, u64>,
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
            *tally.entry("failed pull").or_default() += 1;
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
        self.after_apply(&org, &expected, &report, calm, tally)?;
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
}

impl std::fmt::Debug for Happening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
