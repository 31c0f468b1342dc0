//! The mark of a pull: one number that says who carries which key in it.
//!
//! Where it is the mark of what the memory has learnt already (I8, A2), the memory has nothing to
//! learn and is not read. Each record is hashed under a key of this store, and the hashes are added
//! up, so that the order in which records arrive does not matter.

use std::hash::Hash as _;
use std::sync::{Mutex, PoisonError};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::super::{Store, StoreError};
use crate::domain::{Key, PersonRecord, UserType};

/// Adds up the records of a pull.
#[derive(Debug)]
pub(super) struct Mark {
    hasher: SipHasher13,
    /// `None` once the sum does not say who carries which key.
    sum: Mutex<Option<u128>>,
}

impl Mark {
    pub(super) async fn begin(store: &Store) -> Result<Self, StoreError> {
        let key = secret(store).await?;
        Ok(Self {
            hasher: SipHasher13::new_with_key(&key),
            sum: Mutex::new(Some(0)),
        })
    }

    pub(super) fn add(&self, person: &PersonRecord, key: Option<&Key>) {
        let Some(key) = key.filter(|_| person.user_type == UserType::Human) else {
            return;
        };
        let mut hasher = self.hasher;
        let fields = [
            key.as_str(),
            person.id.as_str(),
            person.name.as_str(),
            person.status.as_str(),
        ];
        fields.hash(&mut hasher);
        let hash = hasher.finish128().as_u128();
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.map(|sum| sum.wrapping_add(hash));
    }

    /// Says that the sum depends on more than who carries which key: on the order of records that
    /// contradict each other, for example.
    pub(super) fn give_up(&self) {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The mark as the ledger keeps it.
    pub(super) fn text(&self) -> Option<String> {
        let sum = *self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        sum.map(|sum| format!("{sum:032x}"))
    }
}

/// The key of this store's marks, made when it is first needed.
pub(super) async fn secret(store: &Store) -> Result<[u8; 16], StoreError> {
    let kept: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'mark_key'")
        .fetch_optional(store.reader())
        .await?;
    if let Some(text) = kept {
        let mut key = [0; 16];
        return hex::decode_to_slice(&text, &mut key)
            .map(|()| key)
            .map_err(|why| StoreError::corrupt("meta", "value", "mark_key", why));
    }
    let key: [u8; 16] = rand::random();
    let mut tx = store.begin().await?;
    sqlx::query("INSERT INTO meta (key, value) VALUES ('mark_key', ?1)")
        .bind(hex::encode(key))
        .execute(&mut *tx)
        .await?;
    store.commit(tx).await?;
    Ok(key)
}
