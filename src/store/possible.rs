//! Whom the accounts of leavers may belong to instead, by a name or by their look (I7, I9, I10).

use std::collections::{BTreeSet, HashMap};

use sqlx::FromRow;

use super::diff_sql::{COMPARED, COMPARED_WITH, POSSIBLE};
use super::snapshot::{Comparison, Pull, json, unsigned};
use super::{Store, StoreError};
use crate::domain::{Key, OpseraId};
use crate::rules::facts::{Candidates, KeyHolder};
use crate::rules::shields::{fold_full_name, fold_name};

/// The people who shield one account.
#[derive(Default)]
pub(super) struct Possible {
    /// I7
    pub(super) unidentified: Candidates,
    /// I9
    pub(super) look_alikes: Candidates,
    /// I10
    pub(super) unclaimed: Candidates,
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
        let rows: Vec<(i64, String, i64, String)> = sqlx::query_as(POSSIBLE)
            .bind(json(&wanted)?)
            .fetch_all(&pool)
            .await?;
        let mut people: HashMap<(i64, String), Candidates> = HashMap::new();
        for (what, text, total, found) in rows {
            let listed = serde_json::from_str(&found)
                .map_err(|error| StoreError::corrupt("shields", "person", &text, error))?;
            let total = unsigned(total);
            people.insert((what, text), Candidates { listed, total });
        }
        Ok(accounts
            .into_iter()
            .map(|account| {
                let texts = account.texts();
                let among = |code: fn(Comparison) -> i64| {
                    let found = texts
                        .iter()
                        .filter_map(|(what, text)| people.get(&(code(*what), text.clone())));
                    union(found)
                };
                let looks = people.get(&(Comparison::SKELETON, account.skeleton()));
                let possible = Possible {
                    unidentified: among(Comparison::of_unidentified),
                    look_alikes: union(looks.into_iter()),
                    unclaimed: among(Comparison::of_unclaimed),
                };
                (OpseraId::new(account.id), possible)
            })
            .collect())
    }
}

/// The people of several texts. Whoever is not listed may be the same for two of them, so that the
/// number is that of the largest.
fn union<'c>(texts: impl Iterator<Item = &'c Candidates>) -> Candidates {
    let mut listed: BTreeSet<KeyHolder> = BTreeSet::new();
    let mut total = 0;
    for text in texts {
        listed.extend(text.listed.iter().cloned());
        total = total.max(text.total);
    }
    Candidates {
        total: total.max(u64::try_from(listed.len()).unwrap_or(u64::MAX)),
        listed: listed.into_iter().collect(),
    }
}
