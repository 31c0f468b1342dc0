//! The OPA Team: people, groups, keys and tokens, in memory.
//!
//! A removed person stays as a record with the status `DELETED` and the name is never given again,
//! as with the real Team. The methods are for tests and the demo: they disturb what the API shows.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Mistake;
use super::identifiers::{opaque_token, uuid};
use super::people::{Group, Person, PersonSeed, Visibility};
use crate::domain::time::{SharedClock, Timestamp};

/// What `GET /users` shows without a `status`. The API's description leaves it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultListing {
    /// Everything but `DELETED` records.
    #[default]
    WithoutDeleted,
    /// Every record.
    Everything,
    /// `ACTIVE` records and those with an unknown status.
    OnlyActive,
}

/// The Team.
#[derive(Debug)]
pub struct Team {
    state: Mutex<TeamState>,
    pub(super) clock: SharedClock,
}

pub(super) struct TeamState {
    pub(super) name: String,
    /// The name that minted tokens carry, if it is to be another one.
    pub(super) answered_name: Option<String>,
    pub(super) key_id: String,
    pub(super) key_secret: String,
    pub(super) token_ttl: Duration,
    tokens: HashMap<String, Timestamp>,
    people: Vec<Option<Person>>,
    by_name: HashMap<String, usize>,
    pub(super) groups: Vec<Group>,
    /// The groups of each person, by the indices of both.
    memberships: HashMap<usize, BTreeSet<usize>>,
    group_by_name: HashMap<String, usize>,
    pub(super) page_cap: Option<usize>,
    pub(super) default_listing: DefaultListing,
    pub(super) origin: String,
    pub(super) pages_served: u64,
    rng: StdRng,
}

impl std::fmt::Debug for TeamState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeamState")
            .field("name", &self.name)
            .field("people", &self.people.len())
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

impl Team {
    pub(super) fn new(name: &str, token_ttl: Duration, seed: u64, clock: SharedClock) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let state = TeamState {
            name: name.to_owned(),
            answered_name: None,
            key_id: uuid(&mut rng),
            key_secret: opaque_token(&mut rng),
            token_ttl,
            tokens: HashMap::new(),
            people: Vec::new(),
            by_name: HashMap::new(),
            groups: Vec::new(),
            memberships: HashMap::new(),
            group_by_name: HashMap::new(),
            page_cap: None,
            default_listing: DefaultListing::default(),
            origin: String::new(),
            // The shapes of the links differ from seed to seed.
            pages_served: rng.random_range(0..6),
            rng,
        };
        Self {
            state: Mutex::new(state),
            clock,
        }
    }

    /// Adds a record and gives back its id. The name must never have been used.
    pub fn add_person(&self, seed: PersonSeed) -> Result<String, Mistake> {
        let mut state = self.lock();
        if state.by_name.contains_key(&seed.name) {
            return Err(Mistake::NameTaken(seed.name));
        }
        let id = match seed.id {
            Some(id) => id,
            None => uuid(&mut state.rng),
        };
        let index = state.people.len();
        state.by_name.insert(seed.name.clone(), index);
        let deleted_at = (seed.status == "DELETED").then(|| self.clock.now());
        state.people.push(Some(Person {
            id: id.clone(),
            name: seed.name,
            email: seed.email,
            first_name: seed.first_name,
            last_name: seed.last_name,
            status: seed.status,
            kind: seed.kind,
            deleted_at,
            visibility: Visibility::Listed,
        }));
        for group in seed.groups {
            let group = state.group_or_new(&group);
            state.enrol(index, group);
        }
        Ok(id)
    }

    /// Sets the status `DISABLED`.
    pub fn disable(&self, name: &str) -> Result<(), Mistake> {
        self.set_status(name, "DISABLED")
    }

    /// Sets the status `ACTIVE`.
    pub fn enable(&self, name: &str) -> Result<(), Mistake> {
        self.set_status(name, "ACTIVE")
    }

    /// Sets the status `DELETED`; the record stays.
    pub fn delete(&self, name: &str) -> Result<(), Mistake> {
        self.set_status(name, "DELETED")
    }

    /// Sets the raw status.
    pub fn set_status(&self, name: &str, status: &str) -> Result<(), Mistake> {
        let now = self.clock.now();
        self.edit(name, |person| {
            status.clone_into(&mut person.status);
            person.deleted_at = (status == "DELETED").then_some(now);
        })
    }

    /// Sets the address; the record keeps id and name.
    pub fn rename_address(&self, name: &str, email: Option<&str>) -> Result<(), Mistake> {
        self.edit(name, |person| person.email = email.map(str::to_owned))
    }

    /// Shows a record in listings, or not.
    pub fn set_visibility(&self, name: &str, visibility: Visibility) -> Result<(), Mistake> {
        self.edit(name, |person| person.visibility = visibility)
    }

    /// Takes a record away without a trace, as no administrator can; its name stays used.
    pub fn purge(&self, name: &str) -> Result<(), Mistake> {
        let mut state = self.lock();
        let index = state.index(name)?;
        for group in state.memberships.remove(&index).unwrap_or_default() {
            if let Some(group) = state.groups.get_mut(group) {
                group.members.remove(&index);
            }
        }
        if let Some(slot) = state.people.get_mut(index) {
            *slot = None;
        }
        Ok(())
    }

    /// Changes anything about a record but its name.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Person)) -> Result<(), Mistake> {
        let mut state = self.lock();
        let index = state.index(name)?;
        if let Some(person) = state.people.get_mut(index).and_then(Option::as_mut) {
            change(person);
            name.clone_into(&mut person.name);
        }
        Ok(())
    }

    /// The record with this name.
    pub fn person(&self, name: &str) -> Option<Person> {
        let state = self.lock();
        state.person(*state.by_name.get(name)?).cloned()
    }

    /// Every record, in the order they were added.
    pub fn people(&self) -> Vec<Person> {
        self.lock().people.iter().flatten().cloned().collect()
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        self.lock().people.iter().flatten().count()
    }

    /// The live groups a person is in, sorted.
    pub fn groups_of(&self, name: &str) -> Vec<String> {
        let state = self.lock();
        let index = state.by_name.get(name).copied();
        let mut names: Vec<String> = index
            .into_iter()
            .flat_map(|index| state.groups_of(index))
            .filter(|group| group.deleted_at.is_none())
            .map(|group| group.name.clone())
            .collect();
        names.sort();
        names
    }

    /// Makes a group without members, if there is none of this name.
    pub fn add_group(&self, group: &str) {
        self.lock().group_or_new(group);
    }

    /// Deletes a group. Its members stay enrolled in the deleted one.
    pub fn delete_group(&self, group: &str) -> Result<(), Mistake> {
        let now = self.clock.now();
        let mut state = self.lock();
        let index = (state.group_by_name.remove(group))
            .ok_or_else(|| Mistake::Unknown(group.to_owned()))?;
        if let Some(group) = state.groups.get_mut(index) {
            group.deleted_at = Some(now);
        }
        Ok(())
    }

    /// Puts a person into a group, which is made if need be.
    pub fn join(&self, name: &str, group: &str) -> Result<(), Mistake> {
        let mut state = self.lock();
        let index = state.index(name)?;
        let group = state.group_or_new(group);
        state.enrol(index, group);
        Ok(())
    }

    /// Takes a person out of a group.
    pub fn leave(&self, name: &str, group: &str) -> Result<(), Mistake> {
        let mut state = self.lock();
        let index = state.index(name)?;
        let group_index = (state.group_by_name.get(group).copied())
            .ok_or_else(|| Mistake::Unknown(group.to_owned()))?;
        if let Some(group) = state.groups.get_mut(group_index) {
            group.members.remove(&index);
        }
        if let Some(groups) = state.memberships.get_mut(&index) {
            groups.remove(&group_index);
        }
        Ok(())
    }

    /// Lets no page hold more than `records`, whatever is asked for.
    pub fn page_cap(&self, records: Option<usize>) {
        self.lock().page_cap = records;
    }

    /// Chooses what `GET /users` shows without a `status`.
    pub fn default_listing(&self, listing: DefaultListing) {
        self.lock().default_listing = listing;
    }

    /// Takes every person and every group away, as a broken server might.
    pub fn empty(&self) {
        let mut state = self.lock();
        state.people.clear();
        state.by_name.clear();
        state.groups.clear();
        state.group_by_name.clear();
        state.memberships.clear();
    }

    /// How long tokens are good for from now on.
    pub fn token_ttl(&self, ttl: Duration) {
        self.lock().token_ttl = ttl;
    }

    /// Makes every token given out so far worthless.
    pub fn revoke_tokens(&self) {
        self.lock().tokens.clear();
    }

    /// A token as `service_token` gives it.
    pub fn issue_token(&self) -> String {
        self.mint().0
    }

    /// Lets minted tokens name another team.
    pub fn answer_as_team(&self, name: &str) {
        self.lock().answered_name = Some(name.to_owned());
    }

    /// Replaces the key secret; the former one is refused from now on.
    pub fn rotate_key(&self, key_secret: &str) {
        key_secret.clone_into(&mut self.lock().key_secret);
    }

    pub(super) fn mint(&self) -> (String, Timestamp) {
        let now = self.clock.now();
        let mut state = self.lock();
        let token = opaque_token(&mut state.rng);
        let ttl = TimeDelta::from_std(state.token_ttl).unwrap_or(TimeDelta::MAX);
        let expires_at = now.checked_add_signed(ttl).unwrap_or(Timestamp::MAX_UTC);
        state.tokens.retain(|_, expiry| *expiry > now);
        state.tokens.insert(token.clone(), expires_at);
        (token, expires_at)
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        let now = self.clock.now();
        self.lock().tokens.get(token).is_some_and(|at| *at > now)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TeamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TeamState {
    pub(super) fn records(&self) -> usize {
        self.people.len()
    }

    pub(super) fn person(&self, index: usize) -> Option<&Person> {
        self.people.get(index)?.as_ref()
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let index = *self.by_name.get(name)?;
        self.person(index).map(|_| index)
    }

    pub(super) fn live_group(&self, name: &str) -> Option<&Group> {
        self.groups.get(*self.group_by_name.get(name)?)
    }

    pub(super) fn groups_of(&self, person: usize) -> impl Iterator<Item = &Group> {
        let indices = self.memberships.get(&person).into_iter().flatten();
        indices.filter_map(|index| self.groups.get(*index))
    }

    fn index(&self, name: &str) -> Result<usize, Mistake> {
        self.find(name)
            .ok_or_else(|| Mistake::Unknown(name.to_owned()))
    }

    fn group_or_new(&mut self, name: &str) -> usize {
        if let Some(index) = self.group_by_name.get(name) {
            return *index;
        }
        let index = self.groups.len();
        self.groups.push(Group {
            id: uuid(&mut self.rng),
            name: name.to_owned(),
            deleted_at: None,
            members: BTreeSet::new(),
        });
        self.group_by_name.insert(name.to_owned(), index);
        index
    }

    fn enrol(&mut self, person: usize, group: usize) {
        self.memberships.entry(person).or_default().insert(group);
        if let Some(group) = self.groups.get_mut(group) {
            group.members.insert(person);
        }
    }
}

/// The Team as handlers hold it.
pub(super) type SharedTeam = Arc<Team>;
