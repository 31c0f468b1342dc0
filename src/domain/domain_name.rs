//! The domain of an address, as it is compared.

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;

use super::address::InvalidAddress;

/// A domain name: lower case, ASCII (UTS 46).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Domain(String);

impl Domain {
    /// Canonicalises `text` through UTS 46. Empty and over-long labels, a trailing dot among them,
    /// are refused: whether they mean the same host as the name without is doubt.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        if is_plain_domain(text) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Self::parse_in_general(text)
    }

    /// The domain of an address that is canonical.
    pub(super) fn of_canonical(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn parse_in_general(text: &str) -> Result<Self, InvalidAddress> {
        let ascii = idna::uts46::Uts46::new()
            .to_ascii(
                text.as_bytes(),
                idna::AsciiDenyList::EMPTY,
                idna::uts46::Hyphens::Allow,
                idna::uts46::DnsLength::Verify,
            )
            .map_err(|_| InvalidAddress::BadDomain)?;
        // UTS 46 may map a character to white space or to an @; neither is a domain.
        if ascii
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '@')
        {
            return Err(InvalidAddress::BadDomain);
        }
        Ok(Self(ascii.into_owned()))
    }

    /// The domain's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Aliases are looked up by the text of a domain that is canonical already.
impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Whether UTS 46 would do no more to a domain than put it into lower case: ASCII letters, digits
/// and hyphens in labels of a legal length, none of which may be Punycode.
pub(super) fn is_plain_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label
                    .get(..4)
                    .is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
        })
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
