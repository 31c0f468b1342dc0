//! Which kinds of action a run is limited to (`--only`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::ActionKind;

/// A set of kinds of action, never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindSet(BTreeSet<ActionKind>);

impl KindSet {
    /// Every kind.
    pub fn all() -> Self {
        Self(ActionKind::ALL.iter().copied().collect())
    }

    /// Only these; none at all means every kind.
    pub fn only(kinds: impl IntoIterator<Item = ActionKind>) -> Self {
        let kinds: BTreeSet<ActionKind> = kinds.into_iter().collect();
        if kinds.is_empty() {
            Self::all()
        } else {
            Self(kinds)
        }
    }

    /// Whether actions of this kind are planned.
    pub fn contains(&self, kind: ActionKind) -> bool {
        self.0.contains(&kind)
    }

    /// Whether no kind is left out.
    pub fn is_all(&self) -> bool {
        self.0.len() == ActionKind::ALL.len()
    }

    /// The kinds, in the order in which they are applied (A9).
    pub fn iter(&self) -> impl Iterator<Item = ActionKind> + '_ {
        self.0.iter().copied()
    }

    /// Every set that contains `kind`.
    pub fn with(kind: ActionKind) -> Vec<Self> {
        let others: Vec<ActionKind> = ActionKind::ALL
            .iter()
            .copied()
            .filter(|other| *other != kind)
            .collect();
        let mut sets = vec![BTreeSet::from([kind])];
        for other in others {
            let mut larger = sets.clone();
            for set in &mut larger {
                set.insert(other);
            }
            sets.append(&mut larger);
        }
        sets.into_iter().map(Self).collect()
    }
}

/// The form in the store and in the audit log: names between commas.
impl fmt::Display for KindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(ActionKind::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for KindSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kinds: Result<BTreeSet<ActionKind>, String> = text.split(',').map(str::parse).collect();
        kinds.map(Self)
    }
}

impl Serialize for KindSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reads_back_as_it_is_written() {
        for kind in ActionKind::ALL.iter().copied() {
            let sets = KindSet::with(kind);
            assert_eq!(sets.len(), 4);
            for set in sets {
                assert!(set.contains(kind));
                assert_eq!(set.to_string().parse(), Ok(set));
            }
        }
        assert_eq!(KindSet::all().to_string(), "set_role,create,deactivate");
        assert_eq!(KindSet::only([]), KindSet::all());
        for wrong in ["", "all", "create,", "create, deactivate"] {
            assert!(wrong.parse::<KindSet>().is_err(), "{wrong:?}");
        }
    }
}
