//! The preflight (A2): right before a request, is everything still as the plan saw it?
//!
//! The answer is only ever a reason *not* to act. What cannot be read is doubt.

use std::collections::BTreeSet;

use serde_json::json;

use super::apply_state::{Applied, ApplyState, StopReason, Worker};
use super::attempt::Attempt;
use super::recover::read_outcome;
use crate::clients::{CallError, Opa, OpseraReader, RatePermit};
use crate::domain::{
    AccountRecord, Address, Change, Evidence, Finding, FindingKind, GroupName, Key, Matching,
    OpaId, OpaName, OpseraId, PersonRecord, PersonStatus, PlannedAction,
};
use crate::domain::{ActionOutcome, ActionState, Effect};
use crate::rules::Policy;
use crate::store::{QueuedAction, StoreError};

/// What the preflight of a request says.
pub(super) enum Preflight {
    /// Nothing speaks against it, and it may go out at once.
    Send(RatePermit),
    /// There is nothing to send.
    Close(ActionOutcome),
    /// An earlier request of this action has no known outcome, and it cannot be read.
    Unreadable(String),
    /// The run must stop.
    Stop(StopReason),
}

/// What the look at an Opsera account showed.
#[derive(Debug)]
pub(super) enum AccountLook {
    /// Active, under the same key.
    AsPlanned,
    /// Inactive or gone.
    Inactive(&'static str),
    /// Active, but it is somebody else's now.
    Moved(ActionOutcome),
    /// It could not be read.
    Unreadable(CallError),
}

/// What the look at the person showed.
#[derive(Debug)]
pub(super) enum PersonLook {
    /// Nobody who carried the key is entitled.
    Gone,
    /// Somebody who carried the key is ACTIVE again, or still.
    Entitled {
        /// Their OPA record.
        id: OpaId,
        /// Its name.
        name: OpaName,
    },
    /// A record could not be read, or says what this program does not know.
    Doubt(String),
    /// OPA does not accept the credential any more.
    Unauthorized(CallError),
}

impl Attempt<'_> {
    /// Everything that comes before a request: pauses, then the look, then the permit, so that a
    /// signal can come between all of them and the announcement (A10).
    pub(super) async fn preflight(&mut self) -> Result<Preflight, StoreError> {
        let opsera = self.worker.opsera;
        opsera.wait_until_unpaused().await;
        Ok(match self.look().await? {
            Some(reason) => reason,
            None => Preflight::Send(opsera.wait_for_permit().await),
        })
    }

    /// A reason not to send the request, if there is one.
    async fn look(&mut self) -> Result<Option<Preflight>, StoreError> {
        let unknown = self.outcome_is_unknown;
        let opsera = self.worker.opsera.reader();
        let action = &self.queued.action;
        match &action.change {
            Change::SetRole { .. } => Ok(None),
            Change::Create { .. } if !unknown => Ok(None),
            Change::Create { .. } => Ok(match read_outcome(opsera, action).await {
                Ok(outcome) if outcome.state.is_done() => Some(Preflight::Close(outcome)),
                Ok(_) => None,
                Err(error) => Some(unreadable(&error)),
            }),
            Change::Deactivate {
                opsera_id,
                evidence,
                ..
            } => {
                let evidence = *evidence;
                let matching = &self.worker.policy.matching;
                match look_at_account(opsera, matching, opsera_id, &action.key).await {
                    AccountLook::AsPlanned => {}
                    AccountLook::Inactive(words) => {
                        return Ok(Some(Preflight::Close(if unknown {
                            let words = format!("{words}, after a request without an answer");
                            ActionOutcome::new(ActionState::Succeeded, Effect::Happened, words)
                        } else {
                            ActionOutcome::new(ActionState::Already, Effect::DidNotHappen, words)
                        })));
                    }
                    AccountLook::Moved(outcome) => return Ok(Some(Preflight::Close(outcome))),
                    AccountLook::Unreadable(error @ CallError::Unauthorized { .. }) => {
                        return Ok(Some(Preflight::Stop(StopReason::Unauthorized(
                            (&error).into(),
                        ))));
                    }
                    AccountLook::Unreadable(error) if unknown => {
                        return Ok(Some(unreadable(&error)));
                    }
                    AccountLook::Unreadable(error) => {
                        return Ok(Some(Preflight::Close(in_doubt(format!(
                            "the account cannot be read right before the request: {error}"
                        )))));
                    }
                }
                self.look_at_person(evidence).await
            }
        }
    }

    async fn look_at_person(
        &mut self,
        evidence: Evidence,
    ) -> Result<Option<Preflight>, StoreError> {
        let Worker { opa, policy, .. } = *self.worker;
        Ok(
            match look_at_person(opa, policy, &self.queued.action).await {
                PersonLook::Gone => match &self.state.distrusted {
                    Some(words) if evidence == Evidence::Absent => {
                        Some(Preflight::Close(in_doubt(words.clone())))
                    }
                    _ => None,
                },
                PersonLook::Entitled { id, name } => {
                    self.worker
                        .note_inconsistency(&self.queued, &id, &name, self.state, self.applied)
                        .await?;
                    Some(Preflight::Close(ActionOutcome::new(
                        ActionState::Skipped,
                        Effect::DidNotHappen,
                        format!(
                            "reentitled: OPA record {name} (id {id}) is ACTIVE and entitled when it is read"
                        ),
                    )))
                }
                PersonLook::Doubt(words) => Some(Preflight::Close(in_doubt(words))),
                PersonLook::Unauthorized(error) => {
                    Some(Preflight::Stop(StopReason::Unauthorized((&error).into())))
                }
            },
        )
    }
}

impl Worker<'_> {
    /// Distrusts the listing if somebody who is ACTIVE was missing from it.
    pub(super) async fn note_inconsistency(
        &self,
        queued: &QueuedAction,
        id: &OpaId,
        name: &OpaName,
        state: &mut ApplyState,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        if self.store.has_person(self.pull, id).await? {
            return Ok(());
        }
        state.distrusted.get_or_insert_with(|| {
            format!("the OPA listing lost {name}, who is ACTIVE, so it is not trusted about who is absent")
        });
        let finding = Finding {
            kind: FindingKind::InconsistentListing,
            email: queued.action.email.clone(),
            detail: format!(
                "OPA record {name} (id {id}) is ACTIVE when it is read, but the listing did not have \
                 it: no absent account is deactivated in this run; if it happens again, report the \
                 listing to Okta"
            ),
        };
        if !applied.findings.contains(&finding) {
            applied.findings.push(finding);
        }
        Ok(())
    }
}

fn unreadable(error: &CallError) -> Preflight {
    match error {
        CallError::Unauthorized { .. } => Preflight::Stop(StopReason::Unauthorized(error.into())),
        _ => Preflight::Unreadable(format!(
            "what came of the last request cannot be read: {error}"
        )),
    }
}

fn in_doubt(words: String) -> ActionOutcome {
    let mut outcome = ActionOutcome::new(ActionState::Skipped, Effect::DidNotHappen, words);
    outcome.still_due = true;
    outcome
}

/// Looks at the account: still active, and still under the key that was planned for?
pub(super) async fn look_at_account(
    opsera: &OpseraReader,
    matching: &Matching,
    id: &OpseraId,
    key: &Key,
) -> AccountLook {
    match opsera.find_user(id.as_str()).await {
        Err(error) => AccountLook::Unreadable(error),
        Ok(None) => AccountLook::Inactive("the account is gone"),
        Ok(Some(account)) if !account.active => {
            AccountLook::Inactive("the account is inactive already")
        }
        Ok(Some(account)) if key_of(matching, &account).as_ref() != Some(key) => {
            let email = account.email.unwrap_or_default();
            let mut outcome = ActionOutcome::new(
                ActionState::Skipped,
                Effect::DidNotHappen,
                format!("the account's address is now {email:?}: planned afresh by the next run"),
            );
            outcome.seen = Some(json!({ "email": email }));
            AccountLook::Moved(outcome)
        }
        Ok(Some(_)) => AccountLook::AsPlanned,
    }
}

fn key_of(matching: &Matching, account: &AccountRecord) -> Option<Key> {
    let address = Address::parse(account.email.as_deref()?).ok()?;
    Some(matching.opsera_key(&address))
}

/// Looks at every OPA record that carries the key, carried it last, or ever did.
pub(super) async fn look_at_person(
    opa: &Opa,
    policy: &Policy,
    action: &PlannedAction,
) -> PersonLook {
    let Change::Deactivate {
        evidence,
        known_names,
        earlier_names,
        ..
    } = &action.change
    else {
        return PersonLook::Gone;
    };
    let mut doubt = None;
    // A record in doubt does not end the look: the next one may show that the listing lost it.
    for name in known_names.iter().chain(earlier_names) {
        let person = match opa.find_user(name).await {
            Ok(None) => continue,
            Ok(Some(person)) => person,
            Err(error @ CallError::Unauthorized { .. }) => return PersonLook::Unauthorized(error),
            Err(error) => {
                doubt.get_or_insert(format!("the OPA record {name} cannot be read: {error}"));
                continue;
            }
        };
        // Whoever had the key before somebody else did and has another one now is another person.
        if earlier_names.contains(name) && moved_on(&policy.matching, &person, &action.key) {
            continue;
        }
        match &person.status {
            PersonStatus::Disabled | PersonStatus::Deleted => {}
            PersonStatus::Unrecognised(status) => {
                doubt.get_or_insert(format!(
                    "the OPA record {name} has the unknown status {status:?}"
                ));
            }
            PersonStatus::Active if *evidence == Evidence::NotInRequiredGroup => {
                // Being ACTIVE is what this evidence says; the membership is what may be back.
                match is_member(opa, name, &policy.required_groups).await {
                    Ok(false) => {}
                    Ok(true) => return entitled(person),
                    Err(error @ CallError::Unauthorized { .. }) => {
                        return PersonLook::Unauthorized(error);
                    }
                    Err(error) => {
                        doubt.get_or_insert(format!(
                            "the groups of the OPA record {name} cannot be read: {error}"
                        ));
                    }
                }
            }
            PersonStatus::Active => return entitled(person),
        }
    }
    doubt.map_or(PersonLook::Gone, PersonLook::Doubt)
}

fn entitled(person: PersonRecord) -> PersonLook {
    PersonLook::Entitled {
        id: person.id,
        name: person.name,
    }
}

/// Whether the record has an address of its own that is not this key's.
fn moved_on(matching: &Matching, person: &PersonRecord, key: &Key) -> bool {
    person
        .email
        .as_deref()
        .and_then(|email| Address::parse(email).ok())
        .is_some_and(|address| matching.opa_key(&address) != *key)
}

async fn is_member(
    opa: &Opa,
    name: &OpaName,
    required: &BTreeSet<GroupName>,
) -> Result<bool, CallError> {
    let mut listing = opa.list_user_groups(name);
    while let Some(page) = listing.next_page().await? {
        if page
            .iter()
            .any(|group| group.live && required.contains(&group.name))
        {
            return Ok(true);
        }
    }
    Ok(false)
}
