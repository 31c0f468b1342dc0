//! The memory as the walk of I8 reads it: who carried a key, and what became of an id.
//!
//! Answers are kept for one pass over the accounts, because the ways of many accounts can lead
//! through the same records.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;

use super::diff_sql::{HOLDERS_OF_KEY, KEYS_OF_HOLDER, KEYS_OF_HOLDERS, PRESENT_RECORDS};
use super::fields::Fields;
use super::snapshot::status;
use super::snapshot::{Pull, json};
use super::{Store, StoreError};
use crate::domain::{Key, OpaId, OpaName};
use crate::rules::facts::KeyHolder;
use crate::rules::renames::{
    IdHistory, MOST_NODES, Moment, Outcome, PresentRecord, Question, Tenure, Walk,
};

/// Answers that are kept at most, in rows.
const MOST_KEPT: usize = 100_000;

/// Rows that are read at most for all ids of a page. Where they are more, each id is read when its
/// turn comes.
const MOST_AT_ONCE: usize = 20_000;

/// What was read of the memory in this pass.
#[derive(Default)]
pub(super) struct KnownRenames {
    holders: HashMap<Key, Arc<Vec<Tenure>>>,
    histories: HashMap<OpaId, Arc<IdHistory>>,
    rows: usize,
}

impl KnownRenames {
    fn make_room(&mut self, rows: usize) {
        self.rows += rows + 1;
        if self.rows > MOST_KEPT {
            *self = Self::default();
        }
    }
}

/// The pull in which something was last so; null in the memory: the latest complete one.
pub(super) fn moment(pull: Option<i64>) -> Moment {
    pull.map_or(Moment::LATEST, Moment)
}

impl Store {
    /// Follows the ids that carried `start` last, forward in time (I8).
    pub(super) async fn follow_renames(
        &self,
        pull: Pull,
        start: &Key,
        last: &[Tenure],
        known: &mut KnownRenames,
    ) -> Result<Outcome, StoreError> {
        let mut walk = Walk::new(start, last);
        while let Some(question) = walk.question() {
            match question {
                Question::Holders(key) => {
                    let holders = self.holders(pull, &key, known).await?;
                    walk.answer_holders(&holders);
                }
                Question::History(id) => {
                    let history = self.history_of(pull, &id, known).await?;
                    walk.answer_history(&history);
                }
            }
        }
        Ok(walk.finish())
    }

    /// Reads the histories of many ids at once, for the walks that are about to ask for them.
    pub(super) async fn read_histories(
        &self,
        pull: Pull,
        ids: &BTreeSet<OpaId>,
        known: &mut KnownRenames,
    ) -> Result<(), StoreError> {
        if ids.len() < 2 {
            return Ok(());
        }
        let pool = self.snapshot(pull).await?;
        let asked = json(ids)?;
        let rows = sqlx::query(KEYS_OF_HOLDERS)
            .bind(&asked)
            .bind(i64::try_from(MOST_AT_ONCE).unwrap_or(i64::MAX))
            .fetch_all(&pool)
            .await?;
        if rows.len() >= MOST_AT_ONCE {
            return Ok(());
        }
        let mut histories: HashMap<OpaId, IdHistory> = ids
            .iter()
            .map(|id| {
                let nothing = IdHistory {
                    present: None,
                    tenures: Vec::new(),
                };
                (id.clone(), nothing)
            })
            .collect();
        for row in &rows {
            let tenure = tenure(row)?;
            if let Some(history) = histories.get_mut(&tenure.id) {
                history.tenures.push(tenure);
            }
        }
        let present = sqlx::query(PRESENT_RECORDS)
            .bind(&asked)
            .fetch_all(&pool)
            .await?;
        for row in &present {
            let record = present_record(row)?;
            if let Some(history) = histories.get_mut(&record.holder.id) {
                history.present = Some(record);
            }
        }
        for (id, mut history) in histories {
            // One more than the walk may visit, as where one id is asked for.
            history.tenures.truncate(MOST_NODES + 1);
            known.make_room(history.tenures.len());
            known.histories.insert(id, Arc::new(history));
        }
        Ok(())
    }

    async fn holders(
        &self,
        pull: Pull,
        key: &Key,
        known: &mut KnownRenames,
    ) -> Result<Arc<Vec<Tenure>>, StoreError> {
        if let Some(holders) = known.holders.get(key) {
            return Ok(Arc::clone(holders));
        }
        let holders = Arc::new(
            self.list_tenures(HOLDERS_OF_KEY, pull, key.as_str())
                .await?,
        );
        known.make_room(holders.len());
        known.holders.insert(key.clone(), Arc::clone(&holders));
        Ok(holders)
    }

    async fn history_of(
        &self,
        pull: Pull,
        id: &OpaId,
        known: &mut KnownRenames,
    ) -> Result<Arc<IdHistory>, StoreError> {
        if let Some(history) = known.histories.get(id) {
            return Ok(Arc::clone(history));
        }
        let present = sqlx::query(PRESENT_RECORDS)
            .bind(json(&[id])?)
            .fetch_optional(&self.snapshot(pull).await?)
            .await?
            .map(|row| present_record(&row))
            .transpose()?;
        let history = Arc::new(IdHistory {
            present,
            tenures: self.list_tenures(KEYS_OF_HOLDER, pull, id.as_str()).await?,
        });
        known.make_room(history.tenures.len());
        known.histories.insert(id.clone(), Arc::clone(&history));
        Ok(history)
    }

    /// One more than the walk may visit, so that it notices that there are too many.
    async fn list_tenures(
        &self,
        statement: &'static str,
        pull: Pull,
        of: &str,
    ) -> Result<Vec<Tenure>, StoreError> {
        sqlx::query(statement)
            .bind(of)
            .bind(i64::try_from(MOST_NODES + 1).unwrap_or(i64::MAX))
            .fetch_all(&self.snapshot(pull).await?)
            .await?
            .iter()
            .map(tenure)
            .collect()
    }
}

fn present_record(row: &SqliteRow) -> Result<PresentRecord, StoreError> {
    let fields = Fields::of(row, "people", "id");
    let key: Option<String> = fields.get("key")?;
    Ok(PresentRecord {
        holder: KeyHolder {
            id: OpaId::new(fields.get::<String>("id")?),
            name: OpaName::new(fields.get::<String>("name")?),
            email: fields.get("email")?,
        },
        key: key.map(Key::from_store),
        status: status(&fields)?,
    })
}

fn tenure(row: &SqliteRow) -> Result<Tenure, StoreError> {
    let fields = Fields::of(row, "carriers", "id");
    let today: bool = fields.get("today")?;
    let until: Option<i64> = fields.get("carried_until")?;
    let since: Option<i64> = fields.get("carried_since")?;
    Ok(Tenure {
        key: Key::from_store(fields.get("key")?),
        id: OpaId::new(fields.get::<String>("id")?),
        name: OpaName::new(fields.get::<String>("name")?),
        since: match since {
            // Carried in the latest pull and in this one: without a break.
            Some(since) if !today || until.is_none() => Moment(since),
            _ => Moment::TODAY,
        },
        until: if today { Moment::TODAY } else { moment(until) },
    })
}
