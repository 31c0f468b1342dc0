//! Planning: every account and every joiner of a pull through the rules, into one plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::error::RunError;
use super::restores::{Restored, Restores};
use crate::clients::{CallError, OpseraReader};
use crate::domain::{
    ActionKind, Address, Change, Finding, FindingKind, Key, KindSet, OpseraId, PeopleFilter, Plan,
    PlanId, PlannedAction, SiteRole, Summary, WaitingReport, time::Timestamp,
};
use crate::rules::clock_trust::wait_for_proof;
use crate::rules::protection::ended_entries;
use crate::rules::{
    AccountFacts, Decision, Policy, decide_account, decide_joiner,
    facts::{Absence, PersonFacts},
    guards::GuardInput,
};
use crate::store::{Pull, Store, StoreError};

/// What the rules made of a pull.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What the guards look at; what only the caller knows is left at its default.
    pub input: GuardInput,
    /// How many of what.
    pub summary: Summary,
    /// Accounts whose grace has not passed.
    pub waiting: Vec<WaitingReport>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// Roles to take for the current ones (§5 `adopt`).
    pub adopted: Vec<(OpseraId, SiteRole)>,
    /// The actions that take a run back, each with the plan that was approved for it.
    pub restored: Restored,
}

struct PlanBuilder {
    limits: Limits,
    actions: Vec<PlannedAction>,
    summary: Summary,
    waiting: Vec<WaitingReport>,
    findings: Vec<Finding>,
    adopted: Vec<(OpseraId, SiteRole)>,
    administrators: u64,
    administrators_lost: Vec<Arc<str>>,
    restored: Restored,
    expired_protections: Vec<Arc<str>>,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub struct PlanScope<'p> {
    /// The rules.
    pub policy: &'p Policy,
    /// Which kinds of action.
    pub kinds: &'p KindSet,
    /// Which people; `None`: everybody.
    pub people: Option<&'p PeopleFilter>,
    /// The time of the run.
    pub now: Timestamp,
    /// Whether the clock that tells this time is to be trusted (§4 step 6).
    pub clock_is_trusted: bool,
    /// Whether the plan is made of the pull itself.
    pub pull: PullOfPlan,
}

/// Which pull a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullOfPlan {
    /// The one that is in the store.
    InStore,
    /// A later one that shows the same: it misses whoever is absent once more.
    StillToCome,
}

impl PullOfPlan {
    fn absence(self, facts: &AccountFacts) -> Option<Absence> {
        match self {
            Self::InStore => facts.absence,
            Self::StillToCome => facts.absence.map(Absence::once_more),
        }
    }
}

impl PlanScope<'_> {
    /// The keys of the people the plan is limited to.
    fn keys(&self) -> Option<BTreeSet<Key>> {
        let people = self.people?;
        let keys = people.keys(&self.policy.matching);
        Some(keys.into_iter().flat_map(|(_, keys)| keys).collect())
    }
}

/// Makes the plan of `pull`. `opsera` is asked whether a joiner's account exists after all (§5);
/// without it, joiners are left out.
///
/// # Errors
/// The store, or a look-up in Opsera.
pub async fn plan_from_store(
    store: &Store,
    pull: Pull,
    scope: PlanScope<'_>,
    opsera: Option<(&OpseraReader, usize)>,
    findings: Vec<Finding>,
) -> Result<Planned, RunError> {
    let PlanScope { policy, now, .. } = scope;
    let limits = Limits {
        kinds: scope.kinds.clone(),
        keys: scope.keys(),
    };
    let mut builder = PlanBuilder::new(limits, findings);
    note_doubtful_people(store, pull, &mut builder).await?;
    let mut settled = store.count_managed_accounts(pull).await?;
    builder.administrators = store.count_administrators(pull).await?;
    let mut restores = Restores::load(store, pull, policy, now).await?;
    let mut accounts = store.list_accounts_that_need_thought(pull, policy).await?;
    tracing::debug!(settled, "the accounts that need thought are known");
    while let Some(page) = accounts.next_page().await? {
        settled = settled.saturating_sub(page.managed);
        for facts in &page.accounts {
            let decided = decide_account(facts, policy, now);
            let protection_has_ended = decided
                .findings
                .iter()
                .any(|finding| finding.kind == FindingKind::ProtectionExpired);
            builder.findings.extend(decided.findings);
            let decision = wait_for_proof(
                decided.decision,
                scope.pull.absence(facts),
                scope.clock_is_trusted,
                policy,
                now,
            );
            let (decision, undo) = restores.instead(facts, decision);
            if protection_has_ended && undo.is_none() {
                builder.note_touched(&decision);
            }
            builder.add(facts, decision, undo);
        }
    }
    // The others are settled: they have the role that the rules want, and it is to be taken back.
    for facts in restores.rest() {
        settled = settled.saturating_sub(1);
        let (decision, undo) = restores.instead(&facts, Decision::Unchanged);
        builder.add(&facts, decision, undo);
    }
    tracing::debug!(actions = builder.actions.len(), "the accounts are decided");
    builder.summary.unchanged += settled;
    let ended = ended_entries(policy, now, &builder.findings);
    builder.findings.extend(ended);
    if let Some((opsera, in_flight)) = opsera
        && policy.provision
        && scope.kinds.contains(ActionKind::Create)
    {
        add_joiners(store, pull, policy, opsera, in_flight, &mut builder).await?;
    }
    Ok(builder.finish())
}

/// I3, I7 and §5: findings about people, whether or not they have an account.
async fn note_doubtful_people(
    store: &Store,
    pull: Pull,
    builder: &mut PlanBuilder,
) -> Result<(), RunError> {
    let mut people = std::pin::pin!(store.stream_unidentified(pull));
    while let Some(person) = people.try_next().await? {
        let address = person.email.as_deref().map_or_else(
            || "no address".to_owned(),
            |email| format!("the unusable address {email:?}"),
        );
        builder.findings.push(Finding {
            kind: FindingKind::UnidentifiedOpaUser,
            email: person.name.as_str().to_owned(),
            detail: format!(
                "OPA record {} (id {}) is ACTIVE with {address}, so nobody knows which account is \
                 theirs: accounts with the same name are left alone; give the record its address",
                person.name, person.id
            ),
        });
    }
    let mut people = std::pin::pin!(store.stream_unreadable_memberships(pull));
    while let Some(person) = people.try_next().await? {
        builder.findings.push(Finding {
            kind: FindingKind::UnreadableMemberships,
            email: person
                .email
                .unwrap_or_else(|| person.name.as_str().to_owned()),
            detail: format!(
                "OPA cannot be asked for the groups of the record {:?} (id {}), because the name \
                 would change the path of the request: the person keeps account and role, and gets \
                 no new account; give the record another name in OPA, or set roles.lookup = \
                 \"group\"",
                person.name.as_str(),
                person.id
            ),
        });
    }
    let mut people = std::pin::pin!(store.stream_unknown_status(pull));
    while let Some((person, status)) = people.try_next().await? {
        builder.findings.push(Finding {
            kind: FindingKind::UnknownStatus,
            email: person
                .email
                .unwrap_or_else(|| person.name.as_str().to_owned()),
            detail: format!(
                "OPA record {} (id {}) has the status {status:?}, which this version does not know: \
                 the person keeps account and role; look at the record in OPA",
                person.name, person.id
            ),
        });
    }
    Ok(())
}

/// How many accounts a run may create at most; Opsera, which may know some of the addresses after
/// all, is not asked.
///
/// # Errors
/// The store cannot be read.
pub async fn most_creations(store: &Store, pull: Pull, policy: &Policy) -> Result<u64, StoreError> {
    if !policy.provision {
        return Ok(0);
    }
    let mut count = 0;
    let mut joiners = std::pin::pin!(store.stream_joiners(pull));
    while let Some(facts) = joiners.try_next().await? {
        let decided = decide_joiner(&facts, policy);
        count += u64::from(matches!(decided.decision, Decision::Act(_)));
    }
    Ok(count)
}

/// Creations, unless Opsera knows an address of the person after all: pending and deactivated
/// accounts are not in its listing.
async fn add_joiners(
    store: &Store,
    pull: Pull,
    policy: &Policy,
    opsera: &OpseraReader,
    in_flight: usize,
    builder: &mut PlanBuilder,
) -> Result<(), RunError> {
    let limits = builder.limits.clone();
    // The stream reads a page at a time, so no cursor of the store is open while Opsera is asked.
    let joiners = store.stream_joiners(pull).map_err(RunError::from);
    let mut checked = std::pin::pin!(
        joiners
            .try_filter_map(|facts| {
                let decided = decide_joiner(&facts, policy);
                std::future::ready(Ok(match decided.decision {
                    Decision::Act(action) if limits.let_in(&action) => {
                        Some((*action, decided.findings, facts.people))
                    }
                    _ => None,
                }))
            })
            .map(|joiner| async {
                let (action, findings, people) = joiner?;
                let existing =
                    find_account_of(store, opsera, policy, &action.key, &people.listed).await?;
                Ok::<_, RunError>((action, findings, existing))
            })
            .buffered(in_flight.max(1))
    );
    while let Some((action, findings, existing)) = checked.try_next().await? {
        if let Some(finding) = existing {
            builder.findings.push(finding);
        } else {
            builder.findings.extend(findings);
            builder.summary.create += 1;
            builder.actions.push(action);
        }
    }
    Ok(())
}

async fn find_account_of(
    store: &Store,
    opsera: &OpseraReader,
    policy: &Policy,
    key: &Key,
    people: &[PersonFacts],
) -> Result<Option<Finding>, RunError> {
    // Several records of one person may differ in what the key leaves out, a plus tag for example.
    let candidates: BTreeSet<Address> = people
        .iter()
        .flat_map(|person| {
            let mut addresses = policy.matching.other_addresses(&person.address);
            addresses.push(person.address.clone());
            addresses
        })
        .collect();
    for candidate in &candidates {
        let detail = match opsera.find_user(candidate.as_str()).await {
            Ok(None) => continue,
            Ok(Some(account)) => {
                let state = if account.active {
                    "is not in the list of active accounts under this person's address (a pending \
                     account waits for its first sign-in): nothing is written"
                } else {
                    "is inactive: nothing is written; reactivate it in Opsera if it should be in use"
                };
                let created = store.list_created(&[key.as_str()]).await?;
                let origin = match created.get(key.as_str()) {
                    Some(run) => format!(", which run {run} created,"),
                    None => String::new(),
                };
                format!(
                    "the person is entitled, and Opsera account {candidate} (id {}){origin} {state}",
                    account.id
                )
            }
            // Several accounts, or an address Opsera cannot look up: doubt about this one person,
            // which must not keep everybody else waiting.
            Err(CallError::ClientError {
                status, message, ..
            }) if status.as_u16() == 400 => format!(
                "the person is entitled, but Opsera does not say which account {candidate} is \
                 (400 {message}): nothing is written; look for the address in Opsera"
            ),
            Err(error) => return Err(RunError::LookUp(error)),
        };
        return Ok(Some(Finding {
            kind: FindingKind::InactiveOpseraAccount,
            email: key.as_str().to_owned(),
            detail,
        }));
    }
    Ok(None)
}

/// What a run was limited to.
#[derive(Clone)]
struct Limits {
    kinds: KindSet,
    keys: Option<BTreeSet<Key>>,
}

impl Limits {
    /// Whether `--only` and `--person` let this action into the plan.
    fn let_in(&self, action: &PlannedAction) -> bool {
        self.kinds.contains(action.kind()) && self.concern(&action.key)
    }

    fn concern(&self, key: &Key) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }
}

impl PlanBuilder {
    fn new(limits: Limits, findings: Vec<Finding>) -> Self {
        Self {
            limits,
            findings,
            actions: Vec::new(),
            summary: Summary::default(),
            waiting: Vec::new(),
            adopted: Vec::new(),
            administrators: 0,
            administrators_lost: Vec::new(),
            restored: Restored::default(),
            expired_protections: Vec::new(),
        }
    }

    /// Notes for the guards an account whose protection has ended, if the plan touches it.
    fn note_touched(&mut self, decision: &Decision) {
        if let Decision::Act(action) = decision
            && self.limits.let_in(action)
        {
            self.expired_protections.push(action.email.as_str().into());
        }
    }

    /// Takes a decision into the plan; `undo` is the approved plan that it comes from, if it comes
    /// from one.
    fn add(&mut self, facts: &AccountFacts, decision: Decision, undo: Option<PlanId>) {
        let administrator = facts.active && facts.role.is(SiteRole::Administrators);
        match decision {
            Decision::NotManaged | Decision::Doubt => {}
            Decision::Unchanged => self.summary.unchanged += 1,
            Decision::Adopt(role) => {
                self.summary.unchanged += 1;
                let concerned = facts
                    .identity
                    .as_ref()
                    .is_some_and(|(_, key)| self.limits.concern(key));
                if concerned && self.limits.kinds.contains(ActionKind::SetRole) {
                    self.adopted.push((facts.id.clone(), role));
                }
            }
            Decision::Unmanaged => self.summary.unmanaged += 1,
            Decision::Protected => self.summary.protected += 1,
            Decision::Waiting(waiting) => {
                self.summary.waiting += 1;
                self.waiting.push(waiting);
            }
            Decision::Act(action) if !self.limits.let_in(&action) => self.summary.unchanged += 1,
            Decision::Act(action) => {
                let loses = match &action.change {
                    Change::Deactivate { .. } => true,
                    Change::SetRole { to, .. } => *to != SiteRole::Administrators,
                    Change::Create { .. } => false,
                };
                if administrator && loses {
                    self.administrators_lost.push(action.email.as_str().into());
                }
                match action.kind() {
                    ActionKind::Deactivate => self.summary.deactivate += 1,
                    ActionKind::SetRole => self.summary.set_role += 1,
                    ActionKind::Create => self.summary.create += 1,
                }
                if let Some(undo) = undo {
                    self.restored.insert(action.identity(), undo);
                }
                self.actions.push(*action);
            }
        }
    }

    fn finish(mut self) -> Planned {
        self.findings.sort();
        self.findings.dedup();
        self.summary.findings = u64::try_from(self.findings.len()).unwrap_or(u64::MAX);
        Planned {
            plan: Plan::new(self.actions),
            input: GuardInput {
                administrators: self.administrators,
                administrators_lost: self.administrators_lost,
                expired_protections: self.expired_protections,
                ..GuardInput::default()
            },
            summary: self.summary,
            waiting: self.waiting,
            findings: self.findings,
            adopted: self.adopted,
            restored: self.restored,
        }
    }
}
