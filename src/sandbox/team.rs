//! The OPA Team: people, groups, keys and tokens, in memory.
//!
//! A removed person stays as a record with the status `DELETED` and the name is never given again,
//! as with the real Team.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::ChangeError;
use super::identifiers::{opaque_token, uuid};
use super::links::LinkForms;
use super::page_cache::PageCache;
use super::paging::{LastPage, PageLimit};
use super::people::{Group, Person, PersonSeed, UserKind, Visibility};
use super::wire::OpaRefusal;
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

/// What `GET /team_stats` answers. Whether deleted users count is not documented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StatsAnswer {
    /// The numbers, without `DELETED` users.
    #[default]
    WithoutDeleted,
    /// The numbers, `DELETED` users included.
    Everybody,
    /// This as `num_human_users`: a number that is wrong or negative, a string, null.
    HumanUsers(serde_json::Value),
    /// A page of HTML, with the status 200.
    Html,
    /// 404: the call is not there.
    NotFound,
    /// The service user may not call it.
    Refused(OpaRefusal),
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
    pub(super) tokens: HashMap<String, Timestamp>,
    /// A slot is empty when its record was purged: positions never move.
    pub(super) people: Vec<Option<Person>>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) by_id: HashMap<String, usize>,
    /// The places of every id that more than one record has, as a broken server might answer.
    pub(super) shared_ids: HashMap<String, Vec<usize>>,
    /// The records that listings show twice.
    pub(super) twice: BTreeSet<usize>,
    pub(super) groups: Vec<Group>,
    /// The groups of each person, by the indices of both.
    pub(super) memberships: HashMap<usize, Vec<usize>>,
    pub(super) group_by_name: HashMap<String, usize>,
    pub(super) page_limit: PageLimit,
    pub(super) last_page: LastPage,
    pub(super) link_forms: LinkForms,
    pub(super) default_listing: DefaultListing,
    pub(super) stats: StatsAnswer,
    /// Why every call but minting is refused.
    pub(super) refusal: Option<OpaRefusal>,
    pub(super) origin: String,
    pub(super) pages: PageCache,
    pub(super) pages_rendered: u64,
    pub(super) rng: StdRng,
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
            by_id: HashMap::new(),
            shared_ids: HashMap::new(),
            twice: BTreeSet::new(),
            groups: Vec::new(),
            memberships: HashMap::new(),
            group_by_name: HashMap::new(),
            page_limit: PageLimit::default(),
            last_page: LastPage::default(),
            link_forms: LinkForms::default(),
            default_listing: DefaultListing::default(),
            stats: StatsAnswer::default(),
            refusal: None,
            origin: String::new(),
            pages: PageCache::default(),
            // The forms of the links differ from seed to seed.
            pages_rendered: rng.random_range(0..6),
            rng,
        };
        Self {
            state: Mutex::new(state),
            clock,
        }
    }

    /// Adds a record and gives back its id. The name must never have been used.
    pub fn add_person(&self, seed: PersonSeed) -> Result<String, ChangeError> {
        let mut state = self.change();
        if state.by_name.contains_key(&seed.name) {
            return Err(ChangeError::Taken(seed.name));
        }
        let id = match seed.id {
            Some(id) => id,
            None => uuid(&mut state.rng),
        };
        let index = state.people.len();
        state.by_name.insert(seed.name.clone(), index);
        match state.by_id.get(&id).copied() {
            None => {
                state.by_id.insert(id.clone(), index);
            }
            Some(first) => {
                let places = state.shared_ids.entry(id.clone());
                places.or_insert_with(|| vec![first]).push(index);
            }
        }
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

    /// Sets the raw status: `ACTIVE`, `DISABLED`, `DELETED`, or one that nobody knows.
    pub fn set_status(&self, name: &str, status: &str) -> Result<(), ChangeError> {
        let now = self.clock.now();
        self.edit(name, |person| {
            status.clone_into(&mut person.status);
            person.deleted_at = (status == "DELETED").then_some(now);
        })
    }

    /// Changes anything about a record but its id and its name.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Person)) -> Result<(), ChangeError> {
        let mut state = self.change();
        let index = state.index(name)?;
        let Some(person) = state.people.get_mut(index).and_then(Option::as_mut) else {
            return Ok(());
        };
        let id = person.id.clone();
        change(person);
        person.id = id;
        name.clone_into(&mut person.name);
        if person.visibility == Visibility::Twice {
            state.twice.insert(index);
        } else {
            state.twice.remove(&index);
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

    /// How many records there are, those of service users included.
    pub fn count(&self) -> usize {
        self.lock().people.iter().flatten().count()
    }

    /// Makes a group without members, if there is none of this name.
    pub fn add_group(&self, group: &str) {
        self.change().group_or_new(group);
    }

    /// Deletes a group. Its members stay enrolled in the deleted one.
    pub fn delete_group(&self, group: &str) -> Result<(), ChangeError> {
        let now = self.clock.now();
        let mut state = self.change();
        let index = (state.group_by_name.remove(group))
            .ok_or_else(|| ChangeError::Unknown(group.to_owned()))?;
        if let Some(group) = state.groups.get_mut(index) {
            group.deleted_at = Some(now);
        }
        Ok(())
    }

    /// Limits what a page holds, and says what happens to a request for more.
    pub fn page_limit(&self, limit: PageLimit) {
        self.change().page_limit = limit;
    }

    /// Chooses the forms in which pages are linked.
    pub fn link_forms(&self, forms: LinkForms) {
        self.change().link_forms = forms;
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

    /// Why a request with this token is refused.
    pub(super) fn refusal(&self, token: Option<&str>) -> Option<OpaRefusal> {
        let now = self.clock.now();
        let state = self.lock();
        let expires_at = token.and_then(|token| state.tokens.get(token));
        if expires_at.is_some_and(|at| *at > now) {
            state.refusal
        } else {
            Some(OpaRefusal::AuthorizationError)
        }
    }

    /// The state, to read.
    pub(super) fn lock(&self) -> MutexGuard<'_, TeamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to change: no page that was rendered before is served any more.
    pub(super) fn change(&self) -> MutexGuard<'_, TeamState> {
        let mut state = self.lock();
        state.pages.clear();
        state
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

    pub(super) fn find_id(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The place in `GET /users` that an offset means: the record with this id, or its `repeat`-th
    /// repetition. A listing has two laps, and the second one shows what is listed twice.
    pub(super) fn place_of(&self, id: &str, repeat: usize) -> Option<usize> {
        let places = self.places(id);
        let lap = repeat.checked_div(places.len())?;
        let index = places.get(repeat.checked_rem(places.len())?)?;
        Some(lap * self.records() + index)
    }

    /// The id of the record at a place of `GET /users`, and which of its repetitions that is.
    pub(super) fn id_at(&self, place: usize) -> (String, usize) {
        let records = self.records().max(1);
        let (lap, index) = (place / records, place % records);
        let Some(person) = self.person(index) else {
            return (String::new(), 0);
        };
        let places = self.places(&person.id);
        let position = places.iter().position(|other| *other == index);
        (
            person.id.clone(),
            lap * places.len() + position.unwrap_or_default(),
        )
    }

    fn places(&self, id: &str) -> Vec<usize> {
        match self.shared_ids.get(id) {
            Some(places) => places.clone(),
            None => self.find_id(id).into_iter().collect(),
        }
    }

    pub(super) fn live_group(&self, name: &str) -> Option<usize> {
        self.group_by_name.get(name).copied()
    }

    pub(super) fn group(&self, index: usize) -> Option<&Group> {
        self.groups.get(index)
    }

    /// How many users of a kind `team_stats` counts.
    pub(super) fn number_of(&self, kind: UserKind) -> usize {
        let deleted_too = self.stats == StatsAnswer::Everybody;
        let counts = |person: &&Person| {
            person.kind == kind
                && person.visibility != Visibility::Hidden
                && (deleted_too || person.status != "DELETED")
        };
        self.people.iter().flatten().filter(counts).count()
    }

    pub(super) fn index(&self, name: &str) -> Result<usize, ChangeError> {
        self.find(name)
            .ok_or_else(|| ChangeError::Unknown(name.to_owned()))
    }

    pub(super) fn group_or_new(&mut self, name: &str) -> usize {
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

    pub(super) fn enrol(&mut self, person: usize, group: usize) {
        if let Some(members) = self.groups.get_mut(group).map(|group| &mut group.members)
            && members.insert(person)
        {
            self.memberships.entry(person).or_default().push(group);
        }
    }
}

/// The Team as handlers hold it.
pub(super) type SharedTeam = Arc<Team>;
