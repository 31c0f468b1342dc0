//! Role rules and required groups against the groups that exist, and whom each rule gives a role.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::model::Checkup;
use crate::clients::{CallError, Opa};
use crate::domain::text::error_chain;
use crate::domain::{GroupName, PersonStatus, UserType};
use crate::reconcile::{is_relevant, memberships_matter};
use crate::rules::{GroupPattern, Policy, RoleRule};

/// Pages of members that are read in all: a check should take seconds.
const MOST_PAGES: u32 = 200;

pub(super) async fn examine(checkup: &mut Checkup, opa: &Opa, policy: &Policy, listable: bool) {
    if !memberships_matter(policy) {
        checkup.ok(
            "roles.rules",
            "roles are not managed (no rules and no default, or roles.enabled = false)",
        );
        return;
    }
    if !listable {
        checkup.not_checked(
            "roles.rules",
            "not checked because OPA's groups cannot be read",
        );
        return;
    }
    let groups = match list(opa, policy).await {
        Ok(groups) => groups,
        Err(error) => {
            checkup.failure(
                "roles.rules",
                format!(
                    "the Team's groups cannot be listed: {}",
                    error_chain(&error)
                ),
                "a run needs them; give the service user the role that lists groups",
            );
            return;
        }
    };
    required(checkup, policy, &groups);
    if !policy.roles.managed {
        checkup.ok("roles.rules", "roles are not managed");
        return;
    }
    let mut counter = Counter::new(opa);
    for (number, rule) in (1_usize..).zip(&policy.roles.rules) {
        let name = format!("roles.rules[{number}]");
        examine_rule(checkup, &name, rule, &groups, &mut counter).await;
    }
    match policy.roles.default {
        Some(role) => checkup.ok(
            "roles.default",
            format!("every other entitled person gets {role}"),
        ),
        None => checkup.ok(
            "roles.default",
            "every other entitled person keeps the role they have",
        ),
    }
}

async fn list(opa: &Opa, policy: &Policy) -> Result<BTreeSet<GroupName>, CallError> {
    let mut found = BTreeSet::new();
    let mut listing = opa.list_groups();
    while let Some(page) = listing.next_page().await? {
        found.extend(
            page.into_iter()
                .filter(|group| group.live && is_relevant(policy, &group.name))
                .map(|group| group.name),
        );
    }
    Ok(found)
}

fn required(checkup: &mut Checkup, policy: &Policy, groups: &BTreeSet<GroupName>) {
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
        checkup.ok(name, "every required group exists");
    }
    for group in missing {
        checkup.failure(
            name,
            format!("the Team has no group {group:?}: no run plans anything without it"),
            "correct the setting, or create the group in OPA",
        );
    }
}

async fn examine_rule(
    checkup: &mut Checkup,
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
        checkup.warning(
            name,
            message,
            "correct roles.rules, or create the group in OPA",
        );
        return;
    }
    let names: Vec<&str> = matched.iter().map(|group| group.as_str()).collect();
    let through = format!("{pattern} → {given}, through {}", shortened(&names));
    match counter.count(&matched).await {
        Ok(people) if counter.is_exhausted() => checkup.ok(
            name,
            format!(
                "{through}: at least {} (not all members were counted)",
                counted(people)
            ),
        ),
        Ok(0) => checkup.warning(
            name,
            format!("{through}: nobody, or only people whom an earlier rule decides"),
            "nothing to do if that is meant",
        ),
        Ok(people) => checkup.ok(name, format!("{through}: {}", counted(people))),
        Err(error) => checkup.failure(
            name,
            format!(
                "{through}: the members cannot be listed: {}",
                error_chain(&error)
            ),
            "a run may need this listing; see roles.lookup",
        ),
    }
}

fn counted(people: u64) -> String {
    match people {
        1 => "1 person".to_owned(),
        many => format!("{many} people"),
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
