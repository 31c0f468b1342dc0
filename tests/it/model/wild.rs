//! Random organisations with everything in them that has ever gone wrong in a directory.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::{Acct, Human, Life, Limits, Org, Rules};

const NAMES: [&str; 12] = [
    "ada", "bob", "jane.doe", "jim1", "jiml", "josé", "straße", "o-neil", "li_wei", "zoë", "max",
    "eve",
];
const HOSTS: [&str; 5] = [
    "example.com",
    "old.example",
    "bücher.example",
    "partner.example",
    "EXAMPLE.com",
];
const GROUPS: [&str; 7] = [
    "opsera-users",
    "opsera-admins",
    "opsera-dev",
    "sec team/ops",
    "Opsera-Dev",
    "100%",
    "größe",
];
const ROLES: [&str; 5] = [
    "Administrators",
    "PowerUsers",
    "Users",
    "Auditors",
    "SecurityManagers",
];

/// One random organisation and settings for it.
pub(crate) fn organisation(seed: u64) -> (Org, Rules) {
    let mut dice = Dice(StdRng::seed_from_u64(seed));
    let mut rules = dice.rules();
    let mut org = dice.org();
    // Mostly the owner of the token has an account (G0).
    let owners: Vec<String> = org
        .accounts
        .iter()
        .filter(|acct| acct.life == Life::Active)
        .filter_map(|acct| super::address::canonical(acct.email.as_deref()?))
        .collect();
    if !rules.token_owner.is_empty() && !owners.is_empty() && !dice.one_in(6) {
        rules.token_owner = dice.pick(&owners);
    }
    // Mostly a required group exists.
    for group in &rules.required {
        if !org.groups.contains(group) && !dice.one_in(12) {
            org.groups.push(group.clone());
            org.dead_groups.retain(|(dead, _)| dead != group);
        }
    }
    (org, rules)
}

/// Chance.
pub(crate) struct Dice(pub(crate) StdRng);

impl Dice {
    pub(crate) fn one_in(&mut self, times: u32) -> bool {
        self.0.random_range(0..times) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of.choose(&mut self.0).unwrap().clone()
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn some(&mut self, of: &[&str], one_in: u32) -> Vec<String> {
        of.iter()
            .filter(|_| self.one_in(one_in))
            .map(|&text| text.to_owned())
            .collect()
    }

    fn rules(&mut self) -> Rules {
        let mut rules = Rules {
            plus: self.one_in(2),
            grace: self.pick(&[0, 0, 3600]),
            deactivation: !self.one_in(10),
            roles: !self.one_in(8),
            adopt: self.one_in(3),
            provision: self.one_in(2),
            ..Rules::default()
        };
        if self.one_in(2) {
            let pair = ("old.example".to_owned(), "Example.com".to_owned());
            rules.domain_aliases.push(pair);
        }
        if self.one_in(5) {
            let pair = ("partner.example".to_owned(), "bücher.example".to_owned());
            rules.domain_aliases.push(pair);
        }
        for _ in 0..self.below(3) {
            let opsera = format!("{}@{}", self.pick(&NAMES), self.pick(&HOSTS));
            let opa = format!("{}@{}", self.pick(&NAMES), self.pick(&HOSTS));
            // One Opsera address has one owner.
            let key = super::address::opa_key(&rules, &super::address::canonical(&opsera).unwrap());
            let known = rules.aliases.iter().any(|(other, _)| {
                super::address::opa_key(&rules, &super::address::canonical(other).unwrap()) == key
            });
            if !known {
                rules.aliases.push((opsera, opa));
            }
        }
        if self.one_in(5) {
            rules.domains = self.some(&["example.com", "Bücher.example", "partner.example"], 2);
        }
        if self.one_in(3) {
            rules.required = self.some(&GROUPS, 4);
        }
        for _ in 0..self.below(3) {
            let globs = [
                "ADA@*",
                "*@bücher.example",
                "j?m?@*",
                "*@*.example",
                "max@example.com",
                "zoe\u{308}@*",
            ];
            rules.protect.push(self.pick(&globs).to_owned());
        }
        if self.one_in(3) {
            rules.token_owner = format!("{}@{}", self.pick(&NAMES), self.pick(&HOSTS));
        }
        if self.one_in(3) {
            let all = ["disabled", "deleted", "absent", "not_in_required_group"];
            rules.on = self.some(&all, 2);
        }
        for _ in 0..self.below(3) {
            let address = format!("{}@{}", self.pick(&NAMES), self.pick(&HOSTS));
            rules.release.push(address);
        }
        if !self.one_in(3) {
            rules.default = self.pick(&ROLES).to_owned();
        }
        for _ in 0..self.below(5) {
            let patterns = ["opsera-*", "*", "ops?ra-dev", "nobody", "*dev", "gone"];
            let pattern = if self.one_in(2) {
                self.pick(&patterns)
            } else {
                self.pick(&GROUPS)
            };
            rules
                .patterns
                .push((pattern.to_owned(), self.pick(&ROLES).to_owned()));
        }
        if self.one_in(6) {
            rules.only = self.some(&["deactivate", "set_role", "create"], 2);
        }
        if self.one_in(2) {
            rules.limits = self.limits();
        }
        rules
    }

    fn limits(&mut self) -> Limits {
        let mut limits = Limits::wide();
        for _ in 0..4 {
            let small = super::whole(self.below(4));
            let percent = self.pick(&[0, 10, 25, 33, 50, 100]);
            match self.below(10) {
                0 => limits.min_opa_users = small,
                1 => limits.max_opa_drop_percent = percent,
                2 => limits.max_deactivations = small,
                3 => limits.max_deactivations_percent = percent,
                4 => limits.max_deactivations_7d = small,
                5 => limits.max_role_changes = small,
                6 => limits.max_role_changes_percent = percent,
                7 => limits.max_creations = small,
                8 => limits.max_administrator_grants = small,
                _ => limits.min_administrators = small,
            }
        }
        limits
    }

    fn org(&mut self) -> Org {
        let mut org = Org {
            roles_reported: self.one_in(2),
            ..Org::default()
        };
        for group in GROUPS {
            match self.below(6) {
                0 => {}
                1 => {
                    let members = (0..3).map(|n| format!("n{n}")).collect();
                    org.dead_groups.push((group.to_owned(), members));
                }
                _ => org.groups.push(group.to_owned()),
            }
        }
        for number in 0..self.below(16) {
            let human = self.human(number, &org.groups.clone(), &org.people.clone());
            org.people.push(human);
        }
        for number in 0..self.below(14) {
            let acct = self.acct(number, &org);
            // Opsera answers a question about two accounts that are not in use with an error, and
            // promises that there are none.
            let twin = org.accounts.iter().any(|other| {
                let lower = |a: &Acct| a.email.as_deref().map(str::to_lowercase);
                lower(other).is_some() && lower(other) == lower(&acct)
            });
            if !twin || acct.life == Life::Active {
                org.accounts.push(acct);
            }
        }
        org
    }

    fn human(&mut self, number: usize, groups: &[String], others: &[Human]) -> Human {
        let base = self.pick(&NAMES).to_owned();
        let mut human = Human {
            // Ids that sort in another order than the records are listed.
            id: format!("{:02}-{number}", (number * 7) % 16),
            name: format!("n{number}"),
            email: self.address(&base),
            first: self
                .pick(&[None, Some("Jane"), Some("josé"), Some(" ")])
                .map(str::to_owned),
            last: self
                .pick(&[None, Some("Doe"), Some("DOE"), Some("Ng")])
                .map(str::to_owned),
            status: self.status().to_owned(),
            service: self.one_in(12),
            groups: groups.iter().filter(|_| self.one_in(3)).cloned().collect(),
            listed: !self.one_in(15),
            twice: self.one_in(10),
        };
        match self.below(14) {
            // Names that say who it is: the local part, the whole address, spelt otherwise.
            0 => human.name = format!("{}.{}", base.to_uppercase(), "_-"),
            1 => human.name = format!("{base}@{}", self.pick(&HOSTS)),
            2 => human.name = format!("{base}{}", ".".repeat(number)),
            // A re-hire: another record, the same address.
            3 if !others.is_empty() => human.email = self.pick(others).email,
            _ => {}
        }
        if others.iter().any(|other| other.name == human.name) {
            human.name = format!("n{number}");
        }
        if self.one_in(20)
            && let Some(other) = others.last()
            && others.iter().filter(|o| o.id == other.id).count() == 1
        {
            // One record that the listing shows in two states.
            human.id.clone_from(&other.id);
            human.email.clone_from(&other.email);
            human.groups.clone_from(&other.groups);
            human.service = other.service;
            human.first.clone_from(&other.first);
            human.last.clone_from(&other.last);
            human.listed = other.listed;
            let others = ["ACTIVE", "DISABLED", "DELETED"];
            let at = others.iter().position(|status| *status == other.status);
            human.status = others[(at.unwrap_or(0) + 1) % 3].to_owned();
        }
        human
    }

    fn status(&mut self) -> &'static str {
        if self.one_in(3) {
            self.pick(&["DISABLED", "DELETED", "DISABLED", "DELETED", "SUSPENDED"])
        } else {
            "ACTIVE"
        }
    }

    fn acct(&mut self, number: usize, org: &Org) -> Acct {
        let base = self.pick(&NAMES).to_owned();
        let mut email = self.address(&base);
        if !self.one_in(6)
            && let Some(human) = org.people.get(number)
        {
            email.clone_from(&human.email);
            if self.one_in(3) {
                email = email.map(|text| text.to_uppercase());
            }
        }
        Acct {
            id: format!("{:024x}", (number * 11) % 16),
            email,
            first: self.pick(&["", "Jane", "JOSE\u{301}"]).to_owned(),
            last: self.pick(&["", "doe", "Ng"]).to_owned(),
            life: self.pick(&[
                Life::Active,
                Life::Active,
                Life::Active,
                Life::Active,
                Life::Active,
                Life::Active,
                Life::Active,
                Life::Active,
                Life::Pending,
                Life::Inactive,
            ]),
            role: self
                .pick(&["Administrators", "PowerUsers", "Users", "Users", "Guests"])
                .to_owned(),
            owned: u32::from(self.one_in(25)),
        }
    }

    /// An address of somebody called `base`, seldom a plain one.
    fn address(&mut self, base: &str) -> Option<String> {
        use unicode_normalization::UnicodeNormalization as _;
        let host = self.pick(&HOSTS);
        let plain = format!("{base}@{host}");
        Some(match self.below(32) {
            0 => return None,
            1 => String::new(),
            2 => format!("  {plain}\t"),
            3 => plain.nfd().collect(),
            4 => format!(
                "{base}@{}",
                host.chars().map(full_width).collect::<String>()
            ),
            5 => format!("{base}\u{7}@{host}"),
            6 => format!("{base}@{base}@{host}"),
            7 => format!("{base}+opsera@{host}"),
            8 => format!("+tag@{host}"),
            9 => base.to_owned(),
            // Cyrillic а and е.
            10 => plain
                .replacen('a', "\u{430}", 1)
                .replacen('e', "\u{435}", 1),
            11 => plain.to_uppercase(),
            12 => format!("{base}@xn--bcher-kva.example"),
            13 => format!("{base}\u{200b}@{host}"),
            14 => format!("{base}@{host}."),
            _ => plain,
        })
    }
}

fn full_width(c: char) -> char {
    match c {
        'a'..='z' => char::from_u32(u32::from(c) - 0x61 + 0xff41).unwrap(),
        other => other,
    }
}
