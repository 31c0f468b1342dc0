//! The way of I8 over small memories.

use super::*;
use crate::domain::{Address, Matching};

/// Rows of a memory: key, id, since, until. An id that `active` names is ACTIVE today, under the
/// key beside it.
struct Memory<'m> {
    rows: &'m [(&'m str, &'m str, i64, i64)],
    active: &'m [(&'m str, Option<&'m str>)],
}

const NOW: i64 = i64::MAX;

fn key(name: &str) -> Key {
    Matching::default().opa_key(&Address::parse(&format!("{name}@example.com")).unwrap())
}

impl Memory<'_> {
    fn tenures(&self, wanted: impl Fn(&Tenure) -> bool) -> Vec<Tenure> {
        let rows = self.rows.iter().map(|(of, id, since, until)| Tenure {
            key: key(of),
            id: OpaId::new(*id),
            name: OpaName::new(format!("name-{id}")),
            since: Moment(*since),
            until: Moment(*until),
        });
        rows.filter(wanted).collect()
    }

    fn walk(&self, start: &str) -> Outcome {
        let holders = self.tenures(|tenure| tenure.key == key(start));
        let newest = holders.iter().map(|tenure| tenure.until).max();
        let last: Vec<Tenure> = holders
            .into_iter()
            .filter(|tenure| Some(tenure.until) == newest)
            .collect();
        let mut walk = Walk::new(&key(start), &last);
        while let Some(question) = walk.question() {
            match question {
                Question::Holders(of) => {
                    walk.answer_holders(&self.tenures(|tenure| tenure.key == of));
                }
                Question::History(id) => {
                    let known = self
                        .active
                        .iter()
                        .find(|(active, _)| *active == id.as_str());
                    let present = known.map(|(id, own)| PresentRecord {
                        holder: KeyHolder {
                            id: OpaId::new(*id),
                            name: OpaName::new(format!("name-{id}")),
                            email: own.map(str::to_owned),
                        },
                        key: own.map(key),
                        status: PersonStatus::Active,
                    });
                    walk.answer_history(&IdHistory {
                        present,
                        tenures: self.tenures(|tenure| tenure.id == id),
                    });
                }
            }
        }
        walk.finish()
    }

    fn leads_to(&self, start: &str) -> Vec<String> {
        let outcome = self.walk(start);
        assert_eq!(outcome.end, WalkEnd::Complete);
        let paths = outcome.paths.into_iter();
        paths
            .map(|path| path.holder.id.as_str().to_owned())
            .collect()
    }
}

#[test]
fn a_renamed_person_is_found_under_another_key_or_under_none() {
    for own in [Some("k2"), None] {
        let memory = Memory {
            rows: &[("k1", "a", 1, 5)],
            active: &[("a", own)],
        };
        assert_eq!(memory.leads_to("k1"), ["a"]);
    }
}

#[test]
fn whoever_is_active_under_the_accounts_own_key_is_not_renamed() {
    let memory = Memory {
        rows: &[("k1", "a", 1, NOW)],
        active: &[("a", Some("k1"))],
    };
    assert_eq!(memory.leads_to("k1"), [""; 0]);
}

#[test]
fn a_renamed_person_with_a_new_record_is_found_through_the_deleted_one() {
    let memory = Memory {
        rows: &[("k1", "a", 1, 5), ("k2", "a", 6, 9), ("k2", "b", 9, NOW)],
        active: &[("b", Some("k2"))],
    };
    let outcome = memory.walk("k1");
    let steps: Vec<(&str, &str)> = outcome.paths[0]
        .steps
        .iter()
        .map(|step| (step.key.local_part(), step.id.as_str()))
        .collect();
    assert_eq!(steps, [("k1", "a"), ("k2", "b")]);
}

#[test]
fn a_new_record_that_is_renamed_again_is_found_though_the_address_between_went_to_somebody_else() {
    let memory = Memory {
        rows: &[
            ("k1", "a", 1, 5),
            ("k2", "a", 6, 8),
            ("k2", "b", 9, 12),
            ("k3", "b", 13, NOW),
            ("k2", "c", 13, 15),
        ],
        active: &[("b", Some("k3"))],
    };
    assert_eq!(memory.leads_to("k1"), ["b"]);
}

#[test]
fn the_way_does_not_go_back_in_time() {
    // b had k2 before a did, and has moved on: b is not a.
    let memory = Memory {
        rows: &[
            ("k2", "b", 1, 3),
            ("k3", "b", 4, NOW),
            ("k1", "a", 1, 5),
            ("k2", "a", 6, NOW),
        ],
        active: &[("b", Some("k3"))],
    };
    assert_eq!(memory.leads_to("k1"), [""; 0]);
    // a had k0 before k1: nobody who has k0 today is a.
    let memory = Memory {
        rows: &[("k0", "a", 1, 3), ("k1", "a", 4, 6), ("k0", "d", 4, NOW)],
        active: &[("d", Some("k0"))],
    };
    assert_eq!(memory.leads_to("k1"), [""; 0]);
}

#[test]
fn an_address_passed_on_leads_to_its_last_holder_alone() {
    let memory = Memory {
        rows: &[
            ("desk", "a", 1, 5),
            ("k2", "a", 6, NOW),
            ("desk", "b", 6, 9),
        ],
        active: &[("a", Some("k2"))],
    };
    assert_eq!(
        memory.leads_to("desk"),
        [""; 0],
        "b had it last, and is gone"
    );
}

#[test]
fn three_people_who_pass_their_addresses_around_in_a_circle_end_the_walk() {
    let memory = Memory {
        rows: &[
            ("k1", "a", 1, 2),
            ("k2", "b", 1, 2),
            ("k3", "c", 1, 2),
            ("k2", "a", 3, 4),
            ("k3", "b", 3, 4),
            ("k1", "c", 3, 4),
            ("k3", "a", 5, 6),
            ("k1", "b", 5, 6),
            ("k2", "c", 5, 6),
        ],
        active: &[],
    };
    for start in ["k1", "k2", "k3"] {
        assert_eq!(memory.leads_to(start), [""; 0]);
    }
}

#[test]
fn two_hundred_renames_with_a_new_record_each_are_one_way() {
    let names: Vec<String> = (0..=200).map(|number| format!("k{number}")).collect();
    let ids: Vec<String> = (0..200).map(|number| format!("i{number}")).collect();
    let mut rows = Vec::new();
    for (number, id) in (0_i64..).zip(&ids) {
        let index = usize::try_from(number).unwrap();
        rows.push((names[index].as_str(), id.as_str(), number, number));
        rows.push((
            names[index + 1].as_str(),
            id.as_str(),
            number + 1,
            number + 1,
        ));
    }
    let memory = Memory {
        rows: &rows,
        active: &[("i199", Some("k200"))],
    };
    let outcome = memory.walk("k0");
    assert_eq!(outcome.paths.len(), 1);
    assert_eq!(outcome.paths[0].steps.len(), 200);
}

#[test]
fn a_key_that_memory_and_pull_both_tell_of_is_not_arrived_at_twice() {
    // d carries k2 since long ago, and b carried it between: before a came to it, and so not as a.
    let memory = Memory {
        rows: &[
            ("k1", "a", 1, 5),
            ("k2", "a", 6, 7),
            ("k2", "d", 2, 8),
            ("k2", "d", 2, NOW),
            ("k2", "b", 3, 4),
            ("k3", "b", 5, NOW),
        ],
        active: &[("b", Some("k3"))],
    };
    assert_eq!(memory.leads_to("k1"), [""; 0]);
}

#[test]
fn too_long_a_way_is_doubt() {
    let ids: Vec<String> = (0..MOST_NODES).map(|number| format!("i{number}")).collect();
    let mut rows = vec![("k1", "a", 1, 2), ("k2", "a", 3, 4)];
    rows.extend(ids.iter().map(|id| ("k2", id.as_str(), 3, 4)));
    let memory = Memory {
        rows: &rows,
        active: &[],
    };
    assert_eq!(memory.walk("k1").end, WalkEnd::TooLong);
}
