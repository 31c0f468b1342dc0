//! What happened to each member of the example organisation.
//!
//! Most are in step. The rest are the cases the program is for, in numbers that a first plan with
//! the default guards gets through: a few dozen leavers at most, however large the organisation.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// One member's story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    /// Same person, same role on both sides.
    InStep,
    /// Disabled in OPA, still active in Opsera.
    Disabled,
    /// The same, and owns pipelines: Opsera refuses the deactivation.
    DisabledOwner,
    /// Deleted in OPA, still active in Opsera.
    Deleted,
    /// In Opsera alone.
    Absent,
    /// Left the group that gives access.
    OutOfGroup,
    /// The groups call for another role than the account has.
    Mover,
    /// The groups newly call for Administrators.
    NewAdministrator,
    /// No account yet.
    Joiner,
    /// An account that was created and never used.
    PendingJoiner,
    /// Deleted once, back under a new record, same address.
    Rehired,
    /// Back, but the former account is deactivated.
    BackWithoutAccount,
    /// Has another address in OPA than in Opsera.
    Renamed,
    /// The address is written in capitals in Opsera.
    Shouted,
    /// The address ends with a space in Opsera.
    TrailingSpace,
    /// The domain is written in Unicode on one side.
    UnicodeDomain,
    /// The address has a plus tag, on both sides.
    PlusTag,
    /// Two accounts that differ in letter case.
    TwoAccounts,
    /// Two ACTIVE records with one address.
    TwoRecords,
    /// No address in OPA.
    NoAddress,
    /// A status nobody has heard of.
    UnknownStatus,
    /// Somebody else's account looks like theirs would.
    LookAlike,
    /// Never had anything to do with Opsera.
    Elsewhere,
    /// Left long ago: deleted there, deactivated here.
    PastLeaver,
}

/// Each story with how many in a thousand have it, at least and at most.
const SHARES: [(Story, u32, u32, u32); 23] = [
    (Story::Disabled, 12, 2, 8),
    (Story::DisabledOwner, 1, 1, 1),
    (Story::Deleted, 12, 2, 6),
    (Story::OutOfGroup, 4, 1, 3),
    (Story::Absent, 8, 1, 5),
    (Story::Mover, 28, 3, 40),
    (Story::NewAdministrator, 4, 1, 2),
    (Story::Joiner, 12, 2, 20),
    (Story::PendingJoiner, 4, 1, 10),
    (Story::Rehired, 8, 1, 500),
    (Story::BackWithoutAccount, 4, 1, 10),
    (Story::Renamed, 4, 1, 3),
    (Story::Shouted, 16, 2, 5000),
    (Story::TrailingSpace, 4, 1, 500),
    (Story::UnicodeDomain, 4, 1, 500),
    (Story::PlusTag, 8, 1, 1000),
    (Story::TwoAccounts, 4, 1, 20),
    (Story::TwoRecords, 4, 1, 20),
    (Story::NoAddress, 4, 1, 20),
    (Story::UnknownStatus, 4, 1, 10),
    (Story::LookAlike, 4, 1, 3),
    (Story::Elsewhere, 60, 4, 10_000),
    (Story::PastLeaver, 50, 3, 10_000),
];

/// Below this size an organisation has no room for one of each.
const ROOM_FOR_ALL: u32 = 100;

/// One story for each of `users` members, shuffled.
pub(super) fn cast(users: u32, rng: &mut StdRng) -> Vec<Story> {
    let mut stories = Vec::new();
    for (story, share, least, most) in SHARES {
        let least = if users < ROOM_FOR_ALL { 0 } else { least };
        let share = u64::from(users) * u64::from(share) / 1000;
        let count = u32::try_from(share)
            .unwrap_or(u32::MAX)
            .max(least)
            .min(most);
        stories.extend((0..count).map(|_| story));
    }
    let all = usize::try_from(users).unwrap_or(usize::MAX);
    if stories.is_empty() && users > 1 {
        stories.extend([Story::Disabled, Story::Mover]);
    }
    stories.truncate(all);
    stories.resize(all, Story::InStep);
    stories.shuffle(rng);
    stories
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn count(users: u32, wanted: &[Story]) -> usize {
        let stories = cast(users, &mut StdRng::seed_from_u64(1));
        assert_eq!(stories.len(), usize::try_from(users).unwrap());
        stories.iter().filter(|s| wanted.contains(s)).count()
    }

    #[test]
    fn however_large_the_organisation_its_first_plan_passes_the_default_guards() {
        let leavers = [
            Story::Disabled,
            Story::DisabledOwner,
            Story::Deleted,
            Story::OutOfGroup,
        ];
        for users in [100, 250, 1000, 100_000] {
            assert!((6..=25).contains(&count(users, &leavers)), "{users}");
            assert!(count(users, &[Story::NewAdministrator]) <= 2, "{users}");
            assert!(count(users, &[Story::Mover]) <= 100, "{users}");
            assert!(count(users, &[Story::Joiner]) <= 50, "{users}");
        }
    }

    #[test]
    fn every_story_is_told_once_there_is_room() {
        for (story, ..) in SHARES {
            assert!(count(ROOM_FOR_ALL, &[story]) > 0, "{story:?}");
        }
    }

    #[test]
    fn an_organisation_too_small_for_stories_is_mostly_in_step() {
        assert_eq!(count(0, &[Story::InStep]), 0);
        assert_eq!(count(1, &[Story::InStep]), 1);
        assert_eq!(count(10, &[Story::InStep]), 8);
    }
}
