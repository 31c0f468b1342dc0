//! The Opsera accounts, in memory.
//!
//! Records are shared and replaced as a whole, so that a listing can hold a consistent picture of
//! 100,000 of them while it streams. A deactivation is final through the API; only a test's
//! [`Accounts::edit`] can undo it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::Mistake;
use super::identifiers::{object_id, opaque_token};
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

/// Where an account is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
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
    pub standing: Standing,
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
            standing: Standing::Active,
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

    /// In this standing.
    pub fn standing(mut self, standing: Standing) -> Self {
        self.standing = standing;
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
    pub standing: Standing,
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
    pub(super) scope: TokenScope,
    pub(super) site_role_field: SiteRoleField,
    pub(super) shape: AnswerShape,
    pub(super) answers: u64,
    deactivations: Vec<String>,
    rng: StdRng,
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
    pub(super) fn new(seed: u64, site_role_field: SiteRoleField, clock: SharedClock) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let state = AccountsState {
            accounts: Vec::new(),
            by_id: HashMap::new(),
            by_email: HashMap::new(),
            token: opaque_token(&mut rng),
            scope: TokenScope::default(),
            site_role_field,
            shape: AnswerShape::default(),
            answers: 0,
            deactivations: Vec::new(),
            rng,
        };
        Self {
            state: Mutex::new(state),
            clock,
        }
    }

    /// Adds an account and gives back its `_id`.
    pub fn add(&self, seed: AccountSeed) -> Result<String, Mistake> {
        let now = self.clock.now();
        self.lock().add(seed, now)
    }

    /// Adds an account that was created and changed at the times given.
    pub(super) fn add_dated(&self, seed: AccountSeed, at: Timestamp) -> Result<String, Mistake> {
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
    ) -> Result<(), Mistake> {
        let mut state = self.lock();
        let index = (state.find(id_or_email).ok().flatten())
            .ok_or_else(|| Mistake::Unknown(id_or_email.to_owned()))?;
        state.change(index, change);
        Ok(())
    }

    /// Sets the site role, as an administrator does in the browser.
    pub fn set_role(&self, id_or_email: &str, site_role: &str) -> Result<(), Mistake> {
        self.edit(id_or_email, |a| site_role.clone_into(&mut a.site_role))
    }

    /// Hands everything an account owns to somebody else.
    pub fn transfer_ownership(&self, id_or_email: &str) -> Result<(), Mistake> {
        self.edit(id_or_email, |account| account.owned_objects = 0)
    }

    /// The `_id` of every account that was deactivated through the API, in order.
    pub fn deactivations(&self) -> Vec<String> {
        self.lock().deactivations.clone()
    }

    /// Lets records carry the site role, or not.
    pub fn report_site_role(&self, field: SiteRoleField) {
        self.lock().site_role_field = field;
    }

    /// Fixes how answers to writes are worded.
    pub fn answer_shape(&self, shape: AnswerShape) {
        self.lock().shape = shape;
    }

    /// Limits what the token may do.
    pub fn token_scope(&self, scope: TokenScope) {
        self.lock().scope = scope;
    }

    /// Replaces the token; the former one is refused from now on.
    pub fn rotate_token(&self, token: &str) {
        token.clone_into(&mut self.lock().token);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, AccountsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than one account fits.
#[derive(Debug)]
pub(super) struct Several;

impl AccountsState {
    pub(super) fn add(&mut self, seed: AccountSeed, at: Timestamp) -> Result<String, Mistake> {
        let id = match seed.id {
            Some(id) => id,
            None => object_id(&mut self.rng),
        };
        if self.by_id.contains_key(&id) {
            return Err(Mistake::NameTaken(id));
        }
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
            standing: seed.standing,
            site_role: seed.site_role,
            owned_objects: seed.owned_objects,
            division: seed.division,
            groups: Vec::new(),
            created_at: at,
            updated_at: at,
        }));
        Ok(id)
    }

    /// The picture a listing shows.
    pub(super) fn active(&self) -> Vec<Arc<Account>> {
        let active = |account: &&Arc<Account>| account.standing == Standing::Active;
        self.accounts.iter().filter(active).cloned().collect()
    }

    pub(super) fn account(&self, index: usize) -> Option<&Arc<Account>> {
        self.accounts.get(index)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Account>> {
        self.account(*self.by_id.get(id)?)
    }

    /// The account with this `_id` or address.
    pub(super) fn find(&self, id_or_email: &str) -> Result<Option<usize>, Several> {
        if let Some(index) = self.by_id.get(id_or_email) {
            return Ok(Some(*index));
        }
        self.find_email(id_or_email)
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
            account.standing = Standing::Inactive;
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
