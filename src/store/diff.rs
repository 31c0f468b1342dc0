//! The diff: the accounts of a sealed snapshot with everything known about their keys, and the
//! ACTIVE people whose key has no account.
//!
//! Which accounts need thought is [`settled`](super::settled)'s to say. What belongs to the keys of
//! a page of them is looked up for all at once, in [`lookups`](super::lookups); what the shields (I7
//! to I10) need, only where nobody ACTIVE has the key. Everything comes in pages, so memory does
//! not grow with the directory and no query stays open between two pages.

use futures::stream::{self, Stream, TryStreamExt as _};
use sqlx::sqlite::SqliteRow;

use super::diff_sql::{
    IS_JOINER, JOINER_PAGE, ONE_ACCOUNT, UNIDENTIFIED, UNKNOWN_STATUS, UNREADABLE,
};
use super::fields::Fields;
use super::lookups::{Known, Wanted};
use super::snapshot::{AccountKind, Pull, role_of};
use super::{Store, StoreError};
use crate::domain::{
    Address, CurrentRole, Key, OpaId, OpaName, OpseraId, SiteRole, time::Timestamp,
};
use crate::rules::facts::{
    Absence, AccountFacts, Candidates, JoinerFacts, KeyHolder, Memberships, People, SameKey,
    WalkEnd,
};

impl Store {
    /// One account of `pull` with its facts.
    pub async fn find_account(
        &self,
        pull: Pull,
        id: &OpseraId,
        actives_can_leave: bool,
    ) -> Result<Option<AccountFacts>, StoreError> {
        let row = sqlx::query(ONE_ACCOUNT)
            .bind(id.as_str())
            .fetch_optional(&self.snapshot(pull).await?)
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
        self.look_up(pull, &mut page, &[row], wanted, &mut known)
            .await?;
        Ok(page.pop())
    }

    /// Up to 500 keys of ACTIVE people that no account of `pull` has, in order, after `after`.
    ///
    /// # Errors
    /// The snapshot is lost, or a row is not one that this program writes.
    async fn list_joiners(
        &self,
        pull: Pull,
        after: Option<&Key>,
    ) -> Result<Vec<JoinerFacts>, StoreError> {
        let keys: Vec<String> = sqlx::query_scalar(JOINER_PAGE)
            .bind(after.map_or("", Key::as_str))
            .fetch_all(&self.snapshot(pull).await?)
            .await?;
        self.joiners_with(pull, keys).await
    }

    /// Every key of an ACTIVE person that no account of `pull` has, by key. Pages: no query stays
    /// open while the caller asks Opsera about one of them.
    pub fn stream_joiners(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<JoinerFacts, StoreError>> + Send + '_ {
        stream::try_unfold(None::<Key>, move |after| async move {
            let page = self.list_joiners(pull, after.as_ref()).await?;
            let last = page.last().map(|facts| facts.key.clone());
            Ok::<_, StoreError>(last.map(|last| {
                let page: Vec<Result<_, StoreError>> = page.into_iter().map(Ok).collect();
                (stream::iter(page), Some(last))
            }))
        })
        .try_flatten()
    }

    /// The ACTIVE people with one key that no account of `pull` has.
    ///
    /// # Errors
    /// As `list_joiners`.
    pub async fn find_joiner(
        &self,
        pull: Pull,
        key: &Key,
    ) -> Result<Option<JoinerFacts>, StoreError> {
        let is_joiner: bool = sqlx::query_scalar(IS_JOINER)
            .bind(key.as_str())
            .fetch_one(&self.snapshot(pull).await?)
            .await?;
        if !is_joiner {
            return Ok(None);
        }
        let found = self
            .joiners_with(pull, vec![key.as_str().to_owned()])
            .await?;
        Ok(found.into_iter().next())
    }

    /// ACTIVE humans whose address is missing or invalid, by name (I7).
    pub fn stream_unidentified(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<KeyHolder, StoreError>> + Send + '_ {
        self.stream_by_name(pull, UNIDENTIFIED, |row| key_holder(&row))
    }

    /// People whose groups OPA cannot be asked for, by name (§5).
    pub fn stream_unreadable_memberships(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<KeyHolder, StoreError>> + Send + '_ {
        self.stream_by_name(pull, UNREADABLE, |row| key_holder(&row))
    }

    /// Humans with a status this program does not know, by name, with the status (I3).
    pub fn stream_unknown_status(
        &self,
        pull: Pull,
    ) -> impl Stream<Item = Result<(KeyHolder, String), StoreError>> + Send + '_ {
        self.stream_by_name(pull, UNKNOWN_STATUS, |row| {
            let status = Fields::of(&row, "people", "id").get("status")?;
            Ok((key_holder(&row)?, status))
        })
    }

    fn stream_by_name<T: Send + 'static>(
        &self,
        pull: Pull,
        statement: &'static str,
        read: fn(SqliteRow) -> Result<T, StoreError>,
    ) -> impl Stream<Item = Result<T, StoreError>> + Send + '_ {
        let beginning = Some((String::new(), String::new()));
        stream::try_unfold(beginning, move |after| async move {
            let Some((name, id)) = after else {
                return Ok::<_, StoreError>(None);
            };
            let rows = sqlx::query(statement)
                .bind(name)
                .bind(id)
                .fetch_all(&self.snapshot(pull).await?)
                .await?;
            let last = rows.last().map(|row| Fields::of(row, "people", "id"));
            let next = last
                .map(|last| Ok::<_, StoreError>((last.get("name")?, last.get("id")?)))
                .transpose()?;
            let page: Vec<Result<T, StoreError>> = rows.into_iter().map(read).collect();
            Ok(next.map(|next| (stream::iter(page), Some(next))))
        })
        .try_flatten()
    }

    /// Whether a record was in any OPA listing of `pull` (A2).
    ///
    /// # Errors
    /// The snapshot is lost, or cannot be read.
    pub async fn has_person(&self, pull: Pull, id: &OpaId) -> Result<bool, StoreError> {
        let found: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM main.people INDEXED BY people_by_id WHERE id = ?1)",
        )
        .bind(id.as_str())
        .fetch_one(&self.snapshot(pull).await?)
        .await?;
        Ok(found)
    }
}

/// What one row says; what belongs to its key is looked up afterwards.
pub(super) fn account_facts(row: &SqliteRow) -> Result<AccountFacts, StoreError> {
    let fields = Fields::of(row, "accounts", "id");
    let kind = AccountKind::read(fields.get("kind")?);
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
        active: kind.active,
        managed: kind.managed,
        same_key: SameKey::default(),
        role: current_role(&fields, kind)?,
        people: People::default(),
        groups: Vec::new(),
        memberships: Memberships::default(),
        unidentified: Candidates::default(),
        renamed: Vec::new(),
        renamed_walk: WalkEnd::default(),
        look_alikes: Candidates::default(),
        unclaimed: Candidates::default(),
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
    let fields = Fields::of(row, "people", "id");
    Ok(KeyHolder {
        id: OpaId::new(fields.get::<String>("id")?),
        name: OpaName::new(fields.get::<String>("name")?),
        email: fields.get("email")?,
    })
}

/// The server is believed before the store's memory (§5).
fn current_role(fields: &Fields<'_>, kind: AccountKind) -> Result<CurrentRole, StoreError> {
    if let Some(role) = role_of(kind.role) {
        return Ok(CurrentRole::Known(role));
    }
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
