//! What a person at a terminal sees while a run is under way.
//!
//! One line on standard error that is redrawn and that goes away at the end; standard output is
//! never touched, and where standard error is no terminal, or quiet was asked for, nothing is
//! written at all.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::text::{counted, number};
use crate::domain::{Counter, Progress, ProgressObserver, Stage};

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
pub struct ProgressLine {
    bar: ProgressBar,
    counts: Mutex<Counts>,
}

/// What is known of a run under way.
#[derive(Debug, Default)]
struct Counts {
    stage: Option<Stage>,
    opa: Count,
    opsera: Count,
    members: u64,
    actions: Count,
    not_done: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    reached: u64,
    expected: Option<u64>,
}

impl Counts {
    fn of(&mut self, counter: Counter) -> &mut u64 {
        match counter {
            Counter::OpaRecords => &mut self.opa.reached,
            Counter::OpseraAccounts => &mut self.opsera.reached,
            Counter::Members => &mut self.members,
            Counter::Actions => &mut self.actions.reached,
            Counter::ActionsNotDone => &mut self.not_done,
        }
    }

    fn line(&self) -> String {
        match self.stage {
            None => String::new(),
            Some(Stage::Settling) => "settling what an earlier run left open".to_owned(),
            Some(Stage::Reading) => {
                format!("reading · OPA {} · Opsera {}", self.opa, self.opsera)
            }
            Some(Stage::ReadingGroups) => {
                format!(
                    "reading groups · {}",
                    counted(self.members, "member", "members")
                )
            }
            Some(Stage::Planning) => "planning".to_owned(),
            Some(Stage::Applying) => {
                let total = self.actions.expected.unwrap_or(self.actions.reached);
                let mut line = format!(
                    "applying · {} of {}",
                    number(self.actions.reached),
                    counted(total, "action", "actions")
                );
                if self.not_done > 0 {
                    line.push_str(" · ");
                    line.push_str(&number(self.not_done));
                    line.push_str(" not done");
                }
                line
            }
        }
    }
}

impl fmt::Display for Count {
    /// The total is the last run's, so it is one of about that size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&number(self.reached))?;
        match self.expected {
            Some(expected) => write!(f, " of ~{}", number(expected)),
            None => Ok(()),
        }
    }
}

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
        let bar = ProgressBar::with_draw_target(None, target);
        // The template is a constant; should it ever not parse, the default look remains.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        Self {
            bar,
            counts: Mutex::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        self.bar.set_message(counts.line());
    }
}

impl ProgressObserver for ProgressLine {
    fn stage(&self, stage: Stage) {
        self.bar.reset();
        self.change(|counts| counts.stage = Some(stage));
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(TICK);
        }
    }

    fn expect(&self, counter: Counter, total: u64) {
        self.change(|counts| match counter {
            Counter::OpaRecords => counts.opa.expected = Some(total),
            Counter::OpseraAccounts => counts.opsera.expected = Some(total),
            Counter::Actions => counts.actions.expected = Some(total),
            Counter::Members | Counter::ActionsNotDone => {}
        });
    }

    fn count(&self, counter: Counter, more: u64) {
        self.change(|counts| {
            let count = counts.of(counter);
            *count = count.saturating_add(more);
        });
    }

    fn done(&self) {
        self.bar.finish_and_clear();
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
    fn a_terminal_shows_both_directories_and_the_actions_and_is_left_clean() {
        let terminal = Recorder::default();
        let line = ProgressLine::on(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        let bar = line.bar.clone();
        let progress = Progress::to(Arc::new(line));
        progress.expect(Counter::OpaRecords, 20_400);
        progress.stage(Stage::Reading);
        progress.count(Counter::OpaRecords, 1200);
        progress.clone().count(Counter::OpseraAccounts, 900);
        // Redraws are rationed; these are not.
        bar.suspend(|| ());
        progress.stage(Stage::Applying);
        progress.expect(Counter::Actions, 82);
        progress.count(Counter::Actions, 70);
        progress.count(Counter::ActionsNotDone, 1);
        bar.suspend(|| ());
        progress.done();
        let seen = terminal.0.lock().unwrap().clone();
        for words in [
            "reading · OPA 1,200 of ~20,400 · Opsera 900",
            "applying · 70 of 82 actions · 1 not done",
        ] {
            assert!(seen.contains(words), "{words} in {seen}");
        }
        assert!(seen.ends_with("<cleared>"), "{seen}");
    }

    #[test]
    fn silent_progress_still_beats() {
        let progress = ProgressLine::on_stderr(Visibility::Silent);
        progress.stage(Stage::Reading);
        progress.count(Counter::OpaRecords, 1);
        progress.done();
        assert_eq!(progress.heartbeat().beats(), 2);
    }
}
