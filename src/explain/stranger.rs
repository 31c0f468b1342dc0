//! Whom a stranger's address may be meant for.

use std::collections::BTreeMap;

use super::model::NearMissView;
use crate::domain::{Address, Key};
use crate::store::{Likeness, NearMiss, Pull, Store, StoreError};

/// Near misses of each kind that are looked for.
const MOST: usize = 5;

/// Two addresses of one domain with at most this many different letters are near each other.
const MOST_EDITS: usize = 2;

pub(super) async fn near_misses(
    store: &Store,
    pull: Pull,
    address: &Address,
    key: &Key,
) -> Result<Vec<NearMissView>, StoreError> {
    let misses = store
        .list_near_misses(pull, address, key, MOST * 2, |other| {
            edits(key, other) <= MOST_EDITS
        })
        .await?;
    Ok(merged(key, misses))
}

fn edits(key: &Key, other: &str) -> usize {
    strsim::osa_distance(key.as_str(), other)
}

/// One line per key, the likeliest first.
fn merged(key: &Key, misses: Vec<NearMiss>) -> Vec<NearMissView> {
    let mut by_key: BTreeMap<(usize, usize, Key), NearMissView> = BTreeMap::new();
    for miss in misses {
        let (rank, why) = match miss.likeness {
            Likeness::Skeleton => (0, "looks the same, and is written with other letters"),
            Likeness::Spelling => (1, "differs in a letter or two"),
            Likeness::LocalPart => (
                2,
                "has the same name before the @, in another spelling or domain",
            ),
        };
        let place = (rank, edits(key, miss.key.as_str()), miss.key.clone());
        by_key
            .entry(place)
            .and_modify(|view| {
                if !view.directories.contains(&miss.directory) {
                    view.directories.push(miss.directory.clone());
                }
            })
            .or_insert_with(|| NearMissView {
                email: miss.email,
                key: miss.key,
                directories: vec![miss.directory],
                why,
            });
    }
    by_key.into_values().take(MOST).collect()
}
