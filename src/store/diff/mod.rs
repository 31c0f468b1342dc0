//! The diff: who of a sealed snapshot needs thought, and everything known about them.
//!
//! The database is asked once which accounts are settled: exactly one account, exactly one ACTIVE
//! person, and the role that the person is to have. Those are counted and never read. The others
//! come out 500 keys at a time, in the order of their keys, with the facts of a page looked up
//! together. No cursor stays open between two pages, so requests may be made meanwhile.

mod facts;
mod people;
mod roles;
mod thought;

pub use thought::{NeedThought, ThoughtPage};
