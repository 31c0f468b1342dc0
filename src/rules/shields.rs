//! The doubt shields: whom an account may still belong to (I7 to I10).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use unicode_normalization::UnicodeNormalization as _;

use super::facts::{
    AccountFacts, Candidates, KeyHolder, MOST_LISTED, RenameStep, RenamedPath, WalkEnd,
};
use crate::domain::{Address, Evidence, Finding, FindingKind, OpaId, PersonStatus};

/// What I7 and I10 have in common.
const SAME_NAME: &str = "has the same name";

/// Characters that are named where two addresses look the same.
const MOST_CHARACTERS: usize = 3;

/// A name as I7 compares it: without letter case and without `.`, `-` and `_`.
pub fn fold_name(name: &str) -> String {
    let mut folded = without_case(name);
    folded.retain(|c| !matches!(c, '.' | '-' | '_'));
    folded
}

/// A text without letter case. Most are plain ASCII, which has one form only.
fn without_case(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.nfc().flat_map(char::to_lowercase).collect()
    }
}

/// First and last name as I7 compares them, without letter case; `None` if either is empty.
pub fn fold_full_name(first: Option<&str>, last: Option<&str>) -> Option<String> {
    let fold =
        |part: Option<&str>| Some(without_case(part?.trim())).filter(|part| !part.is_empty());
    let mut folded = fold(first)?;
    // The separator cannot occur in a trimmed part in this position by accident: it is no letter.
    folded.push('\u{1f}');
    folded.push_str(&fold(last)?);
    Some(folded)
}

/// One rule that keeps an account, and whom it may belong to instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shield {
    /// `I7`, `I8`, `I9` or `I10`.
    pub rule: &'static str,
    /// Why it may be theirs, in words.
    pub why: &'static str,
    /// What of it is added where another reason is told before.
    sign: &'static str,
    /// Whom it may belong to.
    pub people: Vec<KeyHolder>,
    /// How many people that are, or more.
    total: u64,
}

/// Every shield that keeps an account whose person is gone on this evidence (§4 step 4). I10 speaks
/// only where the evidence is `absent`: a record with the account's own key says whose it was.
pub fn shields(facts: &AccountFacts, evidence: Evidence) -> Vec<Shield> {
    let mut found = Vec::new();
    if facts.is_renamed() {
        found.push(Shield {
            rule: "I8",
            why: if are_active(&facts.renamed) {
                "whoever carried this address last is ACTIVE under another one, or under none"
            } else {
                "whoever carried this address last has a status that this version does not know"
            },
            sign: "carried this address last",
            people: facts
                .renamed
                .iter()
                .map(|path| path.holder.clone())
                .collect(),
            total: 0,
        });
    }
    let mut add = |rule, why, sign, people: &Candidates| {
        if !people.listed.is_empty() {
            found.push(Shield {
                rule,
                why,
                sign,
                people: people.listed.clone(),
                total: people.total,
            });
        }
    };
    add(
        "I7",
        "is ACTIVE in OPA without a usable address and has the same name",
        SAME_NAME,
        &facts.unidentified,
    );
    add(
        "I9",
        "is ACTIVE in OPA, has no Opsera account, and the two addresses look the same",
        "the two addresses look the same",
        &facts.look_alikes,
    );
    if evidence == Evidence::Absent {
        add(
            "I10",
            "is ACTIVE in OPA, has no Opsera account, and has the same name",
            SAME_NAME,
            &facts.unclaimed,
        );
    }
    found
}

/// The findings that tell of `shields`: each doubt is told, because each has a cure of its own.
pub fn findings(facts: &AccountFacts, email: &str, shields: &[Shield]) -> Vec<Finding> {
    let renamed = shields
        .iter()
        .any(|shield| shield.rule == "I8")
        .then(|| renamed(facts, email));
    let others: Vec<&Shield> = shields
        .iter()
        .filter(|shield| shield.rule != "I8")
        .collect();
    let possible = (!others.is_empty()).then(|| possible_match(facts, email, &others));
    renamed.into_iter().chain(possible).collect()
}

/// The shields in one line, for the plan and the audit entry of an account in
/// `deactivation.release`.
pub fn in_words(shields: &[Shield]) -> String {
    shields
        .iter()
        .map(|shield| match list(&shield.people) {
            people if people.is_empty() => shield.rule.to_owned(),
            people => format!("{} ({people})", shield.rule),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// The steps of a way of I8 in words.
pub fn describe_path(path: &RenamedPath) -> String {
    let mut text = String::new();
    let mut last: Option<&RenameStep> = None;
    for step in &path.steps {
        let who = format!("{} (id {})", step.name, step.id);
        match last {
            None => {
                let _ = write!(text, "{who} carried {} last", step.key);
            }
            Some(before) if before.id == step.id => {
                let _ = write!(text, ", then {}", step.key);
            }
            Some(_) => {
                let _ = write!(text, ", then {}, which went to {who}", step.key);
            }
        }
        last = Some(step);
    }
    let holder = &path.holder;
    let today = match &path.status {
        PersonStatus::Unrecognised(status) => {
            format!("has the status {status:?} today, which this version does not know,")
        }
        known => format!("is {} today", known.as_str()),
    };
    let _ = match &holder.email {
        Some(email) => write!(text, "; {} {today} under {email}", holder.name),
        None => write!(text, "; {} {today} without a usable address", holder.name),
    };
    text
}

fn are_active(paths: &[RenamedPath]) -> bool {
    paths.iter().all(|path| path.status == PersonStatus::Active)
}

fn renamed(facts: &AccountFacts, email: &str) -> Finding {
    let ways = match facts.renamed_walk {
        WalkEnd::TooLong if facts.renamed.is_empty() => {
            "more records have carried this address, or an address that followed it, than can be \
             looked at, so nobody knows whose it is"
                .to_owned()
        }
        WalkEnd::TooLong | WalkEnd::Complete => format!(
            "the person this address last belonged to is {} in OPA under another one: {}",
            if are_active(&facts.renamed) {
                "ACTIVE"
            } else {
                "still"
            },
            facts
                .renamed
                .iter()
                .map(describe_path)
                .collect::<Vec<_>>()
                .join("; or ")
        ),
    };
    Finding {
        kind: FindingKind::Renamed,
        email: email.to_owned(),
        detail: format!(
            "{ways} — account {} is left alone; if it is theirs, add \"{email}\" = \"their OPA \
             address\" to [matching.aliases]; if it is somebody else's, add \"{email}\" to \
             deactivation.release",
            facts.id,
        ),
    }
}

fn possible_match(facts: &AccountFacts, email: &str, shields: &[&Shield]) -> Finding {
    let reasons: Vec<String> = by_reasons(shields)
        .into_iter()
        .map(|(reasons, people)| {
            let reasons = in_one_sentence(facts, &reasons, &people);
            format!("{}, who {reasons}", list(&people))
        })
        .collect();
    Finding {
        kind: FindingKind::PossibleMatch,
        email: email.to_owned(),
        detail: format!(
            "may belong to {} — account {} is left alone; if it is theirs, correct the address in \
             OPA or Opsera, or name the pair in [matching.aliases]; if it is somebody else's, add \
             \"{email}\" to deactivation.release",
            reasons.join(", or to "),
            facts.id,
        ),
    }
}

/// Everybody once, with all the reasons why the account may be theirs; who has the same reasons
/// stands together.
fn by_reasons<'s>(shields: &[&'s Shield]) -> Vec<(Vec<&'s Shield>, Vec<KeyHolder>)> {
    let mut groups: Vec<(Vec<&Shield>, Vec<KeyHolder>)> = Vec::new();
    let mut told: BTreeSet<&OpaId> = BTreeSet::new();
    for person in shields.iter().flat_map(|shield| &shield.people) {
        if !told.insert(&person.id) {
            continue;
        }
        let is_theirs = |shield: &&&Shield| shield.people.iter().any(|one| one.id == person.id);
        let reasons: Vec<&Shield> = shields.iter().filter(is_theirs).copied().collect();
        let same = |(known, _): &&mut (Vec<&Shield>, _)| {
            known.len() == reasons.len()
                && known.iter().zip(&reasons).all(|(a, b)| a.rule == b.rule)
        };
        match groups.iter_mut().find(same) {
            Some((_, people)) => people.push(person.clone()),
            None => groups.push((reasons, vec![person.clone()])),
        }
    }
    groups
}

/// The first reason whole, and what the others add to it.
fn in_one_sentence(facts: &AccountFacts, reasons: &[&Shield], people: &[KeyHolder]) -> String {
    let mut text = String::new();
    let mut signs: Vec<&str> = Vec::new();
    for reason in reasons {
        if signs.contains(&reason.sign) {
            continue;
        }
        let _ = if signs.is_empty() {
            write!(text, "{}", reason.why)
        } else {
            write!(text, ", and also {}", reason.sign)
        };
        signs.push(reason.sign);
        let differences = match reason.rule {
            "I9" => describe_look_alikes(facts, people),
            _ => Vec::new(),
        };
        if !differences.is_empty() {
            let _ = write!(text, " ({})", differences.join("; "));
        }
        if usize::try_from(reason.total).is_ok_and(|total| total > MOST_LISTED) {
            let _ = write!(text, " (at least {} people)", reason.total);
        }
    }
    text
}

/// Which characters of the look-alikes' addresses are not the account's, one sentence each (I9).
pub fn describe_look_alikes(facts: &AccountFacts, people: &[KeyHolder]) -> Vec<String> {
    let Some((address, _)) = &facts.identity else {
        return Vec::new();
    };
    let account = address.as_str();
    let mut told = Vec::new();
    for person in people {
        let Some(Ok(theirs)) = person.email.as_deref().map(Address::parse) else {
            continue;
        };
        let theirs = theirs.as_str();
        let person = (person.name.as_str(), theirs, account);
        let account = ("the account", account, theirs);
        // The odd side is the one that is not plain ASCII: to the eye both are the same.
        let odd = match (theirs.is_ascii(), account.1.is_ascii()) {
            (false, true) => vec![person],
            (true, false) => vec![account],
            (true, true) | (false, false) => vec![person, account],
        };
        for (whose, text, other) in odd {
            let words = describe_difference(text, other);
            let line = format!("{whose} has {words}");
            if !words.is_empty() && !told.contains(&line) {
                told.push(line);
            }
        }
    }
    told
}

/// The characters of `text` that are not in the same place in `other`, each with its name:
/// `а U+0430 CYRILLIC SMALL LETTER A, position 2`. Empty where the two differ in length only.
pub fn describe_difference(text: &str, other: &str) -> String {
    let mut others = other.chars();
    (1_usize..)
        .zip(text.chars())
        .filter(|(_, character)| others.next() != Some(*character))
        .take(MOST_CHARACTERS)
        .map(|(position, character)| {
            let name = unicode_names2::name(character)
                .map_or_else(|| "unnamed".to_owned(), |name| name.to_string());
            format!(
                "{character} U+{:04X} {name}, position {position}",
                u32::from(character)
            )
        })
        .collect::<Vec<_>>()
        .join(", ")
}

/// People as the findings name them, the first ten.
pub fn list(people: &[KeyHolder]) -> String {
    let mut text = people
        .iter()
        .take(MOST_LISTED)
        .map(|person| {
            format!(
                "{} ({}, id {})",
                person.name,
                person.email.as_deref().unwrap_or("no address"),
                person.id
            )
        })
        .collect::<Vec<_>>()
        .join(", ");
    if people.len() > MOST_LISTED {
        text.push_str(", and more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_names_the_characters_that_differ() {
        assert_eq!(
            describe_difference("j\u{430}ne@example.com", "jane@example.com"),
            "\u{430} U+0430 CYRILLIC SMALL LETTER A, position 2"
        );
        assert_eq!(describe_difference("jane", "jane"), "");
    }

    #[test]
    fn i7_compares_names_without_letter_case_and_punctuation() {
        assert_eq!(fold_name("Jason.Compson-IV"), fold_name("jason_compson.iv"));
        assert_ne!(fold_name("jason"), fold_name("jasoni"));
    }

    #[test]
    fn plain_letters_fold_as_all_others_do() {
        for text in ["", "Jane.Doe-IV_2", "O'Neil+x@Example.COM", "\u{7f}\t A"] {
            let slow: String = text.nfc().flat_map(char::to_lowercase).collect();
            assert_eq!(without_case(text), slow);
        }
        assert_eq!(fold_name("J\u{c4}GER"), fold_name("ja\u{308}ger"));
        assert_eq!(fold_name("STRASSE.\u{130}"), "strassei\u{307}");
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
