//! Whom a run is limited to (`--person`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Address, Key, Matching};

/// The addresses a run was given, each once, in canonical form (I1), in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeopleFilter(BTreeSet<String>);

impl PeopleFilter {
    /// Only these people; nobody named means everybody, which is no filter.
    pub fn of(addresses: impl IntoIterator<Item = Address>) -> Option<Self> {
        let addresses: BTreeSet<String> = addresses
            .into_iter()
            .map(|address| address.as_str().to_owned())
            .collect();
        (!addresses.is_empty()).then_some(Self(addresses))
    }

    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The keys that each address stands for: a person's own, and an account's (I2).
    pub fn keys(&self, matching: &Matching) -> Vec<(&str, BTreeSet<Key>)> {
        self.0
            .iter()
            .filter_map(|text| {
                let address = Address::parse(text).ok()?;
                let keys = [matching.opa_key(&address), matching.opsera_key(&address)];
                Some((text.as_str(), keys.into()))
            })
            .collect()
    }
}
