//! §4 and §5: what is to be done, from what a pull shows and what is remembered.

use std::collections::HashMap;

use super::address::{bare, canonical, in_scope, local, opa_key, opsera_key, protects, skeleton};
use super::guards::{Guard, guards};
use super::memory::{Memory, pending_leavers};
use super::{Acct, Human, Life, Org, Rules, whole};
use rolecall::domain::time::Timestamp;
use unicode_normalization::UnicodeNormalization as _;

/// One change that is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Action {
    pub(crate) kind: &'static str,
    /// Canonical, for the order.
    pub(crate) address: String,
    /// `None` for a creation.
    pub(crate) id: Option<String>,
    pub(crate) key: String,
    pub(crate) email: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// The evidence, or the rule's pattern; empty: the default role.
    pub(crate) reason: String,
}

/// A finding: kind and subject.
pub(crate) type Noticed = (&'static str, String);

/// Everything that follows from one pull.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// A required group does not exist: nothing is planned (G0).
    pub(crate) incomplete: bool,
    pub(crate) actions: Vec<Action>,
    pub(crate) findings: Vec<Noticed>,
    /// Address and Opsera id.
    pub(crate) waiting: Vec<(String, String)>,
    pub(crate) unchanged: u64,
    pub(crate) protected: u64,
    pub(crate) unmanaged: u64,
    /// Roles to take for the current ones.
    pub(crate) adopted: Vec<(String, String)>,
    /// ACTIVE humans.
    pub(crate) active: u64,
    /// Accounts in the listing.
    pub(crate) listed: u64,
    pub(crate) managed: u64,
    pub(crate) known_administrators: u64,
    pub(crate) administrators_lost: u64,
    pub(crate) administrators_won: u64,
    pub(crate) guards: Vec<Guard>,
}

impl Plan {
    pub(crate) fn is_held(&self, guard: &str) -> bool {
        self.guards
            .iter()
            .any(|(name, _, held)| *name == guard && *held)
    }

    pub(crate) fn held(&self) -> bool {
        self.guards.iter().any(|(_, _, held)| *held)
    }
}

/// A human record that a listing showed.
pub(crate) struct Listed {
    pub(crate) human: Human,
    pub(crate) address: Option<String>,
    pub(crate) key: Option<String>,
    /// I11: the key its id carried last, where it is gone and has lost its own.
    pub(crate) lost: Option<String>,
}

impl Listed {
    /// The key under which the record counts (I11).
    pub(crate) fn counts_under(&self) -> Option<&String> {
        self.key.as_ref().or(self.lost.as_ref())
    }
}

/// An account that the listing showed.
pub(crate) struct Shown {
    pub(crate) acct: Acct,
    pub(crate) address: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) managed: bool,
}

/// What the listings show.
pub(crate) struct Pulled {
    pub(crate) people: Vec<Listed>,
    pub(crate) accounts: Vec<Shown>,
}

impl Pulled {
    pub(crate) fn of(org: &Org, rules: &Rules, memory: &Memory) -> Self {
        let better = ["ACTIVE", "", "DISABLED", "DELETED"];
        let rank = |status: &str| better.iter().position(|s| *s == status).unwrap_or(1);
        let mut by_id: HashMap<String, Human> = HashMap::new();
        for human in org.people.iter().filter(|h| h.listed) {
            match by_id.get(&human.id) {
                Some(known) if rank(&known.status) <= rank(&human.status) => {}
                _ => {
                    by_id.insert(human.id.clone(), human.clone());
                }
            }
        }
        let mut people: Vec<Listed> = by_id
            .into_values()
            .filter(|human| !human.service)
            .map(|human| {
                let address = human.email.as_deref().and_then(canonical);
                let key = address.as_deref().map(|a| opa_key(rules, a));
                let gone = ["DISABLED", "DELETED"].contains(&human.status.as_str());
                let lost = (key.is_none() && gone)
                    .then(|| memory.last_key(&human.id))
                    .flatten();
                Listed {
                    human,
                    address,
                    key,
                    lost,
                }
            })
            .collect();
        people.sort_by(|a, b| a.human.id.cmp(&b.human.id));
        let accounts = org
            .accounts
            .iter()
            .filter(|acct| acct.life == Life::Active)
            .map(|acct| {
                let address = acct.email.as_deref().and_then(canonical);
                Shown {
                    key: address.as_deref().map(|a| opsera_key(rules, a)),
                    managed: address.as_deref().is_some_and(|a| in_scope(rules, a)),
                    address,
                    acct: acct.clone(),
                }
            })
            .collect();
        Self { people, accounts }
    }

    pub(super) fn with_key(&self, key: &str) -> Vec<&Listed> {
        let has = |p: &&Listed| p.counts_under().is_some_and(|k| k == key);
        self.people.iter().filter(has).collect()
    }
}

/// Where a person stands (I3, I4, §4).
pub(super) enum Entitlement {
    Entitled,
    Doubt,
    Gone(&'static str),
}

pub(super) fn entitlement(people: &[&Listed], org: &Org, rules: &Rules) -> Entitlement {
    let has = |status: &str| people.iter().any(|p| p.human.status == status);
    let known = ["ACTIVE", "DISABLED", "DELETED"];
    let strange = people
        .iter()
        .any(|p| !known.contains(&p.human.status.as_str()));
    let groups = groups_of(people, org);
    if has("ACTIVE")
        && (rules.required.is_empty() || rules.required.iter().any(|r| groups.contains(r)))
    {
        Entitlement::Entitled
    } else if strange {
        Entitlement::Doubt
    } else if has("ACTIVE") {
        Entitlement::Gone("not_in_required_group")
    } else if has("DISABLED") {
        Entitlement::Gone("disabled")
    } else if has("DELETED") {
        Entitlement::Gone("deleted")
    } else {
        Entitlement::Gone("absent")
    }
}

/// The union of the live groups of the ACTIVE records.
pub(super) fn groups_of(people: &[&Listed], org: &Org) -> Vec<String> {
    let mut groups = Vec::new();
    for person in people.iter().filter(|p| p.human.status == "ACTIVE") {
        for group in &person.human.groups {
            if org.groups.contains(group) && !groups.contains(group) {
                groups.push(group.clone());
            }
        }
    }
    groups
}

/// Role and the pattern that gives it.
pub(super) fn desired(groups: &[String], rules: &Rules) -> Option<(String, String)> {
    if !rules.manages_roles() {
        return None;
    }
    for (pattern, role) in &rules.patterns {
        let glob = wildmatch::WildMatch::new(pattern);
        let is_glob = pattern.contains(['*', '?']);
        if groups
            .iter()
            .any(|g| g == pattern || (is_glob && glob.matches(g)))
        {
            return Some((role.clone(), pattern.clone()));
        }
    }
    (!rules.default.is_empty()).then(|| (rules.default.clone(), String::new()))
}

fn is_protected(rules: &Rules, address: &str) -> bool {
    if rules.protect.iter().any(|glob| protects(glob, address)) {
        return true;
    }
    canonical(&rules.token_owner).is_some_and(|owner| {
        owner == address || opsera_key(rules, &owner) == opsera_key(rules, address)
    })
}

/// I7 and I10: whether an ACTIVE person's name says that the account may be theirs.
fn may_be(rules: &Rules, person: &Human, shown: &Shown) -> bool {
    let (address, key) = (
        shown.address.as_deref().unwrap(),
        shown.key.as_deref().unwrap(),
    );
    let name = bare(&person.name);
    let may_be_the_name = [local(address), local(key), address, key];
    if may_be_the_name.iter().any(|text| name == bare(text)) {
        return true;
    }
    let mut whole = vec![person.name.to_lowercase()];
    if let Some(named) = canonical(&person.name) {
        whole.push(opa_key(rules, &named));
        whole.push(named);
    }
    if whole.iter().any(|w| w == address || w == key) {
        return true;
    }
    let fold = |text: &str| text.trim().nfc().collect::<String>().to_lowercase();
    let (Some(first), Some(last)) = (&person.first, &person.last) else {
        return false;
    };
    let theirs = (fold(first), fold(last));
    !theirs.0.is_empty()
        && !theirs.1.is_empty()
        && theirs == (fold(&shown.acct.first), fold(&shown.acct.last))
}

/// Makes the plan of a complete pull. The clocks in `memory` have moved already.
pub(crate) fn plan(org: &Org, rules: &Rules, memory: &Memory, now: Timestamp) -> Plan {
    let pulled = Pulled::of(org, rules, memory);
    let mut plan = Plan {
        active: whole(
            pulled
                .people
                .iter()
                .filter(|p| p.human.status == "ACTIVE")
                .count(),
        ),
        listed: whole(pulled.accounts.len()),
        managed: whole(pulled.accounts.iter().filter(|a| a.managed).count()),
        ..Plan::default()
    };
    // G0: a listing without the owner of the token is incomplete.
    let owner = canonical(&rules.token_owner).map(|owner| opsera_key(rules, &owner));
    if owner.is_some() && !pulled.accounts.iter().any(|a| a.key == owner) {
        plan.incomplete = true;
        return plan;
    }
    // G0: so is one that is empty although accounts were known.
    if pulled.accounts.is_empty() && memory.listed > 0 {
        plan.incomplete = true;
        return plan;
    }
    if rules.required.iter().any(|r| !org.groups.contains(r)) {
        plan.incomplete = true;
        return plan;
    }
    if rules.manages_roles() {
        for (pattern, _) in &rules.patterns {
            if !pattern.contains(['*', '?']) && !org.groups.contains(pattern) {
                plan.findings.push(("unknown_group", pattern.clone()));
            }
        }
    }
    for person in &pulled.people {
        let human = &person.human;
        if !["ACTIVE", "DISABLED", "DELETED"].contains(&human.status.as_str()) {
            let subject = human.email.clone().unwrap_or_else(|| human.name.clone());
            plan.findings.push(("unknown_status", subject));
        } else if human.status == "ACTIVE" && person.key.is_none() {
            plan.findings
                .push(("unidentified_opa_user", human.name.clone()));
        }
    }
    for key in pending_leavers(memory) {
        plan.findings.push(("pending_leaver", key.clone()));
    }
    // Opsera's other lists stop there.
    if plan.listed == 1000 {
        let subject = "GET /users".to_owned();
        plan.findings.push(("short_opsera_listing", subject));
    }
    for shown in &pulled.accounts {
        decide(shown, &pulled, org, rules, memory, now, &mut plan);
    }
    if rules.provision && rules.plans("create") {
        super::joiners::join(&pulled, org, rules, &mut plan);
    }
    let order = |kind: &str| {
        ["set_role", "create", "deactivate"]
            .iter()
            .position(|k| *k == kind)
    };
    plan.actions.sort_by(|a, b| {
        (order(a.kind), &a.address, &a.id).cmp(&(order(b.kind), &b.address, &b.id))
    });
    plan.findings.sort();
    plan.findings.dedup();
    plan.waiting.sort();
    plan.guards = guards(&plan, rules, memory, now);
    plan
}

/// What is known of an account's present role.
#[derive(PartialEq)]
enum Current {
    Known(String),
    /// A request to change it had no answer.
    Uncertain,
    Unknown,
}

fn current_role(shown: &Shown, org: &Org, memory: &Memory) -> Current {
    if org.roles_reported {
        return Current::Known(shown.acct.role.clone());
    }
    match memory.roles.get(&shown.acct.id) {
        Some(Some(role)) => Current::Known(role.clone()),
        Some(None) => Current::Uncertain,
        None => Current::Unknown,
    }
}

#[expect(clippy::too_many_lines, reason = "§4 in one piece, in its own order")]
fn decide(
    shown: &Shown,
    pulled: &Pulled,
    org: &Org,
    rules: &Rules,
    memory: &Memory,
    now: Timestamp,
    plan: &mut Plan,
) {
    let current = current_role(shown, org, memory);
    let administrator = current == Current::Known("Administrators".to_owned());
    plan.known_administrators += u64::from(administrator);
    let email = shown.acct.email.clone();
    let (Some(address), Some(key)) = (&shown.address, &shown.key) else {
        let subject = email.unwrap_or_else(|| shown.acct.id.clone());
        plan.findings.push(("invalid_email", subject));
        return;
    };
    let email = email.unwrap();
    if !shown.managed {
        return;
    }
    // 1
    let same = pulled
        .accounts
        .iter()
        .filter(|a| a.key.as_ref() == Some(key))
        .count();
    if same > 1 {
        plan.findings.push(("duplicate_opsera_email", key.clone()));
        return;
    }
    let people = pulled.with_key(key);
    let actives = people.iter().filter(|p| p.human.status == "ACTIVE").count();
    if actives > 1 {
        plan.findings.push(("duplicate_opa_email", key.clone()));
    }
    // I8
    let renamed = !memory.way(key, pulled).active.is_empty();
    let released = rules
        .release
        .iter()
        .any(|r| opsera_key(rules, &canonical(r).unwrap()) == *key);
    let evidence = match entitlement(&people, org, rules) {
        Entitlement::Doubt => {
            plan.unchanged += 1;
            return;
        }
        // 2
        Entitlement::Entitled => {
            let wanted = desired(&groups_of(&people, org), rules);
            let Some((role, pattern)) = wanted else {
                plan.unchanged += 1;
                return;
            };
            if current == Current::Known(role.clone()) || renamed && !released {
                plan.unchanged += 1;
            } else if current == Current::Unknown && rules.adopt {
                plan.unchanged += 1;
                if !is_protected(rules, address) && rules.plans("set_role") {
                    plan.adopted.push((shown.acct.id.clone(), role));
                }
            } else if is_protected(rules, address) {
                plan.protected += 1;
            } else if !rules.plans("set_role") {
                plan.unchanged += 1;
            } else {
                if role == "Administrators" {
                    plan.administrators_won += 1;
                } else {
                    plan.administrators_lost += u64::from(administrator);
                }
                plan.actions.push(Action {
                    kind: "set_role",
                    address: address.clone(),
                    id: Some(shown.acct.id.clone()),
                    key: key.clone(),
                    email,
                    from: match current {
                        Current::Known(role) => Some(role),
                        Current::Uncertain | Current::Unknown => None,
                    },
                    to: Some(role),
                    reason: pattern,
                });
            }
            return;
        }
        Entitlement::Gone(evidence) => evidence,
    };
    // 3
    if !rules.deactivation || !rules.on.iter().any(|on| on == evidence) {
        plan.unmanaged += 1;
        return;
    }
    // 4
    let nameless = |p: &&Listed| p.human.status == "ACTIVE" && p.key.is_none();
    let unidentified = pulled.people.iter().filter(nameless);
    let mut look_alikes = pulled.people.iter().filter(|p| {
        p.human.status == "ACTIVE"
            && p.key
                .as_ref()
                .is_some_and(|k| k != key && skeleton(k) == skeleton(key))
            && !pulled.accounts.iter().any(|a| a.key == p.key)
    });
    // I10
    let mut unclaimed = pulled.people.iter().filter(|p| {
        evidence == "absent"
            && p.human.status == "ACTIVE"
            && p.key.is_some()
            && !pulled.accounts.iter().any(|a| a.key == p.key)
    });
    let possible = unidentified
        .into_iter()
        .any(|p| may_be(rules, &p.human, shown))
        || look_alikes.next().is_some()
        || unclaimed.any(|p| may_be(rules, &p.human, shown));
    if !released {
        if renamed {
            plan.findings.push(("renamed", email.clone()));
        }
        if possible {
            plan.findings.push(("possible_match", email.clone()));
        }
        if renamed || possible {
            return;
        }
    }
    // 5
    if is_protected(rules, address) {
        plan.protected += 1;
        return;
    }
    // 6
    if evidence == "absent" {
        let (since, pulls) = memory.missing.get(key).copied().unwrap_or((now, 1));
        let grace = chrono::TimeDelta::seconds(i64::try_from(rules.grace).unwrap());
        // The time counts once three pulls have missed the person; without a grace none is asked.
        if rules.grace > 0 && (now - since < grace || pulls < 3) {
            plan.waiting.push((email, shown.acct.id.clone()));
            return;
        }
    }
    // 7
    if !rules.plans("deactivate") {
        plan.unchanged += 1;
        return;
    }
    plan.administrators_lost += u64::from(administrator);
    plan.actions.push(Action {
        kind: "deactivate",
        address: address.clone(),
        id: Some(shown.acct.id.clone()),
        key: key.clone(),
        email,
        from: None,
        to: None,
        reason: evidence.to_owned(),
    });
}
