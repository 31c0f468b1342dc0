//! How words are set off at a terminal: the one place that writes escape sequences.
//!
//! Whether a stream takes them is not decided here: a [`Sink`](super::Sink) removes them where no
//! colour is wanted.

use anstyle::{AnsiColor, Style};

use super::page::Severity;

/// Begins a sequence that styles text.
const ESCAPE: char = '\u{1b}';

/// A title, or what matters most.
pub fn strong(text: &str) -> String {
    set(Style::new().bold(), text)
}

/// What explains the words beside it.
pub fn faint(text: &str) -> String {
    set(Style::new().dimmed(), text)
}

/// In the colour of its severity; a plain text as it is.
pub fn coloured(text: &str, severity: Severity) -> String {
    let colour = match severity {
        Severity::Plain => return text.to_owned(),
        Severity::Good => AnsiColor::Green,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Bad => AnsiColor::Red,
    };
    set(colour.on_default(), text)
}

fn set(style: Style, text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("{style}{text}{style:#}")
    }
}

/// The padding of a styled cell stands before the sequence that ends its style.
pub(super) fn without_padding_at_the_end(line: &str) -> String {
    let text = line.trim_end();
    match text.rsplit_once(ESCAPE) {
        Some((before, end)) if end.ends_with('m') && !end.contains(' ') => {
            format!("{}{ESCAPE}{end}", before.trim_end())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_style_ends_where_its_text_ends() {
        assert_eq!(strong("a b"), "\u{1b}[1ma b\u{1b}[0m");
        assert_eq!(coloured("a", Severity::Bad), "\u{1b}[31ma\u{1b}[0m");
        assert_eq!(coloured("a", Severity::Plain), "a");
        assert_eq!(faint(""), "");
    }

    #[test]
    fn padding_goes_whether_or_not_it_is_styled() {
        assert_eq!(without_padding_at_the_end("a  b  "), "a  b");
        let styled = format!("a  {}", strong("b  "));
        assert_eq!(
            without_padding_at_the_end(&styled),
            format!("a  {}", strong("b"))
        );
    }
}
