//! Domains, addresses and patterns of addresses, as settings write them.

use serde::de::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;
use wildmatch::WildMatch;

use super::values::{address, schema, text};
use crate::domain::{Address, Domain};
use crate::rules::AddressPattern;

pub(super) const WILDCARDS: [char; 2] = ['*', '?'];

/// One domain of `scope.domains`.
#[derive(Clone, Debug)]
pub(super) struct ScopeDomain(pub(super) Domain);

impl<'de> Deserialize<'de> for ScopeDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| {
            plain_domain(text).map(Self).ok_or_else(|| {
                "must be a domain such as \"example.com\", without @ and without wildcards; name \
                 each subdomain"
                    .to_owned()
            })
        })
    }
}

schema!(ScopeDomain, "Domain", { "type": "string", "pattern": r"^[^@*?]+$" });

/// A domain without wildcards.
pub(super) fn plain_domain(text: &str) -> Option<Domain> {
    let text = text.trim();
    (!text.contains(WILDCARDS))
        .then(|| Domain::parse(text).ok())
        .flatten()
}

/// One address of a list, with how it was written.
#[derive(Clone, Debug)]
pub(super) struct ListedAddress {
    pub(super) written: String,
    pub(super) address: Address,
}

impl<'de> Deserialize<'de> for ListedAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| {
            Ok(Self {
                written: text.to_owned(),
                address: address(text)?,
            })
        })
    }
}

schema!(ListedAddress, "Address", { "type": "string", "pattern": "@" });

/// An address, or a pattern with `*` and `?`.
#[derive(Clone, Debug)]
pub(super) struct EmailPattern(pub(super) AddressPattern);

impl<'de> Deserialize<'de> for EmailPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, |text| {
            let glob = canonical_pattern(text)?;
            Ok(Self(AddressPattern {
                text: text.to_owned(),
                glob: WildMatch::new(&glob),
            }))
        })
    }
}

schema!(EmailPattern, "EmailPattern", { "type": "string", "minLength": 1 });

/// A pattern as it is compared with canonical addresses (I1).
fn canonical_pattern(text: &str) -> Result<String, String> {
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err("must be a text that is not empty".to_owned());
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must not have white space inside".to_owned());
    }
    let Some((local, domain)) = text.split_once('@') else {
        return Ok(text.to_lowercase());
    };
    if domain.contains('@') {
        return Err("no address has more than one @".to_owned());
    }
    if domain.is_empty() || local.is_empty() {
        return Err("must have something on both sides of the @; * stands for anything".to_owned());
    }
    let domain = if domain.contains(WILDCARDS) {
        if !domain.is_ascii() {
            return Err(
                "a domain pattern must be ASCII: write the domain as xn--…, as it is compared"
                    .to_owned(),
            );
        }
        domain.to_lowercase()
    } else {
        Domain::parse(domain)
            .map_err(|why| format!("is not an address or a pattern: {why}"))?
            .to_string()
    };
    Ok(format!("{}@{domain}", local.to_lowercase()))
}
