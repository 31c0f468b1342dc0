//! Whether a server answers, and how far its clock is from ours.

use chrono::TimeDelta;

use super::model::CheckReport;
use crate::clients::{Api, CallError};
use crate::domain::text::error_chain;

/// Beyond this our clock and the server's differ noticeably.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(30);
/// Beyond this, expiry times and waits mean nothing any more.
const TOO_MUCH: TimeDelta = TimeDelta::minutes(5);

/// Notes a server that gave no answer at all, and what could not be looked at therefore. `false`:
/// it did answer.
pub(super) fn note_unreachable(
    report: &mut CheckReport,
    error: &CallError,
    api: Api,
    not_checked: &[&str],
) -> bool {
    let Some(failure) = error.connection_failure() else {
        return false;
    };
    report.failure(
        format!("{}.reachable", api.section()),
        failure.to_string(),
        hint(error),
    );
    for name in not_checked {
        report.not_checked(
            format!("{}.{name}", api.section()),
            format!("not checked because {api} cannot be reached"),
        );
    }
    true
}

/// What to do about a failed call.
pub(super) fn hint(error: &CallError) -> String {
    error
        .remedy()
        .unwrap_or_else(|| "try again; if it stays so, this is a bug or a new answer".to_owned())
}

/// The error in words.
pub(super) fn describe(error: &CallError) -> String {
    error_chain(error)
}

/// Notes how far a server's clock is from ours.
pub(super) fn examine_clock(report: &mut CheckReport, api: Api, offset: Option<TimeDelta>) {
    let name = format!("{}.clock", api.section());
    let Some(offset) = offset else {
        report.not_checked(name, "not checked because no answer carried the time");
        return;
    };
    let apart = offset.abs();
    let seconds = apart.num_seconds();
    let message = format!(
        "this machine's clock is {seconds} s {} the server's",
        if offset > TimeDelta::zero() {
            "behind"
        } else {
            "ahead of"
        }
    );
    let hint = "let this machine keep its time with NTP";
    if apart > TOO_MUCH {
        report.failure(
            name,
            format!(
                "{message}: tokens expire at the wrong time, and no account is deactivated as \
                 absent (clock_not_trusted)"
            ),
            hint,
        );
    } else if apart > NOTICEABLE {
        report.warning(name, message, hint);
    } else {
        report.ok(
            name,
            format!(
                "this machine's clock agrees with the server's within {} s",
                seconds.saturating_add(1)
            ),
        );
    }
}
