//! What must be remembered from one complete pull to the next (I8, I11, §4 step 6, §5, G2, G3).
//!
//! Every pull is kept as it was, and every question is answered by looking through all of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::decide::{Plan, Pulled};
use super::{Acct, Life, Org, Rules};
use rolecall::domain::time::Timestamp;

/// A human record as one pull showed it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    id: String,
    key: Option<String>,
    active: bool,
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
    pub(crate) left_unlisted: BTreeSet<String>,
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

/// Where the way of I8 leads.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// Ids that are ACTIVE today under another key, or under none.
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
            if let Some(seen) = today.filter(|seen| seen.active) {
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
        let left = |status: &str| ["DISABLED", "DELETED"].contains(&status);
        let was_active = |id: &str, key: &String| {
            let mut last = self.pulls.last().into_iter().flatten();
            last.any(|seen| seen.id == id && seen.key.as_ref() == Some(key) && seen.active)
        };
        let new: Vec<String> = pulled
            .people
            .iter()
            .filter(|p| left(&p.human.status))
            .filter_map(|p| p.key.clone().filter(|key| was_active(&p.human.id, key)))
            .collect();
        self.left_unlisted.extend(new);
        self.left_unlisted.retain(|key| {
            let mut records = pulled.people.iter().filter(|p| p.key.as_ref() == Some(key));
            let is_there = records.clone().next().is_some();
            let all_left = records.all(|p| left(&p.human.status));
            !listed.contains(key)
                && is_there
                && all_left
                && unlisted_account(pulled, org, key) != Answer::NothingToDo
        });
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
pub(super) enum Answer {
    /// An account that is not yet deactivated.
    Waits,
    /// None, or a deactivated one.
    NothingToDo,
    /// Several accounts have the address: it does not say which.
    Several,
}

pub(super) fn unlisted_account(pulled: &Pulled, org: &Org, key: &str) -> Answer {
    let records = pulled
        .people
        .iter()
        .filter(|p| p.key.as_deref() == Some(key));
    let address = records.filter_map(|p| p.address.as_ref()).min().unwrap();
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

fn seen(pulled: &Pulled) -> Vec<Seen> {
    pulled
        .people
        .iter()
        .map(|person| Seen {
            id: person.human.id.clone(),
            key: person.key.clone(),
            active: person.human.status == "ACTIVE",
        })
        .collect()
}
