//! What is proposed for the answers that a directory can be asked for.

use std::collections::BTreeMap;

use crate::domain::{AccountRecord, Address, Domain};

/// Accounts that are remembered for a proposal.
const MOST_NOTEWORTHY: usize = 100;

/// A domain is proposed if one of so many people in the Team has it.
const SHARE: u64 = 20;

/// What local parts of accounts for emergencies hold, without `.`, `-` and `_`.
const BREAK_GLASS: [&str; 3] = ["breakglass", "emergency", "firecall"];

/// What local parts of accounts of machines consist of, besides their name.
const SERVICE: [&str; 5] = ["svc", "service", "bot", "noreply", "automation"];

/// Why an account may need protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its name says that it is for emergencies.
    BreakGlass,
    /// Its name says that a machine uses it.
    Service,
    /// Opsera says that it is an Administrator.
    Administrator,
}

impl Why {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BreakGlass => "its name is that of an account for emergencies",
            Self::Service => "its name is that of a service account",
            Self::Administrator => "an Administrator",
        }
    }
}

/// An account that may need protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noteworthy {
    /// Whose.
    pub address: Address,
    /// Why.
    pub why: Why,
}

/// A domain that active accounts have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainProposal {
    /// Which.
    pub domain: Domain,
    /// Active accounts in Opsera.
    pub accounts: u64,
    /// Whether it is proposed: enough of the Team's people have it as well. Accounts of a domain
    /// that nobody in the Team has would all count as leavers.
    pub proposed: bool,
}

/// What was seen of Opsera's accounts.
#[derive(Debug, Default)]
pub struct Listing {
    accounts: BTreeMap<Domain, u64>,
    noteworthy: Vec<Noteworthy>,
    owner_names: Vec<String>,
    /// The best of `owner_names` that an account has, with its place there.
    owner: Option<(usize, Address)>,
}

impl Listing {
    /// Whom the token names as its owner, the surest first.
    pub(super) fn expect_owner(&mut self, names: &[String]) {
        self.owner_names = names.to_vec();
    }

    /// Notes one account.
    pub(super) fn see(&mut self, account: &AccountRecord) {
        let parsed = account.email.as_deref().map(Address::parse);
        let Some(Ok(address)) = parsed.filter(|_| account.active) else {
            return;
        };
        *self.accounts.entry(address.domain()).or_default() += 1;
        let place = self.owner_names.iter().position(|name| {
            account.id.as_str() == name || Address::parse(name).is_ok_and(|name| name == address)
        });
        if let Some(place) = place
            && self.owner.as_ref().is_none_or(|(best, _)| place < *best)
        {
            self.owner = Some((place, address.clone()));
        }
        if let Some(why) = why(account, &address)
            && self.noteworthy.len() < MOST_NOTEWORTHY
        {
            self.noteworthy.push(Noteworthy { address, why });
        }
    }

    /// The account that the token names as its owner.
    pub fn token_owner(&self) -> Option<&Address> {
        self.owner.as_ref().map(|(_, address)| address)
    }

    /// Every domain, the largest first. `people` are those of the Team, as far as they were seen.
    pub fn domains(&self, people: &BTreeMap<Domain, u64>) -> Vec<DomainProposal> {
        let everybody: u64 = people.values().sum();
        let mut domains: Vec<DomainProposal> = self
            .accounts
            .iter()
            .map(|(domain, accounts)| DomainProposal {
                proposed: people
                    .get(domain)
                    .is_some_and(|people| people.saturating_mul(SHARE) >= everybody),
                domain: domain.clone(),
                accounts: *accounts,
            })
            .collect();
        domains.sort_by(|a, b| b.accounts.cmp(&a.accounts).then(a.domain.cmp(&b.domain)));
        domains
    }

    /// Accounts that may need protection, those for emergencies first.
    pub fn noteworthy(&self, owner: Option<&Address>) -> Vec<Noteworthy> {
        let mut found: Vec<Noteworthy> = self.noteworthy.clone();
        found.retain(|account| Some(&account.address) != owner);
        found.sort_by(|a, b| {
            let rank = |found: &Noteworthy| match found.why {
                Why::BreakGlass => 0,
                Why::Service => 1,
                Why::Administrator => 2,
            };
            rank(a).cmp(&rank(b)).then(a.address.cmp(&b.address))
        });
        found
    }
}

fn why(account: &AccountRecord, address: &Address) -> Option<Why> {
    let local = address.local_part();
    let folded: String = local
        .chars()
        .filter(|c| !matches!(c, '.' | '-' | '_'))
        .collect();
    if BREAK_GLASS.iter().any(|name| folded.contains(name)) {
        Some(Why::BreakGlass)
    } else if local
        .split(['.', '-', '_'])
        .any(|part| SERVICE.contains(&part))
    {
        Some(Why::Service)
    } else {
        (account.site_role.as_deref() == Some("Administrators")).then_some(Why::Administrator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OpseraId;

    fn account(id: &str, email: &str, role: Option<&str>) -> AccountRecord {
        AccountRecord {
            id: OpseraId::new(id),
            email: Some(email.to_owned()),
            first_name: None,
            last_name: None,
            active: true,
            site_role: role.map(str::to_owned),
        }
    }

    #[test]
    fn a_domain_is_proposed_only_where_people_of_the_team_have_it() {
        let mut listing = Listing::default();
        for (id, email) in [
            ("1", "a@example.com"),
            ("2", "b@Example.com"),
            ("3", "c@supplier.example"),
            ("4", "d@rare.example"),
            ("5", "no address"),
        ] {
            listing.see(&account(id, email, None));
        }
        let people = [
            ("example.com", 60),
            ("rare.example", 1),
            ("only-opa.example", 5),
        ]
        .map(|(domain, people)| (Domain::parse(domain).unwrap(), people));
        let found: Vec<(String, u64, bool)> = listing
            .domains(&people.into())
            .into_iter()
            .map(|found| (found.domain.to_string(), found.accounts, found.proposed))
            .collect();
        let expected = [
            ("example.com", 2, true),
            ("rare.example", 1, false),
            ("supplier.example", 1, false),
        ];
        assert_eq!(found, expected.map(|(d, n, p)| (d.to_owned(), n, p)));
    }

    #[test]
    fn administrators_service_accounts_and_those_for_emergencies_are_noteworthy() {
        let mut listing = Listing::default();
        for (email, role) in [
            ("ada@example.com", Some("Administrators")),
            ("bob@example.com", Some("Users")),
            ("abbot@example.com", None),
            ("svc-build@example.com", None),
            ("Break.Glass-2@example.com", Some("Administrators")),
        ] {
            listing.see(&account(email, email, role));
        }
        let found: Vec<(String, Why)> = listing
            .noteworthy(None)
            .into_iter()
            .map(|found| (found.address.as_str().to_owned(), found.why))
            .collect();
        let expected = [
            ("break.glass-2@example.com", Why::BreakGlass),
            ("svc-build@example.com", Why::Service),
            ("ada@example.com", Why::Administrator),
        ];
        assert_eq!(found, expected.map(|(email, why)| (email.to_owned(), why)));
    }

    #[test]
    fn the_owner_is_the_account_that_the_token_names_by_address_or_id() {
        let mut listing = Listing::default();
        listing.expect_owner(&["bot@example.com".to_owned(), "1".to_owned()]);
        listing.see(&account("1", "ada@example.com", None));
        assert_eq!(listing.token_owner().unwrap().as_str(), "ada@example.com");
        listing.see(&account("2", "Bot@example.com", None));
        listing.see(&account("1", "ada@example.com", None));
        assert_eq!(listing.token_owner().unwrap().as_str(), "bot@example.com");
    }
}
