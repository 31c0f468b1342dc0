//! The Opsera accounts, in memory.
//!
//! Records are shared and replaced as a whole, so that a listing can hold a consistent picture of
//! 100,000 of them while it streams. A deactivation is final through the API; only
//! [`Accounts::edit`] can undo it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use chrono::TimeDelta;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::ChangeError;
use super::identifiers::{object_id, personal_access_token};
use super::opsera_listing::Listing;
use super::wire::AnswerShape;
use crate::domain::time::{SharedClock, Timestamp};

/// The names of the five site roles.
pub const SITE_ROLES: [&str; 5] = [
    "Administrators",
    "PowerUsers",
    "Users",
    "Auditors",
    "SecurityManagers",
];

/// Whether an account is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountStatus {
    /// In use.
    #[default]
    Active,
    /// Created, and never signed in to: not among the active users.
    Pending,
    /// Deactivated.
    Inactive,
}

/// Whether records carry the site role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SiteRoleField {
    /// They do not, as documented.
    #[default]
    Missing,
    /// They do.
    Reported,
}

/// What the token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenScope {
    /// Everything.
    #[default]
    Full,
    /// Reading; writes are answered with 403.
    ReadOnly,
    /// Nothing: every call is answered with 403.
    TooSmall,
}

/// What the SCIM listing answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScimAnswer {
    /// The number of active accounts, also of those that the other listing leaves out.
    #[default]
    Counted,
    /// This as `totalResults`: a number that is wrong or negative, a string, null.
    TotalResults(serde_json::Value),
    /// A page of HTML, with the status 200.
    Html,
    /// 404: the call is not there.
    NotFound,
    /// 403: the token may not call it.
    Forbidden,
}

/// An account to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSeed {
    /// The `_id`; `None`: a fresh one.
    pub id: Option<String>,
    /// The address. Nothing checks that it is unique.
    pub email: Option<String>,
    /// `firstName`
    pub first_name: String,
    /// `lastName`
    pub last_name: String,
    /// Active, pending or inactive.
    pub status: AccountStatus,
    /// The site role.
    pub site_role: String,
    /// Pipelines and tools that the account owns; with any it cannot be deactivated.
    pub owned_objects: u32,
    /// `division`
    pub division: String,
}

impl AccountSeed {
    /// An active account with the site role `Users` that owns nothing.
    pub fn active(email: &str) -> Self {
        Self {
            id: None,
            email: Some(email.to_owned()),
            first_name: String::new(),
            last_name: String::new(),
            status: AccountStatus::Active,
            site_role: "Users".to_owned(),
            owned_objects: 0,
            division: String::new(),
        }
    }

    /// With this site role.
    pub fn role(mut self, site_role: &str) -> Self {
        site_role.clone_into(&mut self.site_role);
        self
    }

    /// With this first and last name.
    pub fn named(mut self, first: &str, last: &str) -> Self {
        first.clone_into(&mut self.first_name);
        last.clone_into(&mut self.last_name);
        self
    }

    /// With this status.
    pub fn status(mut self, status: AccountStatus) -> Self {
        self.status = status;
        self
    }

    /// Owning so many objects.
    pub fn owning(mut self, objects: u32) -> Self {
        self.owned_objects = objects;
        self
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The `_id`.
    pub id: String,
    /// The address.
    pub email: Option<String>,
    /// `firstName`
    pub first_name: String,
    /// `lastName`
    pub last_name: String,
    /// Active, pending or inactive.
    pub status: AccountStatus,
    /// The site role.
    pub site_role: String,
    /// Pipelines and tools that the account owns.
    pub owned_objects: u32,
    /// `division`
    pub division: String,
    /// `groups`
    pub groups: Vec<String>,
    /// `createdAt`
    pub created_at: Timestamp,
    /// `updatedAt`
    pub updated_at: Timestamp,
}

/// The accounts.
#[derive(Debug)]
pub struct Accounts {
    state: Mutex<AccountsState>,
    pub(super) clock: SharedClock,
}

pub(super) struct AccountsState {
    accounts: Vec<Arc<Account>>,
    by_id: HashMap<String, usize>,
    /// By address in lower case; several accounts may differ in letter case alone.
    by_email: HashMap<String, Vec<usize>>,
    pub(super) token: String,
    /// When the token stops being good.
    pub(super) token_expires_at: Timestamp,
    /// The account that the token belongs to, by address.
    pub(super) token_owner: Option<String>,
    pub(super) scope: TokenScope,
    pub(super) site_role_field: SiteRoleField,
    pub(super) shape: AnswerShape,
    pub(super) answers: u64,
    pub(super) scim: ScimAnswer,
    /// The accounts that the listing leaves out, by `_id`.
    pub(super) omitted: HashSet<String>,
    /// How many accounts the listing shows at most.
    pub(super) listing_limit: Option<usize>,
    /// The listing as it was rendered last; gone when anything changes.
    pub(super) listing: Option<Arc<Listing>>,
    pub(super) deactivations: Vec<String>,
    pub(super) rng: StdRng,
}

impl std::fmt::Debug for AccountsState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountsState")
            .field("accounts", &self.accounts.len())
            .field("deactivations", &self.deactivations)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    pub(super) fn new(
        seed: u64,
        site_role_field: SiteRoleField,
        token_ttl: Duration,
        clock: SharedClock,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = clock.now();
        let ttl = TimeDelta::from_std(token_ttl).unwrap_or(TimeDelta::MAX);
        let token_expires_at = now.checked_add_signed(ttl).unwrap_or(Timestamp::MAX_UTC);
        let state = AccountsState {
            accounts: Vec::new(),
            by_id: HashMap::new(),
            by_email: HashMap::new(),
            token: personal_access_token(&mut rng, now, token_expires_at),
            token_expires_at,
            token_owner: None,
            scope: TokenScope::default(),
            site_role_field,
            shape: AnswerShape::default(),
            answers: 0,
            scim: ScimAnswer::default(),
            omitted: HashSet::new(),
            listing_limit: None,
            listing: None,
            deactivations: Vec::new(),
            rng,
        };
        Self {
            state: Mutex::new(state),
            clock,
        }
    }

    /// Adds an account and gives back its `_id`.
    pub fn add(&self, seed: AccountSeed) -> Result<String, ChangeError> {
        let now = self.clock.now();
        self.lock().add(seed, now)
    }

    /// Adds an account that was created and changed at the times given.
    pub(super) fn add_dated(
        &self,
        seed: AccountSeed,
        at: Timestamp,
    ) -> Result<String, ChangeError> {
        self.lock().add(seed, at)
    }

    /// The account with this `_id`, or else the only one with this address, without letter case.
    pub fn get(&self, id_or_email: &str) -> Option<Account> {
        let state = self.lock();
        let index = state.find(id_or_email).ok()??;
        state.account(index).map(|account| Account::clone(account))
    }

    /// Every account, in the order they were added.
    pub fn accounts(&self) -> Vec<Account> {
        let state = self.lock();
        state.accounts.iter().map(|a| Account::clone(a)).collect()
    }

    /// How many accounts there are, inactive ones included.
    pub fn count(&self) -> usize {
        self.lock().accounts.len()
    }

    /// Every account that owns something.
    pub fn owners(&self) -> Vec<Account> {
        let mut accounts = self.accounts();
        accounts.retain(|account| account.owned_objects > 0);
        accounts
    }

    /// Changes anything about an account but its `_id`.
    pub fn edit(
        &self,
        id_or_email: &str,
        change: impl FnOnce(&mut Account),
    ) -> Result<(), ChangeError> {
        let mut state = self.lock();
        let index = (state.find(id_or_email).ok().flatten())
            .ok_or_else(|| ChangeError::Unknown(id_or_email.to_owned()))?;
        state.change(index, change);
        Ok(())
    }

    /// Hands everything an account owns to somebody else.
    pub fn transfer_ownership(&self, id_or_email: &str) -> Result<(), ChangeError> {
        self.edit(id_or_email, |account| account.owned_objects = 0)
    }

    /// Why a request with this token is refused: its status and the message.
    pub(super) fn refusal(&self, token: Option<&str>) -> Option<(StatusCode, &'static str)> {
        let now = self.clock.now();
        let state = self.lock();
        if token != Some(state.token.as_str()) {
            return Some((StatusCode::UNAUTHORIZED, "Unauthorized"));
        }
        let owner = state.token_owner.as_deref().and_then(|owner| {
            let index = state.find(owner).ok().flatten()?;
            state.account(index)
        });
        let message = if state.token_expires_at <= now {
            "The token has expired"
        } else if owner.is_some_and(|owner| owner.status == AccountStatus::Inactive) {
            "The token's owner is deactivated"
        } else if state.scope == TokenScope::TooSmall {
            "The token's scope is too small"
        } else {
            return None;
        };
        Some((StatusCode::FORBIDDEN, message))
    }

    /// Names the account that the token belongs to. While it is deactivated, every call is
    /// answered with 403.
    pub fn token_owner(&self, email: &str) {
        self.lock().token_owner = Some(email.to_owned());
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, AccountsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than one account fits.
#[derive(Debug)]
pub(super) struct Several;

impl AccountsState {
    pub(super) fn add(&mut self, seed: AccountSeed, at: Timestamp) -> Result<String, ChangeError> {
        let id = match seed.id {
            Some(id) => id,
            None => object_id(&mut self.rng),
        };
        if self.by_id.contains_key(&id) {
            return Err(ChangeError::Taken(id));
        }
        self.listing = None;
        let index = self.accounts.len();
        self.by_id.insert(id.clone(), index);
        if let Some(email) = &seed.email {
            let same = self.by_email.entry(email.to_lowercase()).or_default();
            same.push(index);
        }
        self.accounts.push(Arc::new(Account {
            id: id.clone(),
            email: seed.email,
            first_name: seed.first_name,
            last_name: seed.last_name,
            status: seed.status,
            site_role: seed.site_role,
            owned_objects: seed.owned_objects,
            division: seed.division,
            groups: Vec::new(),
            created_at: at,
            updated_at: at,
        }));
        Ok(id)
    }

    /// The accounts that the listing shows.
    pub(super) fn listed(&self) -> Vec<Arc<Account>> {
        let listed = |account: &&Arc<Account>| {
            account.status == AccountStatus::Active && !self.omitted.contains(&account.id)
        };
        let most = self.listing_limit.unwrap_or(usize::MAX);
        (self.accounts.iter().filter(listed).take(most).cloned()).collect()
    }

    /// Every active account.
    pub(super) fn active(&self) -> impl Iterator<Item = &Arc<Account>> {
        let accounts = self.accounts.iter();
        accounts.filter(|account| account.status == AccountStatus::Active)
    }

    pub(super) fn account(&self, index: usize) -> Option<&Arc<Account>> {
        self.accounts.get(index)
    }

    /// The account with this `_id` or address.
    pub(super) fn find(&self, id_or_email: &str) -> Result<Option<usize>, Several> {
        if let Some(index) = self.by_id.get(id_or_email) {
            return Ok(Some(*index));
        }
        self.find_email(id_or_email)
    }

    /// The active account with this address, without letter case.
    pub(super) fn search_email(&self, email: &str) -> Result<Option<usize>, Several> {
        let same = self.by_email.get(&email.to_lowercase());
        let mut active = same.into_iter().flatten().copied().filter(|index| {
            let account = self.account(*index);
            account.is_some_and(|account| account.status == AccountStatus::Active)
        });
        match (active.next(), active.next()) {
            (_, Some(_)) => Err(Several),
            (found, None) => Ok(found),
        }
    }

    /// The account with this address, without letter case.
    pub(super) fn find_email(&self, email: &str) -> Result<Option<usize>, Several> {
        match self.by_email.get(&email.to_lowercase()).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([index]) => Ok(Some(*index)),
            Some(_) => Err(Several),
        }
    }

    pub(super) fn change(&mut self, index: usize, change: impl FnOnce(&mut Account)) {
        let Some(account) = self.accounts.get_mut(index) else {
            return;
        };
        self.listing = None;
        let account = Arc::make_mut(account);
        let (id, email) = (account.id.clone(), account.email.clone());
        change(account);
        account.id = id;
        let new = account.email.clone();
        if new != email {
            if let Some(same) = email.and_then(|e| self.by_email.get_mut(&e.to_lowercase())) {
                same.retain(|other| *other != index);
            }
            if let Some(new) = new {
                let same = self.by_email.entry(new.to_lowercase()).or_default();
                same.push(index);
            }
        }
    }

    /// Deactivates through the API.
    pub(super) fn deactivate(&mut self, index: usize, at: Timestamp) {
        self.change(index, |account| {
            account.status = AccountStatus::Inactive;
            account.updated_at = at;
        });
        if let Some(account) = self.accounts.get(index) {
            self.deactivations.push(account.id.clone());
        }
    }

    /// The shape of the next answer to a write.
    pub(super) fn next_shape(&mut self) -> AnswerShape {
        self.answers += 1;
        self.shape.nth(self.answers)
    }
}
