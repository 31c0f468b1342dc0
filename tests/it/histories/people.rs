//! Who is who, in truth: which records and which account are whose, whatever either directory says.

use std::collections::{HashMap, HashSet};

use rolecall::sandbox::{AccountStatus, Person, Sandbox, UserKind, Visibility};

use crate::model::address::{canonical, opa_key, opsera_key};
use crate::model::decide::Pulled;
use crate::model::memory::Memory;
use crate::model::{Org, Rules};

/// The people behind the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    /// OPA id → the person.
    records: HashMap<String, String>,
    /// Opsera id → the person.
    accounts: HashMap<String, String>,
}

impl People {
    /// Everybody's first record and account.
    pub(crate) fn of(org: &Org) -> Self {
        let mut people = Self::default();
        for human in &org.people {
            people.records.insert(human.id.clone(), human.name.clone());
            let account = format!("acct-{}", human.name);
            people.accounts.insert(account, human.name.clone());
        }
        people
    }

    /// A new record of whoever has the record `of`.
    pub(crate) fn same_as(&mut self, of: &str, id: &str) {
        if let Some(person) = self.records.get(of).cloned() {
            self.records.insert(id.to_owned(), person);
        }
    }

    /// The owner of an account.
    pub(crate) fn owner(&self, account: &str) -> Option<&String> {
        self.accounts.get(account)
    }

    /// Every account with its owner.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&String, &String)> {
        self.accounts.iter()
    }

    /// The records of a person.
    pub(crate) fn records_of<'p>(
        &'p self,
        sandbox: &Sandbox,
        person: &'p str,
    ) -> impl Iterator<Item = Person> + 'p {
        let all = sandbox.opa().people().into_iter();
        all.filter(move |record| self.records.get(&record.id).is_some_and(|p| p == person))
    }

    /// The accounts that the specification lets go although their owner is at work, each with the
    /// reason. `memory` holds the complete pulls before the run.
    pub(crate) fn excused(
        &self,
        org: &Org,
        sandbox: &Sandbox,
        rules: &Rules,
        memory: &Memory,
    ) -> HashMap<String, &'static str> {
        let pulled = Pulled::of(org, rules, memory);
        let key_of = |email: &Option<String>| email.as_deref().and_then(canonical);
        let listed: Vec<_> = sandbox
            .opsera()
            .accounts()
            .into_iter()
            .filter(|account| account.status == AccountStatus::Active)
            .map(|account| {
                let key = key_of(&account.email).map(|address| opsera_key(rules, &address));
                (account.id, key)
            })
            .collect();
        let mut excused = HashMap::new();
        for (id, person) in &self.accounts {
            let Some((_, Some(key))) = listed.iter().find(|(other, _)| other == id) else {
                continue;
            };
            let is_theirs = |record: &String| self.records.get(record) == Some(person);
            // Whose an address is says who carried it last, and last as somebody ACTIVE (I8). An old
            // record of theirs that still has it, but is not ACTIVE, leads nowhere.
            let last = memory.last_carriers(key);
            let is_active = |record: &String| {
                let mut own = self.records_of(sandbox, person);
                own.any(|own| own.id == *record && own.status == "ACTIVE")
            };
            let actives: Vec<Person> = self
                .records_of(sandbox, person)
                .filter(|record| record.status == "ACTIVE")
                .collect();
            let has_another = |record: &Person| {
                let theirs = key_of(&record.email).map(|address| opa_key(rules, &address));
                theirs.is_some()
                    && listed
                        .iter()
                        .any(|(other, key)| other != id && *key == theirs)
            };
            // A second record of theirs has the address and is in no required group: that is the
            // evidence, whatever the record that was renamed is in.
            let mut with_key = actives.iter().filter(|record| {
                let theirs = key_of(&record.email).map(|address| opa_key(rules, &address));
                theirs.as_ref() == Some(key)
            });
            let is_out = |record: &Person| {
                let groups = sandbox.opa().groups_of(&record.name);
                !groups.iter().any(|group| rules.required.contains(group))
            };
            let is_evidence = !rules.required.is_empty()
                && with_key.clone().next().is_some()
                && with_key.all(is_out);
            if is_evidence {
                excused.insert(id.clone(), "a second record has the address and no group");
                continue;
            }
            let last_active = memory.carriers_of_the_last_pull_with(key, true);
            if last_active.iter().any(is_theirs) || last.iter().any(is_active) {
                // The record was replaced while it had no address, or by one with another address
                // between two pulls: nothing joins the two (I8). A DISABLED or DELETED record with
                // the account's key says whose it was, so names are not asked (I10). Without one,
                // the new record has the address of another listed account (I10), or no address and
                // no name that says whose it is (I7).
                let says_whose = self.records_of(sandbox, person).any(|record| {
                    let theirs = key_of(&record.email).map(|address| opa_key(rules, &address));
                    // Without an address it counts under its last one (I11).
                    let lost_it = theirs.is_none() && last.contains(&record.id);
                    record.status != "ACTIVE" && (theirs.as_ref() == Some(key) || lost_it)
                });
                let way = memory.way(key, &pulled).ids;
                let is_found = actives.iter().any(|record| way.contains(&record.id));
                let is_nobody = |record: &Person| {
                    key_of(&record.email).is_none()
                        && record.first_name.is_none()
                        && record.name.starts_with("again")
                };
                let is_apart = |record| has_another(record) || is_nobody(record);
                if !is_found && (says_whose || actives.iter().all(is_apart)) {
                    excused.insert(id.clone(), "replaced, and nothing joins the records");
                }
                continue;
            }
            // It was passed on, so the account goes with the other person.
            if !last.is_empty() {
                excused.insert(id.clone(), "passed on");
                continue;
            }
            // The same before anything is remembered: somebody else's record has the address (I10).
            let says_whose = pulled
                .people
                .iter()
                .any(|p| p.key.as_ref() == Some(key) && !is_theirs(&p.human.id));
            if says_whose {
                excused.insert(id.clone(), "passed on before the first run");
                continue;
            }
            // The account has an address that nobody ever had in OPA, since somebody changed it in
            // Opsera, so I8 knows nothing of it; and each of the person's own addresses is that of
            // another listed account, so the person is not unclaimed (I10).
            if actives.iter().all(has_another) {
                excused.insert(id.clone(), "moved, and they have another one");
            }
        }
        excused
    }

    /// The people who are at work and whom the listing shows to be.
    pub(crate) fn at_work(&self, sandbox: &Sandbox, rules: &Rules) -> HashSet<String> {
        let mut all = HashSet::new();
        for record in sandbox.opa().people() {
            let groups = sandbox.opa().groups_of(&record.name);
            let member =
                rules.required.is_empty() || groups.iter().any(|g| rules.required.contains(g));
            if let Some(person) = self.records.get(&record.id)
                && record.status == "ACTIVE"
                && record.kind == UserKind::Human
                && record.visibility != Visibility::Hidden
                && member
            {
                all.insert(person.clone());
            }
        }
        all
    }
}
