//! `[matching]`, `[scope]`, `[protect]`, `[deactivation]`, `[provision]` and `[guards]`: the
//! policy that decides who keeps which account.

use std::collections::{BTreeMap, BTreeSet};

use config::Value;
use unicode_normalization::UnicodeNormalization as _;
use wildmatch::WildMatch;

use super::{Reader, Zero, directories, part_key, roles};
use crate::domain::{Address, Domain, Evidence, GroupName, Key, Matching};
use crate::rules::{AddressPattern, GuardLimits, Policy, Protection};
use crate::settings::show;

const WILDCARDS: [char; 2] = ['*', '?'];

pub(super) fn policy(r: &mut Reader<'_>) -> Option<Policy> {
    let domain_aliases = domain_aliases(r);
    let matching = matching(r, domain_aliases.as_ref());
    let scope_domains = scope_domains(r, domain_aliases.as_ref());
    let required_groups = required_groups(r);
    let patterns = patterns(r);
    let token_owner = match directories::owner(r) {
        Ok(owner) => Some(owner),
        Err(message) => {
            r.refuse("opsera.token_owner", message);
            None
        }
    };
    let deactivate_on = deactivate_on(r);
    let absent_grace = r.duration("deactivation.absent_grace", Zero::Allowed);
    let roles = roles::policy(r);
    let provision = r.flag("provision.enabled");
    let guards = guards(r);
    Some(Policy {
        matching: matching?,
        scope_domains: scope_domains?,
        required_groups: required_groups?,
        protection: Protection {
            patterns: patterns?,
            token_owner: token_owner?,
        },
        deactivate_on: deactivate_on?,
        absent_grace: absent_grace?,
        roles: roles?,
        provision: provision?,
        guards: guards?,
    })
}

fn domain_aliases(r: &mut Reader<'_>) -> Option<BTreeMap<Domain, Domain>> {
    let key = "matching.domain_aliases";
    let entries = r.map(key, "\"old.example.com\" = \"example.com\"")?;
    let mut aliases: BTreeMap<Domain, Domain> = BTreeMap::new();
    let mut written: Vec<(Domain, &str, &Value)> = Vec::new();
    let mut good = true;
    for (from, to, value) in entries {
        let refusal = match (plain_domain(from), plain_domain(to)) {
            (None, _) => Some(format!("{} is not a domain", show::quoted(from))),
            (_, None) => Some(format!("{} is not a domain", show::quoted(to))),
            (Some(from), Some(to)) if from == to => Some("maps a domain to itself".to_owned()),
            (Some(source), Some(target)) => match aliases.insert(source.clone(), target.clone()) {
                Some(other) if other != target => Some(format!(
                    "{source} is mapped to {other} as well; one domain has one target"
                )),
                _ => {
                    written.push((source, from, value));
                    None
                }
            },
        };
        if let Some(message) = refusal {
            good = false;
            r.refuse_part(part_key(key, from), value, message);
        }
    }
    for (source, from, value) in written {
        let chain = aliases
            .get(&source)
            .and_then(|target| aliases.get(target).map(|end| (target, end)));
        if let Some((target, end)) = chain {
            good = false;
            let message = format!(
                "leads to {target}, which is an alias of {end} itself; map {source} to its final domain"
            );
            r.refuse_part(part_key(key, from), value, message);
        }
    }
    good.then_some(aliases)
}

fn plain_domain(text: &str) -> Option<Domain> {
    let text = text.trim();
    (!text.contains(WILDCARDS))
        .then(|| Domain::parse(text).ok())
        .flatten()
}

fn matching(
    r: &mut Reader<'_>,
    domain_aliases: Option<&BTreeMap<Domain, Domain>>,
) -> Option<Matching> {
    let key = "matching.aliases";
    let ignore_plus_tag = r.flag("matching.ignore_plus_tag");
    let entries = r.map(key, "\"jane@partner.example\" = \"jane@example.com\"");
    let mut matching = Matching::new(
        ignore_plus_tag.unwrap_or(false),
        domain_aliases.cloned().unwrap_or_default(),
    );
    let mut good = true;
    for (opsera, opa, value) in entries? {
        let refusal = match (Address::parse(opsera), Address::parse(opa)) {
            (Err(why), _) => Some(format!("{} is not an address: {why}", show::quoted(opsera))),
            (_, Err(why)) => Some(format!("{} is not an address: {why}", show::quoted(opa))),
            (Ok(opsera), Ok(opa)) => add_alias(&mut matching, &opsera, &opa),
        };
        if let Some(message) = refusal {
            good = false;
            r.refuse_part(part_key(key, opsera), value, message);
        }
    }
    domain_aliases?;
    ignore_plus_tag?;
    good.then_some(matching)
}

fn add_alias(matching: &mut Matching, opsera: &Address, opa: &Address) -> Option<String> {
    let other: Key = matching.add_alias(opsera, opa)?;
    let key = matching.opa_key(opsera);
    Some(format!(
        "{key} is mapped to {other} as well; one Opsera address belongs to one person"
    ))
}

fn scope_domains(
    r: &mut Reader<'_>,
    domain_aliases: Option<&BTreeMap<Domain, Domain>>,
) -> Option<BTreeSet<Domain>> {
    let key = "scope.domains";
    let mut domains = BTreeSet::new();
    let mut good = true;
    for (text, value) in r.list(key)? {
        let Some(domain) = plain_domain(text) else {
            good = false;
            let message = "must be a domain such as \"example.com\", without @ and without \
                           wildcards; name each subdomain"
                .to_owned();
            r.refuse_part(key.to_owned(), value, message);
            continue;
        };
        if let Some(target) = domain_aliases.and_then(|aliases| aliases.get(&domain)) {
            let message = format!(
                "{domain} never matches: matching.domain_aliases turns it into {target} first; \
                 name {target} instead"
            );
            r.without_effect(key, message);
        }
        domains.insert(domain);
    }
    good.then_some(domains)
}

fn required_groups(r: &mut Reader<'_>) -> Option<BTreeSet<GroupName>> {
    let key = "scope.required_groups";
    let mut groups = BTreeSet::new();
    for (name, _) in r.list(key)? {
        if name.contains(WILDCARDS) {
            let message = format!(
                "{} is taken as a group's exact name; patterns work in roles.rules only",
                show::quoted(name)
            );
            r.without_effect(key, message);
        }
        groups.insert(GroupName::new(name));
    }
    Some(groups)
}

fn patterns(r: &mut Reader<'_>) -> Option<Vec<AddressPattern>> {
    let key = "protect.emails";
    let mut patterns = Vec::new();
    let mut good = true;
    for (text, value) in r.list(key)? {
        match canonical_pattern(text) {
            Ok(glob) => {
                if !glob.contains('@') && !glob.contains('*') {
                    let message = format!("{} protects nobody: it has no @", show::quoted(text));
                    r.without_effect(key, message);
                }
                patterns.push(AddressPattern {
                    text: text.to_owned(),
                    glob: WildMatch::new(&glob),
                });
            }
            Err(message) => {
                good = false;
                r.refuse_part(key.to_owned(), value, message);
            }
        }
    }
    good.then_some(patterns)
}

/// A pattern as it is compared with canonical addresses (I1).
fn canonical_pattern(text: &str) -> Result<String, String> {
    let text: String = text.trim().nfc().collect();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must not have white space inside".to_owned());
    }
    let Some((local, domain)) = text.split_once('@') else {
        return Ok(text.to_lowercase());
    };
    if domain.contains('@') {
        return Err("no address has more than one @".to_owned());
    }
    if domain.is_empty() || local.is_empty() {
        return Err("must have something on both sides of the @; * stands for anything".to_owned());
    }
    let domain = if domain.contains(WILDCARDS) {
        if !domain.is_ascii() {
            return Err(
                "a domain pattern must be ASCII: write the domain as xn--…, as it is compared"
                    .to_owned(),
            );
        }
        domain.to_lowercase()
    } else {
        Domain::parse(domain)
            .map_err(|why| format!("is not an address or a pattern: {why}"))?
            .to_string()
    };
    Ok(format!("{}@{domain}", local.to_lowercase()))
}

fn deactivate_on(r: &mut Reader<'_>) -> Option<BTreeSet<Evidence>> {
    let key = "deactivation.on";
    let enabled = r.flag("deactivation.enabled");
    let mut evidence = BTreeSet::new();
    let mut good = true;
    for (name, value) in r.list(key)? {
        if let Ok(kind) = name.parse::<Evidence>() {
            evidence.insert(kind);
        } else {
            good = false;
            let names = Evidence::ALL.map(Evidence::as_str).join(", ");
            r.refuse_part(key.to_owned(), value, format!("must be one of {names}"));
        }
    }
    let enabled = enabled?;
    if enabled && good && evidence.is_empty() {
        let message = "is empty, so nobody is ever deactivated".to_owned();
        r.without_effect(key, message);
    }
    good.then(|| if enabled { evidence } else { BTreeSet::new() })
}

fn guards(r: &mut Reader<'_>) -> Option<GuardLimits> {
    let count = 0..=u32::MAX;
    let percent = 0..=100;
    let min_opa_users = r.whole("guards.min_opa_users", &count);
    let max_opa_drop_percent = r.whole("guards.max_opa_drop_percent", &percent);
    let max_deactivations = r.whole("guards.max_deactivations", &count);
    let max_deactivations_percent = r.whole("guards.max_deactivations_percent", &percent);
    let max_deactivations_7d = r.whole("guards.max_deactivations_7d", &count);
    let max_role_changes = r.whole("guards.max_role_changes", &count);
    let max_role_changes_percent = r.whole("guards.max_role_changes_percent", &percent);
    let max_creations = r.whole("guards.max_creations", &count);
    let max_administrator_grants = r.whole("guards.max_administrator_grants", &count);
    let min_administrators = r.whole("guards.min_administrators", &count);
    let approval_ttl = r.duration("guards.approval_ttl", Zero::Refused);
    Some(GuardLimits {
        min_opa_users: min_opa_users?.into(),
        max_opa_drop_percent: max_opa_drop_percent?.into(),
        max_deactivations: max_deactivations?.into(),
        max_deactivations_percent: max_deactivations_percent?.into(),
        max_deactivations_7d: max_deactivations_7d?.into(),
        max_role_changes: max_role_changes?.into(),
        max_role_changes_percent: max_role_changes_percent?.into(),
        max_creations: max_creations?.into(),
        max_administrator_grants: max_administrator_grants?.into(),
        min_administrators: min_administrators?.into(),
        approval_ttl: approval_ttl?,
    })
}
