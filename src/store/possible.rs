//! Whom the accounts of leavers may belong to instead, by a name or by their look (I7, I9, I10).

use std::collections::{BTreeSet, HashMap};

use sqlx::FromRow;

use super::diff_sql::{COMPARED, COMPARED_WITH, POSSIBLE};
use super::snapshot::{Comparison, Pull, json};
use super::{Store, StoreError};
use crate::domain::{Key, OpseraId};
use crate::rules::facts::KeyHolder;
use crate::rules::shields::{fold_full_name, fold_name};

/// The people who shield one account.
#[derive(Default)]
pub(super) struct Possible {
    /// I7
    pub(super) unidentified: Vec<KeyHolder>,
    /// I9
    pub(super) look_alikes: Vec<KeyHolder>,
    /// I10
    pub(super) unclaimed: Vec<KeyHolder>,
}

#[derive(FromRow)]
struct Compared {
    id: String,
    key: String,
    address: String,
    own_key: String,
    first_name: Option<String>,
    last_name: Option<String>,
}

impl Compared {
    /// Everything of the account that a shield compares.
    fn texts(&self) -> Vec<(Comparison, String)> {
        let mut texts = BTreeSet::new();
        for address in [&self.address, &self.key] {
            let local = address.split_once('@').map(|(local, _)| local);
            for name in local.into_iter().chain([address.as_str()]) {
                texts.insert((Comparison::Name, fold_name(name)));
            }
        }
        for key in [&self.own_key, &self.key] {
            texts.insert((Comparison::NameAsKey, key.clone()));
        }
        let full = fold_full_name(self.first_name.as_deref(), self.last_name.as_deref());
        texts.extend(full.map(|full| (Comparison::FullName, full)));
        texts.into_iter().collect()
    }

    fn skeleton(&self) -> String {
        let skeleton = Key::from_store(self.key.clone()).skeleton();
        skeleton.as_str().to_owned()
    }
}

impl Store {
    /// Looks for ACTIVE people without an account whom these accounts of `pull` may belong to.
    pub(super) async fn list_possible(
        &self,
        pull: Pull,
        accounts: &[OpseraId],
    ) -> Result<HashMap<OpseraId, Possible>, StoreError> {
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        let pool = self.snapshot(pull).await?;
        let accounts: Vec<Compared> = sqlx::query_as(COMPARED)
            .bind(json(accounts)?)
            .fetch_all(&pool)
            .await?;
        let mut wanted: BTreeSet<(i64, String)> = BTreeSet::new();
        for account in &accounts {
            wanted.insert((Comparison::SKELETON, account.skeleton()));
            for (what, text) in account.texts() {
                wanted.insert((what.of_unidentified(), text.clone()));
                wanted.insert((what.of_unclaimed(), text));
            }
        }
        // Most texts are nobody's, which one list of them tells sooner than a list of pairs.
        let texts: BTreeSet<&String> = wanted.iter().map(|(_, text)| text).collect();
        let known: Vec<String> = sqlx::query_scalar(COMPARED_WITH)
            .bind(json(&texts)?)
            .fetch_all(&pool)
            .await?;
        if known.is_empty() {
            return Ok(HashMap::new());
        }
        let known: BTreeSet<String> = known.into_iter().collect();
        wanted.retain(|(_, text)| known.contains(text));
        let rows: Vec<(i64, String, String)> = sqlx::query_as(POSSIBLE)
            .bind(json(&wanted)?)
            .fetch_all(&pool)
            .await?;
        let mut people: HashMap<(i64, String), Vec<KeyHolder>> = HashMap::new();
        for (what, text, found) in rows {
            let found = serde_json::from_str(&found)
                .map_err(|error| StoreError::corrupt("shields", "person", &text, error))?;
            people.insert((what, text), found);
        }
        let of = |what: i64, text: String| people.get(&(what, text)).into_iter().flatten().cloned();
        Ok(accounts
            .into_iter()
            .map(|account| {
                let texts = account.texts();
                let among = |code: fn(Comparison) -> i64| -> Vec<KeyHolder> {
                    let found: BTreeSet<KeyHolder> = texts
                        .iter()
                        .flat_map(|(what, text)| of(code(*what), text.clone()))
                        .collect();
                    found.into_iter().collect()
                };
                let possible = Possible {
                    unidentified: among(Comparison::of_unidentified),
                    look_alikes: of(Comparison::SKELETON, account.skeleton()).collect(),
                    unclaimed: among(Comparison::of_unclaimed),
                };
                (OpseraId::new(account.id), possible)
            })
            .collect())
    }
}
