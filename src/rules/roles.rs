//! Which site role a person is to have, and whether the account's role must change (§5).

use crate::domain::{CurrentRole, GroupName, SiteRole};
use crate::rules::{RolePolicy, RoleRule, UnknownRole};

/// The role that the rules give, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The role.
    pub role: SiteRole,
    /// In words: which group and rule, or that it is the default.
    pub reason: String,
}

/// A rule that is about one of a person's groups.
#[derive(Clone, Copy, Debug)]
pub struct RuleMatch<'r> {
    /// The rule's place in `roles.rules`, from 1.
    pub number: usize,
    /// The rule.
    pub rule: &'r RoleRule,
    /// The first group it is about.
    pub group: &'r GroupName,
}

/// Every rule that is about one of `groups`, in order: the first one wins (§5).
pub fn matching_rules<'r>(
    policy: &'r RolePolicy,
    groups: &'r [GroupName],
) -> impl Iterator<Item = RuleMatch<'r>> {
    (1..).zip(&policy.rules).filter_map(|(number, rule)| {
        let group = groups.iter().find(|group| rule.group.matches(group))?;
        Some(RuleMatch {
            number,
            rule,
            group,
        })
    })
}

/// What is to happen to an account's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleDecision {
    /// Nothing: it is as desired, or nothing is desired.
    Keep,
    /// Take the desired role for the current one without writing to Opsera (`adopt`).
    Adopt(SiteRole),
    /// Set it.
    Set(Desired),
}

/// The role that the first matching rule gives, else the default (§5).
pub fn desired_role(policy: &RolePolicy, groups: &[GroupName]) -> Option<Desired> {
    if !policy.managed {
        return None;
    }
    if let Some(first) = matching_rules(policy, groups).next() {
        let (number, pattern) = (first.number, &first.rule.group);
        return Some(Desired {
            role: first.rule.role,
            reason: format!("in group {} (rule {number}: {pattern})", first.group),
        });
    }
    policy.default.map(|role| Desired {
        role,
        reason: "no rule matches: the default role".to_owned(),
    })
}

/// Whether the role must change.
pub fn decide_role(
    policy: &RolePolicy,
    current: &CurrentRole,
    groups: &[GroupName],
) -> RoleDecision {
    let Some(desired) = desired_role(policy, groups) else {
        return RoleDecision::Keep;
    };
    match current {
        CurrentRole::Known(role) if *role == desired.role => RoleDecision::Keep,
        CurrentRole::Known(_) | CurrentRole::Foreign(_) | CurrentRole::Uncertain => {
            RoleDecision::Set(desired)
        }
        CurrentRole::Unknown => match policy.unknown {
            UnknownRole::Assert => RoleDecision::Set(desired),
            UnknownRole::Adopt => RoleDecision::Adopt(desired.role),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{GroupPattern, Lookup};

    fn policy(rules: &[(&str, SiteRole)], default: Option<SiteRole>) -> RolePolicy {
        RolePolicy {
            managed: true,
            default,
            unknown: UnknownRole::Assert,
            lookup: Lookup::Auto,
            rules: rules
                .iter()
                .map(|(group, role)| RoleRule {
                    group: GroupPattern::parse(group),
                    role: *role,
                })
                .collect(),
        }
    }

    fn groups(names: &[&str]) -> Vec<GroupName> {
        names.iter().map(|name| GroupName::new(*name)).collect()
    }

    #[test]
    fn the_first_matching_rule_wins_whatever_the_order_of_the_groups() {
        let policy = policy(
            &[
                ("opsera-admins", SiteRole::Administrators),
                ("opsera-*", SiteRole::PowerUsers),
            ],
            Some(SiteRole::Users),
        );
        let role = |names: &[&str]| desired_role(&policy, &groups(names)).map(|d| d.role);
        assert_eq!(
            role(&["opsera-dev", "opsera-admins"]),
            Some(SiteRole::Administrators)
        );
        assert_eq!(role(&["opsera-dev"]), Some(SiteRole::PowerUsers));
        assert_eq!(role(&["other"]), Some(SiteRole::Users));
        assert_eq!(role(&[]), Some(SiteRole::Users));
    }

    #[test]
    fn group_names_are_compared_exactly_letter_case_included() {
        let policy = policy(&[("Admins", SiteRole::Administrators)], None);
        assert_eq!(desired_role(&policy, &groups(&["admins"])), None);
        assert!(desired_role(&policy, &groups(&["Admins"])).is_some());
    }

    #[test]
    fn an_unknown_role_is_asserted_or_adopted_and_an_uncertain_one_is_never_adopted() {
        let mut policy = policy(&[], Some(SiteRole::Users));
        let decide = |policy: &RolePolicy, current| decide_role(policy, &current, &[]);
        assert!(matches!(
            decide(&policy, CurrentRole::Unknown),
            RoleDecision::Set(_)
        ));
        policy.unknown = UnknownRole::Adopt;
        assert_eq!(
            decide(&policy, CurrentRole::Unknown),
            RoleDecision::Adopt(SiteRole::Users)
        );
        assert!(matches!(
            decide(&policy, CurrentRole::Uncertain),
            RoleDecision::Set(_)
        ));
        assert_eq!(
            decide(&policy, CurrentRole::Known(SiteRole::Users)),
            RoleDecision::Keep
        );
        assert!(matches!(
            decide(&policy, CurrentRole::Foreign("users".into())),
            RoleDecision::Set(_)
        ));
    }
}
