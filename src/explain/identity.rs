//! From what was asked to the key that both directories are matched by (I1, I2).

use unicode_normalization::UnicodeNormalization as _;

use super::model::IdentityView;
use crate::domain::{Address, Key, Matching};
use crate::rules::Policy;

/// What a text stands for before the snapshot was asked.
pub(super) enum Reading {
    /// An address, with the keys it has on either side, the Opsera one first.
    Address(Address, Vec<Key>),
    /// No address; why it is none.
    Other(String),
}

pub(super) fn read(asked: &str, policy: &Policy) -> Reading {
    match Address::parse(asked) {
        Ok(address) => {
            let matching = &policy.matching;
            let mut keys = vec![matching.opsera_key(&address), matching.opa_key(&address)];
            keys.dedup();
            Reading::Address(address, keys)
        }
        Err(why) => Reading::Other(why.to_string()),
    }
}

/// Tells how `raw` became `key`.
pub(super) fn view(raw: &str, address: &Address, key: &Key, policy: &Policy) -> IdentityView {
    IdentityView {
        taken_for: "address",
        address: Some(address.as_str().to_owned()),
        invalid: None,
        key: Some(key.clone()),
        steps: steps(raw, address, key, &policy.matching),
    }
}

/// An identity without a key: the text names a record, or nothing.
pub(super) fn without_key(taken_for: &'static str, invalid: Option<String>) -> IdentityView {
    IdentityView {
        taken_for,
        address: None,
        invalid,
        key: None,
        steps: Vec::new(),
    }
}

fn steps(raw: &str, address: &Address, key: &Key, matching: &Matching) -> Vec<String> {
    let mut steps = Vec::new();
    let trimmed: String = raw.trim().nfc().collect();
    if trimmed == address.as_str() {
        steps.push("the address is canonical as it is (I1)".to_owned());
    } else {
        steps.push(format!(
            "white space, letter case and the domain's spelling do not count: {address} (I1)"
        ));
    }
    let own = matching.opa_key(address);
    let (before, after) = (address.local_part(), own.local_part());
    if before != after {
        steps.push(format!(
            "matching.ignore_plus_tag: {before} is taken for {after} (I2)"
        ));
    }
    if address.domain() != own.domain() {
        steps.push(format!(
            "matching.domain_aliases: {} is taken for {} (I2)",
            address.domain(),
            own.domain()
        ));
    }
    if own != *key {
        steps.push(format!(
            "matching.aliases: an Opsera account {own} belongs to the OPA address {key} (I2)"
        ));
    }
    steps
}
