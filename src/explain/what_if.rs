//! What would change the outcome: each change is made to a copy of the facts or the settings, and
//! the rules themselves say what follows. Only changes that make a difference are told.

use wildmatch::WildMatch;

use super::model::{DecisionView, WhatIf};
use super::next_run::NextRun;
use super::words;
use crate::domain::{Evidence, GroupName, OpaId, PersonStatus, time::after};
use crate::rules::clock_trust::LEAST_PULLS;
use crate::rules::facts::Absence;
use crate::rules::{AccountFacts, AddressPattern, GroupPattern, Policy};
use crate::store::OpaEntry;

/// Rules and groups whose gain or loss is tried.
const MOST_GROUPS: usize = 6;

/// Changes that lead to another outcome than `today`.
pub(super) fn list(
    facts: &AccountFacts,
    records: &[OpaEntry],
    next_run: NextRun<'_>,
    today: &DecisionView,
) -> Vec<WhatIf> {
    let policy = next_run.policy;
    let mut trial = Trial {
        facts,
        records,
        policy,
        today,
        next_run,
        found: Vec::new(),
    };
    if facts.identity.is_none() {
        trial.found.push(WhatIf {
            change: "correct the account's address in Opsera".to_owned(),
            outcome: "it can be matched with a person".to_owned(),
        });
    } else if facts.managed {
        trial.duplicates();
        trial.status();
        trial.required_groups();
        trial.role_groups();
        trial.time();
        trial.doubts();
        trial.protection();
    } else if let Some((address, _)) = &facts.identity
        && facts.active
    {
        trial.found.push(WhatIf {
            change: format!(
                "add {} to scope.domains",
                policy.matching.scope_domain(address)
            ),
            outcome: "the account is managed".to_owned(),
        });
    }
    trial.found
}

struct Trial<'t> {
    facts: &'t AccountFacts,
    /// The OPA records as the snapshot has them, with the groups of those who are not ACTIVE too.
    records: &'t [OpaEntry],
    policy: &'t Policy,
    today: &'t DecisionView,
    next_run: NextRun<'t>,
    found: Vec<WhatIf>,
}

impl Trial<'_> {
    fn facts(&mut self, change: impl Into<String>, edit: impl FnOnce(&mut AccountFacts)) {
        let mut facts = self.facts.clone();
        edit(&mut facts);
        self.settle(change.into(), &facts, self.next_run);
    }

    fn settle(&mut self, change: String, facts: &AccountFacts, next_run: NextRun<'_>) {
        let then = words::decision(facts, next_run, &next_run.decide(facts));
        let same = then.kind == self.today.kind && then.to == self.today.to;
        if !same {
            self.found.push(WhatIf {
                change,
                outcome: then.words,
            });
        }
    }

    fn duplicates(&mut self) {
        let id = self.facts.id.clone();
        self.facts(
            "deactivate the other accounts with this address in Opsera",
            |facts| {
                facts.same_key.total = 1;
                facts.same_key.first.retain(|account| account.id == id);
            },
        );
    }

    fn status(&mut self) {
        let names: Vec<&str> = self
            .facts
            .people
            .listed
            .iter()
            .map(|person| person.name.as_str())
            .collect();
        let names = names.join(", ");
        match words::evidence(self.facts, self.policy) {
            Some(Evidence::Disabled) => self.enable(&names),
            // The shield's own remedy comes later.
            Some(Evidence::Deleted | Evidence::Absent) if self.today.kind == "doubt" => {}
            Some(Evidence::Deleted | Evidence::Absent) => self.found.push(WhatIf {
                change: "add the person to the Team with this address, or give their OPA address \
                         in [matching.aliases]"
                    .to_owned(),
                outcome: "the account stays, and its role follows their groups".to_owned(),
            }),
            Some(Evidence::NotInRequiredGroup) => {}
            None => self.facts(format!("disable {names} in OPA"), |facts| {
                for person in &mut facts.people.listed {
                    person.status = PersonStatus::Disabled;
                }
                facts.people.active = 0;
                facts.groups.clear();
            }),
        }
    }

    /// The groups of DISABLED people are read only where memberships are read group by group. Where
    /// a required group decides and nobody knows whether they are in it, that is what is told.
    fn enable(&mut self, names: &str) {
        let disabled = |id: &OpaId| {
            let mut people = self.facts.people.listed.iter();
            people.any(|person| person.id == *id && person.status == PersonStatus::Disabled)
        };
        let mut groups: Vec<GroupName> = self
            .records
            .iter()
            .filter(|record| disabled(&record.id))
            .flat_map(|record| record.groups.iter().cloned())
            .collect();
        groups.sort();
        groups.dedup();
        let required = &self.policy.required_groups;
        let change = format!("enable {names} in OPA");
        if !required.is_empty() && !groups.iter().any(|group| required.contains(group)) {
            let names: Vec<&str> = required.iter().map(GroupName::as_str).collect();
            self.found.push(WhatIf {
                change,
                outcome: format!(
                    "the account stays if the person is in one of {} then; the groups of DISABLED \
                     people were not read",
                    names.join(", ")
                ),
            });
            return;
        }
        self.facts(change, |facts| {
            for person in &mut facts.people.listed {
                if person.status == PersonStatus::Disabled {
                    person.status = PersonStatus::Active;
                    facts.people.active += 1;
                }
            }
            facts.groups.extend(groups);
            facts.groups.sort();
            facts.groups.dedup();
        });
    }

    fn required_groups(&mut self) {
        let required: Vec<_> = self.policy.required_groups.iter().cloned().collect();
        if words::evidence(self.facts, self.policy) == Some(Evidence::NotInRequiredGroup) {
            for group in required.into_iter().take(MOST_GROUPS) {
                self.facts(format!("put the person into {group} in OPA"), |facts| {
                    facts.groups.push(group);
                });
            }
        } else if !required.is_empty() {
            let names: Vec<&str> = required.iter().map(GroupName::as_str).collect();
            self.facts(
                format!("take the person out of {} in OPA", names.join(", ")),
                |facts| facts.groups.retain(|group| !required.contains(group)),
            );
        }
    }

    fn role_groups(&mut self) {
        if !self.policy.roles.managed || words::evidence(self.facts, self.policy).is_some() {
            return;
        }
        for group in self.facts.groups.iter().take(MOST_GROUPS) {
            if self.policy.required_groups.contains(group) {
                continue;
            }
            self.facts(format!("take the person out of {group} in OPA"), |facts| {
                facts.groups.retain(|other| other != group);
            });
        }
        for rule in self.policy.roles.rules.iter().take(MOST_GROUPS) {
            if let GroupPattern::Exact(group) = &rule.group
                && !self.facts.groups.contains(group)
            {
                self.facts(format!("put the person into {group} in OPA"), |facts| {
                    facts.groups.push(group.clone());
                });
            }
        }
    }

    fn time(&mut self) {
        if self.today.kind != "waiting" {
            return;
        }
        let since = self
            .facts
            .absence
            .map_or(self.next_run.now, |absence| absence.since);
        let due = after(since, self.policy.absent_grace);
        let mut change = format!("nothing changes until {}", words::time(due));
        if let Some(more) = words::proof_to_come(self.facts, self.next_run) {
            change.push_str(", and ");
            change.push_str(&more);
        }
        let mut facts = self.facts.clone();
        facts.absence = Some(Absence {
            since,
            pulls: LEAST_PULLS,
        });
        let then = NextRun {
            now: due.max(self.next_run.now),
            clock_is_trusted: true,
            ..self.next_run
        };
        self.settle(change, &facts, then);
    }

    fn doubts(&mut self) {
        if self.today.kind == "doubt" && !self.facts.same_key.is_conflict() {
            if let Some((address, key)) = &self.facts.identity {
                let mut policy = self.policy.clone();
                policy.release.insert(key.clone());
                let change = format!(
                    "nobody named above owns this account: add \"{address}\" to \
                     deactivation.release"
                );
                let released = NextRun {
                    policy: &policy,
                    ..self.next_run
                };
                self.settle(change, self.facts, released);
            }
            self.found.push(WhatIf {
                change: "the account is theirs: name the pair in [matching.aliases]".to_owned(),
                outcome: "the account follows that person".to_owned(),
            });
        }
    }

    fn protection(&mut self) {
        let Some((address, _)) = &self.facts.identity else {
            return;
        };
        let mut policy = self.policy.clone();
        policy.protection.patterns.push(AddressPattern {
            text: address.as_str().to_owned(),
            glob: WildMatch::new(address.as_str()),
        });
        let change = format!("add \"{address}\" to protect.emails");
        let protected = NextRun {
            policy: &policy,
            ..self.next_run
        };
        self.settle(change, self.facts, protected);
    }
}
