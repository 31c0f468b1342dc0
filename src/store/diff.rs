//! The diff: the accounts of a pull with everything known about their keys, and the ACTIVE people
//! whose key has no account.
//!
//! Accounts come in pages, in the order of their keys, so memory does not grow with the directory
//! and no query stays open between two pages. What belongs to the keys of a page is looked up for
//! all of them at once, in [`lookups`](super::lookups); what the shields (I7 to I10) need, only
//! where nobody ACTIVE has the key.

use std::collections::VecDeque;

use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use sqlx::sqlite::SqliteRow;

use super::diff_sql::{
    ACCOUNT_PAGE, COUNT_TO_LOOK_UP, JOINER_PAGE, KEYLESS_PAGE, ONE_ACCOUNT, PEOPLE_TO_LOOK_UP,
};
use super::fields::Fields;
use super::lookups::{Known, Wanted};
use super::snapshot::Pull;
use super::{Store, StoreError};
use crate::domain::{
    Address, CurrentRole, Key, OpaId, OpaName, OpseraId, SiteRole, time::Timestamp,
};
use crate::rules::facts::{
    Absence, AccountFacts, JoinerFacts, KeyHolder, Memberships, People, SameKey, WalkEnd,
};

/// Where a stream of pages goes on.
enum Next {
    /// Accounts without a key, after this id (I6).
    Keyless(String),
    /// Accounts with one, after this key and id.
    Keyed(String, String),
    /// Nowhere.
    End,
}

struct Pages<'s> {
    store: &'s Store,
    pull: Pull,
    actives_can_leave: bool,
    known: Known,
    next: Next,
    ready: VecDeque<AccountFacts>,
}

impl Pages<'_> {
    async fn next_account(&mut self) -> Result<Option<AccountFacts>, StoreError> {
        loop {
            if let Some(facts) = self.ready.pop_front() {
                return Ok(Some(facts));
            }
            let rows = match &self.next {
                Next::End => return Ok(None),
                Next::Keyless(after) => {
                    sqlx::query(KEYLESS_PAGE)
                        .bind(self.pull.0)
                        .bind(after)
                        .fetch_all(self.store.reader())
                        .await?
                }
                Next::Keyed(key, id) => {
                    sqlx::query(ACCOUNT_PAGE)
                        .bind(self.pull.0)
                        .bind(key)
                        .bind(id)
                        .fetch_all(self.store.reader())
                        .await?
                }
            };
            let mut page = rows
                .iter()
                .map(account_facts)
                .collect::<Result<Vec<_>, _>>()?;
            self.next = match (&self.next, page.last()) {
                (Next::Keyless(_), None) => Next::Keyed(String::new(), String::new()),
                (_, None) => Next::End,
                (_, Some(last)) => {
                    let id = last.id.as_str().to_owned();
                    match &last.identity {
                        None => Next::Keyless(id),
                        Some((_, key)) => Next::Keyed(key.as_str().to_owned(), id),
                    }
                }
            };
            self.store
                .look_up(
                    self.pull,
                    &mut page,
                    Wanted {
                        actives_can_leave: self.actives_can_leave,
                        conflicts: false,
                    },
                    &mut self.known,
                )
                .await?;
            self.ready.extend(page);
        }
    }
}

impl Store {
    /// Every account of `pull` with its facts, by key. Whose shields are looked up depends on
    /// `actives_can_leave` (`scope.required_groups`): only leavers need them.
    pub fn stream_accounts(
        &self,
        pull: Pull,
        actives_can_leave: bool,
    ) -> impl Stream<Item = Result<AccountFacts, StoreError>> + Send + '_ {
        let pages = Pages {
            store: self,
            pull,
            actives_can_leave,
            known: Known::default(),
            next: Next::Keyless(String::new()),
            ready: VecDeque::new(),
        };
        stream::try_unfold(pages, |mut pages| async move {
            let next = pages.next_account().await?;
            Ok(next.map(|facts| (facts, pages)))
        })
    }

    /// One account of `pull` with its facts.
    pub async fn find_account(
        &self,
        pull: Pull,
        id: &OpseraId,
        actives_can_leave: bool,
    ) -> Result<Option<AccountFacts>, StoreError> {
        let row = sqlx::query(ONE_ACCOUNT)
            .bind(pull.0)
            .bind(id.as_str())
            .fetch_optional(self.reader())
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let mut page = vec![account_facts(&row)?];
        let mut known = Known::default();
        let wanted = Wanted {
            actives_can_leave,
            conflicts: true,
        };
        self.look_up(pull, &mut page, wanted, &mut known).await?;
        Ok(page.pop())
    }

    /// Every key of an ACTIVE person that no account of `pull` has, by key. Pages: no query stays
    /// open while the caller asks Opsera about one of them.
    pub fn stream_joiners(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<JoinerFacts, StoreError>> + Send + '_ {
        stream::try_unfold(Some(String::new()), move |after| async move {
            let Some(after) = after else {
                return Ok(None);
            };
            let keys: Vec<String> = sqlx::query_scalar(JOINER_PAGE)
                .bind(pull.0)
                .bind(&after)
                .fetch_all(self.reader())
                .await
                .map_err(StoreError::from)?;
            let next = keys.last().cloned();
            let page = self.list_joiners(pull, keys).await?;
            Ok::<_, StoreError>(Some((stream::iter(page.into_iter().map(Ok)), next)))
        })
        .try_flatten()
    }

    /// The ACTIVE people with one key that no account of `pull` has.
    pub async fn find_joiner(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Option<JoinerFacts>, StoreError> {
        let known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM unclaimed_people WHERE pull = ?1 AND key = ?2)",
        )
        .bind(pull.0)
        .bind(key.as_str())
        .fetch_one(self.reader())
        .await?;
        if !known {
            return Ok(None);
        }
        let found = self
            .list_joiners(pull, vec![key.as_str().to_owned()])
            .await?;
        Ok(found.into_iter().next())
    }

    /// ACTIVE humans whose address is missing or invalid, by name (I7).
    pub fn stream_unidentified(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<KeyHolder, StoreError>> + Send + '_ {
        sqlx::query(
            "SELECT id, name, email FROM opa_users
             WHERE pull = ?1 AND key IS NULL AND service = 0 AND status_rank = 0 ORDER BY name",
        )
        .bind(pull.0)
        .fetch(self.reader())
        .map(|row| key_holder(&row?))
    }

    /// People whose groups OPA cannot be asked for, by id (§5).
    pub fn stream_unreadable_memberships(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<KeyHolder, StoreError>> + Send + '_ {
        sqlx::query(
            "SELECT u.id, u.name, u.email FROM unreadable_memberships r
             CROSS JOIN opa_users u ON u.pull = r.pull AND u.id = r.opa_id
             WHERE r.pull = ?1 ORDER BY u.id",
        )
        .bind(pull.0)
        .fetch(self.reader())
        .map(|row| key_holder(&row?))
    }

    /// Humans with a status this program does not know, by name, with the status (I3).
    pub fn stream_unknown_status(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<(KeyHolder, String), StoreError>> + Send + '_ {
        sqlx::query(
            "SELECT id, name, email, status FROM opa_users
             WHERE pull = ?1 AND service = 0 AND status_rank = 1 ORDER BY name",
        )
        .bind(pull.0)
        .fetch(self.reader())
        .map(|row| {
            let row = row?;
            let status = Fields::of(&row, "opa_users", "id").get("status")?;
            Ok((key_holder(&row)?, status))
        })
    }

    /// The records of the ACTIVE people whose memberships decide something in `pull`: those with
    /// an account, and with `joiners` those without one too. Keyset paged by id, 500 at a time.
    pub async fn list_people_to_look_up(
        &self,
        pull: Pull,
        joiners: bool,
        after: Option<&OpaId>,
    ) -> Result<Vec<(OpaId, OpaName)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(PEOPLE_TO_LOOK_UP)
            .bind(pull.0)
            .bind(joiners)
            .bind(after.map_or("", OpaId::as_str))
            .fetch_all(self.reader())
            .await?;
        Ok(rows
            .into_iter()
            .map(|(id, name)| (OpaId::new(id), OpaName::new(name)))
            .collect())
    }

    /// How many people [`Store::list_people_to_look_up`] would list.
    pub async fn count_people_to_look_up(
        &self,
        pull: Pull,
        joiners: bool,
    ) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(COUNT_TO_LOOK_UP)
            .bind(pull.0)
            .bind(joiners)
            .fetch_one(self.reader())
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Whether a record was in any OPA listing of `pull` (A2).
    pub async fn has_person(&self, pull: Pull, id: &OpaId) -> Result<bool, StoreError> {
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM opa_users WHERE pull = ?1 AND id = ?2)",
        )
        .bind(pull.0)
        .bind(id.as_str())
        .fetch_one(self.reader())
        .await?;
        Ok(found)
    }
}

/// What one row says; what belongs to its key is looked up afterwards.
fn account_facts(row: &SqliteRow) -> Result<AccountFacts, StoreError> {
    let fields = Fields::of(row, "opsera_accounts", "id");
    let address: Option<String> = fields.get("address")?;
    let key: Option<String> = fields.get("key")?;
    let identity = match (address, key) {
        (Some(address), Some(key)) => {
            let address = Address::parse(&address).map_err(|why| fields.corrupt("address", why))?;
            Some((address, Key::from_store(key)))
        }
        _ => None,
    };
    Ok(AccountFacts {
        id: OpseraId::new(fields.get::<String>("id")?),
        email: fields.get("email")?,
        identity,
        active: fields.get("active")?,
        managed: fields.get("managed")?,
        same_key: SameKey::default(),
        role: current_role(&fields)?,
        people: People::default(),
        groups: Vec::new(),
        memberships: Memberships::default(),
        unidentified: Vec::new(),
        renamed: Vec::new(),
        renamed_walk: WalkEnd::default(),
        look_alikes: Vec::new(),
        unclaimed: Vec::new(),
        absence: absence(row)?,
        known_names: Vec::new(),
        earlier_names: Vec::new(),
    })
}

fn absence(row: &SqliteRow) -> Result<Option<Absence>, StoreError> {
    let fields = Fields::of(row, "absences", "key");
    let Some(since) = fields.get::<Option<String>>("since")? else {
        return Ok(None);
    };
    let since: Timestamp = super::time("absences", "since", &since)?;
    let pulls: Option<i64> = fields.get("pulls")?;
    Ok(Some(Absence {
        since,
        pulls: u32::try_from(pulls.unwrap_or(1)).unwrap_or(u32::MAX),
    }))
}

fn key_holder(row: &SqliteRow) -> Result<KeyHolder, StoreError> {
    let fields = Fields::of(row, "opa_users", "id");
    Ok(KeyHolder {
        id: OpaId::new(fields.get::<String>("id")?),
        name: OpaName::new(fields.get::<String>("name")?),
        email: fields.get("email")?,
    })
}

/// The server is believed before the store's memory (§5).
fn current_role(fields: &Fields<'_>) -> Result<CurrentRole, StoreError> {
    let parse = |name: String| match name.parse::<SiteRole>() {
        Ok(role) => CurrentRole::Known(role),
        Err(_) => CurrentRole::Foreign(name),
    };
    if let Some(name) = fields.get::<Option<String>>("site_role")? {
        return Ok(parse(name));
    }
    if fields.get("remembered")? {
        let role: Option<String> = fields.get("known_role")?;
        return Ok(role.map_or(CurrentRole::Uncertain, parse));
    }
    let created: Option<String> = fields.get("created_role")?;
    Ok(created.map_or(CurrentRole::Unknown, parse))
}
