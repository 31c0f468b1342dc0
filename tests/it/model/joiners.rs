//! §5: creations.

use super::address::{canonical, domain, host, local, opa_key};
use super::decide::{Action, Entitlement, Listed, Plan, Pulled, desired, entitlement, groups_of};
use super::{Org, Rules};

/// Adds the creations to `plan`.
pub(super) fn join(pulled: &Pulled, org: &Org, rules: &Rules, plan: &mut Plan) {
    let mut done: Vec<&String> = Vec::new();
    for person in pulled.people.iter().filter(|p| p.human.status == "ACTIVE") {
        let (Some(address), Some(key)) = (&person.address, &person.key) else {
            continue;
        };
        if done.contains(&key) || pulled.accounts.iter().any(|a| a.key.as_ref() == Some(key)) {
            continue;
        }
        done.push(key);
        let people = pulled.with_key(key);
        let in_scope = rules.domains.is_empty()
            || rules
                .domains
                .iter()
                .any(|d| domain(d).unwrap() == host(key));
        if !in_scope || !matches!(entitlement(&people, org, rules), Entitlement::Entitled) {
            continue;
        }
        let asked = addresses_of(&people, key, rules);
        let exists = org.accounts.iter().any(|a| {
            a.email
                .as_ref()
                .is_some_and(|e| asked.contains(&e.to_lowercase()))
        });
        if exists {
            plan.findings.push(("inactive_opsera_account", key.clone()));
            continue;
        }
        if people.iter().filter(|p| p.human.status == "ACTIVE").count() > 1 {
            plan.findings.push(("duplicate_opa_email", key.clone()));
        }
        let wanted = desired(&groups_of(&people, org), rules);
        let (role, pattern) = wanted.unwrap_or(("Users".to_owned(), String::new()));
        plan.actions.push(Action {
            kind: "create",
            address: address.clone(),
            id: None,
            key: key.clone(),
            email: address.clone(),
            from: None,
            to: Some(role),
            reason: pattern,
        });
    }
}

/// Every address under which Opsera may hold the account of the people with a key.
fn addresses_of(people: &[&Listed], key: &str, rules: &Rules) -> Vec<String> {
    let mut all: Vec<String> = people.iter().filter_map(|p| p.address.clone()).collect();
    all.push(key.to_owned());
    for (from, to) in &rules.domain_aliases {
        let (from, to) = (domain(from).unwrap(), domain(to).unwrap());
        if host(key) == to {
            all.push(format!("{}@{from}", local(key)));
        }
    }
    for (opsera, opa) in &rules.aliases {
        if opa_key(rules, &canonical(opa).unwrap()) == key {
            all.push(canonical(opsera).unwrap());
            all.push(opa_key(rules, &canonical(opsera).unwrap()));
        }
    }
    all
}
