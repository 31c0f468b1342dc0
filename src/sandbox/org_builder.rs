//! The example organisation: drawn from a seed, the same every time.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::ChangeError;
use super::accounts::{AccountSeed, AccountStatus, Accounts, SITE_ROLES};
use super::example::{
    ACCESS_GROUP, Alias, BREAK_GLASS, DOMAIN, RETIRED_GROUP, ROLE_GROUPS, TOKEN_OWNER,
};
use super::names::{DEPARTMENTS, ELSEWHERE, FIRST, LAST};
use super::people::{PersonSeed, UserKind};
use super::scenarios::{Scenario, assign};
use super::team::Team;
use crate::domain::time::Timestamp;

/// The first accounts were made at this time (2019-03-04T09:00:00Z), in seconds.
const FOUNDED: i64 = 1_551_690_000;

/// Fills both directories and gives back the aliases that the renamed people need.
pub(super) fn populate(
    team: &Team,
    accounts: &Accounts,
    users: u32,
    seed: u64,
) -> Result<Vec<Alias>, ChangeError> {
    let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let scenarios = assign(users, &mut rng);
    let mut builder = OrgBuilder {
        team,
        accounts,
        rng,
        used: HashMap::new(),
        aliases: Vec::new(),
        returned: 0,
        cleared: 0,
        afterwards: Vec::new(),
    };
    builder.add_fixtures()?;
    for (position, scenario) in scenarios.into_iter().enumerate() {
        let member = builder.member(position);
        builder.apply(&member, scenario)?;
    }
    for number in 0..(users / 80).max(1) {
        builder.service_user(number)?;
    }
    for person in std::mem::take(&mut builder.afterwards) {
        builder.add_person(person)?;
    }
    Ok(builder.aliases)
}

/// A member before the scenario is applied.
#[derive(Clone, Debug)]
struct Member {
    first: &'static str,
    last: &'static str,
    local: String,
    name: String,
    role_group: Option<&'static str>,
    department: &'static str,
}

impl Member {
    fn email(&self) -> String {
        format!("{}@{DOMAIN}", self.local)
    }

    /// The address after a change of name.
    fn married_email(&self) -> String {
        format!("{}-weiss@{DOMAIN}", self.local)
    }

    fn role(&self) -> &'static str {
        let rule = ROLE_GROUPS
            .iter()
            .find(|(g, _)| Some(*g) == self.role_group);
        rule.map_or("Users", |(_, role)| role)
    }

    fn person(&self) -> PersonSeed {
        let mut seed = PersonSeed::active(&self.name, &self.email()).named(self.first, self.last);
        seed.groups = vec![ACCESS_GROUP.to_owned(), self.department.to_owned()];
        seed.groups.extend(self.role_group.map(str::to_owned));
        seed
    }

    fn account(&self) -> AccountSeed {
        let mut seed = AccountSeed::active(&self.email())
            .named(self.first, self.last)
            .role(self.role());
        self.department.clone_into(&mut seed.division);
        seed
    }
}

struct OrgBuilder<'a> {
    team: &'a Team,
    accounts: &'a Accounts,
    rng: StdRng,
    /// How often each local part was given.
    used: HashMap<String, u32>,
    aliases: Vec<Alias>,
    /// How many left and came back so far.
    returned: u32,
    /// How many records had their details emptied so far.
    cleared: u32,
    /// Second records, added after all others so that those keep their ids.
    afterwards: Vec<PersonSeed>,
}

impl OrgBuilder<'_> {
    /// The groups and accounts that are there in every organisation.
    fn add_fixtures(&mut self) -> Result<(), ChangeError> {
        self.team.add_group(RETIRED_GROUP);
        self.team.delete_group(RETIRED_GROUP)?;
        self.team.add_group(ACCESS_GROUP);
        for (group, _) in ROLE_GROUPS {
            self.team.add_group(group);
        }
        for email in [TOKEN_OWNER, BREAK_GLASS] {
            self.add_account(AccountSeed::active(email).role("Administrators"))?;
        }
        self.accounts.token_owner(TOKEN_OWNER);
        self.add_account(AccountSeed::active("contractor (ask Ruth)").named("Hana", "Ito"))?;
        let mut nameless = AccountSeed::active("");
        nameless.email = None;
        self.add_account(nameless)
    }

    fn member(&mut self, position: usize) -> Member {
        let (first, ascii_first) = self.one_of(&FIRST);
        let (last, ascii_last) = self.one_of(&LAST);
        let plain = format!("{ascii_first}.{ascii_last}");
        let count = self.used.entry(plain.clone()).or_default();
        *count += 1;
        let local = match *count {
            1 => plain,
            again => format!("{plain}{again}"),
        };
        // Names are path segments, and some are hard ones.
        let name = match position % 40 {
            13 => format!("{first} {last}/{local}"),
            27 => format!("{local} 100%"),
            _ => local.clone(),
        };
        let role_group = match self.rng.random_range(0..1000_u32) {
            0..15 => Some("opsera-admins"),
            15..120 => Some("opsera-power-users"),
            120..150 => Some("opsera-auditors"),
            150..180 => Some("security-team"),
            180..190 => Some("security-oncall"),
            _ => None,
        };
        Member {
            first,
            last,
            local,
            name,
            role_group: role_group.or((position == 0).then_some("opsera-admins")),
            department: self.one_of(&DEPARTMENTS),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm a scenario; apart they would be harder to compare"
    )]
    fn apply(&mut self, member: &Member, scenario: Scenario) -> Result<(), ChangeError> {
        let person = member.person();
        let account = member.account();
        let email = member.email();
        match scenario {
            Scenario::InStep => self.both(person, account),
            Scenario::Disabled => self.both(person.status("DISABLED"), account),
            Scenario::DisabledOwner => self.both(person.status("DISABLED"), account.owning(3)),
            Scenario::Deleted => self.both(person.status("DELETED"), account),
            Scenario::Absent => self.add_account(account),
            Scenario::OutOfGroup => {
                let mut person = person;
                person.groups.retain(|group| group != ACCESS_GROUP);
                self.both(person, account)
            }
            Scenario::Mover => {
                let others = ["PowerUsers", "Users", "Auditors"];
                let others: Vec<&str> =
                    others.into_iter().filter(|r| *r != member.role()).collect();
                let mut member = member.clone();
                if member.role() == "Administrators" {
                    // Movers must not use up the grants that the guards allow.
                    member.role_group = Some("opsera-auditors");
                    return self.both(member.person(), member.account().role("PowerUsers"));
                }
                let former = others.choose(&mut self.rng).copied().unwrap_or("Users");
                self.both(person, account.role(former))
            }
            Scenario::NewAdministrator => {
                let mut member = member.clone();
                member.role_group = Some("opsera-admins");
                self.both(member.person(), member.account().role("PowerUsers"))
            }
            Scenario::Joiner => {
                let mut member = member.clone();
                member.role_group = member.role_group.filter(|group| *group != "opsera-admins");
                self.add_person(member.person())
            }
            Scenario::PendingJoiner => self.both(person, account.status(AccountStatus::Pending)),
            Scenario::Rehired => {
                self.came_back(member);
                self.both(person, account)
            }
            Scenario::BackWithoutAccount => {
                self.came_back(member);
                self.both(person, account.status(AccountStatus::Inactive))
            }
            Scenario::Renamed => {
                let mut person = person;
                let new = member.married_email();
                person.email = Some(new.clone());
                self.aliases.push((email, new));
                self.both(person, account)
            }
            Scenario::UppercaseAddress => {
                self.both(person, addressed(account, email.to_uppercase()))
            }
            Scenario::TrailingSpace => self.both(person, addressed(account, format!("{email} "))),
            Scenario::UnicodeDomain => {
                let mut person = person;
                person.email = Some(format!("{}@bücher.example", member.local));
                let ascii = format!("{}@xn--bcher-kva.example", member.local);
                self.both(person, addressed(account, ascii))
            }
            Scenario::PlusTag => {
                let mut person = person;
                let tagged = format!("{}+opsera@{DOMAIN}", member.local);
                person.email = Some(tagged.clone());
                self.both(person, addressed(account, tagged))
            }
            Scenario::TwoAccounts => {
                self.add_account(addressed(member.account(), member.email().to_uppercase()))?;
                self.both(person, account)
            }
            Scenario::TwoRecords => {
                let mut second = member.person();
                second.name = format!("{}-2", second.name);
                self.add_person(second)?;
                self.both(person, account)
            }
            Scenario::NoAddress => {
                let mut person = person;
                person.email = None;
                self.both(person, account)
            }
            Scenario::UnknownStatus => self.both(person.status("SUSPENDED"), account),
            Scenario::LookAlike => {
                let email = format!("{}@{DOMAIN}", look_alike(&member.local));
                let mut member = member.clone();
                member.role_group = None;
                self.both(member.person(), addressed(member.account(), email))
            }
            Scenario::Elsewhere => {
                let mut person = person;
                person.groups = vec![self.one_of(&ELSEWHERE).to_owned()];
                self.add_person(person)
            }
            Scenario::PastLeaver => self.both(
                person.status("DELETED"),
                account.status(AccountStatus::Inactive),
            ),
            Scenario::RenamedAndRecreated => {
                let new = member.married_email();
                let mut second = member.person();
                second.name = format!("{}-weiss", member.name);
                second.email = Some(new.clone());
                self.afterwards.push(second);
                let mut person = person.status("DELETED");
                person.email = Some(new);
                self.both(person, account)
            }
            Scenario::DetailsCleared => {
                let status = if self.cleared.is_multiple_of(2) {
                    "DISABLED"
                } else {
                    "DELETED"
                };
                self.cleared += 1;
                let mut person = person.status(status);
                (person.email, person.first_name, person.last_name) = (None, None, None);
                self.both(person, account)
            }
            Scenario::MailboxPassedOn => {
                let mut former = PersonSeed::active(&format!("{}-before", member.name), &email);
                former = former.status("DELETED").named("Former", "Holder");
                self.afterwards.push(former);
                self.both(person, account)
            }
            Scenario::PendingLeaver => self.both(
                person.status("DISABLED"),
                account.status(AccountStatus::Pending),
            ),
        }
    }

    /// Most who come back are the same record again, which then looks as if nothing had happened;
    /// one in four is a new record, and the former one stays DELETED.
    fn came_back(&mut self, member: &Member) {
        if self.returned % 4 == 1 {
            let mut former = member.person().status("DELETED");
            former.name = format!("{}-former", former.name);
            self.afterwards.push(former);
        }
        self.returned += 1;
    }

    fn service_user(&mut self, number: u32) -> Result<(), ChangeError> {
        let mut seed = PersonSeed::active(&format!("svc/deploy-{number}"), "");
        seed.email = None;
        seed.kind = UserKind::Service;
        self.add_person(seed)
    }

    fn both(&mut self, person: PersonSeed, account: AccountSeed) -> Result<(), ChangeError> {
        self.add_person(person)?;
        self.add_account(account)
    }

    fn add_person(&mut self, person: PersonSeed) -> Result<(), ChangeError> {
        self.team.add_person(person).map(drop)
    }

    fn add_account(&mut self, account: AccountSeed) -> Result<(), ChangeError> {
        debug_assert!(SITE_ROLES.contains(&account.site_role.as_str()));
        let seconds = FOUNDED + self.rng.random_range(0..170_000_000_i64);
        let at = Timestamp::from_timestamp(seconds, 632_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        self.accounts.add_dated(account, at).map(drop)
    }

    fn one_of<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        choices.choose(&mut self.rng).copied().unwrap_or_default()
    }
}

fn addressed(mut account: AccountSeed, email: String) -> AccountSeed {
    account.email = Some(email);
    account
}

/// `local` with one Latin letter replaced by the Cyrillic one that looks the same.
fn look_alike(local: &str) -> String {
    let pairs = [
        ('a', "\u{430}"),
        ('e', "\u{435}"),
        ('o', "\u{43e}"),
        ('i', "\u{456}"),
    ];
    let pair = pairs.into_iter().find(|(latin, _)| local.contains(*latin));
    pair.map_or_else(
        || local.to_owned(),
        |(latin, cyrillic)| local.replacen(latin, cyrillic, 1),
    )
}
