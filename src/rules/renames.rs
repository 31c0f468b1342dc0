//! The way of I8: from an account's key forward in time to whoever is ACTIVE today.
//!
//! ```text
//! key → the ids that carried it last → keys that these ids carried later
//!     → the ids that have carried those since → …
//! ```
//!
//! [`Walk`] asks one [`Question`] after the other and is given the answers, so the rule knows
//! nothing of where the memory lies. It never goes back in time: an id is left only by keys that
//! it carried after the one it was reached by, and a key only by ids that carried it at or after
//! the time at which the way arrived there. It ends at whoever is ACTIVE today, and at whoever has a
//! status that is doubt: that person keeps the account as well (I3). At a key on the way everybody who carried it since
//! counts, not the last one alone: a person whose record was replaced and renamed once more must
//! not be lost because the address in between was given to somebody else.

use std::collections::{HashMap, VecDeque};

use super::facts::{KeyHolder, MOST_LISTED, RenameStep, RenamedPath, WalkEnd};
use crate::domain::{Key, OpaId, OpaName, PersonStatus};

/// Keys and records that are looked at for one account; more is doubt.
pub const MOST_NODES: usize = 10_000;

/// When something was so, in complete pulls: the number of the pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// Longer ago than the memory reaches.
    pub const UNKNOWN: Self = Self(0);
    /// The latest complete pull that the memory knows.
    pub const LATEST: Self = Self(i64::MAX - 1);
    /// The pull that is decided on.
    pub const TODAY: Self = Self(i64::MAX);
}

/// An id carried a key: the memory's row, or what the pull itself shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The key.
    pub key: Key,
    /// The record's id.
    pub id: OpaId,
    /// Its name.
    pub name: OpaName,
    /// When the id began to carry the key, the latest time.
    pub since: Moment,
    /// When it last carried it.
    pub until: Moment,
}

/// What is known of an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdHistory {
    /// The human record as the pull shows it, where it is ACTIVE or its status is doubt (I3).
    pub present: Option<PresentRecord>,
    /// Every key the id carries or carried.
    pub tenures: Vec<Tenure>,
}

/// A human record of the pull that keeps the accounts it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentRecord {
    /// The record.
    pub holder: KeyHolder,
    /// Its key today; `None`: it has no usable address.
    pub key: Option<Key>,
    /// ACTIVE, or a status that is doubt.
    pub status: PersonStatus,
}

/// What the walk has to know next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who carries or carried this key? Answer with [`Walk::answer_holders`].
    Holders(Key),
    /// What became of this id? Answer with [`Walk::answer_history`].
    History(OpaId),
}

/// Where the walk led.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The ways to people who are ACTIVE today, shortest first, at most [`MOST_LISTED`].
    pub paths: Vec<RenamedPath>,
    /// Whether there was an end to it.
    pub end: WalkEnd,
    /// The names of the records on the way.
    pub names: Vec<OpaName>,
}

enum Place {
    /// At this key, reached by an id that carried it from then on.
    Key(Key, Moment),
    /// At this id, reached by this key, which it carried until then.
    Id(OpaId, Key, Moment),
}

struct Node {
    place: Place,
    /// The step that led here, an index into the trail.
    from: Option<usize>,
}

/// One walk, from one account's key.
pub struct Walk {
    start: Key,
    queue: VecDeque<Node>,
    trail: Vec<(RenameStep, Option<usize>)>,
    /// The earliest time at which each key was arrived at.
    keys: HashMap<Key, Moment>,
    /// The earliest time from which each id was left.
    ids: HashMap<OpaId, Moment>,
    /// Keys and ids that were put into the queue.
    visits: usize,
    outcome: Outcome,
}

impl Walk {
    /// Begins at `start` with the ids that carried it last.
    pub fn new(start: &Key, last: &[Tenure]) -> Self {
        let mut walk = Self {
            start: start.clone(),
            queue: VecDeque::new(),
            trail: Vec::new(),
            keys: HashMap::from([(start.clone(), Moment::UNKNOWN)]),
            ids: HashMap::new(),
            visits: 0,
            outcome: Outcome::default(),
        };
        for tenure in last {
            walk.go_to_id(tenure, None);
        }
        walk
    }

    /// What has to be known next; `None`: the walk is over.
    pub fn question(&self) -> Option<Question> {
        if self.outcome.paths.len() >= MOST_LISTED || self.outcome.end == WalkEnd::TooLong {
            return None;
        }
        self.queue.front().map(|node| match &node.place {
            Place::Key(key, _) => Question::Holders(key.clone()),
            Place::Id(id, ..) => Question::History(id.clone()),
        })
    }

    /// Answers [`Question::Holders`]: everybody who carries or carried the key.
    pub fn answer_holders(&mut self, holders: &[Tenure]) {
        let Some(Node {
            place: Place::Key(_, arrival),
            from,
        }) = self.queue.pop_front()
        else {
            return;
        };
        for tenure in holders.iter().filter(|tenure| tenure.until >= arrival) {
            self.go_to_id(tenure, from);
        }
    }

    /// Answers [`Question::History`].
    pub fn answer_history(&mut self, history: &IdHistory) {
        let Some(Node {
            place: Place::Id(_, by, until),
            from,
        }) = self.queue.pop_front()
        else {
            return;
        };
        if let Some(present) = &history.present {
            let paths = &self.outcome.paths;
            let is_known = paths.iter().any(|path| path.holder.id == present.holder.id);
            // Whoever is there under the account's own key is no renamed person.
            if present.key.as_ref() != Some(&self.start) && !is_known {
                let steps = self.steps_to(from);
                self.outcome.paths.push(RenamedPath {
                    holder: present.holder.clone(),
                    status: present.status.clone(),
                    steps,
                });
            }
            return;
        }
        for tenure in &history.tenures {
            // The memory and the pull may both tell of the key it was reached by.
            if tenure.until <= until || tenure.key == by || tenure.key == self.start {
                continue;
            }
            let known = self.keys.get(&tenure.key);
            if known.is_none_or(|earlier| tenure.since < *earlier) {
                self.keys.insert(tenure.key.clone(), tenure.since);
                self.push(Place::Key(tenure.key.clone(), tenure.since), from);
            }
        }
    }

    /// The end of the walk.
    pub fn finish(mut self) -> Outcome {
        self.outcome.names.sort();
        self.outcome.names.dedup();
        self.outcome
    }

    fn go_to_id(&mut self, tenure: &Tenure, from: Option<usize>) {
        let known = self.ids.get(&tenure.id);
        if known.is_some_and(|earlier| *earlier <= tenure.until) {
            return;
        }
        self.ids.insert(tenure.id.clone(), tenure.until);
        self.outcome.names.push(tenure.name.clone());
        let step = RenameStep {
            key: tenure.key.clone(),
            id: tenure.id.clone(),
            name: tenure.name.clone(),
        };
        self.trail.push((step, from));
        let here = self.trail.len().checked_sub(1);
        self.push(
            Place::Id(tenure.id.clone(), tenure.key.clone(), tenure.until),
            here,
        );
    }

    fn push(&mut self, place: Place, from: Option<usize>) {
        self.visits += 1;
        if self.visits > MOST_NODES {
            self.outcome.end = WalkEnd::TooLong;
        } else {
            self.queue.push_back(Node { place, from });
        }
    }

    fn steps_to(&self, last: Option<usize>) -> Vec<RenameStep> {
        let mut steps = Vec::new();
        let mut next = last;
        while let Some((step, from)) = next.and_then(|index| self.trail.get(index)) {
            steps.push(step.clone());
            next = *from;
        }
        steps.reverse();
        steps
    }
}

#[cfg(test)]
#[path = "renames_tests.rs"]
mod tests;
