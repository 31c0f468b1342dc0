//! Whom an address that nobody has may be meant for.

use std::collections::BTreeMap;

use super::model::SuggestionView;
use crate::domain::{Address, Key};
use crate::store::{Pull, Similarity, Store, StoreError, Suggestion};

/// Suggestions of each kind that are looked for.
const MOST: usize = 5;

/// Two addresses of one domain with at most this many different letters are near each other.
const MOST_EDITS: usize = 2;

pub(super) async fn list(
    store: &Store,
    pull: Pull,
    address: &Address,
    key: &Key,
) -> Result<Vec<SuggestionView>, StoreError> {
    let found = store
        .list_suggestions(pull, address, key, MOST * 2, |other| {
            edits(key, other) <= MOST_EDITS
        })
        .await?;
    Ok(merged(key, found))
}

fn edits(key: &Key, other: &str) -> usize {
    strsim::osa_distance(key.as_str(), other)
}

/// One line per key, the likeliest first.
fn merged(key: &Key, found: Vec<Suggestion>) -> Vec<SuggestionView> {
    let mut by_key: BTreeMap<(usize, usize, Key), SuggestionView> = BTreeMap::new();
    for suggestion in found {
        let (rank, why) = match suggestion.similarity {
            Similarity::Skeleton => (0, "looks the same, and is written with other letters"),
            Similarity::Spelling => (1, "differs in a letter or two"),
            Similarity::LocalPart => (
                2,
                "has the same name before the @, in another spelling or domain",
            ),
        };
        let place = (
            rank,
            edits(key, suggestion.key.as_str()),
            suggestion.key.clone(),
        );
        by_key
            .entry(place)
            .and_modify(|view| {
                if !view.directories.contains(&suggestion.directory) {
                    view.directories.push(suggestion.directory.clone());
                }
            })
            .or_insert_with(|| SuggestionView {
                email: suggestion.email,
                key: suggestion.key,
                directories: vec![suggestion.directory],
                why,
            });
    }
    by_key.into_values().take(MOST).collect()
}
