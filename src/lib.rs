//! rolecall keeps an Opsera account list in step with an OPA (Okta Privileged Access) Team.
//!
//! # How the data flows
//!
//! One way, every run: `clients → store → rules → plan → queue → clients`, with the audit log
//! beside it and the reports reading at the end. The store joins, the rules decide, `reconcile`
//! acts. Which folder may know which is held by `tests/it/layers.rs`.
//!
//! | module | its part |
//! |---|---|
//! | [`domain`] | the nouns: address, key, person, account, role, evidence, finding, plan, action state, approval, run result, time, text |
//! | [`rules`] | who keeps which account, in which role, and the guards: pure |
//! | [`settings`] | everything the program can be told, resolved once |
//! | [`audit`] | the log of everything that was done, and how it is proven |
//! | [`clients`] | the two APIs over HTTP |
//! | [`store`] | the SQLite files: the only SQL |
//! | [`reconcile`] | one run from pull to report: plan, guard, apply |
//! | [`output`] | what a run says, in five formats, and how it reaches the reader |
//! | [`check`], [`explain`] | what the commands of the same name find out |
//! | [`init`] | a first settings file: what is asked, tried, proposed and written |
//! | [`metrics`] | what Prometheus reads |
//! | [`notifications`] | what the webhook and those who get e-mail receive |
//! | [`review`] | the decision about a held plan, on the command line and in a browser |
//! | [`serving`] | HTTP for clients that nobody knows |
//! | [`daemon`] | runs on a schedule, with health over HTTP |
//! | [`sandbox`] | both directories, simulated |
//! | [`commands`] | one file per command; [`cli`] has their arguments |
//!
//! # What always holds
//!
//! 1. Nothing is planned from a pull that is not complete (G0).
//! 2. No request that writes goes out before its intent is durable in queue and audit log (A1).
//! 3. Every doubt ends in doing nothing and saying so.

pub mod audit;
pub mod audit_stream;
pub mod check;
pub mod cli;
pub mod clients;
pub mod commands;
pub mod daemon;
pub mod domain;
pub mod explain;
pub mod init;
pub mod metrics;
pub mod notifications;
pub mod output;
pub mod reconcile;
pub mod review;
pub mod rules;
pub mod sandbox;
pub mod serving;
pub mod settings;
pub mod store;
