//! Sees every request at the moment it arrives, before it has any effect.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rolecall::sandbox::{Effect, Received, Sandbox};

use super::people::People;
use crate::model::Rules;
use crate::model::address::{canonical, opa_key, opsera_key};
use crate::model::decide::Plan;
use crate::model::memory::Memory;
use crate::model::wild::Dice;
use crate::world::World;

#[derive(Default)]
struct Seen {
    wrong: Vec<String>,
    /// The writes that may be sent in this run.
    due: BTreeSet<String>,
    twist: Option<u64>,
    /// Who was at work when the run began, as the listing shows it.
    at_work: HashSet<String>,
    /// Accounts that may go although their owner is at work, as the run began, and why.
    excused: HashMap<String, &'static str>,
    /// People at work who lost their account.
    harmed: BTreeSet<String>,
    /// The same, where the specification demands it, with the reason.
    lost_by_the_letter: BTreeSet<(String, &'static str)>,
}

/// What was seen, and what should not have been.
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    effective: Mutex<BTreeSet<String>>,
    people: Arc<Mutex<People>>,
}

impl Witness {
    pub(crate) fn watching(world: &World, rules: &Rules, people: Arc<Mutex<People>>) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (notes, rules) = (Arc::clone(&seen), rules.clone());
        let truth = Arc::clone(&people);
        let sandbox = Arc::downgrade(&world.sandbox);
        world.sandbox.journal().on_receive(move |received| {
            if let Some(sandbox) = Weak::upgrade(&sandbox) {
                look(
                    &sandbox,
                    &rules,
                    &truth.lock().unwrap(),
                    received,
                    &mut notes.lock().unwrap(),
                );
            }
        });
        Self {
            seen,
            effective: Mutex::default(),
            people,
        }
    }

    pub(crate) fn expect_nothing(&self, world: &World, rules: &Rules, memory: &Memory) {
        let people = self.people.lock().unwrap();
        let at_work = people.at_work(&world.sandbox, rules);
        let excused = people.excused(&world.truth(), &world.sandbox, rules, memory);
        drop(people);
        let mut seen = self.seen.lock().unwrap();
        *seen = Seen {
            at_work,
            excused,
            harmed: std::mem::take(&mut seen.harmed),
            lost_by_the_letter: std::mem::take(&mut seen.lost_by_the_letter),
            ..Seen::default()
        };
        drop(seen);
        self.effective.lock().unwrap().clear();
    }

    /// What the rules say is due may be written, and nothing else.
    pub(crate) fn allow(&self, due: &Plan) {
        let writes = due.actions.iter().map(|a| {
            let subject = a.id.as_ref().unwrap_or(&a.email);
            let role = a.to.clone().unwrap_or_default();
            format!("{} {subject} {role}", a.kind)
        });
        self.seen.lock().unwrap().due = writes.collect();
    }

    /// Lets things change between the plan and the first last look.
    pub(crate) fn twist(&self, seed: u64) {
        self.seen.lock().unwrap().twist = Some(seed);
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        let seen = self.seen.lock().unwrap();
        if seen.wrong.is_empty() {
            Ok(())
        } else {
            Err(seen.wrong.join("\n"))
        }
    }

    /// How many people at work have lost their account so far.
    pub(crate) fn harmed(&self) -> usize {
        self.seen.lock().unwrap().harmed.len()
    }

    /// Who lost an account at work because the specification demands it, by the reason.
    pub(crate) fn lost_by_the_letter(&self) -> Vec<&'static str> {
        let seen = self.seen.lock().unwrap();
        seen.lost_by_the_letter
            .iter()
            .map(|(_, why)| *why)
            .collect()
    }

    /// Whether an account was deactivated by a request of this run.
    pub(crate) fn effective(&self, id: &str) -> bool {
        self.effective.lock().unwrap().contains(id)
    }

    /// What the program may now know of roles, from the answers it got.
    pub(crate) fn remember_writes(&self, world: &World, memory: &mut Memory) {
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        for entry in world.sandbox.journal().writes() {
            let status = entry.status.unwrap_or(0);
            let body = entry.received.body.as_ref();
            let role = body.and_then(|b| b["siteRole"].as_str()).map(str::to_owned);
            match (&entry.effect, entry.received.method.as_str()) {
                (Effect::Deactivated { id }, _) => {
                    self.effective.lock().unwrap().insert(id.clone());
                }
                (Effect::Created { id, .. }, _) => {
                    memory.roles.insert(id.clone(), role);
                }
                (_, "PUT") => {
                    let id = entry.received.path.split('/').nth(2).unwrap().to_owned();
                    if (200..300).contains(&status) {
                        unknown.remove(&id);
                        memory.roles.insert(id, role);
                    } else if status == 0 || status >= 500 {
                        unknown.insert(id);
                    }
                }
                _ => {}
            }
        }
        for id in unknown {
            memory.roles.insert(id, None);
        }
    }
}

fn look(sandbox: &Sandbox, rules: &Rules, people: &People, received: &Received, seen: &mut Seen) {
    if received.path.starts_with("/user/acct-")
        && received.method == "GET"
        && let Some(seed) = seen.twist.take()
    {
        turn(sandbox, &mut Dice(StdRng::seed_from_u64(seed)));
    }
    if !received.is_write() {
        return;
    }
    let id = received.path.split('/').nth(2).unwrap_or_default();
    let field = |name: &str| match &received.body {
        Some(body) => body[name].as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let write = match received.method.as_str() {
        "DELETE" => format!("deactivate {id} "),
        "PUT" => format!("set_role {id} {}", field("siteRole")),
        _ => format!("create {} {}", field("email"), field("siteRole")),
    };
    if !seen.due.contains(&write) {
        seen.wrong
            .push(format!("{write}: nothing says that it is due"));
    }
    if received.method != "DELETE" {
        return;
    }
    if let Some(owner) = people.owner(id)
        && seen.at_work.contains(owner)
        && people.at_work(sandbox, rules).contains(owner)
    {
        if let Some(reason) = seen.excused.get(id) {
            seen.lost_by_the_letter.insert((owner.clone(), *reason));
        } else {
            seen.harmed.insert(owner.clone());
            seen.wrong
                .push(format!("{id} is deactivated while {owner} is at work"));
        }
    }
    let account = sandbox.opsera().get(id).unwrap();
    let Some(address) = account.email.as_deref().and_then(canonical) else {
        seen.wrong
            .push(format!("{id} has no address, and is deactivated"));
        return;
    };
    let key = opsera_key(rules, &address);
    for person in sandbox.opa().people() {
        let theirs = person.email.as_deref().and_then(canonical);
        if theirs.is_none_or(|a| opa_key(rules, &a) != key) {
            continue;
        }
        let groups = sandbox.opa().groups_of(&person.name);
        let member = rules.required.is_empty() || groups.iter().any(|g| rules.required.contains(g));
        let strange = !["ACTIVE", "DISABLED", "DELETED"].contains(&person.status.as_str());
        if (person.status == "ACTIVE" && member) || strange {
            seen.wrong.push(format!(
                "{address} is deactivated while {person:?} is there"
            ));
        }
    }
}

/// Something changes after the pull and before the last look.
fn turn(sandbox: &Sandbox, dice: &mut Dice) {
    for person in sandbox.opa().people() {
        if dice.one_in(4) && person.status != "DELETED" {
            let status = dice.pick(&["ACTIVE", "ACTIVE", "DISABLED", "SUSPENDED"]);
            sandbox.opa().set_status(&person.name, status).unwrap();
        }
        if dice.one_in(8) {
            sandbox.opa().join(&person.name, "members").unwrap();
        }
    }
    for account in sandbox.opsera().accounts() {
        if dice.one_in(10) {
            let email = format!("moved-{}", account.email.unwrap_or_default());
            sandbox
                .opsera()
                .edit(&account.id, |a| a.email = Some(email))
                .unwrap();
        }
    }
}
