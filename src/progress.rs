//! What a person at a terminal sees while a run is under way.
//!
//! One line on standard error that is redrawn and that goes away at the end; standard output is
//! never touched, and where standard error is no terminal, or quiet was asked for, nothing is
//! written at all. Handles are cheap to clone and all move the same line.
//!
//! Every movement is also a beat of the run's [`Pulse`], by which the daemon sees that a run gets on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Often enough to look alive, seldom enough for a slow remote terminal.
const TICK: Duration = Duration::from_millis(120);

/// Whether progress may be shown, terminal provided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Shown if standard error is a terminal.
    OnTerminal,
    /// Never shown (`-q`).
    Silent,
}

/// Signs that a run gets on: a record read, a request answered, a stage begun.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// One more sign of life.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were so far.
    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The progress line of one run.
#[derive(Clone, Debug)]
pub struct Progress {
    line: ProgressBar,
    pulse: Pulse,
}

impl Progress {
    /// The progress line on standard error, or a silent one.
    pub fn on_stderr(visibility: Visibility) -> Self {
        match visibility {
            Visibility::OnTerminal => Self::on(ProgressDrawTarget::stderr()),
            Visibility::Silent => Self::silent(),
        }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let line = ProgressBar::with_draw_target(None, target);
        // The template is ours and constant; should it ever not parse, the default look remains.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({elapsed})") {
            line.set_style(style);
        }
        Self {
            line,
            pulse: Pulse::default(),
        }
    }

    /// What beats with every movement of this line.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// A new stage begins, and its count starts at nought.
    pub fn stage(&self, words: impl Into<String>) {
        self.pulse.beat();
        self.line.set_message(words.into());
        self.line.reset();
        if !self.line.is_hidden() {
            self.line.enable_steady_tick(TICK);
        }
    }

    /// `more` records or actions of this stage are done.
    pub fn count(&self, more: u64) {
        self.pulse.beat();
        self.line.inc(more);
    }

    /// The line goes away.
    pub fn done(&self) {
        self.line.finish_and_clear();
    }

    /// Takes the line away while `write` writes to the terminal, and puts it back.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.line.suspend(write)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that remembers everything ever written to it.
    #[derive(Clone, Debug, Default)]
    struct Recorder(Arc<Mutex<String>>);

    impl TermLike for Recorder {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("<cleared>")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_shows_stage_and_count_and_is_left_clean() {
        let terminal = Recorder::default();
        let progress = Progress::on(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        progress.stage("pulling OPA users");
        progress.clone().count(1200);
        // Redraws are rationed; this one is not.
        progress.suspend(|| ());
        progress.stage("pulling Opsera users");
        progress.done();
        let seen = terminal.0.lock().unwrap().clone();
        assert!(seen.contains("pulling OPA users"), "{seen}");
        assert!(seen.contains("1,200"), "{seen}");
        assert!(seen.ends_with("<cleared>"), "{seen}");
    }

    #[test]
    fn a_silent_line_never_draws() {
        for progress in [Progress::silent(), Progress::on_stderr(Visibility::Silent)] {
            progress.stage("pulling OPA users");
            progress.count(1);
            assert!(progress.line.is_hidden());
            assert_eq!(progress.suspend(|| 1), 1);
            progress.done();
        }
    }
}
