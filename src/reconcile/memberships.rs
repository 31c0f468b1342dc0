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
use crate::domain::{Finding, FindingKind, GroupName, GroupRecord, OpaId, OpaName};
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
    let by_group = match policy.roles.lookup {
        Lookup::User => false,
        Lookup::Group => true,
        Lookup::Auto => {
            snapshot
                .has_people_to_look_up(joiners, groups.len())
                .await?
        }
    };
    if by_group {
        let mut vanished = Vec::new();
        for group in &groups {
            if !pull_group(snapshot, opa, group, progress).await? {
                vanished.push(group.clone());
            }
        }
        for group in vanished {
            groups.remove(&group);
        }
    }
    // Both checks come after the reading, because a group may be deleted meanwhile.
    if let Some(missing) = policy
        .required_groups
        .iter()
        .find(|group| !groups.contains(*group))
    {
        return Err(RunError::NoRequiredGroup(missing.as_str().to_owned()));
    }
    if !by_group && !groups.is_empty() {
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

/// `false`: the group does not exist any more.
async fn pull_group(
    snapshot: &Snapshot<'_>,
    opa: &Opa,
    group: &GroupName,
    progress: &Progress,
) -> Result<bool, RunError> {
    let mut listing = opa.list_group_users(group);
    let mut first = true;
    loop {
        match listing.next_page().await {
            Ok(Some(page)) => {
                snapshot.add_members(group, &page).await?;
                progress.count(
                    crate::domain::Counter::Members,
                    u64::try_from(page.len()).unwrap_or(0),
                );
            }
            Ok(None) => return Ok(true),
            Err(error) if first && error.status().is_some_and(|status| status.as_u16() == 404) => {
                return Ok(false);
            }
            Err(error) => return Err(opa_error(error)),
        }
        first = false;
    }
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
