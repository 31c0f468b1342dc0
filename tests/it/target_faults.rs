//! The target lies, stalls, refuses and falls over: what was asked happens at most once, nothing
//! is sent again before a look, and the report says what is known.

mod answers;
mod last_look;
mod roles_and_clocks;
mod stops;
