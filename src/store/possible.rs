//! Whom the accounts of leavers may belong to instead, by a name or by their look (I7, I9, I10).

use std::collections::{BTreeSet, HashMap};

use sqlx::sqlite::SqliteRow;

use super::diff_sql::{COMPARED_WITH, NAMES_ARE_ADDRESSES, POSSIBLE};
use super::fields::Fields;
use super::snapshot::{Comparison, Fingerprints, Pull, json, unsigned};
use super::{Store, StoreError};
use crate::domain::{Key, OpseraId};
use crate::rules::facts::{AccountFacts, Candidates, KeyHolder};
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

/// What the shields compare of an account.
pub(super) struct Compared {
    id: OpseraId,
    key: Key,
    address: String,
    /// Where it is not the key.
    own_key: Option<String>,
    full_name: Option<String>,
}

impl Compared {
    /// `row` is the one that `facts` were made of; `None`: the account has no key.
    pub(super) fn read(row: &SqliteRow, facts: &AccountFacts) -> Result<Option<Self>, StoreError> {
        let Some((address, key)) = &facts.identity else {
            return Ok(None);
        };
        let fields = Fields::of(row, "accounts", "id");
        let first_name: Option<String> = fields.get("first_name")?;
        let last_name: Option<String> = fields.get("last_name")?;
        Ok(Some(Self {
            id: facts.id.clone(),
            key: key.clone(),
            address: address.as_str().to_owned(),
            own_key: fields.get("own_key")?,
            full_name: fold_full_name(first_name.as_deref(), last_name.as_deref()),
        }))
    }

    /// The fingerprints of everything that a shield compares.
    fn fingerprints(
        &self,
        fingerprints: &Fingerprints,
        names_are_addresses: bool,
    ) -> Vec<(Comparison, i64)> {
        let mut found = Vec::new();
        let mut add = |what: Comparison, text: &str| {
            found.push((what, fingerprints.of_unidentified(what, text)));
        };
        let key = self.key.as_str();
        let other = Some(self.address.as_str()).filter(|address| *address != key);
        for address in other.into_iter().chain([key]) {
            if let Some((local, _)) = address.split_once('@') {
                add(Comparison::Name, &fold_name(local));
            }
            if names_are_addresses {
                add(Comparison::Name, &fold_name(address));
            }
        }
        if names_are_addresses {
            for key in self.own_key.as_deref().into_iter().chain([key]) {
                add(Comparison::NameAsKey, key);
            }
        }
        if let Some(full) = &self.full_name {
            add(Comparison::FullName, full);
        }
        add(Comparison::Look, self.key.skeleton().as_str());
        found
    }
}

impl Store {
    /// Looks for ACTIVE people without an account whom these accounts of `pull` may belong to.
    pub(super) async fn list_possible(
        &self,
        pull: Pull,
        accounts: Vec<Compared>,
    ) -> Result<HashMap<OpseraId, Possible>, StoreError> {
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        let pool = self.snapshot(pull).await?;
        let fingerprints = Fingerprints::of_store(self).await?;
        let names_are_addresses: bool = sqlx::query_scalar(NAMES_ARE_ADDRESSES)
            .fetch_one(&pool)
            .await?;
        let accounts: Vec<(OpseraId, Vec<(Comparison, i64)>)> = accounts
            .into_iter()
            .map(|account| {
                let compared = account.fingerprints(&fingerprints, names_are_addresses);
                (account.id, compared)
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
