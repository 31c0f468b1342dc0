//! `[roles]`: which group gives which site role.

use config::{Map, Value, ValueKind};

use super::Reader;
use crate::domain::SiteRole;
use crate::rules::{GroupPattern, Lookup, RolePolicy, RoleRule, UnknownRole};
use crate::settings::show;

const RULES: &str = "roles.rules";

pub(super) fn policy(r: &mut Reader<'_>) -> Option<RolePolicy> {
    let enabled = r.flag("roles.enabled");
    let default = default_role(r);
    let unknown = r.choice(
        "roles.unknown",
        &[
            ("assert", UnknownRole::Assert),
            ("adopt", UnknownRole::Adopt),
        ],
    );
    let lookup = r.choice(
        "roles.lookup",
        &[
            ("auto", Lookup::Auto),
            ("user", Lookup::User),
            ("group", Lookup::Group),
        ],
    );
    let rules = rules(r);
    let (enabled, default, rules) = (enabled?, default?, rules?);
    Some(RolePolicy {
        managed: enabled && (!rules.is_empty() || default.is_some()),
        default,
        unknown: unknown?,
        lookup: lookup?,
        rules,
    })
}

#[expect(
    clippy::option_option,
    reason = "the outer: could it be read; the inner: is it set"
)]
fn default_role(r: &mut Reader<'_>) -> Option<Option<SiteRole>> {
    let text = r.text("roles.default")?;
    if text.is_empty() {
        return Some(None);
    }
    if let Ok(role) = text.parse() {
        Some(Some(role))
    } else {
        r.refuse("roles.default", not_a_role(&text));
        None
    }
}

fn not_a_role(text: &str) -> String {
    let names = SiteRole::ALL.map(SiteRole::as_str);
    let near = names
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &text.to_lowercase()),
                name,
            )
        })
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| format!("; did you mean {name}?"))
        .unwrap_or_default();
    format!("must be one of {}{near}", names.join(", "))
}

fn rules(r: &mut Reader<'_>) -> Option<Vec<RoleRule>> {
    let ValueKind::Array(items) = r.kind(RULES)? else {
        r.refuse(
            RULES,
            "must be a list of rules: [[roles.rules]] with group and role".to_owned(),
        );
        return None;
    };
    let mut rules: Vec<RoleRule> = Vec::new();
    let mut good = true;
    for (index, item) in items.iter().enumerate() {
        let key = format!("{RULES}[{index}]");
        let ValueKind::Table(table) = &item.kind else {
            good = false;
            r.refuse_part(key, item, "must be a table with group and role".to_owned());
            continue;
        };
        match rule(r, &key, item, table) {
            Some(rule) => {
                if let Some(earlier) = rules.iter().find(|earlier| covers(earlier, &rule)) {
                    let message = format!(
                        "the rule for {} has no effect: the earlier rule for {} takes its groups",
                        show::quoted(&rule.group.to_string()),
                        show::quoted(&earlier.group.to_string()),
                    );
                    r.without_effect(&key, message);
                }
                rules.push(rule);
            }
            None => good = false,
        }
    }
    good.then_some(rules)
}

/// Whether every group of `later` is taken by `earlier`, as far as that is plain to see.
fn covers(earlier: &RoleRule, later: &RoleRule) -> bool {
    match &later.group {
        GroupPattern::Exact(name) => earlier.group.matches(name),
        GroupPattern::Glob(_) => {
            let earlier = earlier.group.to_string();
            earlier == "*" || earlier == later.group.to_string()
        }
    }
}

fn rule(
    r: &mut Reader<'_>,
    key: &str,
    item: &Value,
    table: &Map<String, Value>,
) -> Option<RoleRule> {
    let mut good = true;
    let mut names: Vec<&String> = table.keys().collect();
    names.sort();
    for name in names
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "group" | "role"))
    {
        good = false;
        r.refuse_part(
            format!("{key}.{name}"),
            item,
            "there is no such key in a rule; it has group and role".to_owned(),
        );
    }
    let mut text = |name: &str, what: &str| match table.get(name).map(|value| (value, &value.kind))
    {
        Some((value, ValueKind::String(text))) if !text.trim().is_empty() => {
            Some((value, text.clone()))
        }
        Some((value, _)) => {
            r.refuse_part(format!("{key}.{name}"), value, format!("must be {what}"));
            None
        }
        None => {
            r.refuse_part(
                key.to_owned(),
                item,
                format!("has no {name}; it must be {what}"),
            );
            None
        }
    };
    let group = text(
        "group",
        "the name of an OPA group, or a pattern with * and ?",
    );
    let role = text("role", "a site role");
    let role = role.and_then(|(value, text)| {
        if let Ok(role) = text.parse::<SiteRole>() {
            Some(role)
        } else {
            r.refuse_part(format!("{key}.role"), value, not_a_role(&text));
            None
        }
    });
    let (_, group) = group?;
    let role = role?;
    good.then(|| RoleRule {
        group: GroupPattern::parse(&group),
        role,
    })
}
