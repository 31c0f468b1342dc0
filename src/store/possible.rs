//! Whom the accounts of leavers may belong to instead, by a name or by their look (I7, I9, I10).

use std::collections::{BTreeSet, HashMap};

use super::diff_sql::{COMPARED, COMPARED_WITH, NAMES_ARE_ADDRESSES, POSSIBLE};
use super::snapshot::{Comparison, Fingerprints, Pull, json, unsigned};
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

/// Id, key, address, own key, first and last name. What equals the key is null.
type Compared = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// The fingerprints of everything of the account that a shield compares.
fn fingerprints_of(
    account: &Compared,
    fingerprints: &Fingerprints,
    names_are_addresses: bool,
) -> Vec<(Comparison, i64)> {
    let (_, key, address, own_key, first_name, last_name) = account;
    let mut found = Vec::new();
    let mut add = |what: Comparison, text: &str| {
        found.push((what, fingerprints.of_unidentified(what, text)));
    };
    for address in address.iter().chain([key]) {
        if let Some((local, _)) = address.split_once('@') {
            add(Comparison::Name, &fold_name(local));
        }
        if names_are_addresses {
            add(Comparison::Name, &fold_name(address));
        }
    }
    if names_are_addresses {
        for key in own_key.iter().chain([key]) {
            add(Comparison::NameAsKey, key);
        }
    }
    if let Some(full) = fold_full_name(first_name.as_deref(), last_name.as_deref()) {
        add(Comparison::FullName, &full);
    }
    let look = Key::from_store(key.clone()).skeleton();
    add(Comparison::Look, look.as_str());
    found
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
        let fingerprints = Fingerprints::of_store(self).await?;
        let accounts: Vec<Compared> = sqlx::query_as(COMPARED)
            .bind(json(accounts)?)
            .fetch_all(&pool)
            .await?;
        let names_are_addresses: bool = sqlx::query_scalar(NAMES_ARE_ADDRESSES)
            .fetch_one(&pool)
            .await?;
        let accounts: Vec<(OpseraId, Vec<(Comparison, i64)>)> = accounts
            .into_iter()
            .map(|account| {
                let compared = fingerprints_of(&account, &fingerprints, names_are_addresses);
                (OpseraId::new(account.0), compared)
            })
            .collect();
        // Most are nobody's. In their order each page of the index is read once.
        let wanted: BTreeSet<i64> = accounts
            .iter()
            .flat_map(|(_, compared)| compared.iter().map(|(_, fingerprint)| *fingerprint))
            .collect();
        let known: Vec<i64> = sqlx::query_scalar(COMPARED_WITH)
            .bind(json(&wanted)?)
            .fetch_all(&pool)
            .await?;
        if known.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(i64, bool, i64, String)> = sqlx::query_as(POSSIBLE)
            .bind(json(&known)?)
            .fetch_all(&pool)
            .await?;
        let mut people: HashMap<(i64, bool), Candidates> = HashMap::new();
        for (fingerprint, unclaimed, total, found) in rows {
            let listed = serde_json::from_str(&found)
                .map_err(|error| StoreError::corrupt("shields", "person", fingerprint, error))?;
            let total = unsigned(total);
            people.insert((fingerprint, unclaimed), Candidates { listed, total });
        }
        Ok(accounts
            .into_iter()
            .map(|(id, compared)| {
                let among = |unclaimed: bool, looks: bool| {
                    let compared = compared
                        .iter()
                        .filter(|(what, _)| (*what == Comparison::Look) == looks);
                    union(compared.filter_map(|(_, one)| people.get(&(*one, unclaimed))))
                };
                let possible = Possible {
                    unidentified: among(false, false),
                    look_alikes: among(true, true),
                    unclaimed: among(true, false),
                };
                (id, possible)
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
