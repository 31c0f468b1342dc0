//! The durable action queue: carries a plan out.
//!
//! Planning writes actions; only the [`Worker`] calls the API for them.
//!
//! # Guarantees
//! 1. An action's row and the audit entry that announces its request are one transaction, durable
//!    before the first byte goes out (A1). No transaction spans a request.
//! 2. Every request has its own entry, and so has what came of it.
//! 3. After a crash every `in_flight` row is settled by reading the account (A7), never by sending
//!    again blindly.
//!
//! The states and their legal transitions stand in `migrations/0004_plans_and_queue.sql`, where a
//! trigger enforces them, and in [`ActionState`].
//!
//! To add a kind of action: one variant in [`crate::plan::Change`]; the compiler lists the rest.

mod attempt;
mod last_look;
mod settle;
mod state;
mod worker;

pub use settle::settle;
pub use state::{ActionState, Closing, Effect};
pub use worker::{Applied, Progress, StopReason, Worker, refusal_progress};
