//! Signals: the first asks the program to stop, the second ends it at once (A10); SIGHUP asks a
//! daemon to read its settings again.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::domain::ExitStatus;

/// SIGXFSZ, the same on every Linux that Rust knows but MIPS.
const FILE_SIZE_LIMIT: i32 = 25;

/// A token that Ctrl-C or SIGTERM cancels. Whoever holds it starts no new request, finishes what
/// is under way and writes it down. A second signal ends the process where it stands; the next
/// run recovers.
///
/// # Errors
/// The system does not let the program listen for signals.
pub fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Whoever handles it gets an error from the write instead of being ended by it: a file that
    // may not grow is told as a full disk is.
    drop(signal(SignalKind::from_raw(FILE_SIZE_LIMIT))?);
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked.is_cancelled() {
                tracing::warn!("second signal: ending at once");
                end_at_once();
            }
            tracing::warn!("stopping: finishing what is under way (a second signal ends at once)");
            asked.cancel();
        }
    });
    Ok(stop)
}

/// Ends the process at the first Ctrl-C or SIGTERM, after `before`: for a command that has changed
/// nothing while it waits for somebody at a terminal.
///
/// # Errors
/// The system does not let the program listen for signals.
pub fn end_on_signals(before: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        before();
        end_at_once();
    });
    Ok(())
}

/// Each SIGHUP from here on; several that nobody has looked at yet are one.
///
/// # Errors
/// The system does not let the program listen for signals.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the signal must end the process whatever it waits for"
)]
fn end_at_once() -> ! {
    std::process::exit(i32::from(ExitStatus::Failed.code()))
}
