//! What happens in the two directories between two runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind, Person, Visibility};

use super::people::People;
use crate::model::address::canonical;
use crate::model::memory::Memory;
use crate::model::wild::Dice;
use crate::model::{Acct, Human};
use crate::world::{World, account, person};

/// What happened, in words.
pub(crate) struct Happening(pub(crate) String);

/// Numbers new people, and remembers who is hidden for one run only.
#[derive(Default)]
pub(crate) struct Life {
    born: usize,
    masked: Vec<String>,
    /// What records had in their details before those were cleared.
    cleared: HashMap<String, Details>,
    pub(crate) people: Arc<Mutex<People>>,
}

type Details = (Option<String>, Option<String>, Option<String>);

impl Life {
    /// A life of these people.
    pub(crate) fn of(people: Arc<Mutex<People>>) -> Self {
        Self {
            people,
            ..Self::default()
        }
    }

    /// One thing happens, if it can.
    #[expect(clippy::too_many_lines, reason = "a list of what can happen")]
    pub(crate) fn something(
        &mut self,
        dice: &mut Dice,
        world: &World,
        memory: &Memory,
    ) -> Option<Happening> {
        let people = world.sandbox.opa().people();
        let someone = dice.pick(&people);
        let name = someone.name.as_str();
        let team = world.sandbox.opa();
        // Only a record that the program has seen with its present address can be missed by it.
        let known = |name: &str| {
            let record = team.person(name).unwrap();
            let key = record.email.as_deref().and_then(canonical);
            key.is_some_and(|key| memory.ever_had(&key, &record.id))
        };
        let is_listed = |person: &Person| person.visibility != Visibility::Hidden;
        let listed: Vec<Person> = people.iter().filter(|p| is_listed(p)).cloned().collect();
        let what = match dice.below(27) {
            0 | 1 => {
                team.disable(name).unwrap();
                "disabled"
            }
            2 => {
                team.delete(name).unwrap();
                "deleted"
            }
            3 if someone.visibility == Visibility::Listed => {
                team.purge(name).unwrap();
                "purged"
            }
            4 if known(name) => {
                team.set_visibility(name, Visibility::Hidden).unwrap();
                "hidden"
            }
            // The same record, mostly, also after it was deleted.
            5 | 6 | 19 | 20 => {
                team.enable(name).unwrap();
                self.restore_details(world, name);
                team.set_visibility(name, Visibility::Listed).unwrap();
                "back"
            }
            7 => {
                team.set_status(name, "SUSPENDED").unwrap();
                "suspended"
            }
            8 | 9 => {
                self.born += 1;
                self.hire_again(world, someone.clone());
                "hired again"
            }
            10 if someone.visibility != Visibility::Hidden => {
                self.born += 1;
                let email = format!("other{}@example.com", self.born);
                team.rename_address(name, Some(&email)).unwrap();
                "renamed"
            }
            11 if someone.visibility != Visibility::Hidden => {
                team.rename_address(name, None).unwrap();
                "without address"
            }
            // Renamed or not, the record is deleted and another one takes its place.
            21 | 22 => {
                if dice.one_in(3) {
                    team.purge(name).unwrap();
                } else {
                    team.delete(name).unwrap();
                }
                self.hire_again(world, someone.clone());
                "has a new record"
            }
            23 if someone.status != "ACTIVE" && someone.email.is_some() => {
                let details = (
                    someone.email.clone(),
                    someone.first_name.clone(),
                    someone.last_name.clone(),
                );
                self.cleared.insert(name.to_owned(), details);
                let clear = |p: &mut Person| {
                    (p.email, p.first_name, p.last_name) = (None, None, None);
                };
                team.edit(name, clear).unwrap();
                "lost the details"
            }
            // What changes while no listing shows it, the program cannot know.
            24 if someone.email.is_some() && is_listed(&someone) => {
                self.born += 1;
                let other = dice.pick(&listed);
                let mailbox = someone.email.clone();
                let email = format!("other{}@example.com", self.born);
                team.rename_address(name, Some(&email)).unwrap();
                team.rename_address(&other.name, mailbox.as_deref())
                    .unwrap();
                "passed the address on"
            }
            25 if is_listed(&someone) => {
                let (b, c) = (dice.pick(&listed), dice.pick(&listed));
                team.rename_address(name, b.email.as_deref()).unwrap();
                team.rename_address(&b.name, c.email.as_deref()).unwrap();
                team.rename_address(&c.name, someone.email.as_deref())
                    .unwrap();
                "passed the address around with two others"
            }
            12 => {
                team.leave(name, "members").unwrap();
                "left members"
            }
            13 => {
                let group = dice.pick(&["members", "dev-a", "admins"]);
                team.join(name, group).unwrap();
                "joined a group"
            }
            14 => {
                self.born += 1;
                let new = Human {
                    groups: vec!["members".to_owned()],
                    ..person(&format!("new{}", self.born))
                };
                world.hire(&new);
                "joiner"
            }
            15 => {
                let accounts = world.sandbox.opsera().accounts();
                let one = dice.pick(&accounts);
                let stand = |a: &mut rolecall::sandbox::Account| a.status = AccountStatus::Active;
                world.sandbox.opsera().edit(&one.id, stand).unwrap();
                return Some(Happening(format!("{} active again", one.id)));
            }
            16 => {
                let accounts = world.sandbox.opsera().accounts();
                let one = dice.pick(&accounts);
                world
                    .sandbox
                    .opsera()
                    .set_role(&one.id, "Auditors")
                    .unwrap();
                return Some(Happening(format!("{} made an auditor", one.id)));
            }
            17 => {
                self.born += 1;
                let stray = Acct {
                    id: format!("acct-stray{}", self.born),
                    email: someone.email.clone().map(|e| e.to_uppercase()),
                    ..account(name)
                };
                // An address is unique among the accounts, mostly.
                if dice.one_in(3) {
                    world.open_account(&stray);
                    "a second account"
                } else {
                    return None;
                }
            }
            18 if dice.one_in(2) => {
                let all = dice.one_in(2);
                for person in &people {
                    let listed = person.visibility == Visibility::Listed;
                    if listed && known(&person.name) && (all || dice.one_in(2)) {
                        team.set_visibility(&person.name, Visibility::Hidden)
                            .unwrap();
                        self.masked.push(person.name.clone());
                    }
                }
                return Some(Happening("the listing shrinks".to_owned()));
            }
            _ => return None,
        };
        Some(Happening(format!("{name} {what}")))
    }

    /// Another record for the same person, under another name.
    fn hire_again(&mut self, world: &World, someone: Person) {
        self.born += 1;
        let again = Human {
            id: format!("again-{}", self.born),
            name: format!("again{}", self.born),
            email: someone.email,
            first: someone.first_name,
            last: someone.last_name,
            groups: vec!["members".to_owned()],
            ..person(&someone.name)
        };
        self.people.lock().unwrap().same_as(&someone.id, &again.id);
        world.hire(&again);
    }

    fn restore_details(&mut self, world: &World, name: &str) {
        if let Some((email, first, last)) = self.cleared.remove(name) {
            let fill_in = |p: &mut Person| {
                if p.email.is_none() {
                    (p.email, p.first_name, p.last_name) = (email, first, last);
                }
            };
            world.sandbox.opa().edit(name, fill_in).unwrap();
        }
    }

    /// Whoever is ACTIVE is listed again. While a listing misses one of them, it is not to be
    /// trusted, and no `absent` deactivation goes out (A2); the leavers that it misses must go all
    /// the same.
    pub(crate) fn end_masks(&mut self, world: &World) {
        self.masked.clear();
        let team = world.sandbox.opa();
        for person in team.people() {
            if !["DISABLED", "DELETED"].contains(&person.status.as_str()) {
                team.set_visibility(&person.name, Visibility::Listed)
                    .unwrap();
            }
        }
    }

    /// A listing that shrank is whole again, mostly.
    pub(crate) fn forget_masks(&mut self, dice: &mut Dice, world: &World) {
        if dice.one_in(4) {
            return;
        }
        for name in self.masked.drain(..) {
            if world.sandbox.opa().person(&name).is_some() {
                let team = world.sandbox.opa();
                team.set_visibility(&name, Visibility::Listed).unwrap();
            }
        }
    }
}

/// Lets something go wrong in the next run.
pub(crate) fn fault(dice: &mut Dice, world: &World) -> String {
    let answer = |status: u16| Answer::status(status).body("{\"message\":\"no\"}");
    let kind = dice.below(8);
    let is_refusal = kind == 6;
    let does = match kind {
        0 => FaultKind::Answer(answer(503)),
        1 => FaultKind::AnswerAfterEffect(answer(500)),
        2 => FaultKind::Answer(answer(429).header("retry-after", 30)),
        3 => FaultKind::CutBeforeEffect,
        4 => FaultKind::CutAfterEffect,
        5 => FaultKind::Pretend,
        6 => FaultKind::Answer(answer(400)),
        _ => FaultKind::Answer(answer(403)),
    };
    let times = dice.pick(&[1, 1, 2, 6, 30]);
    let method = dice.pick(&["DELETE", "DELETE", "PUT", "POST", "GET", "OPA"]);
    let fault = match method {
        "OPA" => Fault::opa(match does {
            FaultKind::Pretend => FaultKind::Truncate(20),
            other => other,
        })
        .on("GET", "/users"),
        "GET" => Fault::opsera(match does {
            FaultKind::Pretend => FaultKind::Truncate(20),
            other => other,
        })
        // A joiner's address that Opsera refuses to look up is doubt about the joiner, of which the
        // model knows nothing.
        .on("GET", if is_refusal { "/user/acct-" } else { "/user" }),
        method => Fault::opsera(does).on(method, "/user"),
    };
    let after = dice.pick(&[0, 0, 1, 3]);
    let words = format!("{fault:?} {times} times after {after}");
    world.sandbox.inject(fault.after(after).times(times));
    words
}
