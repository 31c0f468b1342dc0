//! One run against the naive model: random organisations, compared action by action.
//!
//! `ROLECALL_ORACLE_CASES` sets how many organisations are tried (default 150), and
//! `ROLECALL_ORACLE_SEED` where to start. A disagreement is printed with its seed, made small.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rolecall::domain::{ActionStatus, Outcome, Report};
use rolecall::rules::Lookup;
use rolecall::sandbox::{DefaultListing, Entry, LinkForms, PageLimit};

use crate::model::address::{canonical, opa_key};
use crate::model::decide::{Plan, plan};
use crate::model::memory::Memory;
use crate::model::wild::organisation;
use crate::model::{Org, Rules, whole};
use crate::world::World;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn the_plan_is_the_models_plan_and_what_is_applied_is_what_was_planned() {
    let first = number("ROLECALL_ORACLE_SEED", 1);
    let cases = number("ROLECALL_ORACLE_CASES", 150);
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in first..first + cases {
        let (org, rules) = organisation(seed);
        match Box::pin(check(&org, &rules)).await {
            Ok(plan) => tally(&plan, &mut seen),
            Err(words) => {
                let (org, rules, words) = Box::pin(shrink(org, rules, words)).await;
                panic!("seed {seed}: {words}\n{org:#?}\n{rules:#?}");
            }
        }
    }
    println!("{cases} organisations: {seen:?}");
    // Random input that never decides anything would prove nothing.
    let everything = [
        "set_role",
        "create",
        "deactivate",
        "waiting",
        "protected",
        "unmanaged",
        "adopted",
        "held",
        "incomplete",
        "invalid_email",
        "duplicate_opsera_email",
        "duplicate_opa_email",
        "possible_match",
        "unidentified_opa_user",
        "unknown_status",
        "inactive_opsera_account",
        "unknown_group",
    ];
    for kind in everything {
        assert!(cases < 100 || seen.contains_key(kind), "never seen: {kind}");
    }
}

fn tally(plan: &Plan, seen: &mut BTreeMap<&'static str, u64>) {
    let mut add = |kind, count| {
        if count > 0 {
            *seen.entry(kind).or_default() += count;
        }
    };
    for action in &plan.actions {
        add(action.kind, 1);
    }
    for (kind, _) in &plan.findings {
        add(kind, 1);
    }
    add("waiting", whole(plan.waiting.len()));
    add("protected", plan.protected);
    add("unmanaged", plan.unmanaged);
    add("adopted", whole(plan.adopted.len()));
    add("held", u64::from(plan.held()));
    add("incomplete", u64::from(plan.incomplete));
}

/// Leaves out whatever the disagreement does not need.
async fn shrink(mut org: Org, mut rules: Rules, mut words: String) -> (Org, Rules, String) {
    let mut smaller = true;
    while smaller {
        smaller = false;
        let mut candidates = Vec::new();
        for index in 0..org.people.len() {
            let mut fewer = org.clone();
            fewer.people.remove(index);
            candidates.push((fewer, rules.clone()));
        }
        for index in 0..org.accounts.len() {
            let mut fewer = org.clone();
            fewer.accounts.remove(index);
            candidates.push((fewer, rules.clone()));
        }
        for change in [
            |r: &mut Rules| r.aliases.clear(),
            |r: &mut Rules| r.domain_aliases.clear(),
            |r: &mut Rules| r.protect.clear(),
            |r: &mut Rules| r.release.clear(),
            |r: &mut Rules| r.only.clear(),
            |r: &mut Rules| r.domains.clear(),
            |r: &mut Rules| r.required.clear(),
            |r: &mut Rules| r.patterns.clear(),
            |r: &mut Rules| r.default.clear(),
            |r: &mut Rules| r.token_owner.clear(),
            |r: &mut Rules| r.provision = false,
            |r: &mut Rules| r.plus = false,
            |r: &mut Rules| r.limits = crate::model::Limits::wide(),
        ] {
            let mut fewer = rules.clone();
            change(&mut fewer);
            if fewer != rules {
                candidates.push((org.clone(), fewer));
            }
        }
        for (fewer, less) in candidates {
            if let Err(still) = Box::pin(check(&fewer, &less)).await {
                (org, rules, words, smaller) = (fewer, less, still, true);
                break;
            }
        }
    }
    (org, rules, words)
}

/// Dry runs in every way of reading, then the real thing, then once more.
async fn check(org: &Org, rules: &Rules) -> Result<Plan, String> {
    let mut world = World::start(org, rules).await;
    let mut memory = Memory::default();
    let mut first: Option<Report> = None;
    let mut expected = Plan::default();
    for (lookup, page_size, cap, listing, forms) in [
        (
            Lookup::Auto,
            1000,
            None,
            DefaultListing::WithoutDeleted,
            LinkForms::Plain,
        ),
        (
            Lookup::User,
            3,
            Some(2),
            DefaultListing::Everything,
            LinkForms::All,
        ),
        (
            Lookup::Group,
            2,
            Some(1),
            DefaultListing::OnlyActive,
            LinkForms::All,
        ),
    ] {
        world.sandbox.opa().default_listing(listing);
        world.context.settings.policy.roles.lookup = lookup;
        world.context.settings.opa.page_size = page_size;
        world
            .sandbox
            .opa()
            .page_limit(cap.map_or_else(PageLimit::default, PageLimit::clamp));
        world.sandbox.opa().link_forms(forms);
        let report = world.dry_run().await;
        memory.move_clocks(org, rules, report.finished_at);
        expected = plan(org, rules, &memory, report.finished_at);
        compare(&expected, &report, rules).map_err(|w| format!("{lookup:?}: {w}"))?;
        if expected.incomplete {
            return Ok(expected);
        }
        memory.learn(org, rules, &expected);
        if let Some(first) = &first {
            if first.plan_id != report.plan_id {
                return Err(format!("{lookup:?}: another plan id"));
            }
        } else {
            first = Some(report);
        }
    }
    if !world.take_effects().is_empty() {
        return Err("a dry run wrote to Opsera".to_owned());
    }
    let dry = first.unwrap();
    apply(&world, org, &dry, &expected).await?;
    Ok(expected)
}

#[expect(
    clippy::too_many_lines,
    reason = "the report's fields, one after the other"
)]
fn compare(expected: &Plan, report: &Report, rules: &Rules) -> Result<(), String> {
    let mut words = String::new();
    let mut differ = |what: &str, model: String, program: String| {
        if model != program {
            let _ = write!(words, "{what}\n  model   {model}\n  program {program}\n");
        }
    };
    if expected.incomplete {
        differ("outcome", "Failed".into(), format!("{:?}", report.outcome));
        differ("actions", "0".into(), report.actions.len().to_string());
        return if words.is_empty() { Ok(()) } else { Err(words) };
    }
    let outcome = if expected.held() {
        Outcome::Held
    } else if expected.actions.is_empty() {
        Outcome::InSync
    } else {
        Outcome::ChangesPending
    };
    differ(
        "outcome",
        format!("{outcome:?} None"),
        format!("{:?} {:?}", report.outcome, report.error),
    );
    let status = if expected.held() {
        ActionStatus::Held
    } else {
        ActionStatus::Planned
    };
    let model = expected.actions.iter().map(|a| {
        let reason = if a.kind == "deactivate" {
            a.reason.as_str()
        } else {
            ""
        };
        format!(
            "{} {:?} {} {:?}→{:?} {reason} {status:?}",
            a.kind, a.id, a.email, a.from, a.to
        )
    });
    let program = report.actions.iter().map(|a| {
        let kind = a.kind.as_str();
        // What a release overrides comes after the evidence.
        let reason = match a.reason.split_once("; released by deactivation.release") {
            _ if kind != "deactivate" => "",
            Some((evidence, _)) => evidence,
            None => a.reason.as_str(),
        };
        format!(
            "{kind} {:?} {} {:?}→{:?} {reason} {:?}",
            a.opsera_id.as_ref().map(ToString::to_string),
            a.email,
            a.from,
            a.to,
            a.status
        )
    });
    differ(
        "actions",
        model.collect::<Vec<_>>().join("\n          "),
        program.collect::<Vec<_>>().join("\n          "),
    );
    for (action, reported) in expected.actions.iter().zip(&report.actions) {
        if !reported.reason.contains(&action.reason) {
            differ("reason", action.reason.clone(), reported.reason.clone());
        }
        if action.kind == "create" {
            let key = canonical(&reported.email).map(|a| opa_key(rules, &a));
            differ(
                "key",
                format!("{:?}", Some(&action.key)),
                format!("{:?}", key.as_ref()),
            );
        }
    }
    let mut found: Vec<(&str, String)> = report
        .findings
        .iter()
        .map(|f| (f.kind.as_str(), f.email.clone()))
        .collect();
    found.sort();
    // One finding per record, and several records may share an address.
    found.dedup();
    differ(
        "findings",
        format!("{:?}", expected.findings),
        format!("{found:?}"),
    );
    let mut waiting: Vec<(String, String)> = report
        .waiting
        .iter()
        .map(|w| (w.email.clone(), w.opsera_id.to_string()))
        .collect();
    waiting.sort();
    differ(
        "waiting",
        format!("{:?}", expected.waiting),
        format!("{waiting:?}"),
    );
    let count = |kind: &str| whole(expected.actions.iter().filter(|a| a.kind == kind).count());
    let s = &report.summary;
    differ(
        "summary (unchanged, deactivate, set_role, create, waiting, protected, unmanaged)",
        format!(
            "{:?}",
            [
                expected.unchanged,
                count("deactivate"),
                count("set_role"),
                count("create"),
                whole(expected.waiting.len()),
                expected.protected,
                expected.unmanaged
            ]
        ),
        format!(
            "{:?}",
            [
                s.unchanged,
                s.deactivate,
                s.set_role,
                s.create,
                s.waiting,
                s.protected,
                s.unmanaged
            ]
        ),
    );
    differ(
        "active",
        expected.active.to_string(),
        report.opa.active.to_string(),
    );
    differ(
        "managed",
        expected.managed.to_string(),
        report.opsera.managed.to_string(),
    );
    differ(
        "guards",
        format!("{:?}", expected.guards),
        format!(
            "{:?}",
            report
                .guards
                .iter()
                .map(|g| (g.guard.as_str(), g.actual, g.held))
                .collect::<Vec<_>>()
        ),
    );
    if words.is_empty() { Ok(()) } else { Err(words) }
}

/// What one write asked for.
fn written(entry: &Entry) -> String {
    let body = entry.received.body.as_ref();
    let field = |name: &str| body.map(|b| b[name].as_str().unwrap_or_default().to_owned());
    let subject = entry.received.path.split('/').nth(2).unwrap_or_default();
    match entry.received.method.as_str() {
        "PUT" => format!("set_role {subject} {}", field("siteRole").unwrap()),
        "POST" => format!(
            "create {} {}",
            field("email").unwrap(),
            field("siteRole").unwrap()
        ),
        _ => format!("deactivate {subject}"),
    }
}

fn planned(report: &Report) -> Vec<String> {
    report
        .actions
        .iter()
        .map(|a| {
            let subject = a
                .opsera_id
                .as_ref()
                .map_or(a.email.clone(), ToString::to_string);
            match &a.to {
                Some(to) => format!("{} {subject} {to}", a.kind),
                None => format!("{} {subject}", a.kind),
            }
        })
        .collect()
}

/// Parity: the dry run's list, in order, is what Opsera receives; then nothing is left to do.
async fn apply(world: &World, org: &Org, dry: &Report, expected: &Plan) -> Result<(), String> {
    let done = world.sync().await;
    let writes: Vec<String> = world
        .sandbox
        .journal()
        .writes()
        .iter()
        .map(written)
        .collect();
    if expected.held() {
        return if done.outcome == Outcome::Held && writes.is_empty() {
            Ok(())
        } else {
            Err(format!("held, and yet {:?} {writes:?}", done.outcome))
        };
    }
    let mut wanted = planned(dry);
    if writes != wanted {
        return Err(format!("planned {wanted:#?}, sent {writes:#?}"));
    }
    // An owner of objects cannot be deactivated until somebody acts.
    wanted.retain(|line| {
        let id = line.strip_prefix("deactivate ");
        org.accounts
            .iter()
            .any(|a| Some(a.id.as_str()) == id && a.owned > 0)
    });
    let outcome = match (wanted.is_empty(), writes.is_empty()) {
        (false, _) => Outcome::Partial,
        (true, false) => Outcome::Applied,
        (true, true) => Outcome::InSync,
    };
    if done.outcome != outcome {
        return Err(format!(
            "applied: {:?} and not {outcome:?}: {:?}",
            done.outcome, done.actions
        ));
    }
    world.sandbox.journal().clear();
    let again = world.sync().await;
    let writes: Vec<String> = world
        .sandbox
        .journal()
        .writes()
        .iter()
        .map(written)
        .collect();
    if planned(&again) != wanted || !writes.is_empty() {
        return Err(format!(
            "left to do: {:#?}, sent {writes:#?}",
            planned(&again)
        ));
    }
    if !world.audit_holds().await {
        return Err("the audit chain is broken".to_owned());
    }
    Ok(())
}
