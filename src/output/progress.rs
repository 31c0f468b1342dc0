//! What a person at a terminal sees while a run is under way.
//!
//! One line on standard error that is redrawn and that goes away at the end; standard output is
//! never touched, and where standard error is no terminal, or quiet was asked for, nothing is
//! written at all.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::{Progress, ProgressObserver};

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

/// The progress line of one run.
#[derive(Debug)]
pub struct ProgressLine(ProgressBar);

impl ProgressLine {
    /// Progress that is shown on standard error, or nowhere.
    pub fn on_stderr(visibility: Visibility) -> Progress {
        match visibility {
            Visibility::OnTerminal => {
                Progress::to(Arc::new(Self::on(ProgressDrawTarget::stderr())))
            }
            Visibility::Silent => Progress::silent(),
        }
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let line = ProgressBar::with_draw_target(None, target);
        // The template is a constant; should it ever not parse, the default look remains.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({elapsed})") {
            line.set_style(style);
        }
        Self(line)
    }
}

impl ProgressObserver for ProgressLine {
    fn stage(&self, name: &str) {
        self.0.set_message(name.to_owned());
        self.0.reset();
        if !self.0.is_hidden() {
            self.0.enable_steady_tick(TICK);
        }
    }

    fn count(&self, more: u64) {
        self.0.inc(more);
    }

    fn done(&self) {
        self.0.finish_and_clear();
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
        let line = ProgressLine::on(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let bar = line.0.clone();
        let progress = Progress::to(Arc::new(line));
        progress.stage("pulling OPA users");
        progress.clone().count(1200);
        // Redraws are rationed; this one is not.
        bar.suspend(|| ());
        progress.stage("pulling Opsera users");
        progress.done();
        let seen = terminal.0.lock().unwrap().clone();
        assert!(seen.contains("pulling OPA users"), "{seen}");
        assert!(seen.contains("1,200"), "{seen}");
        assert!(seen.ends_with("<cleared>"), "{seen}");
    }

    #[test]
    fn silent_progress_still_beats() {
        let progress = ProgressLine::on_stderr(Visibility::Silent);
        progress.stage("pulling OPA users");
        progress.count(1);
        progress.done();
        assert_eq!(progress.heartbeat().beats(), 2);
    }
}
