//! What is looked up for the accounts of one page: everything that belongs to their keys.
//!
//! Each look-up is one statement for all keys or accounts of the page, so the number of statements
//! grows with the pages and not with the people. Lists are bounded, because one address can stand
//! on any number of records.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::TryStreamExt as _;
use sqlx::sqlite::SqliteRow;

use super::diff_sql::{
    FIRST_ACCOUNTS, FIRST_MANAGED, FORMER_HOLDERS, GROUPS, LAST_CARRIED, PEOPLE, SHARED_KEYS,
};
use super::fields::Fields;
use super::possible::Compared;
use super::renames::{KnownRenames, moment};
use super::snapshot::{Pull, json, status};
use super::{Store, StoreError};
use crate::domain::{Address, GroupName, Key, OpaId, OpaName, OpseraId, PersonStatus};
use crate::rules::facts::{
    AccountFacts, AccountWithKey, JoinerFacts, KeySource, MOST_LISTED, Memberships, People,
    PersonFacts, SameKey,
};
use crate::rules::renames::{Moment, Tenure};

/// What is wanted of the accounts of a page.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Whether an ACTIVE person can be a leaver too (`scope.required_groups`).
    pub(super) actives_can_leave: bool,
    /// Whether the people of accounts that share a key are wanted (I5). No decision needs them,
    /// and for a whole directory with one address they would be read again and again.
    pub(super) conflicts: bool,
}

/// What is kept from page to page of one pass over the accounts.
#[derive(Default)]
pub(super) struct Known {
    /// The memory of I8.
    renames: KnownRenames,
    /// The last key that several accounts have: the accounts come by key, so a page may go on with
    /// it, and counting them again on every page would take the square of their number.
    shared: Option<(Key, SameKey)>,
}

/// The records with one key.
#[derive(Default)]
struct Found {
    people: People,
    memberships: Memberships,
    names: BTreeSet<OpaName>,
}

/// When a key was last carried, and when last by somebody ACTIVE.
#[derive(Clone, Copy)]
struct LastCarried {
    carried: Moment,
    active: Option<Moment>,
}

impl Default for LastCarried {
    /// Of a key that the memory does not know.
    fn default() -> Self {
        Self {
            carried: moment(None),
            active: None,
        }
    }
}

/// Somebody who carried a key before this pull and does not carry it in it.
struct FormerHolder {
    tenure: Tenure,
    /// When the record was last ACTIVE with the key; `None`: never.
    active_until: Option<Moment>,
}

impl Store {
    /// Fills in what belongs to the keys of `page`, which was made of `rows`.
    pub(super) async fn look_up(
        &self,
        pull: Pull,
        page: &mut [AccountFacts],
        rows: &[SqliteRow],
        wanted: Wanted,
        known: &mut Known,
    ) -> Result<(), StoreError> {
        let same_key = self
            .list_same_key(pull, keys_of(page, |_| true), &mut known.shared)
            .await?;
        for facts in page.iter_mut() {
            if let Some((_, key)) = &facts.identity {
                facts.same_key = same_key.get(key).cloned().unwrap_or(SameKey {
                    total: 1,
                    first: vec![AccountWithKey {
                        id: facts.id.clone(),
                        email: facts.email.clone().unwrap_or_default(),
                    }],
                    first_managed: facts.managed.then(|| facts.id.clone()),
                });
            }
        }
        drop(same_key);
        // Nothing else matters for accounts that are left alone anyhow.
        let counts = |facts: &AccountFacts| {
            facts.managed && (wanted.conflicts || !facts.same_key.is_conflict())
        };
        let keys = keys_of(page, counts);
        let mut found = self.list_people(pull, &keys).await?;
        let mut groups = self.list_groups_of_keys(pull, &keys).await?;
        let mut former = self.list_former_holders(pull, &keys, &mut found).await?;
        let last_carried = self.list_last_carried(pull, former.keys()).await?;
        let ids: BTreeSet<OpaId> = former
            .values()
            .flatten()
            .map(|holder| holder.tenure.id.clone())
            .collect();
        self.read_histories(pull, &ids, &mut known.renames).await?;
        let mut leavers = Vec::new();
        let mut absent = HashSet::new();
        for (facts, row) in page.iter_mut().zip(rows) {
            let Some((_, key)) = &facts.identity else {
                continue;
            };
            let Found {
                people,
                memberships,
                names,
            } = found.remove(key).unwrap_or_default();
            let stays = people
                .listed
                .iter()
                .any(|person| is_present(&person.status));
            let leaver = counts(facts) && (wanted.actives_can_leave || !stays);
            if leaver {
                leavers.extend(Compared::read(row, facts)?);
                if people.total == 0 {
                    absent.insert(facts.id.clone());
                }
            }
            facts.people = people;
            facts.people.listed.sort_by(|a, b| a.id.cmp(&b.id));
            facts.memberships = memberships;
            facts.groups = groups.remove(key).unwrap_or_default();
            if let Some(former) = former.remove(key) {
                let last = last_carried.get(key).copied().unwrap_or_default();
                self.follow(
                    pull,
                    facts,
                    (former, last),
                    names,
                    leaver,
                    &mut known.renames,
                )
                .await?;
            } else if leaver {
                facts.known_names = names.into_iter().collect();
            }
        }
        let possible = self.list_possible(pull, leavers).await?;
        for facts in page {
            let Some(of_account) = possible.get(&facts.id) else {
                continue;
            };
            facts.unidentified.clone_from(&of_account.unidentified);
            facts.look_alikes.clone_from(&of_account.look_alikes);
            if absent.contains(&facts.id) {
                facts.unclaimed.clone_from(&of_account.unclaimed);
            }
        }
        Ok(())
    }

    /// I8 and A2: follows those who carried the account's key last, and notes every name.
    async fn follow(
        &self,
        pull: Pull,
        facts: &mut AccountFacts,
        (former, last): (Vec<FormerHolder>, LastCarried),
        mut known: BTreeSet<OpaName>,
        leaver: bool,
        renames: &mut KnownRenames,
    ) -> Result<(), StoreError> {
        let Some((_, key)) = &facts.identity else {
            return Ok(());
        };
        let LastCarried { carried, active } = last;
        let (last, earlier): (Vec<_>, Vec<_>) = former.into_iter().partition(|holder| {
            holder.tenure.until == carried
                || holder.active_until.is_some() && holder.active_until == active
        });
        let last: Vec<Tenure> = last.into_iter().map(|holder| holder.tenure).collect();
        let outcome = self.follow_renames(pull, key, &last, renames).await?;
        facts.renamed = outcome.paths;
        facts.renamed_walk = outcome.end;
        if leaver {
            known.extend(outcome.names);
            let earlier: BTreeSet<OpaName> = earlier
                .into_iter()
                .map(|holder| holder.tenure.name)
                .filter(|name| !known.contains(name))
                .collect();
            facts.earlier_names = earlier.into_iter().collect();
            facts.known_names = known.into_iter().collect();
        }
        Ok(())
    }

    /// The ACTIVE people with each of `keys`, and those who share them.
    pub(super) async fn joiners_with(
        &self,
        pull: Pull,
        keys: Vec<String>,
    ) -> Result<Vec<JoinerFacts>, StoreError> {
        let keys: Vec<Key> = keys.into_iter().map(Key::from_store).collect();
        let mut found = self.list_people(pull, &keys).await?;
        let mut groups = self.list_groups_of_keys(pull, &keys).await?;
        Ok(keys
            .into_iter()
            .map(|key| {
                let found = found.remove(&key).unwrap_or_default();
                JoinerFacts {
                    people: found.people,
                    memberships: found.memberships,
                    groups: groups.remove(&key).unwrap_or_default(),
                    key,
                }
            })
            .collect())
    }

    /// I5: the accounts with each key that has several.
    async fn list_same_key(
        &self,
        pull: Pull,
        mut keys: Vec<Key>,
        last: &mut Option<(Key, SameKey)>,
    ) -> Result<HashMap<Key, SameKey>, StoreError> {
        let mut all = HashMap::new();
        if let Some((key, same_key)) = last.take().filter(|(key, _)| keys.contains(key)) {
            keys.retain(|other| *other != key);
            all.insert(key, same_key);
        }
        let shared: Vec<(String, i64)> = sqlx::query_as(SHARED_KEYS)
            .bind(json(&keys)?)
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        for (key, total) in shared {
            let first: Vec<(String, String)> = sqlx::query_as(FIRST_ACCOUNTS)
                .bind(&key)
                .bind(i64::try_from(MOST_LISTED).unwrap_or(i64::MAX))
                .fetch_all(&self.snapshot(pull).await?)
                .await?;
            let first_managed: Option<String> = sqlx::query_scalar(FIRST_MANAGED)
                .bind(&key)
                .fetch_optional(&self.snapshot(pull).await?)
                .await?;
            let same_key = SameKey {
                total: u64::try_from(total).unwrap_or(0),
                first: first
                    .into_iter()
                    .map(|(id, email)| AccountWithKey {
                        id: OpseraId::new(id),
                        email,
                    })
                    .collect(),
                first_managed: first_managed.map(OpseraId::new),
            };
            all.insert(Key::from_store(key), same_key);
        }
        *last = all
            .iter()
            .max_by_key(|(key, _)| key.as_str())
            .map(|(key, same_key)| (key.clone(), same_key.clone()));
        Ok(all)
    }

    async fn list_people(
        &self,
        pull: Pull,
        keys: &[Key],
    ) -> Result<HashMap<Key, Found>, StoreError> {
        let mut all: HashMap<Key, Found> = HashMap::new();
        let pool = self.snapshot(pull).await?;
        let mut rows = sqlx::query(PEOPLE).bind(json(keys)?).fetch(&pool);
        while let Some(row) = rows.try_next().await? {
            let fields = Fields::of(&row, "people", "id");
            let found = all.entry(Key::from_store(fields.get("key")?)).or_default();
            let address: String = fields.get("address")?;
            let person = PersonFacts {
                id: OpaId::new(fields.get::<String>("id")?),
                name: OpaName::new(fields.get::<String>("name")?),
                status: status(&fields)?,
                email: fields.get::<Option<String>>("email")?.unwrap_or_default(),
                address: Address::parse(&address).map_err(|why| fields.corrupt("address", why))?,
                key_source: KeySource::Address,
                first_name: fields.get("first_name")?,
                last_name: fields.get("last_name")?,
            };
            if fields.get("unreadable")? && person.status == PersonStatus::Active {
                found.memberships = Memberships::Unreadable;
            }
            found.names.insert(person.name.clone());
            found.people.add(person);
        }
        Ok(all)
    }

    async fn list_groups_of_keys(
        &self,
        pull: Pull,
        keys: &[Key],
    ) -> Result<HashMap<Key, Vec<GroupName>>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(GROUPS)
            .bind(json(keys)?)
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        let mut all: HashMap<Key, Vec<GroupName>> = HashMap::new();
        for (key, group) in rows {
            all.entry(Key::from_store(key))
                .or_default()
                .push(GroupName::new(group));
        }
        Ok(all)
    }

    /// Who carried each key before and does not carry it now. Those who only lost their address
    /// count under the key still (I11), and are put into `found`.
    async fn list_former_holders(
        &self,
        pull: Pull,
        keys: &[Key],
        found: &mut HashMap<Key, Found>,
    ) -> Result<HashMap<Key, Vec<FormerHolder>>, StoreError> {
        let mut all: HashMap<Key, Vec<FormerHolder>> = HashMap::new();
        let pool = self.snapshot(pull).await?;
        let mut rows = sqlx::query(FORMER_HOLDERS).bind(json(keys)?).fetch(&pool);
        while let Some(row) = rows.try_next().await? {
            let fields = Fields::of(&row, "carriers", "id");
            let key = Key::from_store(fields.get("key")?);
            let id = OpaId::new(fields.get::<String>("id")?);
            let name = OpaName::new(fields.get::<String>("name")?);
            if fields.get("lost")? {
                let found = found.entry(key.clone()).or_default();
                found.names.insert(name.clone());
                found.people.add(PersonFacts {
                    id: id.clone(),
                    name: name.clone(),
                    status: status(&fields)?,
                    email: fields.get::<Option<String>>("email")?.unwrap_or_default(),
                    address: Address::parse(key.as_str())
                        .map_err(|why| fields.corrupt("key", why))?,
                    key_source: KeySource::Memory,
                    first_name: fields.get("first_name")?,
                    last_name: fields.get("last_name")?,
                });
            }
            let active_until = match fields.get::<Option<i64>>("active_until")? {
                None => Some(Moment::LATEST),
                Some(0) => None,
                Some(pull) => Some(Moment(pull)),
            };
            all.entry(key.clone()).or_default().push(FormerHolder {
                tenure: Tenure {
                    key,
                    id,
                    name,
                    since: Moment(fields.get("carried_since")?),
                    until: moment(fields.get("carried_until")?),
                },
                active_until,
            });
        }
        Ok(all)
    }

    /// When each key was last carried, and when last by somebody ACTIVE.
    async fn list_last_carried(
        &self,
        pull: Pull,
        keys: impl Iterator<Item = &Key>,
    ) -> Result<HashMap<Key, LastCarried>, StoreError> {
        let keys: Vec<&Key> = keys.collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(String, Option<i64>, Option<i64>)> = sqlx::query_as(LAST_CARRIED)
            .bind(json(&keys)?)
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        Ok(rows
            .into_iter()
            .map(|(key, carried, active)| {
                let last = LastCarried {
                    carried: moment(carried),
                    active: active.filter(|pull| *pull != 0).map(Moment),
                };
                (Key::from_store(key), last)
            })
            .collect())
    }
}

/// ACTIVE, or with a status that is doubt (I3): nobody's leaver.
fn is_present(status: &PersonStatus) -> bool {
    matches!(status, PersonStatus::Active | PersonStatus::Unrecognised(_))
}

/// The keys of the accounts that `wanted` picks, each once.
fn keys_of(page: &[AccountFacts], wanted: impl Fn(&AccountFacts) -> bool) -> Vec<Key> {
    let mut seen = HashSet::new();
    page.iter()
        .filter(|facts| wanted(facts))
        .filter_map(|facts| facts.identity.as_ref().map(|(_, key)| key))
        .filter(|key| seen.insert(*key))
        .cloned()
        .collect()
}
