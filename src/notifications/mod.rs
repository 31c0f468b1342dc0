//! What the webhook (`[notify]`) and those who get e-mail (`[smtp]`) are told.
//!
//! After a run that applies, at most two messages: one on how it ended (held, failed, partial, or
//! well again after one of these), and once a day one with the findings nobody was told of. The store
//! remembers what was told, so that restarts and one-shots repeat nothing; a message that did not
//! get through is not remembered, and the next run sends it.
//!
//! Nothing here can fail a run: it comes after it, its time is bounded, and its errors end in the
//! log, without the webhook's URL, whose path is often a secret.

mod alerts;
mod escape;
mod event;
mod formats;
mod letter;
mod message;
mod receiver;
mod webhook;
mod worker;

pub use alerts::notify;
pub use receiver::{NotifyError, Receivers};
pub use webhook::WebhookError;
pub use worker::NotificationWorker;
