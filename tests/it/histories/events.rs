//! What happens in the two directories between two runs.

use rolecall::sandbox::{AccountStatus, Answer, Fault, FaultKind, Visibility};

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
}

impl Life {
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
            key.and_then(|key| memory.carriers.get(&key))
                .is_some_and(|carriers| carriers.contains_key(&record.id))
        };
        let what = match dice.below(19) {
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
            5 | 6 if someone.status != "DELETED" => {
                team.enable(name).unwrap();
                team.set_visibility(name, Visibility::Listed).unwrap();
                "back"
            }
            7 => {
                team.set_status(name, "SUSPENDED").unwrap();
                "suspended"
            }
            8 | 9 => {
                self.born += 1;
                let again = Human {
                    id: format!("again-{}", self.born),
                    name: format!("again{}", self.born),
                    email: someone.email.clone(),
                    groups: vec!["members".to_owned()],
                    ..person(name)
                };
                world.hire(&again);
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
    let does = match dice.below(8) {
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
        .on("GET", "/user"),
        method => Fault::opsera(does).on(method, "/user"),
    };
    let after = dice.pick(&[0, 0, 1, 3]);
    let words = format!("{fault:?} {times} times after {after}");
    world.sandbox.inject(fault.after(after).times(times));
    words
}
