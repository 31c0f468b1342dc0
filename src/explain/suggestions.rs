//! Whom an address that nobody has may be meant for.
//!
//! The directories are not searched through: the keys that a slip of the hand leads to are made
//! here, and the store looks each of them up.

use std::collections::{BTreeMap, BTreeSet};

use super::model::SuggestionView;
use crate::domain::{Address, Key, Skeleton};
use crate::rules::shields::fold_name;
use crate::store::{Near, Pull, Store, StoreError};

/// Suggestions that are shown.
const MOST: usize = 5;

/// Keys whose owners are asked for: more than are shown, because some belong to service users.
const MOST_OWNERS: usize = 20;

/// Two addresses of one domain with at most this many different letters are near each other.
const MOST_EDITS: usize = 2;

/// Nothing is suggested for a longer key, nor tried in a local part with more letters: nobody types
/// them.
const MOST_BYTES: usize = 320;
const MOST_LETTERS: usize = 64;

/// The letters that an address is mistyped with or without, those that look like them included.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789.-_+'\
                       ßàáâãäåæçèéêëìíîïñòóôõöøùúûüýаеорсухіј";

/// What a local part is divided by, which I7 does not count either.
const DIVIDERS: [char; 3] = ['.', '-', '_'];

/// In what way an address is near, the likeliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Similarity {
    /// They look the same (UTS 39).
    Skeleton,
    /// Few letters differ.
    Spelling,
    /// The same local part in another domain, but for `.`, `-` and `_`.
    LocalPart,
}

impl Similarity {
    fn why(self) -> &'static str {
        match self {
            Self::Skeleton => "looks the same, and is written with other letters",
            Self::Spelling => "differs in a letter or two",
            Self::LocalPart => "has the same name before the @, in another spelling or domain",
        }
    }
}

pub(super) async fn list(
    store: &Store,
    pull: Pull,
    address: &Address,
    key: &Key,
) -> Result<Vec<SuggestionView>, StoreError> {
    if key.as_str().len() > MOST_BYTES {
        return Ok(Vec::new());
    }
    let asked = Asked {
        key,
        look: key.skeleton(),
        name: fold_name(address.local_part()),
    };
    let mut spellings = spellings(key);
    spellings.insert(asked.look.as_str().to_owned());
    let near = Near {
        key,
        look: &asked.look,
        spellings: &spellings,
        local_parts: &local_parts(address.local_part()),
    };
    let mut found: Vec<(Similarity, usize, Key)> = store
        .list_near_keys(pull, near)
        .await?
        .into_iter()
        .filter_map(|other| {
            let (similarity, edits) = asked.nearness(&other)?;
            Some((similarity, edits, other))
        })
        .collect();
    found.sort();
    found.truncate(MOST_OWNERS);
    let keys: Vec<&Key> = found.iter().map(|(.., key)| key).collect();
    let mut owners: BTreeMap<Key, SuggestionView> = BTreeMap::new();
    for owner in store.list_key_owners(pull, &keys).await? {
        let view = owners
            .entry(owner.key.clone())
            .or_insert_with(|| SuggestionView {
                email: owner.email,
                key: owner.key,
                directories: Vec::new(),
                why: "",
            });
        view.directories.push(owner.directory);
    }
    Ok(found
        .into_iter()
        .filter_map(|(similarity, _, key)| {
            let view = owners.remove(&key)?;
            let why = similarity.why();
            Some(SuggestionView { why, ..view })
        })
        .take(MOST)
        .collect())
}

/// What is compared of the address that nobody has.
struct Asked<'a> {
    key: &'a Key,
    look: Skeleton,
    name: String,
}

impl Asked<'_> {
    /// In what way `other` is near, and how many letters differ; `None`: it is not.
    fn nearness(&self, other: &Key) -> Option<(Similarity, usize)> {
        if other == self.key || other.as_str().len() > MOST_BYTES {
            return None;
        }
        let edits = strsim::osa_distance(self.key.as_str(), other.as_str());
        let similarity = if other.skeleton() == self.look {
            Similarity::Skeleton
        } else if fold_name(other.local_part()) == self.name {
            Similarity::LocalPart
        } else if other.domain() == self.key.domain() && edits <= MOST_EDITS {
            Similarity::Spelling
        } else {
            return None;
        };
        Some((similarity, edits))
    }
}

/// The keys of the same domain that are one letter too many, one too few, one wrong letter or two
/// exchanged neighbours away.
fn spellings(key: &Key) -> BTreeSet<String> {
    let letters: Vec<char> = key.local_part().chars().collect();
    let domain = key.domain();
    let mut found = BTreeSet::new();
    if letters.len() > MOST_LETTERS {
        return found;
    }
    for at in 0..=letters.len() {
        let (before, rest) = letters.split_at(at);
        let mut add = |parts: [&[char]; 3]| {
            let local: String = parts.into_iter().flatten().collect();
            found.insert(format!("{local}@{domain}"));
        };
        if let [_, after @ ..] = rest {
            add([before, after, &[]]);
        }
        if let [first, second, after @ ..] = rest {
            add([before, &[*second, *first], after]);
        }
        for letter in LETTERS.chars() {
            add([before, &[letter], rest]);
            if let [_, after @ ..] = rest {
                add([before, &[letter], after]);
            }
        }
    }
    found
}

/// The local part as it is, without dividers, with others, and with one where there is none.
fn local_parts(local: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([local.to_owned(), local.replace(DIVIDERS, "")]);
    if local.contains(DIVIDERS) {
        found.extend(DIVIDERS.map(|divider| local.replace(DIVIDERS, &divider.to_string())));
    } else if local.chars().count() <= MOST_LETTERS {
        for (at, _) in local.char_indices().skip(1) {
            let (before, after) = local.split_at(at);
            found.extend(DIVIDERS.map(|divider| format!("{before}{divider}{after}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::from_store(text.to_owned())
    }

    fn nearness(asked: &str, other: &str) -> Option<(Similarity, usize)> {
        let asked = key(asked);
        Asked {
            key: &asked,
            look: asked.skeleton(),
            name: fold_name(asked.local_part()),
        }
        .nearness(&key(other))
    }

    #[test]
    fn every_slip_of_one_letter_is_among_the_spellings() {
        let spellings = spellings(&key("frank@example.com"));
        for meant in [
            "rank@example.com",
            "frankk@example.com",
            "efrank@example.com",
            "frnak@example.com",
            "rfank@example.com",
            "drank@example.com",
            "fr\u{430}nk@example.com",
            "fr.ank@example.com",
        ] {
            assert!(spellings.contains(meant), "{meant}");
            assert!(nearness("frank@example.com", meant).is_some(), "{meant}");
        }
    }

    #[test]
    fn an_address_of_any_length_has_a_bounded_number_of_spellings() {
        let long = key(&format!("{}@example.com", "ab".repeat(2000)));
        assert!(spellings(&long).is_empty());
        assert!(local_parts(long.local_part()).len() <= 2);
        let longest = key(&format!("{}@example.com", "a1".repeat(32)));
        assert!(spellings(&longest).len() < 11_000);
        assert!(local_parts(longest.local_part()).len() < 200);
    }

    #[test]
    fn a_local_part_is_looked_for_with_every_divider_and_without() {
        let with: Vec<String> = local_parts("zoe.king").into_iter().collect();
        assert_eq!(with, ["zoe-king", "zoe.king", "zoe_king", "zoeking"]);
        let without = local_parts("zoeking");
        assert_eq!(without.len(), 1 + 3 * 6);
        assert!(without.contains("zoe_king"));
    }

    #[test]
    fn two_letters_in_another_domain_are_not_near() {
        assert_eq!(nearness("frank@example.com", "frnka@example.org"), None);
        assert_eq!(nearness("frank@example.com", "frank@example.com"), None);
        let other = nearness("frank@example.com", "f.rank@other.example");
        assert_eq!(other.map(|near| near.0), Some(Similarity::LocalPart));
    }
}
