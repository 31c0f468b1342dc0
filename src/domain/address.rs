//! Addresses and the keys by which the two directories are matched (I1, I2).
//!
//! A text from a directory becomes an [`Address`] or is [`InvalidAddress`]; an [`Address`] becomes
//! a [`Key`] through the installation's [`Matching`]. Only keys are compared, so an address that
//! was not canonicalised cannot be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use unicode_security::confusable_detection::skeleton;

use super::domain_name::{Domain, is_plain_domain};

/// Why a text is not an address (I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Nothing but white space.
    #[error("it is empty")]
    Empty,
    /// No `@`.
    #[error("it has no @")]
    NoAt,
    /// More than one `@`.
    #[error("it has more than one @")]
    SeveralAts,
    /// Nothing before the `@`.
    #[error("nothing stands before the @")]
    NoLocalPart,
    /// Nothing after the `@`.
    #[error("nothing stands after the @")]
    NoDomain,
    /// White space or a control character inside.
    #[error("it has white space or a control character inside")]
    WhiteSpaceOrControl,
    /// The domain does not pass UTS 46.
    #[error("its domain is not a valid domain name")]
    BadDomain,
}

/// A canonical address: the *key* of I1, before the installation's own rules of I2.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Canonicalises what a directory or a person wrote (I1).
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let trimmed = text.trim();
        if let Some(address) = Self::parse_plain(trimmed) {
            return Ok(address);
        }
        if trimmed.is_ascii() {
            // NFC leaves ASCII as it is.
            return Self::parse_composed(trimmed);
        }
        let composed: String = trimmed.nfc().collect();
        Self::parse_composed(&composed)
    }

    /// An ASCII address with a plain domain, as most are: only letter case changes. `None`: the
    /// general way decides.
    fn parse_plain(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let is_plain = !local.is_empty()
            && local.bytes().all(|byte| byte.is_ascii_graphic())
            && is_plain_domain(domain);
        is_plain.then(|| Self(text.to_ascii_lowercase()))
    }

    fn parse_composed(text: &str) -> Result<Self, InvalidAddress> {
        if text.is_empty() {
            return Err(InvalidAddress::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidAddress::WhiteSpaceOrControl);
        }
        let (local, domain) = text.split_once('@').ok_or(InvalidAddress::NoAt)?;
        if domain.contains('@') {
            return Err(InvalidAddress::SeveralAts);
        }
        if local.is_empty() {
            return Err(InvalidAddress::NoLocalPart);
        }
        if domain.is_empty() {
            return Err(InvalidAddress::NoDomain);
        }
        let domain = Domain::parse(domain)?;
        let local = if local.is_ascii() {
            local.to_ascii_lowercase()
        } else {
            local.to_lowercase()
        };
        Ok(Self(format!("{local}@{domain}")))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical text.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        split(&self.0).0
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> Domain {
        Domain::of_canonical(split(&self.0).1)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What two addresses must share to belong to one person: the canonical address after the
/// installation's matching rules (I2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// Takes back a key that the store was given earlier.
    pub(crate) fn from_store(text: String) -> Self {
        Self(text)
    }

    /// The key's text, for the store.
    pub(crate) fn into_string(self) -> String {
        self.0
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        split(&self.0).0
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> Domain {
        Domain::of_canonical(split(&self.0).1)
    }

    /// What the key looks like (UTS 39).
    pub fn skeleton(&self) -> Skeleton {
        Skeleton(ascii_skeleton(&self.0).unwrap_or_else(|| skeleton(&self.0).collect()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key looks like: two keys with one skeleton are easily taken for each other (I9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Skeleton(String);

impl Skeleton {
    /// The skeleton's text, for the store to compare.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What each ASCII character looks like, if that is ASCII again.
static ASCII_PROTOTYPES: LazyLock<Vec<Option<String>>> = LazyLock::new(|| {
    (0..128_u8)
        .map(|byte| {
            let prototype: String = skeleton(char::from(byte).encode_utf8(&mut [0; 4])).collect();
            Some(prototype).filter(|prototype| prototype.is_ascii())
        })
        .collect()
});

/// The skeleton of an ASCII text: character by character, because nothing in ASCII composes.
fn ascii_skeleton(text: &str) -> Option<String> {
    let mut looks = String::with_capacity(text.len() + 4);
    for byte in text.bytes() {
        looks.push_str(ASCII_PROTOTYPES.get(usize::from(byte))?.as_deref()?);
    }
    Some(looks)
}

fn split(canonical: &str) -> (&str, &str) {
    canonical.split_once('@').unwrap_or((canonical, ""))
}

/// The installation's rules for matching addresses (I2), already canonical themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    ignore_plus_tag: bool,
    domain_aliases: BTreeMap<Domain, Domain>,
    aliases: BTreeMap<Key, Key>,
}

impl Matching {
    /// The rules without any alias for single addresses.
    pub fn new(ignore_plus_tag: bool, domain_aliases: BTreeMap<Domain, Domain>) -> Self {
        Self {
            ignore_plus_tag,
            domain_aliases,
            aliases: BTreeMap::new(),
        }
    }

    /// Adds an alias: the Opsera address `opsera` belongs to the person with the address `opa`.
    /// Gives back the target it replaces, if the same Opsera key was already mapped elsewhere.
    pub fn add_alias(&mut self, opsera: &Address, opa: &Address) -> Option<Key> {
        let source = self.opa_key(opsera);
        let target = self.opa_key(opa);
        self.aliases
            .insert(source, target.clone())
            .filter(|former| *former != target)
    }

    /// The key of an address on the OPA side.
    pub fn opa_key(&self, address: &Address) -> Key {
        if !self.ignore_plus_tag && self.domain_aliases.is_empty() {
            return Key(address.0.clone());
        }
        let (local, domain) = split(&address.0);
        let local = match local.split_once('+') {
            // A bare "+tag@…" has nobody's name before the plus, so nothing is cut off.
            Some((name, _tag)) if self.ignore_plus_tag && !name.is_empty() => name,
            _ => local,
        };
        let domain = self
            .domain_aliases
            .get(domain)
            .map_or(domain, Domain::as_str);
        Key(format!("{local}@{domain}"))
    }

    /// The domain that `scope.domains` is compared with: after `domain_aliases`, before `aliases`.
    pub fn scope_domain(&self, address: &Address) -> Domain {
        self.opa_key(address).domain()
    }

    /// The key of an address on the Opsera side: the OPA key it is matched with.
    pub fn opsera_key(&self, address: &Address) -> Key {
        let key = self.opa_key(address);
        self.aliases.get(&key).cloned().unwrap_or(key)
    }

    /// The key that an Opsera key before `aliases` is matched with.
    pub(crate) fn alias_of<'k>(&'k self, own: &'k Key) -> &'k Key {
        self.aliases.get(own).unwrap_or(own)
    }

    /// Every other canonical address under which Opsera may hold the account of the person with
    /// `address`: through an alias, or in a domain that is an alias of theirs.
    pub fn other_addresses(&self, address: &Address) -> Vec<Address> {
        let key = self.opa_key(address);
        let (local, domain) = split(&key.0);
        let through_aliases = self
            .aliases
            .iter()
            .filter(|(_, target)| **target == key)
            .map(|(source, _)| Address(source.0.clone()));
        let through_domains = self
            .domain_aliases
            .iter()
            .filter(|(_, target)| target.as_str() == domain)
            .map(|(source, _)| Address(format!("{local}@{source}")));
        let mut others: Vec<Address> = std::iter::once(Address(key.0.clone()))
            .chain(through_aliases)
            .chain(through_domains)
            .filter(|other| other != address)
            .collect();
        others.sort();
        others.dedup();
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        Address::parse(text).unwrap().as_str().to_owned()
    }

    /// Addresses that are mostly ASCII, as most are, with everything that is special in one.
    fn addresses() -> impl Strategy<Value = String> {
        let part = "[a-zA-Z0-9._+@ \\-\t\u{0}-\u{7f}]{0,12}|[a-z\u{e9}\u{430}\u{df}\u{130}\u{212a}\u{ff0e}]{0,6}";
        let domain = "[a-zA-Z0-9.-]{0,16}|xn--[a-z0-9-]{0,8}|XN--[a-z]{0,4}\\.com|[a-z\u{fc}\u{3002}.]{0,8}|[a-z]{60,66}\\.com|([a-z]{50}\\.){4,6}[a-z]{2}";
        (part, domain).prop_map(|(local, domain)| format!("{local}@{domain}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_short_way_for_plain_domains_is_the_general_way(text in addresses()) {
            let domain = text.rsplit('@').next().unwrap_or_default();
            prop_assert_eq!(Domain::parse(domain), Domain::parse_in_general(domain));
        }

        #[test]
        fn the_short_way_for_ascii_addresses_is_the_general_way(text in addresses()) {
            let composed: String = text.trim().nfc().collect();
            prop_assert_eq!(Address::parse(&text), Address::parse_composed(&composed));
            if let Ok(address) = Address::parse(&text) {
                let (local, _) = composed.split_once('@').unwrap();
                prop_assert_eq!(address.local_part(), local.to_lowercase());
            }
        }

        #[test]
        fn the_short_way_for_ascii_skeletons_is_the_general_way(text in "[\u{0}-\u{7f}]{0,20}|\\PC{0,8}") {
            let key = Key(text.clone());
            let skeleton_of_key = key.skeleton();
            prop_assert_eq!(skeleton_of_key.as_str(), skeleton(&text).collect::<String>());
        }
    }

    #[test]
    fn i1_ignores_letter_case_surrounding_space_and_spelling_of_the_domain() {
        assert_eq!(
            canonical("  Jane.Doe@Example.COM\t"),
            "jane.doe@example.com"
        );
        assert_eq!(
            canonical("jane@BÜCHER.example"),
            "jane@xn--bcher-kva.example"
        );
        assert_eq!(
            canonical("jane@xn--bcher-kva.example"),
            "jane@xn--bcher-kva.example"
        );
        assert_eq!(canonical("jane@ｅｘａｍｐｌｅ.com"), "jane@example.com");
        assert_eq!(
            canonical("jose\u{301}@example.com"),
            canonical("josé@example.com")
        );
        assert_eq!(canonical("STRASSE@example.com"), "strasse@example.com");
    }

    #[test]
    fn i1_refuses_what_is_not_exactly_one_address() {
        for (text, why) in [
            ("", InvalidAddress::Empty),
            (" \u{a0} ", InvalidAddress::Empty),
            ("jane", InvalidAddress::NoAt),
            ("jane@doe@example.com", InvalidAddress::SeveralAts),
            ("@example.com", InvalidAddress::NoLocalPart),
            ("jane@", InvalidAddress::NoDomain),
            ("jane doe@example.com", InvalidAddress::WhiteSpaceOrControl),
            ("jane\u{0}@example.com", InvalidAddress::WhiteSpaceOrControl),
            ("jane@exa mple.com", InvalidAddress::WhiteSpaceOrControl),
            ("jane@example..com", InvalidAddress::BadDomain),
            ("jane@example.com.", InvalidAddress::BadDomain),
            ("jane@xn--a", InvalidAddress::BadDomain),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn i2_applies_plus_tags_and_domain_aliases_to_both_sides_and_aliases_to_opsera_only() {
        let domain = |text| Domain::parse(text).unwrap();
        let address = |text| Address::parse(text).unwrap();
        let mut matching = Matching::new(
            true,
            BTreeMap::from([(domain("old.example.com"), domain("example.com"))]),
        );
        assert_eq!(
            matching.add_alias(
                &address("bob@example.com"),
                &address("robert@old.example.com")
            ),
            None
        );
        for side in [Matching::opa_key, Matching::opsera_key] {
            assert_eq!(
                side(&matching, &address("jane+opsera@old.example.com")).as_str(),
                "jane@example.com"
            );
        }
        assert_eq!(
            matching
                .opsera_key(&address("Bob+x@old.example.com"))
                .as_str(),
            "robert@example.com"
        );
        assert_eq!(
            matching.opa_key(&address("bob@example.com")).as_str(),
            "bob@example.com"
        );
        assert_eq!(
            matching.opa_key(&address("+tag@example.com")).as_str(),
            "+tag@example.com"
        );
    }

    #[test]
    fn an_account_may_stand_under_every_alias_of_its_person() {
        let domain = |text| Domain::parse(text).unwrap();
        let address = |text| Address::parse(text).unwrap();
        let mut matching = Matching::new(
            true,
            BTreeMap::from([(domain("old.example"), domain("new.example"))]),
        );
        matching.add_alias(&address("bob@x.example"), &address("robert@new.example"));
        let others: Vec<String> = matching
            .other_addresses(&address("robert+a@new.example"))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            others,
            ["bob@x.example", "robert@new.example", "robert@old.example"]
        );
    }

    #[test]
    fn i9_look_alikes_share_a_skeleton_and_different_people_do_not() {
        let skeleton = |text| {
            Matching::default()
                .opa_key(&Address::parse(text).unwrap())
                .skeleton()
        };
        assert_eq!(
            skeleton("jane@example.com"),
            skeleton("j\u{430}ne@example.com")
        );
        assert_eq!(skeleton("jim1@example.com"), skeleton("jiml@example.com"));
        assert_ne!(skeleton("jane@example.com"), skeleton("jade@example.com"));
    }
}
