//! What must be remembered from one complete pull to the next (I8, I11, §4 step 6, §5, G2, G3).
//!
//! Every pull is kept as it was, and every question is answered by looking through all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::decide::{Plan, Pulled};
use super::{Acct, Life, Org, Rules};
use rolecall::domain::time::Timestamp;

/// A human record as one pull showed it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    id: String,
    key: Option<String>,
    active: bool,
    /// DISABLED or DELETED.
    left: bool,
}

/// Everything remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Every complete pull, the first one first.
    pub(crate) pulls: Vec<Vec<Seen>>,
    /// key → the first complete pull that missed the person, and how many did.
    pub(crate) missing: HashMap<String, (Timestamp, u32)>,
    /// Keys of people who left while no listed account carried them, and whose account may wait for
    /// its first sign-in (§4, last paragraph).
    pub(crate) left_unlisted: BTreeMap<String, Unlisted>,
    /// Accounts that the last complete pull listed.
    pub(crate) listed: usize,
    /// Opsera id → what this program last set or adopted; `None`: a request without an outcome.
    pub(crate) roles: HashMap<String, Option<String>>,
    /// ACTIVE humans of the last run that G1 and G2 did not hold.
    pub(crate) accepted: Option<u64>,
    /// Listed accounts of the same run, and how many deactivations had succeeded by then.
    pub(crate) accepted_accounts: Option<(u64, usize)>,
    /// When deactivations succeeded.
    pub(crate) deactivated: Vec<Timestamp>,
}

/// Somebody who left while no listed account carried the key.
#[derive(Clone, Debug)]
pub(crate) struct Unlisted {
    /// The address in OPA when they left.
    address: String,
    /// Whether Opsera has shown the account.
    seen: bool,
}

/// Where the way of I8 leads.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Ids that are ACTIVE today under another key, or under none, or whose status is doubt (I3).
    pub(crate) active: BTreeSet<String>,
    /// Every id on the way.
    pub(crate) ids: BTreeSet<String>,
}

impl Memory {
    /// Whether a record ever had a key.
    pub(crate) fn ever_had(&self, key: &str, id: &str) -> bool {
        Self::last_with(&self.pulls, id, key).is_some()
    }

    /// I8: the ids that last carried a key. With several at once, or where the last one was never
    /// ACTIVE with it, everyone it may mean.
    pub(crate) fn last_carriers(&self, key: &str) -> HashSet<String> {
        let mut all = self.carriers_of_the_last_pull_with(key, false);
        all.extend(self.carriers_of_the_last_pull_with(key, true));
        all
    }

    /// Who carried a key in the last pull in which anybody did, or anybody who was ACTIVE.
    pub(crate) fn carriers_of_the_last_pull_with(
        &self,
        key: &str,
        active_only: bool,
    ) -> HashSet<String> {
        let has = |seen: &&Seen| seen.key.as_deref() == Some(key) && (seen.active || !active_only);
        let with_it = |pull: &&Vec<Seen>| pull.iter().any(|seen| has(&seen));
        let newest = self.pulls.iter().rev().find(with_it);
        let carriers = newest.into_iter().flatten().filter(has);
        carriers.map(|seen| seen.id.clone()).collect()
    }

    /// I11: the key that an id carried last.
    pub(crate) fn last_key(&self, id: &str) -> Option<String> {
        let of = |pull: &Vec<Seen>| {
            pull.iter()
                .find(|seen| seen.id == id)
                .and_then(|seen| seen.key.clone())
        };
        self.pulls.iter().rev().find_map(of)
    }

    fn last_with(pulls: &[Vec<Seen>], id: &str, key: &str) -> Option<usize> {
        pulls.iter().rposition(|pull| {
            pull.iter()
                .any(|seen| seen.id == id && seen.key.as_deref() == Some(key))
        })
    }

    /// I8: from the ids that carried `key` last, forward in time, to whoever is ACTIVE today.
    pub(crate) fn way(&self, key: &str, pulled: &Pulled) -> Way {
        let mut pulls = self.pulls.clone();
        pulls.push(seen(pulled));
        let mut way = Way::default();
        let mut todo: Vec<(String, usize)> = Vec::new();
        for id in self.last_carriers(key) {
            let until = Self::last_with(&self.pulls, &id, key).unwrap();
            todo.push((id, until));
        }
        let mut done: HashSet<(String, usize)> = HashSet::new();
        while let Some((id, until)) = todo.pop() {
            if !done.insert((id.clone(), until)) {
                continue;
            }
            way.ids.insert(id.clone());
            let today = pulls.last().unwrap().iter().find(|seen| seen.id == id);
            if let Some(seen) = today.filter(|seen| !seen.left) {
                if seen.key.as_deref() != Some(key) {
                    way.active.insert(id);
                }
                continue;
            }
            // The keys it carried later.
            let later: BTreeSet<String> = pulls[until + 1..]
                .iter()
                .flatten()
                .filter(|seen| seen.id == id)
                .filter_map(|seen| seen.key.clone())
                .filter(|later| later != key)
                .collect();
            for next in later {
                let last = Self::last_with(&pulls, &id, &next).unwrap();
                // Where its latest stay with that key began.
                let has = |pull: &&Vec<Seen>| {
                    pull.iter()
                        .any(|seen| seen.id == id && seen.key.as_ref() == Some(&next))
                };
                let stay = pulls[..=last].iter().rev().take_while(has).count();
                let since = last + 1 - stay;
                let everybody: BTreeSet<&String> = pulls[since..]
                    .iter()
                    .flatten()
                    .filter(|seen| seen.key.as_ref() == Some(&next))
                    .map(|seen| &seen.id)
                    .collect();
                for other in everybody {
                    let until = Self::last_with(&pulls, other, &next).unwrap();
                    todo.push((other.clone(), until));
                }
            }
        }
        way
    }

    /// The clocks move when a pull is complete, before the plan is made.
    pub(crate) fn move_clocks(&mut self, org: &Org, rules: &Rules, now: Timestamp) {
        let pulled = Pulled::of(org, rules, self);
        let keys: HashSet<String> = pulled
            .accounts
            .iter()
            .filter_map(|a| a.key.clone())
            .collect();
        let present: HashSet<String> = pulled
            .people
            .iter()
            .filter_map(|p| p.counts_under())
            .cloned()
            .collect();
        self.missing
            .retain(|key, _| keys.contains(key) && !present.contains(key));
        for key in &keys {
            if !present.contains(key) {
                let (_, pulls) = self.missing.entry(key.clone()).or_insert((now, 0));
                *pulls += 1;
            }
        }
        self.note_unlisted_leavers(&pulled, org, &keys);
    }

    /// §4, last paragraph: who left since the last complete pull and has no listed account is asked
    /// for, and again as long as the answer is an account that is not deactivated.
    fn note_unlisted_leavers(&mut self, pulled: &Pulled, org: &Org, listed: &HashSet<String>) {
        let mut new: BTreeMap<String, String> = BTreeMap::new();
        for person in pulled.people.iter().filter(|p| has_left(&p.human.status)) {
            let mut last = self.pulls.last().into_iter().flatten();
            let was_there = last.any(|seen| seen.id == person.human.id && !seen.left);
            let Some(key) = person.counts_under().filter(|_| was_there) else {
                continue;
            };
            let address = person.address.as_ref().unwrap_or(key);
            let lowest = new.entry(key.clone()).or_insert_with(|| address.clone());
            if address < lowest {
                lowest.clone_from(address);
            }
        }
        for (key, address) in new {
            let unlisted = Unlisted {
                address,
                seen: false,
            };
            self.left_unlisted.entry(key).or_insert(unlisted);
        }
        let mut all = std::mem::take(&mut self.left_unlisted);
        all.retain(|key, unlisted| {
            let has = |seen: &Seen| seen.key.as_ref() == Some(key);
            let last_active = self.carriers_of_the_last_pull_with(key, true);
            let present = seen(pulled);
            let somebody_is_there = present
                .iter()
                .any(|seen| !seen.left && (has(seen) || last_active.contains(&seen.id)));
            let answer = unlisted_account(pulled, org, key, unlisted);
            unlisted.seen |= answer == Answer::Waits;
            !listed.contains(key) && !somebody_is_there && answer != Answer::NothingToDo
        });
        self.left_unlisted = all;
    }

    /// After the plan is made: who carries what, and whether the source is the new baseline.
    pub(crate) fn learn(&mut self, org: &Org, rules: &Rules, plan: &Plan) {
        self.learn_pull(org, rules);
        let sources = [
            "min_opa_users",
            "max_opa_drop_percent",
            "max_opsera_drop_percent",
        ];
        if !sources.iter().any(|source| plan.is_held(source)) {
            self.accepted = Some(plan.active);
            self.accepted_accounts = Some((plan.listed, self.deactivated.len()));
        }
    }

    /// Who carries what, also where no plan came of a complete pull.
    pub(crate) fn learn_pull(&mut self, org: &Org, rules: &Rules) {
        let pulled = Pulled::of(org, rules, self);
        self.listed = pulled.accounts.len();
        self.pulls.push(seen(&pulled));
    }
}

/// What Opsera answers when it is asked for the account of somebody who left.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// An account that is not yet deactivated.
    Waits,
    /// None, or a deactivated one.
    NothingToDo,
    /// Several accounts have the address: it does not say which.
    Several,
}

fn has_left(status: &str) -> bool {
    ["DISABLED", "DELETED"].contains(&status)
}

fn unlisted_account(pulled: &Pulled, org: &Org, key: &str, unlisted: &Unlisted) -> Answer {
    let records = pulled
        .people
        .iter()
        .filter(|p| p.key.as_deref() == Some(key));
    let today = records.filter_map(|p| p.address.as_ref()).min();
    let address = today.unwrap_or(&unlisted.address);
    let has = |acct: &&Acct| {
        acct.email
            .as_ref()
            .is_some_and(|e| e.to_lowercase() == *address)
    };
    let found: Vec<&Acct> = org.accounts.iter().filter(has).collect();
    match found.as_slice() {
        [one] if one.life != Life::Inactive => Answer::Waits,
        [] | [_] => Answer::NothingToDo,
        _ => Answer::Several,
    }
}

/// Keys of leavers of whom Opsera has shown an account that nobody has said is gone.
pub(super) fn pending_leavers(memory: &Memory) -> impl Iterator<Item = &String> {
    let shown = memory.left_unlisted.iter().filter(|(_, left)| left.seen);
    shown.map(|(key, _)| key)
}

fn seen(pulled: &Pulled) -> Vec<Seen> {
    pulled
        .people
        .iter()
        .map(|person| Seen {
            id: person.human.id.clone(),
            key: person.key.clone(),
            active: person.human.status == "ACTIVE",
            left: has_left(&person.human.status),
        })
        .collect()
}
