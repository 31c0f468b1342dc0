//! The doubt shields: whom an account may still belong to (I7, I8, I9).

use unicode_normalization::UnicodeNormalization as _;

use super::facts::{AccountFacts, Carrier};
use crate::domain::{Finding, FindingKind};

/// A name as I7 compares it: without letter case and without `.`, `-` and `_`.
pub fn fold_name(name: &str) -> String {
    name.nfc()
        .flat_map(char::to_lowercase)
        .filter(|c| !matches!(c, '.' | '-' | '_'))
        .collect()
}

/// First and last name as I7 compares them, without letter case; `None` if either is empty.
pub fn fold_full_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    let fold = |part: Option<&str>| -> Option<String> {
        let folded: String = part?.trim().nfc().flat_map(char::to_lowercase).collect();
        (!folded.is_empty()).then_some(folded)
    };
    // The separator cannot occur in a trimmed part in this position by accident: it is no letter.
    Some(format!("{}\u{1f}{}", fold(first)?, fold(last)?))
}

/// The findings that keep the account, if a shield does (§4 step 4): each doubt is told, because
/// each has a cure of its own.
pub fn shields(facts: &AccountFacts, email: &str) -> Vec<Finding> {
    renamed(facts, email)
        .into_iter()
        .chain(possible_match(facts, email))
        .collect()
}

fn renamed(facts: &AccountFacts, email: &str) -> Option<Finding> {
    (!facts.renamed.is_empty()).then(|| Finding {
        kind: FindingKind::Renamed,
        email: email.to_owned(),
        detail: format!(
            "the person this address last belonged to is ACTIVE in OPA under another one: {} — \
             account {} is left alone; if it is theirs, add \"{email}\" = \"their OPA address\" to \
             [matching.aliases]",
            list(&facts.renamed),
            facts.id,
        ),
    })
}

fn possible_match(facts: &AccountFacts, email: &str) -> Option<Finding> {
    let reasons: Vec<String> = [
        (
            &facts.unidentified,
            "is ACTIVE in OPA without a usable address and has the same name",
        ),
        (
            &facts.look_alikes,
            "is ACTIVE in OPA, has no Opsera account, and the two addresses look the same",
        ),
    ]
    .into_iter()
    .filter(|(carriers, _)| !carriers.is_empty())
    .map(|(carriers, why)| format!("{}, who {why}", list(carriers)))
    .collect();
    (!reasons.is_empty()).then(|| Finding {
        kind: FindingKind::PossibleMatch,
        email: email.to_owned(),
        detail: format!(
            "may belong to {} — account {} is left alone; correct the address in OPA or Opsera, or \
             name the pair in [matching.aliases]",
            reasons.join(", or to "),
            facts.id,
        ),
    })
}

fn list(carriers: &[Carrier]) -> String {
    carriers
        .iter()
        .map(|carrier| {
            format!(
                "{} ({}, id {})",
                carrier.name,
                carrier.email.as_deref().unwrap_or("no address"),
                carrier.id
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i7_compares_names_without_letter_case_and_punctuation() {
        assert_eq!(fold_name("Jason.Compson-IV"), fold_name("jason_compson.iv"));
        assert_ne!(fold_name("jason"), fold_name("jasoni"));
    }

    #[test]
    fn i7_compares_full_names_only_where_both_parts_are_there() {
        assert_eq!(
            fold_full_name(Some("JANE"), Some(" doe")),
            fold_full_name(Some("Jane"), Some("Doe"))
        );
        assert_eq!(fold_full_name(Some("Jane"), Some(" ")), None);
        assert_eq!(fold_full_name(None, Some("Doe")), None);
        assert_ne!(
            fold_full_name(Some("Jane D"), Some("oe")),
            fold_full_name(Some("Jane"), Some("Doe"))
        );
    }
}
