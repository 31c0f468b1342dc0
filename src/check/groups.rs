//! Role rules and required groups against the groups that exist, and whom each rule gives a role.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::model::CheckReport;
use super::opa::OpaAnswers;
use crate::clients::{CallError, Opa};
use crate::domain::text::{counted, error_chain};
use crate::domain::{GroupName, PersonStatus, UserType};
use crate::reconcile::{is_relevant, memberships_matter};
use crate::rules::{GroupPattern, Lookup, Policy, RoleRule};

/// Pages of members that are read in all: a check should take seconds.
const MOST_PAGES: u32 = 200;

/// Gives about how many requests a run needs for the memberships.
pub(super) async fn examine(
    report: &mut CheckReport,
    opa: &Opa,
    policy: &Policy,
    answers: &OpaAnswers,
) -> u64 {
    if !memberships_matter(policy) {
        report.ok(
            "roles.rules",
            "roles are not managed (no rules and no default, or roles.enabled = false)",
        );
        return 0;
    }
    if !answers.listable {
        report.not_checked(
            "roles.rules",
            "not checked because OPA's groups cannot be read",
        );
        return 0;
    }
    let groups = match opa
        .list_live_groups(|group| is_relevant(policy, group))
        .await
    {
        Ok(groups) => groups,
        Err(error) => {
            report.failure(
                "roles.rules",
                format!(
                    "the Team's groups cannot be listed: {}",
                    error_chain(&error)
                ),
                "a run needs them; give the service user the role that lists groups",
            );
            return 0;
        }
    };
    required(report, policy, &groups);
    if !policy.roles.managed {
        report.ok("roles.rules", "roles are not managed");
        return requests(policy, &groups, answers, 0);
    }
    let mut counter = Counter::new(opa);
    for (number, rule) in (1_usize..).zip(&policy.roles.rules) {
        let name = format!("roles.rules[{number}]");
        examine_rule(report, &name, rule, &groups, &mut counter).await;
    }
    match policy.roles.default {
        Some(role) => report.ok(
            "roles.default",
            format!("every other entitled person gets {role}"),
        ),
        None => report.ok(
            "roles.default",
            "every other entitled person keeps the role they have",
        ),
    }
    requests(policy, &groups, answers, counter.pages_read())
}

/// Requests for the groups and their members, or for each person.
fn requests(
    policy: &Policy,
    groups: &BTreeSet<GroupName>,
    answers: &OpaAnswers,
    pages_read: u64,
) -> u64 {
    let by_group = pages_read.max(u64::try_from(groups.len()).unwrap_or(u64::MAX));
    let by_person = answers.humans.unwrap_or(u64::MAX);
    let members = match policy.roles.lookup {
        Lookup::User => answers.humans.unwrap_or(0),
        Lookup::Group => by_group,
        Lookup::Auto => by_group.min(by_person),
    };
    members.saturating_add(1)
}

fn required(report: &mut CheckReport, policy: &Policy, groups: &BTreeSet<GroupName>) {
    let name = "scope.required_groups";
    if policy.required_groups.is_empty() {
        return;
    }
    let missing: Vec<&str> = policy
        .required_groups
        .iter()
        .filter(|group| !groups.contains(*group))
        .map(GroupName::as_str)
        .collect();
    if missing.is_empty() {
        report.ok(name, "every required group exists");
    }
    for group in missing {
        report.failure(
            name,
            format!("the Team has no group {group:?}: no run plans anything without it"),
            "correct the setting, or create the group in OPA",
        );
    }
}

async fn examine_rule(
    report: &mut CheckReport,
    name: &str,
    rule: &RoleRule,
    groups: &BTreeSet<GroupName>,
    counter: &mut Counter<'_>,
) {
    let matched: Vec<&GroupName> = groups
        .iter()
        .filter(|group| rule.group.matches(group))
        .collect();
    let (pattern, given) = (&rule.group, rule.role);
    if matched.is_empty() {
        let message = match pattern {
            GroupPattern::Exact(group) => format!(
                "unknown_group: the Team has no group {:?}, so the rule gives nobody {given}",
                group.as_str()
            ),
            GroupPattern::Glob(_) => {
                format!("no group of the Team matches {pattern}, so the rule gives nobody {given}")
            }
        };
        report.warning(
            name,
            message,
            "correct roles.rules, or create the group in OPA",
        );
        return;
    }
    let names: Vec<&str> = matched.iter().map(|group| group.as_str()).collect();
    let through = format!("{pattern} → {given}, through {}", shortened(&names));
    match counter.count(&matched).await {
        Ok(people) if counter.is_exhausted() => report.ok(
            name,
            format!(
                "{through}: at least {} (not all members were counted)",
                counted(people, "person", "people")
            ),
        ),
        Ok(0) => report.warning(
            name,
            format!("{through}: nobody, or only people whom an earlier rule decides"),
            "nothing to do if that is meant",
        ),
        Ok(people) => report.ok(
            name,
            format!("{through}: {}", counted(people, "person", "people")),
        ),
        Err(error) => report.failure(
            name,
            format!(
                "{through}: the members cannot be listed: {}",
                error_chain(&error)
            ),
            "a run may need this listing; see roles.lookup",
        ),
    }
}

fn shortened(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Counts everybody once, for the first rule that is about them.
struct Counter<'c> {
    opa: &'c Opa,
    pages_left: u32,
    groups_read: HashSet<GroupName>,
    /// People as hashes: a few bytes each, and [`MOST_PAGES`] bounds how many.
    counted: HashSet<u64>,
    hasher: RandomState,
}

impl<'c> Counter<'c> {
    fn new(opa: &'c Opa) -> Self {
        Self {
            opa,
            pages_left: MOST_PAGES,
            groups_read: HashSet::new(),
            counted: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    fn is_exhausted(&self) -> bool {
        self.pages_left == 0
    }

    fn pages_read(&self) -> u64 {
        u64::from(MOST_PAGES.saturating_sub(self.pages_left))
    }

    async fn count(&mut self, groups: &[&GroupName]) -> Result<u64, CallError> {
        let mut people = 0;
        for group in groups {
            // Members of a group that an earlier rule matched are decided already.
            if !self.groups_read.insert((*group).clone()) {
                continue;
            }
            let mut listing = self.opa.list_group_users(group);
            while self.pages_left > 0 {
                let Some(page) = listing.next_page().await? else {
                    break;
                };
                self.pages_left -= 1;
                for person in page {
                    let counts = person.user_type == UserType::Human
                        && person.status == PersonStatus::Active
                        && self.counted.insert(self.hasher.hash_one(&person.id));
                    people += u64::from(counts);
                }
            }
        }
        Ok(people)
    }
}
