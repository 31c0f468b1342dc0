//! rolecall keeps an Opsera account list in step with an OPA (Okta Privileged Access) Team.
//!
//! # How the data flows
//!
//! One way, every run: `directory → store → rules → plan → queue → directory`, with the audit log
//! beside it and the reports reading at the end. The store joins, the rules decide, the queue acts.
//!
//! | module | its part |
//! |---|---|
//! | [`domain`] | what the words mean: address, key, person, account, role, evidence, finding |
//! | [`settings`] | everything the program can be told, resolved once |
//! | [`directory`] | the two APIs over HTTP |
//! | [`store`] | the SQLite file: the only SQL |
//! | [`rules`] | who keeps which account, in which role: pure |
//! | [`plan`] | what is to be done, as a value |
//! | [`approval`] | whether an operator may decide about a held plan: pure |
//! | [`queue`] | carries a plan out: durable, audited, paced |
//! | [`audit`] | the log of everything that was done, and how it is proven |
//! | [`run`] | one reconciliation from pull to report |
//! | [`report`] | what a run says, in five formats |
//! | [`sandbox`] | both directories, simulated |
//! | [`daemon`] | runs on a schedule, with health over HTTP |
//! | [`metrics`] | what Prometheus is told |
//! | [`notify`] | what the webhook is told |
//! | [`commands`] | one file per command; [`cli`] has their arguments |
//!
//! # What always holds
//!
//! 1. Nothing is planned from a pull that is not complete (G0).
//! 2. No request that writes goes out before its intent is durable in queue and audit log (A1).
//! 3. Every doubt ends in doing nothing and saying so.

pub mod approval;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod daemon;
pub mod directory;
pub mod doctor;
pub mod domain;
pub mod exit;
pub mod explain;
pub mod ids;
pub mod lifecycle;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod plan;
pub mod progress;
pub mod queue;
pub mod report;
pub mod rules;
pub mod run;
pub mod sandbox;
pub mod settings;
pub mod store;
pub mod ui;
