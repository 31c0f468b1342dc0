//! The policy that decides who keeps which account: `[matching]`, `[scope]`, `[protect]`,
//! `[deactivation]`, `[roles]`, `[provision]` and `[guards]`.

use std::collections::{BTreeMap, BTreeSet};

use super::{AS_MEANT, Resolver};
use crate::domain::{Address, Domain, Evidence, GroupName, Key, Matching};
use crate::rules::{
    GroupPattern, GuardLimits, Policy, ProtectedAccount, Protection, RolePolicy, RoleRule,
};
use crate::settings::addresses::{WILDCARDS, plain_domain};
use crate::settings::sections::{self, Sections};
use crate::settings::show;

pub(super) fn policy(r: &mut Resolver<'_>, sections: &Sections) -> Policy {
    let domain_aliases = domain_aliases(r, &sections.matching);
    let matching = matching(r, &sections.matching, domain_aliases.clone());
    let scope_domains = scope_domains(r, &sections.scope, &domain_aliases);
    let required_groups = required_groups(r, &sections.scope);
    let protection = protection(r, sections);
    let release = release(r, sections, &matching, &protection);
    let deactivate_on = deactivate_on(r, &sections.deactivation);
    Policy {
        matching,
        scope_domains,
        required_groups,
        protection,
        deactivate_on,
        release,
        absent_grace: sections.deactivation.absent_grace,
        roles: roles(r, &sections.roles),
        provision: sections.provision.enabled,
        guards: guards(&sections.guards),
    }
}

fn domain_aliases(r: &mut Resolver<'_>, matching: &sections::Matching) -> BTreeMap<Domain, Domain> {
    let key = "matching.domain_aliases";
    let mut aliases: BTreeMap<Domain, Domain> = BTreeMap::new();
    let mut written: Vec<(Domain, &str)> = Vec::new();
    for (from, to) in &matching.domain_aliases {
        let refusal = match (plain_domain(from), plain_domain(to)) {
            (None, _) => format!("{} is not a domain", show::quoted(from)),
            (_, None) => format!("{} is not a domain", show::quoted(to)),
            (Some(from), Some(to)) if from == to => "maps a domain to itself".to_owned(),
            (Some(source), Some(target)) => match aliases.insert(source.clone(), target.clone()) {
                Some(other) if other != target => {
                    format!("{source} is mapped to {other} as well; one domain has one target")
                }
                _ => {
                    written.push((source, from));
                    continue;
                }
            },
        };
        r.refuse_entry(key, from, refusal);
    }
    for (source, from) in written {
        if let Some(target) = aliases.get(&source)
            && let Some(end) = aliases.get(target)
        {
            let message = format!(
                "leads to {target}, which is an alias of {end} itself; map {source} to its final domain"
            );
            r.refuse_entry(key, from, message);
        }
    }
    aliases
}

fn matching(
    r: &mut Resolver<'_>,
    section: &sections::Matching,
    domain_aliases: BTreeMap<Domain, Domain>,
) -> Matching {
    let mut matching = Matching::new(section.ignore_plus_tag, domain_aliases);
    for (opsera, opa) in &section.aliases {
        let refusal = match (Address::parse(opsera), Address::parse(opa)) {
            (Err(why), _) => Some(format!("{} is not an address: {why}", show::quoted(opsera))),
            (_, Err(why)) => Some(format!("{} is not an address: {why}", show::quoted(opa))),
            (Ok(opsera), Ok(opa)) => add_alias(&mut matching, &opsera, &opa),
        };
        if let Some(message) = refusal {
            r.refuse_entry("matching.aliases", opsera, message);
        }
    }
    matching
}

fn add_alias(matching: &mut Matching, opsera: &Address, opa: &Address) -> Option<String> {
    let other: Key = matching.add_alias(opsera, opa)?;
    let key = matching.opa_key(opsera);
    Some(format!(
        "{key} is mapped to {other} as well; one Opsera address belongs to one person"
    ))
}

fn scope_domains(
    r: &mut Resolver<'_>,
    scope: &sections::Scope,
    domain_aliases: &BTreeMap<Domain, Domain>,
) -> BTreeSet<Domain> {
    let mut domains = BTreeSet::new();
    for domain in &scope.domains {
        let domain = domain.0.clone();
        if let Some(target) = domain_aliases.get(&domain) {
            let message = format!(
                "{domain} never matches: matching.domain_aliases turns it into {target} first"
            );
            r.without_effect("scope.domains", message, format!("name {target} instead"));
        }
        domains.insert(domain);
    }
    domains
}

fn required_groups(r: &mut Resolver<'_>, scope: &sections::Scope) -> BTreeSet<GroupName> {
    for name in &scope.required_groups {
        if name.0.contains(WILDCARDS) {
            r.without_effect(
                "scope.required_groups",
                format!("{} is taken as a group's exact name", show::quoted(&name.0)),
                "name each group: patterns work in roles.rules only",
            );
        }
    }
    let names = scope.required_groups.iter();
    names.map(|name| GroupName::new(name.0.as_str())).collect()
}

fn protection(r: &mut Resolver<'_>, sections: &Sections) -> Protection {
    let protect = &sections.protect;
    let patterns: Vec<_> = protect.emails.iter().map(|email| email.0.clone()).collect();
    let accounts: Vec<ProtectedAccount> = protect
        .accounts
        .iter()
        .map(|account| ProtectedAccount {
            pattern: account.email.0.clone(),
            reason: account.reason.0.clone(),
            until: account.until,
            owner: account.owner.as_ref().map(|owner| owner.0.clone()),
        })
        .collect();
    for (index, account) in accounts.iter().enumerate() {
        let key = format!("protect.accounts[{}]", index.saturating_add(1));
        protects_nobody(r, &key, &account.pattern.text);
    }
    for pattern in &patterns {
        protects_nobody(r, "protect.emails", &pattern.text);
    }
    Protection {
        patterns,
        accounts,
        token_owner: sections.opsera.token_owner.clone(),
    }
}

fn protects_nobody(r: &mut Resolver<'_>, key: &str, pattern: &str) {
    if !pattern.contains(['@', '*']) {
        let message = format!("{} protects nobody: it has no @", show::quoted(pattern));
        r.without_effect(key, message, AS_MEANT);
    }
}

/// `deactivation.release` lets go of a shield, and no protection of anybody.
fn release(
    r: &mut Resolver<'_>,
    sections: &Sections,
    matching: &Matching,
    protection: &Protection,
) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for listed in &sections.deactivation.release {
        let key = matching.opsera_key(&listed.address);
        let owner = protection.token_owner.as_ref();
        // An entry that has ended speaks against it as well, until somebody takes it out.
        let accounts = protection.accounts.iter().map(|account| &account.pattern);
        let mut patterns = protection.patterns.iter().chain(accounts);
        let pattern = patterns.find(|pattern| pattern.glob.matches(listed.address.as_str()));
        if listed.written.contains(WILDCARDS) {
            let message = "patterns are not allowed here: write the whole address of each account \
                           that somebody has looked at";
            r.refuse_item("deactivation.release", &listed.written, message.to_owned());
        } else if owner.is_some_and(|owner| matching.opsera_key(owner) == key) {
            let message = "is opsera.token_owner's address, and that account is never touched: \
                           remove it here";
            r.refuse_item("deactivation.release", &listed.written, message.to_owned());
        } else if let Some(pattern) = pattern {
            let message = format!(
                "is protected by {} in [protect], so it cannot be released: remove one of the two",
                show::quoted(&pattern.text)
            );
            r.refuse_item("deactivation.release", &listed.written, message);
        } else {
            keys.insert(key);
        }
    }
    keys
}

fn deactivate_on(r: &mut Resolver<'_>, section: &sections::Deactivation) -> BTreeSet<Evidence> {
    let key = "deactivation.on";
    if !section.enabled {
        return BTreeSet::new();
    }
    if section.on.is_empty() && r.is_sound(key) {
        let message = "is empty, so nobody is ever deactivated".to_owned();
        r.without_effect(key, message, AS_MEANT);
    }
    section.on.clone()
}

fn roles(r: &mut Resolver<'_>, section: &sections::Roles) -> RolePolicy {
    let mut rules: Vec<RoleRule> = Vec::new();
    // Each rule's group in words, made once: every rule is compared with all that stand before it.
    let mut texts: Vec<String> = Vec::new();
    for (index, rule) in section.rules.iter().enumerate() {
        let rule = RoleRule {
            group: GroupPattern::parse(&rule.group),
            role: rule.role,
        };
        let text = rule.group.to_string();
        let mut before = rules.iter().zip(&texts);
        if let Some((_, earlier)) = before.find(|earlier| covers(*earlier, (&rule, &text))) {
            let message = format!(
                "the rule for {} has no effect: the earlier rule for {} takes its groups",
                show::quoted(&text),
                show::quoted(earlier),
            );
            let key = format!("roles.rules[{}]", index.saturating_add(1));
            r.without_effect(&key, message, AS_MEANT);
        }
        rules.push(rule);
        texts.push(text);
    }
    RolePolicy {
        managed: section.enabled && (!rules.is_empty() || section.default.is_some()),
        default: section.default,
        unknown: section.unknown,
        lookup: section.lookup,
        rules,
    }
}

/// Whether every group of `later` is taken by `earlier`, as far as that is plain to see.
fn covers(earlier: (&RoleRule, &String), later: (&RoleRule, &String)) -> bool {
    match &later.0.group {
        GroupPattern::Exact(name) => earlier.0.group.matches(name),
        GroupPattern::Glob(_) => earlier.1 == "*" || earlier.1 == later.1,
    }
}

fn guards(section: &sections::Guards) -> GuardLimits {
    GuardLimits {
        min_opa_users: section.min_opa_users.into(),
        max_opa_drop_percent: section.max_opa_drop_percent.into(),
        max_opsera_drop_percent: section.max_opsera_drop_percent.into(),
        max_deactivations: section.max_deactivations.into(),
        max_deactivations_percent: section.max_deactivations_percent.into(),
        max_deactivations_7d: section.max_deactivations_7d.into(),
        max_role_changes: section.max_role_changes.into(),
        max_role_changes_percent: section.max_role_changes_percent.into(),
        max_creations: section.max_creations.into(),
        max_administrator_grants: section.max_administrator_grants.into(),
        min_administrators: section.min_administrators.into(),
        max_expired_protections: section.max_expired_protections.into(),
        approval_ttl: section.approval_ttl,
    }
}
