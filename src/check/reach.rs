//! Why a directory does not answer as it should, in the words of somebody who must fix it.

use std::error::Error;
use std::io;

use chrono::TimeDelta;

use super::model::Checkup;
use crate::clients::CallError;
use crate::domain::text::error_chain;

/// Beyond this our clock and the server's differ noticeably.
const NOTICEABLE: TimeDelta = TimeDelta::seconds(30);
/// Beyond this, expiry times and waits mean nothing any more.
const TOO_MUCH: TimeDelta = TimeDelta::minutes(5);

/// Whether the server gave no answer at all.
pub(super) fn is_unreachable(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Unreachable { .. } | CallError::NoAnswer { .. }
    )
}

/// Why there was no answer, and what to do. `section` is `opa` or `opsera`.
pub(super) fn words(error: &CallError, section: &str, host: &str) -> (String, String) {
    let setting = format!("{section}.base_url");
    let (what, hint) = match cause(error) {
        Cause::Refused => (
            "refused the connection".to_owned(),
            format!(
                "is the host of {setting} right, and does a firewall let this machine through?"
            ),
        ),
        Cause::TimedOut => (
            "did not answer in time".to_owned(),
            format!("look at the network, a proxy or {section}.timeout"),
        ),
        Cause::NoName => (
            "is not known to the name service".to_owned(),
            format!("correct the host of {setting}, or this machine's DNS"),
        ),
        Cause::NoTls => (
            "does not speak TLS".to_owned(),
            format!("is the port of {setting} right, or is something else listening there?"),
        ),
        Cause::Tls(detail) => (
            format!("does not prove who it is (TLS): {detail}"),
            "if an inspecting proxy or a private authority stands in between, name its \
             certificate in http.ca_file"
                .to_owned(),
        ),
        Cause::Other => (
            format!("cannot be talked to: {}", error_chain(error)),
            format!("look at {setting} and the network"),
        ),
    };
    (format!("{host} {what}"), hint)
}

enum Cause {
    Refused,
    TimedOut,
    NoName,
    NoTls,
    Tls(String),
    Other,
}

fn cause(error: &CallError) -> Cause {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut timed_out = false;
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match tls_error(io) {
                Some(rustls::Error::InvalidMessage(_)) => return Cause::NoTls,
                Some(tls) => return Cause::Tls(tls.to_string()),
                None => {}
            }
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return Cause::Refused,
                io::ErrorKind::TimedOut => timed_out = true,
                _ => {}
            }
        }
        if let Some(http) = error.downcast_ref::<reqwest::Error>() {
            timed_out |= http.is_timeout();
        }
        // Neither the resolver's error nor hyper's names itself in any other way.
        if error.to_string().starts_with("dns error") {
            return Cause::NoName;
        }
        next = error.source();
    }
    if timed_out {
        Cause::TimedOut
    } else {
        Cause::Other
    }
}

/// The TLS library's error, which travels inside one or more of the system's.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut error = error;
    loop {
        let inner = error.get_ref()?;
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        error = inner.downcast_ref::<io::Error>()?;
    }
}

/// Notes how far a server's clock is from ours.
pub(super) fn examine_clock(checkup: &mut Checkup, section: &str, skew: Option<TimeDelta>) {
    let name = format!("{section}.clock");
    let Some(skew) = skew else {
        checkup.not_checked(name, "not checked because no answer carried the time");
        return;
    };
    let apart = skew.abs();
    let words = format!(
        "this machine's clock is {} s {} the server's",
        apart.num_seconds(),
        if skew > TimeDelta::zero() {
            "behind"
        } else {
            "ahead of"
        }
    );
    let hint = "let this machine keep its time with NTP";
    if apart > TOO_MUCH {
        checkup.failure(
            name,
            format!("{words}: tokens expire at the wrong time, and so do grace periods"),
            hint,
        );
    } else if apart > NOTICEABLE {
        checkup.warning(name, words, hint);
    } else {
        checkup.ok(name, "this machine's clock agrees with the server's");
    }
}
