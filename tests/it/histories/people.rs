//! Who is who, in truth: which records and which account are whose, whatever either directory says.

use std::collections::{HashMap, HashSet};

use rolecall::sandbox::{Person, Sandbox, UserKind, Visibility};

use crate::model::{Org, Rules};

/// The people behind the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    /// OPA id → the person.
    records: HashMap<String, String>,
    /// Opsera id → the person.
    accounts: HashMap<String, String>,
    /// Whose address somebody else got: whose account it is then, nobody can say.
    passed_on: HashSet<String>,
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

    /// The address of whoever has this record went to somebody else.
    pub(crate) fn pass_on(&mut self, record: &str) {
        if let Some(person) = self.records.get(record) {
            self.passed_on.insert(person.clone());
        }
    }

    /// The owner of an account, where there is no doubt about it.
    pub(crate) fn owner(&self, account: &str) -> Option<&String> {
        let person = self.accounts.get(account)?;
        (!self.passed_on.contains(person)).then_some(person)
    }

    /// Every account with its owner, where there is no doubt about it.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&String, &String)> {
        self.accounts
            .iter()
            .filter(|(_, person)| !self.passed_on.contains(*person))
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

    /// Whether another account has the address of a person's record, so that they keep that one:
    /// an account that was made for them, or a second one that somebody opened.
    pub(crate) fn has_another_account(&self, sandbox: &Sandbox, person: &str, id: &str) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a.to_lowercase() == b.to_lowercase(),
            _ => false,
        };
        let others: Vec<_> = sandbox
            .opsera()
            .accounts()
            .into_iter()
            .filter(|account| account.id != id)
            .collect();
        self.records_of(sandbox, person)
            .any(|record| others.iter().any(|other| same(&other.email, &record.email)))
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
