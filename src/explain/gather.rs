//! Gathers everything the store knows about one person into an [`Explanation`].

use std::collections::BTreeMap;

use super::identity::Reading;
use super::model::{
    AccountView, DecisionView, Explanation, Found, GuardsView, HistoryView, IdentityView,
    KeyHolderView, PersonView, SCHEMA, SnapshotView,
};
use super::next_run::NextRun;
use super::{account, guards, identity, suggestions, words};
use crate::domain::{
    Address, Key, OpseraId, PersonStatus, Plan, PlannedAction, UserType, time::Timestamp,
};
use crate::reconcile::{Restores, RunError};
use crate::rules::{Policy, decide_joiner};
use crate::store::{OpaEntry, Pull, Store, StoreError, audit::AuditFilter};

/// Entries of the audit log that are shown.
const HISTORY: u32 = 20;

/// Times the whole is read again because a run replaced the snapshot meanwhile.
const TRIES: u32 = 5;

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No pull was ever complete.
    #[error(
        "the store {store} holds no snapshot of the two directories yet: run `rolecall sync \
         --dry-run` first, which changes nothing in Opsera"
    )]
    NoSnapshot {
        /// `store.path`
        store: String,
    },
    /// Runs complete faster than the store is read.
    #[error("the snapshot was replaced again and again while it was read; try once more")]
    ReplacedTooOften,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan could not be made.
    #[error(transparent)]
    Plan(#[from] RunError),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// An address as either directory has it, an OPA name, an OPA or Opsera id.
    pub text: &'q str,
    /// The settings that the rules go by.
    pub policy: &'q Policy,
    /// What tells these settings from others ([`Layers::digest`](crate::settings)).
    pub settings_digest: &'q str,
    /// The time of the run that is foretold.
    pub now: Timestamp,
}

/// Explains one person from the store's latest snapshot.
///
/// # Errors
/// There is no snapshot yet, or the store cannot be read.
pub async fn explain(store: &Store, question: Question<'_>) -> Result<Explanation, ExplainError> {
    for _ in 0..TRIES {
        let latest = store.latest_pull().await?;
        let Some((pull, taken_at)) = latest else {
            return Err(ExplainError::NoSnapshot {
                store: store.path().display().to_string(),
            });
        };
        let gatherer = Gatherer {
            store,
            pull,
            question,
        };
        let explanation = gatherer.explanation(taken_at).await;
        // A run that completes meanwhile may remove the snapshot before it is opened here.
        if store.latest_pull().await? == latest {
            return explanation;
        }
    }
    Err(ExplainError::ReplacedTooOften)
}

/// What the text turned out to mean.
struct Subject {
    identity: IdentityView,
    address: Option<Address>,
    key: Option<Key>,
    account_ids: Vec<OpseraId>,
    people: Vec<OpaEntry>,
}

struct Gatherer<'g> {
    store: &'g Store,
    pull: Pull,
    question: Question<'g>,
}

impl Gatherer<'_> {
    async fn explanation(&self, taken_at: Timestamp) -> Result<Explanation, ExplainError> {
        let Question { text, now, .. } = self.question;
        let subject = self.subject().await?;
        let mut accounts = Vec::new();
        let mut actions = Vec::new();
        for id in &subject.account_ids {
            if let Some((view, action)) = self.account(id, &subject.people).await? {
                accounts.push(view);
                actions.extend(action);
            }
        }
        let without_account = self.without_account(&subject, &accounts).await?;
        let key_holders = match &subject.key {
            Some(key) => self.store.list_key_holders(key).await?,
            None => Vec::new(),
        };
        let history = self.history(&subject, &accounts).await?;
        let found = if !accounts.is_empty() {
            Found::Account
        } else if !subject.people.is_empty() {
            Found::Person
        } else if !key_holders.is_empty() || !history.is_empty() {
            Found::Past
        } else {
            Found::Nobody
        };
        let suggestions = match (found, &subject.address, &subject.key) {
            (Found::Past | Found::Nobody, Some(address), Some(key)) => {
                suggestions::list(self.store, self.pull, address, key).await?
            }
            _ => Vec::new(),
        };
        let guards = guards::view(self.store, self.pull, self.question, &actions).await?;
        Ok(Explanation {
            schema: SCHEMA,
            asked: text.to_owned(),
            found,
            headline: headline(
                found,
                &accounts,
                &subject.people,
                without_account.as_ref(),
                &guards,
            ),
            snapshot: SnapshotView {
                taken_at,
                age: age(now, taken_at),
            },
            identity: subject.identity,
            people: subject.people.iter().map(person).collect(),
            key_holders: key_holders
                .into_iter()
                .map(|holder| KeyHolderView {
                    opa_id: holder.id,
                    name: holder.name,
                    carries_now: holder.carries_now,
                    was_active: holder.was_active,
                })
                .collect(),
            guards,
            accounts,
            without_account,
            suggestions,
            history,
            live: None,
        })
    }

    /// An address first; if nothing has it, a name or an id.
    async fn subject(&self) -> Result<Subject, StoreError> {
        let Question { text, policy, .. } = self.question;
        let reading = identity::read(text, policy);
        if let Reading::Address(address, keys) = &reading {
            for key in keys {
                let subject = self.with_key(text, address, key).await?;
                if !subject.account_ids.is_empty() || !subject.people.is_empty() {
                    return Ok(subject);
                }
            }
        }
        let people = self.store.list_opa_entries_named(self.pull, text).await?;
        let account_ids = self.store.list_account_ids_named(self.pull, text).await?;
        let invalid = match &reading {
            Reading::Other(why) => Some(why.clone()),
            Reading::Address(..) => None,
        };
        if people.is_empty() && account_ids.is_empty() {
            return match reading {
                Reading::Address(address, keys) => {
                    let key = keys.into_iter().next();
                    let key = key.unwrap_or_else(|| policy.matching.opsera_key(&address));
                    self.with_key(text, &address, &key).await
                }
                Reading::Other(_) => Ok(Subject {
                    identity: identity::without_key("nothing", invalid),
                    address: None,
                    key: None,
                    account_ids,
                    people,
                }),
            };
        }
        if let Some(subject) = self.by_record(&people, &account_ids).await? {
            return Ok(subject);
        }
        Ok(Subject {
            identity: identity::without_key("record", invalid),
            address: None,
            key: None,
            account_ids,
            people,
        })
    }

    /// A name or an id of a record with a key stands for everything with that key.
    async fn by_record(
        &self,
        people: &[OpaEntry],
        account_ids: &[OpseraId],
    ) -> Result<Option<Subject>, StoreError> {
        let policy = self.question.policy;
        let mut email = people
            .iter()
            .find(|person| person.key.is_some())
            .and_then(|person| person.email.clone().zip(person.key.clone()));
        if email.is_none()
            && let Some(id) = account_ids.first()
        {
            let facts = self.store.find_account(self.pull, id, false).await?;
            email = facts.and_then(|facts| facts.email.zip(facts.identity.map(|(_, key)| key)));
        }
        let Some((email, key)) = email else {
            return Ok(None);
        };
        let Ok(address) = Address::parse(&email) else {
            return Ok(None);
        };
        let mut subject = self.with_key(&email, &address, &key).await?;
        subject.identity = IdentityView {
            taken_for: "record",
            ..identity::view(&email, &address, &key, policy)
        };
        Ok(Some(subject))
    }

    async fn with_key(
        &self,
        text: &str,
        address: &Address,
        key: &Key,
    ) -> Result<Subject, StoreError> {
        Ok(Subject {
            identity: identity::view(text, address, key, self.question.policy),
            address: Some(address.clone()),
            account_ids: self.store.list_account_ids(self.pull, key).await?,
            people: self.store.list_opa_entries(self.pull, key).await?,
            key: Some(key.clone()),
        })
    }

    async fn account(
        &self,
        id: &OpseraId,
        people: &[OpaEntry],
    ) -> Result<Option<(AccountView, Option<PlannedAction>)>, StoreError> {
        let Question { policy, now, .. } = self.question;
        // Asked as if anybody could leave, so that the shields are known for the what-ifs too.
        let facts = self.store.find_account(self.pull, id, true).await?;
        let entry = self.store.find_account_entry(self.pull, id).await?;
        let (Some(facts), Some(entry)) = (facts, entry) else {
            return Ok(None);
        };
        let next_run = NextRun {
            policy,
            now,
            clock_is_trusted: self.store.last_clock_is_trusted().await?,
        };
        let mut restores = Restores::load(self.store, self.pull, policy, now).await?;
        let (mut view, action) = account::view(&facts, &entry, people, next_run, &mut restores);
        if let Some(action) = &action {
            let plan = Plan::new(vec![action.clone()]);
            let refusals = self.store.list_refusals(&plan, now).await?;
            view.back_off = refusals.into_values().next().map(account::back_off);
        }
        Ok(Some((view, action)))
    }

    async fn without_account(
        &self,
        subject: &Subject,
        accounts: &[AccountView],
    ) -> Result<Option<DecisionView>, StoreError> {
        let (Some(key), true) = (&subject.key, accounts.is_empty()) else {
            return Ok(None);
        };
        let policy = self.question.policy;
        let Some(facts) = self.store.find_joiner(self.pull, key).await? else {
            return Ok(None);
        };
        let decision = words::joiner(&facts, policy, decide_joiner(&facts, policy));
        if decision.kind != "create" {
            return Ok(Some(decision));
        }
        // What every run found when it asked Opsera, a snapshot of its listing does not show.
        let found = self.store.find_unlisted_account(key).await?;
        Ok(Some(match found {
            Some(finding) => words::not_created(finding),
            None => decision,
        }))
    }

    /// What the audit log says of any address or id of this person.
    async fn history(
        &self,
        subject: &Subject,
        accounts: &[AccountView],
    ) -> Result<Vec<HistoryView>, StoreError> {
        let mut names = vec![self.question.text.trim().to_owned()];
        names.extend(subject.address.iter().map(ToString::to_string));
        names.extend(subject.key.iter().map(ToString::to_string));
        for account in accounts {
            names.push(account.opsera_id.as_str().to_owned());
            names.extend(account.email.clone());
        }
        names.extend(
            subject
                .people
                .iter()
                .filter_map(|person| person.email.clone()),
        );
        names.sort();
        names.dedup();
        let mut entries = BTreeMap::new();
        for person in names {
            let filter = AuditFilter {
                person: Some(person),
                limit: Some(HISTORY),
                ..AuditFilter::default()
            };
            for entry in self.store.list_audit(&filter).await? {
                entries.insert(entry.seq, entry);
            }
        }
        let older = entries
            .len()
            .saturating_sub(usize::try_from(HISTORY).unwrap_or(0));
        let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(entries
            .into_values()
            .skip(older)
            .map(|entry| HistoryView {
                seq: entry.seq,
                at: entry.at,
                event: entry.event,
                run_id: entry.run_id,
                reason: entry.reason,
                before: json(entry.before),
                after: json(entry.after),
                http_status: entry.http_status,
                words: entry.words,
            })
            .collect())
    }
}

fn person(entry: &OpaEntry) -> PersonView {
    PersonView {
        opa_id: entry.id.clone(),
        name: entry.name.clone(),
        status: entry.status.as_str().to_owned(),
        user_type: entry.user_type.as_str(),
        email: entry.email.clone(),
        full_name: account::full_name(entry.first_name.as_deref(), entry.last_name.as_deref()),
        groups: entry.groups.clone(),
    }
}

fn headline(
    found: Found,
    accounts: &[AccountView],
    people: &[OpaEntry],
    without_account: Option<&DecisionView>,
    guards: &GuardsView,
) -> String {
    match (found, accounts) {
        (Found::Account, [account]) => {
            let but = if let Some(back_off) = &account.back_off {
                match back_off.until {
                    Some(at) => format!(
                        " — but not before {}, because it was {}",
                        words::time(at),
                        back_off.state
                    ),
                    None => " — but first finds out what came of an earlier request".to_owned(),
                }
            } else if guards.held && guards.concerns_this_person {
                " — but a guard holds the whole plan".to_owned()
            } else {
                String::new()
            };
            format!("The next run would {}{but}.", account.decision.words)
        }
        (Found::Account, many) => format!(
            "{} Opsera accounts share this address, so none of them is touched.",
            many.len()
        ),
        (Found::Person, _) => match without_account {
            Some(decision) => format!("The next run would {}.", decision.words),
            None => no_account(people),
        },
        (Found::Past, _) => "Neither directory has this address in the latest snapshot; it was \
                             known before."
            .to_owned(),
        (Found::Nobody, _) => "Nobody: neither directory has this address, name or id in the \
                               latest snapshot, and there is no record of it."
            .to_owned(),
    }
}

/// Why nothing would be done for people who have neither an account nor a claim to one.
fn no_account(people: &[OpaEntry]) -> String {
    let mut humans = people
        .iter()
        .filter(|person| person.user_type == UserType::Human)
        .peekable();
    if humans.peek().is_none() {
        return "A service user of OPA, which never counts (I3): the next run would do nothing."
            .to_owned();
    }
    if humans.any(|person| person.key.is_none() && person.status == PersonStatus::Active) {
        return "ACTIVE in OPA without a usable address, so nobody knows which account is theirs: \
                accounts with the same name are left alone (I7)."
            .to_owned();
    }
    "There is an OPA record, which is not ACTIVE, and no active Opsera account: the next run would \
     do nothing."
        .to_owned()
}

fn age(now: Timestamp, taken_at: Timestamp) -> String {
    let Ok(age) = (now - taken_at).to_std() else {
        return "in the future: the clock was set back".to_owned();
    };
    let seconds = std::time::Duration::from_secs(age.as_secs());
    format!("{} ago", humantime::format_duration(seconds))
}
