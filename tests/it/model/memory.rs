//! What must be remembered from one complete pull to the next (I8, §4 step 6, §5, G2, G3).

use std::collections::{HashMap, HashSet};

use super::decide::{Plan, Pulled};
use super::{Org, Rules};
use rolecall::domain::time::Timestamp;

/// A record that once had a key.
#[derive(Clone, Debug)]
pub(crate) struct Carrier {
    pub(crate) name: String,
    /// The number of the last complete pull in which the record had the key.
    pub(crate) had: u64,
    /// The same, while it was ACTIVE; 0: never.
    pub(crate) had_active: u64,
}

/// Everything remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) pulls: u64,
    /// key → OPA id → what is known.
    pub(crate) carriers: HashMap<String, HashMap<String, Carrier>>,
    /// key → the first complete pull that missed the person.
    pub(crate) missing_since: HashMap<String, Timestamp>,
    /// Opsera id → what this program last set or adopted; `None`: a request without an outcome.
    pub(crate) roles: HashMap<String, Option<String>>,
    /// ACTIVE humans of the last run that G1 and G2 did not hold.
    pub(crate) accepted: Option<u64>,
    /// When deactivations succeeded.
    pub(crate) deactivated: Vec<Timestamp>,
}

impl Memory {
    /// I8: the ids that last carried a key. With several at once, or where the last one was never
    /// ACTIVE with it, everyone it may mean.
    pub(crate) fn last_carriers(&self, key: &str) -> HashSet<String> {
        let Some(known) = self.carriers.get(key) else {
            return HashSet::new();
        };
        let newest = known.values().map(|c| c.had).max().unwrap_or(0);
        let newest_active = known.values().map(|c| c.had_active).max().unwrap_or(0);
        known
            .iter()
            .filter(|(_, c)| c.had == newest || (c.had_active > 0 && c.had_active == newest_active))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The clocks move when a pull is complete, before the plan is made.
    pub(crate) fn move_clocks(&mut self, org: &Org, rules: &Rules, now: Timestamp) {
        let pulled = Pulled::of(org, rules);
        let keys: HashSet<String> = pulled
            .accounts
            .iter()
            .filter_map(|a| a.key.clone())
            .collect();
        let present: HashSet<String> = pulled.people.iter().filter_map(|p| p.key.clone()).collect();
        self.missing_since
            .retain(|key, _| keys.contains(key) && !present.contains(key));
        for key in keys {
            if !present.contains(&key) {
                self.missing_since.entry(key).or_insert(now);
            }
        }
    }

    /// After the plan is made: who carries what, and whether the source is the new baseline.
    pub(crate) fn learn(&mut self, org: &Org, rules: &Rules, plan: &Plan) {
        self.pulls += 1;
        let pull = self.pulls;
        for person in Pulled::of(org, rules).people {
            let Some(key) = person.key else { continue };
            let known = self.carriers.entry(key).or_default();
            let carrier = known.entry(person.human.id.clone()).or_insert(Carrier {
                name: String::new(),
                had: 0,
                had_active: 0,
            });
            carrier.name.clone_from(&person.human.name);
            carrier.had = pull;
            if person.human.status == "ACTIVE" {
                carrier.had_active = pull;
            }
        }
        if !plan.is_held("min_opa_users") && !plan.is_held("max_opa_drop_percent") {
            self.accepted = Some(plan.active);
        }
    }
}
