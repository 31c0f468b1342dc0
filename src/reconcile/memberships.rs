//! Memberships: who is in which group that the settings name (§5).
//!
//! Three ways of reading them, one result: only live groups that a rule matches or
//! `scope.required_groups` names are stored, whichever way they were found.

use std::collections::BTreeSet;

use futures::stream::{self, TryStreamExt as _};

use super::error::RunError;
use super::pull::opa_error;
use crate::clients::{CallError, Opa};
use crate::domain::Progress;
use crate::domain::{Finding, FindingKind, GroupName, GroupRecord, OpaId, OpaName, PersonRecord};
use crate::rules::{GroupPattern, Lookup, Policy};
use crate::store::Snapshot;

/// Requests for single people that may be under way at once.
const LOOKUPS_IN_FLIGHT: usize = 4;

/// Whether any membership decides anything.
pub(crate) fn matter(policy: &Policy) -> bool {
    policy.roles.managed || !policy.required_groups.is_empty()
}

/// Reads the memberships that decide something into the snapshot. Gives a finding per group that
/// a rule names and the Team does not have.
pub(super) async fn pull_memberships(
    snapshot: &Snapshot<'_>,
    policy: &Policy,
    joiners: bool,
    opa: &Opa,
    progress: &Progress,
) -> Result<Vec<Finding>, RunError> {
    if !matter(policy) {
        return Ok(Vec::new());
    }
    progress.stage(crate::domain::Stage::ReadingGroups);
    let mut groups = opa
        .list_live_groups(|group| is_relevant(policy, group))
        .await
        .map_err(opa_error)?;
    // Which of two ways is shorter matters only where both may be taken.
    let by_person = match policy.roles.lookup {
        Lookup::Group => None,
        Lookup::Auto | Lookup::User => Some(snapshot.count_people_to_look_up(joiners).await?),
    };
    let people = people_to_weigh(policy.roles.lookup, opa, &groups, by_person.unwrap_or(0));
    let by_group = match people {
        None => false,
        Some(people) => pull_groups(snapshot, opa, &mut groups, people, progress).await?,
    };
    // Both checks come after the reading, because a group may be deleted meanwhile.
    if let Some(missing) = policy
        .required_groups
        .iter()
        .find(|group| !groups.contains(*group))
    {
        return Err(RunError::NoRequiredGroup(missing.as_str().to_owned()));
    }
    if !by_group && !groups.is_empty() {
        opa.expect_requests(match by_person {
            Some(by_person) => by_person,
            None => snapshot.count_people_to_look_up(joiners).await?,
        });
        pull_people(snapshot, joiners, opa, &groups, progress).await?;
    }
    let names: Vec<GroupName> = groups.iter().cloned().collect();
    snapshot.add_groups(&names).await?;
    Ok(unknown_groups(policy, &groups))
}

/// Whether the settings name or match `group`.
pub(crate) fn is_relevant(policy: &Policy, group: &GroupName) -> bool {
    policy.required_groups.contains(group)
        || (policy.roles.managed
            && policy
                .roles
                .rules
                .iter()
                .any(|rule| rule.group.matches(group)))
}

/// How many people's groups could be read in place of the people of each group; `None`: they are.
fn people_to_weigh(
    lookup: Lookup,
    opa: &Opa,
    groups: &BTreeSet<GroupName>,
    by_person: u64,
) -> Option<u64> {
    if lookup == Lookup::User {
        return None;
    }
    // Nobody may lose a role because the group's name cannot be asked for, so all three ways of
    // reading still give the same plan.
    if let Some(group) = groups.iter().find(|group| !opa.can_list_group_users(group)) {
        tracing::warn!(
            group = group.as_str(),
            "OPA cannot be asked for the people of this group, because its name would change the \
             path of the request: the groups of each person are read instead; give the group \
             another name"
        );
        return None;
    }
    match lookup {
        Lookup::Auto if count(groups) > by_person => None,
        Lookup::Auto => Some(by_person),
        Lookup::Group | Lookup::User => Some(u64::MAX),
    }
}

/// Reads the people of every group; a group that does not exist any more is taken out of `groups`.
/// `false`: after the first pages, the others may take more requests than the groups of so many
/// `people`, and were not read.
async fn pull_groups(
    snapshot: &Snapshot<'_>,
    opa: &Opa,
    groups: &mut BTreeSet<GroupName>,
    people: u64,
    progress: &Progress,
) -> Result<bool, RunError> {
    opa.expect_requests(count(&*groups));
    let mut unfinished = Vec::new();
    let mut vanished = Vec::new();
    for group in &*groups {
        let mut listing = opa.list_group_users(group);
        match listing.next_page().await {
            Ok(page) => add_members(snapshot, group, page, progress).await?,
            Err(error) if error.status().is_some_and(|status| status.as_u16() == 404) => {
                vanished.push(group.clone());
            }
            Err(error) => return Err(opa_error(error)),
        }
        if listing.has_more() {
            unfinished.push((group.clone(), listing));
        }
    }
    for group in vanished {
        groups.remove(&group);
    }
    if !unfinished.is_empty() {
        // No group can have more people than the Team.
        let humans = snapshot.count_people().await?;
        let page = opa.page_size().max(1);
        let pages = humans.users.saturating_sub(humans.service).div_ceil(page);
        let to_come = count(&unfinished).saturating_mul(pages.saturating_sub(1));
        // A person who is in all of them needs as many pages, too.
        let by_person = people.saturating_mul(count(&unfinished).div_ceil(page));
        if to_come > by_person {
            return Ok(false);
        }
        opa.expect_requests(to_come);
    }
    for (group, mut listing) in unfinished {
        while let Some(page) = listing.next_page().await.map_err(opa_error)? {
            add_members(snapshot, &group, Some(page), progress).await?;
        }
    }
    Ok(true)
}

async fn add_members(
    snapshot: &Snapshot<'_>,
    group: &GroupName,
    page: Option<Vec<PersonRecord>>,
    progress: &Progress,
) -> Result<(), RunError> {
    let page = page.unwrap_or_default();
    snapshot.add_members(group, &page).await?;
    progress.count(
        crate::domain::Counter::Members,
        u64::try_from(page.len()).unwrap_or(0),
    );
    Ok(())
}

fn count<'a, T: 'a>(all: impl IntoIterator<Item = &'a T>) -> u64 {
    u64::try_from(all.into_iter().count()).unwrap_or(u64::MAX)
}

async fn pull_people(
    snapshot: &Snapshot<'_>,
    joiners: bool,
    opa: &Opa,
    groups: &BTreeSet<GroupName>,
    progress: &Progress,
) -> Result<(), RunError> {
    let mut after: Option<OpaId> = None;
    loop {
        let people = snapshot
            .list_people_to_look_up(joiners, after.as_ref())
            .await?;
        let Some((last, _)) = people.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        stream::iter(people.iter().map(Ok))
            .try_for_each_concurrent(LOOKUPS_IN_FLIGHT, |(id, name)| async move {
                match list_groups_of(opa, name, groups).await {
                    Ok(memberships) => snapshot.add_groups_of(id, &memberships).await?,
                    // Doubt about this one person; the plan tells of it.
                    Err(CallError::InvalidPathSegment { .. }) => {
                        snapshot.add_unreadable_memberships(id).await?;
                    }
                    Err(error) => return Err(opa_error(error)),
                }
                progress.count(crate::domain::Counter::Members, 1);
                Ok::<_, RunError>(())
            })
            .await?;
    }
}

async fn list_groups_of(
    opa: &Opa,
    name: &OpaName,
    relevant: &BTreeSet<GroupName>,
) -> Result<Vec<GroupRecord>, CallError> {
    let mut memberships = Vec::new();
    let mut listing = opa.list_user_groups(name);
    while let Some(page) = listing.next_page().await? {
        memberships.extend(
            page.into_iter()
                .filter(|group| group.live && relevant.contains(&group.name)),
        );
    }
    Ok(memberships)
}

fn unknown_groups(policy: &Policy, live: &BTreeSet<GroupName>) -> Vec<Finding> {
    let named: BTreeSet<&GroupName> = policy
        .roles
        .rules
        .iter()
        .filter(|_| policy.roles.managed)
        .filter_map(|rule| match &rule.group {
            GroupPattern::Exact(name) => Some(name),
            GroupPattern::Glob(_) => None,
        })
        .collect();
    named
        .into_iter()
        .filter(|name| !live.contains(*name))
        .map(|name| Finding {
            kind: FindingKind::UnknownGroup,
            email: name.as_str().to_owned(),
            detail: format!(
                "a role rule names the group {name}, and the Team has no such group: the rule \
                 matches nobody; correct roles.rules or create the group"
            ),
        })
        .collect()
}
