//! A terminal for the tests: a program on one side of it, the test as the person on the other.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

pub(crate) struct Terminal {
    person: File,
    program: File,
    child: Child,
    shown: String,
    /// What of `shown` was waited for already.
    read: usize,
}

impl Terminal {
    /// Starts `command` with all its streams on a new terminal.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::of_size(None, command)
    }

    /// The same, on a terminal with so many columns.
    pub(crate) fn start_in_columns(columns: u16, command: &mut Command) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Self::of_size(Some(&size), command)
    }

    fn of_size(size: Option<&Winsize>, command: &mut Command) -> Self {
        let pair = openpty(size, None).unwrap();
        let program = File::from(pair.slave);
        let stream = || program.try_clone().unwrap();
        let child = command
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self {
            person: File::from(pair.master),
            program,
            child,
            shown: String::new(),
            read: 0,
        }
    }

    /// Waits until the program shows `words`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, words: &str) {
        let started = Instant::now();
        loop {
            if let Some(at) = self.shown[self.read..].find(words) {
                self.read += at + words.len();
                return;
            }
            assert!(
                started.elapsed() < Duration::from_mins(1),
                "no {words:?} in:\n{}",
                self.shown
            );
            self.take();
        }
    }

    /// Types `line` and Enter.
    pub(crate) fn type_line(&mut self, line: &str) {
        write!(self.person, "{line}\r").unwrap();
    }

    /// Waits until what is typed is not shown: a question for a secret is ready.
    pub(crate) fn wait_until_unseen(&self) {
        let started = Instant::now();
        while self.shows_what_is_typed() {
            assert!(started.elapsed() < Duration::from_mins(1), "still seen");
            std::thread::yield_now();
        }
    }

    pub(crate) fn shows_what_is_typed(&self) -> bool {
        let settings = tcgetattr(&self.program).unwrap();
        settings.local_flags.contains(LocalFlags::ECHO)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program's end; gives its status and everything that it showed.
    pub(crate) fn end(&mut self) -> (i32, String) {
        let started = Instant::now();
        loop {
            self.take();
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.take() {}
                return (status.code().unwrap(), self.shown.clone());
            }
            assert!(started.elapsed() < Duration::from_mins(1), "it hangs");
        }
    }

    /// Takes what the program has shown, if it shows anything within a moment.
    fn take(&mut self) -> bool {
        let mut waited = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
        let ready = loop {
            match poll(&mut waited, PollTimeout::from(50_u16)) {
                // The end of another test's child.
                Err(Errno::EINTR) => {}
                polled => break polled.unwrap(),
            }
        };
        if ready == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        let count = self.person.read(&mut bytes).unwrap_or(0);
        self.shown
            .push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}
