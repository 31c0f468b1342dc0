//! What systemd is told (`Type=notify`), where there is one to tell.
//!
//! Outside of systemd, without `NOTIFY_SOCKET`, all of it is silent. That systemd cannot be
//! reached is logged and changes nothing else.

use std::time::Duration;

use sd_notify::NotifyState;

/// The watchdog of this service, where systemd wants to be fed.
#[derive(Debug)]
pub(super) struct Watchdog {
    limit: Option<Duration>,
}

impl Watchdog {
    /// The watchdog that the environment of this process names.
    pub(super) fn of_process() -> Self {
        Self {
            limit: sd_notify::watchdog_enabled(),
        }
    }

    /// How often it must be fed, with room for a late turn of the loop.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.limit.map(|limit| limit / 4)
    }

    /// The main loop has turned, and the run it carries gets on.
    pub(super) fn feed(&self) {
        if self.limit.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Start-up, or a reload, is done.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line about the present state, without anything about a person.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The settings are being read again; [`ready`] must follow.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic time for systemd"),
    }
}

/// The process is ending.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
