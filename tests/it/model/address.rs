//! I1, I2 and I9's skeleton, on texts.

use super::Rules;
use unicode_normalization::UnicodeNormalization as _;

/// I1: the canonical address; `None`: invalid.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let text = text.trim().nfc().collect::<String>();
    let bad = |c: char| c.is_whitespace() || c.is_control();
    let parts: Vec<&str> = text.split('@').collect();
    if parts.len() != 2 || parts[0].is_empty() || parts[1].is_empty() || text.chars().any(bad) {
        return None;
    }
    let domain = domain(parts[1])?;
    Some(format!("{}@{domain}", parts[0].to_lowercase()))
}

/// A domain through UTS 46. A domain that DNS cannot hold is none.
pub(crate) fn domain(text: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY).ok()?;
    let labels_fit = ascii.split('.').all(|l| !l.is_empty() && l.len() <= 63);
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    (labels_fit && ascii.len() <= 253 && !ascii.chars().any(odd)).then(|| ascii.into_owned())
}

/// I2 without `aliases`: the key of an OPA address.
pub(crate) fn opa_key(rules: &Rules, address: &str) -> String {
    let (local, host) = address.split_once('@').unwrap();
    let mut local = local;
    if rules.plus
        && let Some(plus) = local.find('+')
        && plus > 0
    {
        local = &local[..plus];
    }
    let mut host = host.to_owned();
    for (from, to) in &rules.domain_aliases {
        if domain(from).unwrap() == host {
            host = domain(to).unwrap();
            break;
        }
    }
    format!("{local}@{host}")
}

/// I2 with `aliases`: the OPA key that an Opsera address is matched with.
pub(crate) fn opsera_key(rules: &Rules, address: &str) -> String {
    let key = opa_key(rules, address);
    for (opsera, opa) in &rules.aliases {
        if opa_key(rules, &canonical(opsera).unwrap()) == key {
            return opa_key(rules, &canonical(opa).unwrap());
        }
    }
    key
}

/// What stands after the `@`.
pub(crate) fn host(address: &str) -> &str {
    address.split_once('@').unwrap().1
}

/// What stands before it.
pub(crate) fn local(address: &str) -> &str {
    address.split_once('@').unwrap().0
}

/// Whether the key of an address (after domain aliases) is in scope (§4).
pub(crate) fn in_scope(rules: &Rules, address: &str) -> bool {
    let key = opa_key(rules, address);
    rules.domains.is_empty()
        || rules
            .domains
            .iter()
            .any(|d| domain(d).unwrap() == host(&key))
}

/// UTS 39.
pub(crate) fn skeleton(key: &str) -> String {
    unicode_security::confusable_detection::skeleton(key).collect()
}

/// I7: without letter case and without `.`, `-`, `_`.
pub(crate) fn bare(text: &str) -> String {
    let composed: String = text.nfc().collect();
    composed.to_lowercase().replace(['.', '-', '_'], "")
}

/// A glob of `protect.emails` against a canonical address, without letter case.
pub(crate) fn protects(pattern: &str, address: &str) -> bool {
    let composed: String = pattern.trim().nfc().collect();
    let mut pattern = composed.to_lowercase();
    if let Some((local, host)) = composed.split_once('@')
        && !host.contains(['*', '?'])
    {
        pattern = format!("{}@{}", local.to_lowercase(), domain(host).unwrap());
    }
    wildmatch::WildMatch::new(&pattern).matches(address)
}
