//! The case that each member of the example organisation is.
//!
//! Most are in step. The rest are the cases the program is for, in numbers that a first plan with
//! the default guards gets through: a few dozen leavers at most, however large the organisation.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// One member's case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
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
    /// Left and came back, mostly as the same record; the account was never deactivated.
    Rehired,
    /// Left and came back, mostly as the same record; the former account is deactivated.
    BackWithoutAccount,
    /// Renamed: the OPA name and Opsera have the old address, the OPA details the new one.
    Renamed,
    /// The address is in upper case in Opsera.
    UppercaseAddress,
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
    /// A status that no client knows.
    UnknownStatus,
    /// Somebody else's account has an address that looks like theirs.
    LookAlike,
    /// Never had anything to do with Opsera.
    Elsewhere,
    /// Left long ago: deleted in OPA, deactivated in Opsera.
    PastLeaver,
    /// Renamed, then deleted and created again with the new address; Opsera has the old one.
    RenamedAndRecreated,
    /// Left, and the record's details were emptied.
    DetailsCleared,
    /// Has the mailbox, and with it the account, of somebody who left.
    MailboxPassedOn,
    /// Disabled in OPA before ever signing in to Opsera: the account is pending and unlisted.
    PendingLeaver,
}

/// Each scenario with how many in a thousand have it, at least and at most.
const SHARES: [(Scenario, u32, u32, u32); 23] = [
    (Scenario::Disabled, 12, 2, 8),
    (Scenario::DisabledOwner, 1, 1, 1),
    (Scenario::Deleted, 12, 2, 6),
    (Scenario::OutOfGroup, 4, 1, 3),
    (Scenario::Absent, 8, 1, 5),
    (Scenario::Mover, 28, 3, 40),
    (Scenario::NewAdministrator, 4, 1, 2),
    (Scenario::Joiner, 12, 2, 20),
    (Scenario::PendingJoiner, 4, 1, 10),
    (Scenario::Rehired, 8, 1, 500),
    (Scenario::BackWithoutAccount, 4, 1, 10),
    (Scenario::Renamed, 4, 1, 3),
    (Scenario::UppercaseAddress, 16, 2, 5000),
    (Scenario::TrailingSpace, 4, 1, 500),
    (Scenario::UnicodeDomain, 4, 1, 500),
    (Scenario::PlusTag, 8, 1, 1000),
    (Scenario::TwoAccounts, 4, 1, 20),
    (Scenario::TwoRecords, 4, 1, 20),
    (Scenario::NoAddress, 4, 1, 20),
    (Scenario::UnknownStatus, 4, 1, 10),
    (Scenario::LookAlike, 4, 1, 3),
    (Scenario::Elsewhere, 60, 4, 10_000),
    (Scenario::PastLeaver, 50, 3, 10_000),
];

/// The scenarios that take the place of the last members in step, so that everybody else in an
/// organisation with a given seed stays who they are.
const LATER_SHARES: [(Scenario, u32, u32, u32); 4] = [
    (Scenario::DetailsCleared, 4, 1, 3),
    (Scenario::MailboxPassedOn, 4, 1, 2),
    (Scenario::PendingLeaver, 8, 1, 10),
    // None in the organisation of `demo`: one renamed person is enough for its story.
    (Scenario::RenamedAndRecreated, 2, 0, 2),
];

/// Below this size an organisation has no room for one of each.
const ROOM_FOR_ALL: u32 = 100;

/// One scenario for each of `users` members, shuffled.
pub(super) fn assign(users: u32, rng: &mut StdRng) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = expand(&SHARES, users).collect();
    let all = usize::try_from(users).unwrap_or(usize::MAX);
    if scenarios.is_empty() && users > 1 {
        scenarios.extend([Scenario::Disabled, Scenario::Mover]);
    }
    scenarios.truncate(all);
    scenarios.resize(all, Scenario::InStep);
    scenarios.shuffle(rng);
    let in_step = scenarios.iter_mut().rev();
    let in_step = in_step.filter(|scenario| **scenario == Scenario::InStep);
    for (place, scenario) in in_step.zip(expand(&LATER_SHARES, users)) {
        *place = scenario;
    }
    scenarios
}

fn expand(
    shares: &[(Scenario, u32, u32, u32)],
    users: u32,
) -> impl Iterator<Item = Scenario> + use<'_> {
    shares
        .iter()
        .flat_map(move |(scenario, share, least, most)| {
            let least = if users < ROOM_FOR_ALL { 0 } else { *least };
            let share = u64::from(users) * u64::from(*share) / 1000;
            let count = u32::try_from(share).unwrap_or(u32::MAX);
            (0..count.max(least).min(*most)).map(|_| *scenario)
        })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn count(users: u32, wanted: &[Scenario]) -> usize {
        let scenarios = assign(users, &mut StdRng::seed_from_u64(1));
        assert_eq!(scenarios.len(), usize::try_from(users).unwrap());
        scenarios.iter().filter(|s| wanted.contains(s)).count()
    }

    #[test]
    fn however_large_the_organisation_its_first_plan_passes_the_default_guards() {
        let leavers = [
            Scenario::Disabled,
            Scenario::DisabledOwner,
            Scenario::Deleted,
            Scenario::OutOfGroup,
        ];
        for users in [100, 250, 1000, 100_000] {
            assert!((6..=25).contains(&count(users, &leavers)), "{users}");
            assert!(count(users, &[Scenario::NewAdministrator]) <= 2, "{users}");
            assert!(count(users, &[Scenario::Mover]) <= 100, "{users}");
            assert!(count(users, &[Scenario::Joiner]) <= 50, "{users}");
        }
    }

    #[test]
    fn every_scenario_is_there_once_there_is_room() {
        for (scenario, ..) in SHARES {
            assert!(count(ROOM_FOR_ALL, &[scenario]) > 0, "{scenario:?}");
        }
        for (scenario, ..) in LATER_SHARES {
            assert!(count(500, &[scenario]) > 0, "{scenario:?}");
        }
    }

    #[test]
    fn the_organisation_of_the_demo_has_exactly_one_renamed_person() {
        let renamed = [Scenario::Renamed, Scenario::RenamedAndRecreated];
        assert_eq!(count(250, &renamed), 1);
    }

    #[test]
    fn an_organisation_too_small_for_scenarios_is_mostly_in_step() {
        assert_eq!(count(0, &[Scenario::InStep]), 0);
        assert_eq!(count(1, &[Scenario::InStep]), 1);
        assert_eq!(count(10, &[Scenario::InStep]), 8);
    }
}
