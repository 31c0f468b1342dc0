//! Whoever answers at a terminal, if there is one.

use std::io::IsTerminal as _;

use dialoguer::console::Term;
use dialoguer::{Confirm, Input, Password};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::signals::end_on_signals;
use crate::domain::text::for_terminal;
use crate::output;

/// Who can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A person: both what is typed and the questions are on a terminal.
    Terminal,
    /// Nobody.
    Nobody,
}

impl Asker {
    /// Whoever is there. From here on a signal leaves the terminal as it was found: a secret that is
    /// being typed has switched its echo off.
    pub(super) fn of_process(colour: anstream::ColorChoice) -> std::io::Result<Self> {
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Ok(Self::Nobody);
        }
        let found = tcgetattr(std::io::stdin())?;
        end_on_signals(move || {
            restore(&found);
            // A question with a choice has hidden it.
            drop(Term::stderr().show_cursor());
            output::note("\ninterrupted: nothing was written\n", colour);
        })?;
        Ok(Self::Terminal)
    }
}

/// Asks for a text; Enter takes `default`.
pub(super) fn text(prompt: &str, default: Option<&str>) -> anyhow::Result<String> {
    let prompt = for_terminal(prompt);
    let mut input = Input::<String>::new().with_prompt(prompt).allow_empty(true);
    if let Some(default) = default.filter(|default| !default.is_empty()) {
        input = input.default(for_terminal(default).into_owned());
    }
    blocking(|| input.interact_text_on(&Term::stderr()))
}

/// Asks for a secret, unseen; Enter keeps the one that is there.
pub(super) fn secret(prompt: &str, has_one: bool) -> anyhow::Result<String> {
    let keep = if has_one { ", Enter keeps it" } else { "" };
    let input = Password::new()
        .with_prompt(format!("{prompt}{keep}"))
        .allow_empty_password(true);
    blocking(|| input.interact_on(&Term::stderr()))
}

/// Asks for yes or no; Enter is yes.
pub(super) fn confirm(prompt: &str) -> anyhow::Result<bool> {
    let input = Confirm::new().with_prompt(prompt).default(true);
    blocking(|| input.interact_on(&Term::stderr()))
}

fn blocking<T>(ask: impl FnOnce() -> dialoguer::Result<T>) -> anyhow::Result<T> {
    let answer = tokio::task::block_in_place(ask);
    answer.map_err(|error| {
        anyhow::Error::new(error).context("nobody answers on the terminal; nothing was written")
    })
}

fn restore(found: &Termios) {
    // A terminal that is gone needs nothing.
    let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, found);
}
