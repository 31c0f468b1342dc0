//! What a run asks of its snapshot before it is sealed.

use super::{Snapshot, State, StoreError, unsigned};
use crate::domain::{Key, OpaCounts, OpaId, OpaName, OpseraCounts};

impl Snapshot<'_> {
    /// Up to 500 ACTIVE humans without a usable address, by name, after `after` (I7). The first
    /// call ends the listings: what is added later counts as a second look at a person.
    ///
    /// # Errors
    /// The file cannot be written or read.
    pub async fn list_unidentified(
        &self,
        after: Option<&OpaName>,
    ) -> Result<Vec<(OpaId, OpaName)>, StoreError> {
        let mut state = self.indexed_people().await?;
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, name FROM people INDEXED BY people_without_key
             WHERE key IS NULL AND kind = 0 AND name > ?1 ORDER BY name LIMIT 500",
        )
        .bind(after.map_or("", OpaName::as_str))
        .fetch_all(state.connection()?)
        .await?;
        Ok(named(rows))
    }

    /// How many people [`Snapshot::list_people_to_look_up`] would list.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn count_people_to_look_up(&self, joiners: bool) -> Result<u64, StoreError> {
        let mut state = self.joined().await?;
        let count: i64 = sqlx::query_scalar(COUNT_TO_LOOK_UP)
            .bind(joiners)
            .fetch_one(state.connection()?)
            .await?;
        Ok(unsigned(count))
    }

    /// The records of the ACTIVE people whose memberships decide something: those with a managed
    /// account, and with `joiners` those without an account too. Keyset paged by id, 500 at a time.
    ///
    /// # Errors
    /// The files cannot be read.
    pub async fn list_people_to_look_up(
        &self,
        joiners: bool,
        after: Option<&OpaId>,
    ) -> Result<Vec<(OpaId, OpaName)>, StoreError> {
        let mut state = self.joined().await?;
        let rows: Vec<(String, String)> = sqlx::query_as(TO_LOOK_UP)
            .bind(joiners)
            .bind(after.map_or("", OpaId::as_str))
            .fetch_all(state.connection()?)
            .await?;
        Ok(named(rows))
    }

    /// What the OPA side has; `requests` and `complete` are the caller's to fill in.
    ///
    /// # Errors
    /// The file cannot be written or read.
    pub async fn count_people(&self) -> Result<OpaCounts, StoreError> {
        let mut state = self.indexed_people().await?;
        if matches!(*state, State::Closed) {
            // The error that ended it was told, and is not to be hidden behind another one.
            return Ok(OpaCounts::default());
        }
        let mut known = self.people_counts.lock().await;
        if let Some(counts) = &*known {
            return Ok(*counts);
        }
        let mut counts = [0; 5];
        for statement in COUNT_KINDS {
            let part: (i64, i64, i64, i64, i64) = sqlx::query_as(statement)
                .fetch_one(state.connection()?)
                .await?;
            for (sum, part) in counts.iter_mut().zip(<[i64; 5]>::from(part)) {
                *sum += unsigned(part);
            }
        }
        let [active, disabled, deleted, service, users] = counts;
        let counts = OpaCounts {
            users,
            active,
            disabled,
            deleted,
            service,
            requests: 0,
            complete: false,
        };
        *known = Some(counts);
        Ok(counts)
    }

    /// What the Opsera side has; `requests` and `complete` are the caller's to fill in.
    ///
    /// # Errors
    /// The file cannot be written or read.
    pub async fn count_accounts(&self) -> Result<OpseraCounts, StoreError> {
        let mut state = self.indexed_accounts().await?;
        if matches!(*state, State::Closed) && !self.account_counts.initialized() {
            return Ok(OpseraCounts::default());
        }
        let (users, managed) = self.read_account_counts(&mut state).await?;
        Ok(OpseraCounts {
            users: unsigned(users),
            managed: unsigned(managed),
            requests: 0,
            complete: false,
        })
    }

    /// All accounts and the managed ones. No account comes after the listing, so they are counted
    /// once.
    pub(super) async fn read_account_counts(
        &self,
        state: &mut State,
    ) -> Result<(i64, i64), StoreError> {
        let counts = self.account_counts.get_or_try_init(|| async {
            let counts = sqlx::query_as(
                "SELECT count(*), count(*) FILTER (WHERE kind & 2)
                 FROM accounts INDEXED BY accounts_by_key",
            );
            Ok::<_, StoreError>(counts.fetch_one(state.connection()?).await?)
        });
        counts.await.copied()
    }

    /// Whether a listed account has `key`.
    ///
    /// # Errors
    /// The file cannot be written or read.
    pub async fn has_account(&self, key: &Key) -> Result<bool, StoreError> {
        let mut state = self.indexed_accounts().await?;
        Ok(
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM accounts WHERE key = ?1)")
                .bind(key.as_str())
                .fetch_one(state.connection()?)
                .await?,
        )
    }
}

fn named(rows: Vec<(String, String)>) -> Vec<(OpaId, OpaName)> {
    rows.into_iter()
        .map(|(id, name)| (OpaId::new(id), OpaName::new(name)))
        .collect()
}

/// How many people there are of each kind, from the indexes alone, with a key and without one: ACTIVE,
/// DISABLED, DELETED, service users, all.
const COUNT_KINDS: [&str; 2] = [
    "SELECT coalesce(sum(kind = 0), 0), coalesce(sum(kind = 2), 0), coalesce(sum(kind = 3), 0),
            coalesce(sum(kind > 3), 0), count(*)
     FROM people INDEXED BY people_by_key WHERE key IS NOT NULL",
    "SELECT coalesce(sum(kind = 0), 0), coalesce(sum(kind = 2), 0), coalesce(sum(kind = 3), 0),
            coalesce(sum(kind > 3), 0), count(*)
     FROM people INDEXED BY people_without_key WHERE key IS NULL",
];

/// `?1` whether people without an account count, `?2` the id to go on after.
const TO_LOOK_UP: &str = "
SELECT p.id, p.name FROM people p INDEXED BY people_by_id
WHERE p.id > ?2 AND p.key IS NOT NULL AND p.kind = 0
  AND coalesce((SELECT max(a.kind & 2) FROM opsera.accounts a INDEXED BY accounts_by_key
                WHERE a.key = p.key), ?1)
ORDER BY p.id LIMIT 500";

/// `?1` whether people without an account count.
const COUNT_TO_LOOK_UP: &str = "
SELECT count(*) FROM people p INDEXED BY people_by_key
WHERE p.key IS NOT NULL AND p.kind = 0
  AND coalesce((SELECT max(a.kind & 2) FROM opsera.accounts a INDEXED BY accounts_by_key
                WHERE a.key = p.key), ?1)";
