//! Texts from a directory are data: what it takes to show one in each medium without it being
//! taken for anything else (§10).
//!
//! HTML is not here: its template engine escapes whatever it is given, after [`for_terminal`] has
//! taken out what a reader would not see.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

const ESCAPE: char = '\u{1b}';

/// One visible line: no control character, no escape sequence, no invisible or direction-changing
/// character; every kind of line break or tab becomes a space.
pub fn for_terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                shown.push(' ');
            }
            ESCAPE => skip_escape_sequence(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            c if is_unsafe(c) => {}
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A field that no spreadsheet takes for a formula: as [`for_terminal`], with an apostrophe before
/// anything that starts like one, white space and full-width forms seen through.
pub fn for_csv(text: &str) -> Cow<'_, str> {
    let shown = for_terminal(text);
    let first = shown.chars().find(|c| !c.is_whitespace());
    if first.is_some_and(starts_a_formula) || text.starts_with(['\t', '\r', '\n']) {
        Cow::Owned(format!("'{shown}"))
    } else {
        shown
    }
}

/// A code span for a Markdown table cell. Inside one nothing is markup: no link, autolink, mention,
/// emphasis or tag, which backslashes alone do not give, as mentions and addresses are looked for
/// after they are gone. Empty for an empty text.
pub fn for_markdown(text: &str) -> String {
    with_escaped_pipes(&for_markdown_line(text))
}

/// As [`for_markdown`], for a line outside of tables, where a pipe is a pipe.
pub fn for_markdown_line(text: &str) -> String {
    let shown = for_terminal(text);
    let shown = shown.trim();
    if shown.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(shown, '`') + 1);
    // A space at both ends keeps a backtick of the text away from the fence; Markdown drops it.
    let pad = if shown.starts_with('`') || shown.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

/// The program's own words in Markdown: what could be markup there is escaped.
pub fn own_words_for_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in for_terminal(text).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '@'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A pipe ends a table cell even inside a code span, unless a backslash stands before it. A run of
/// backslashes before it is made even first, or some renderers would pair the last one with ours.
fn with_escaped_pipes(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut backslashes = 0_usize;
    for c in text.chars() {
        if c == '|' {
            if !backslashes.is_multiple_of(2) {
                escaped.push('\\');
            }
            escaped.push('\\');
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        escaped.push(c);
    }
    escaped
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0) / of.len_utf8()
}

fn starts_a_formula(c: char) -> bool {
    matches!(
        c,
        '=' | '+' | '-' | '@'
            // full-width, small and mathematical forms, which some programs fold into the above
            | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}'
            | '\u{fe66}' | '\u{fe62}' | '\u{fe63}' | '\u{fe6b}'
            | '\u{2212}'
    )
}

/// Passes over what follows an ESC. A sequence that does not end loses its ESC alone, so that
/// nobody can hide the rest of a text.
fn skip_escape_sequence(rest: &mut Peekable<Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut ahead = rest.clone();
            ahead.next();
            while let Some(c) = ahead.next() {
                let ended = match c {
                    '\u{7}' | '\u{9c}' => true,
                    ESCAPE => ahead.next_if_eq(&'\\').is_some(),
                    _ => false,
                };
                if ended {
                    *rest = ahead;
                    return;
                }
            }
        }
        Some(' '..='/') => {
            while rest.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            rest.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => {
            rest.next();
        }
        _ => {}
    }
}

fn skip_control_sequence(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    rest.next_if(|c| matches!(c, '@'..='~'));
}

/// `text` with its line breaks, each line fit for a terminal.
pub fn safe_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(terminal_safe).collect();
    lines.join("\n")
}

/// `text` with everything escaped that could steer a terminal or reorder what a reader sees:
/// control characters (line breaks and ANSI sequences among them), bidirectional controls, line
/// and paragraph separators, and characters without width.
pub fn terminal_safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Whether a character could steer a terminal, reorder what a reader sees, or stay unseen.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || is_unseen(c)
}

/// Characters that are not seen or that change how others are seen: bidirectional controls, other
/// format characters, fillers, variation selectors, tags.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A number with a comma between its thousands.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 account`, `3 accounts`, `50,000 accounts`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// How many there are, to be [`counted`].
pub fn length<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).unwrap_or(u64::MAX)
}

/// An error and its causes in one line, none of them twice.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;

    /// Texts rich in what the defusing is about.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            "[ -~]{0,6}",
            prop::sample::select(vec![
                "\u{1b}[31m",
                "\u{1b}]8;;http://x\u{7}",
                "\u{1b}",
                "\u{9b}2J",
                "\u{202e}",
                "\u{2066}",
                "\r\n",
                "\t",
                "|",
                "\\",
                "`",
                "``",
                "=",
                "＝",
                "@bob",
                "<b>",
                "\u{feff}",
                " ",
            ])
            .prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_terminal_never_gets_a_control_or_unseen_character(text in hostile()) {
            let shown = for_terminal(&text);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_unseen(c)), "{shown:?}");
            prop_assert_eq!(for_terminal(&shown), shown.as_ref());
        }

        #[test]
        fn a_csv_field_never_starts_a_formula(text in hostile()) {
            let field = for_csv(&text);
            prop_assert!(!field.trim_start().starts_with(starts_a_formula), "{field:?}");
            prop_assert!(!field.chars().any(char::is_control), "{field:?}");
            prop_assert_eq!(for_csv(&field), field.as_ref());
        }

        #[test]
        fn markdown_gets_one_code_span_that_nothing_inside_can_leave(text in hostile()) {
            let span = for_markdown(&text);
            if span.is_empty() {
                prop_assert!(for_terminal(&text).trim().is_empty());
                return Ok(());
            }
            let fence = span.chars().take_while(|c| *c == '`').count();
            let inside = span.get(fence..span.len() - fence).unwrap();
            prop_assert!(span.ends_with(&"`".repeat(fence)));
            prop_assert!(longest_run(inside, '`') < fence, "{span:?}");
            prop_assert!(!inside.starts_with('`') && !inside.ends_with('`'), "{span:?}");
            let mut run = 0;
            for c in span.chars() {
                prop_assert!(!c.is_control(), "{span:?}");
                prop_assert!(c != '|' || run % 2 == 1, "a pipe ends the cell: {span:?}");
                run = if c == '\\' { run + 1 } else { 0 };
            }
        }

        #[test]
        fn a_markdown_reader_sees_one_code_span_per_cell_and_no_markup(text in hostile()) {
            let row = format!("| a | b |\n| --- | --- |\n| {0} | {0} |\n", for_markdown(&text));
            let mut spans = Vec::new();
            let mut cells = 0;
            for event in Parser::new_ext(&row, Options::all()) {
                match event {
                    Event::Code(code) => spans.push(code.into_string()),
                    Event::Start(Tag::TableCell) => cells += 1,
                    Event::Start(Tag::Table(_) | Tag::TableHead | Tag::TableRow) | Event::End(_) => {}
                    Event::Text(words) => prop_assert!(["a", "b"].contains(&words.as_ref())),
                    other => prop_assert!(false, "{other:?} in {row}"),
                }
            }
            prop_assert_eq!(cells, 4);
            let shown = for_terminal(&text);
            let shown = shown.trim();
            if shown.is_empty() {
                prop_assert!(spans.is_empty());
            } else {
                prop_assert_eq!(spans.len(), 2, "{}", row);
                if !shown.contains('\\') {
                    prop_assert_eq!(&spans, &[shown, shown]);
                }
            }
        }

        #[test]
        fn plain_text_is_shown_as_it_is(text in "[a-zA-Zäöü0-9.]{1,20}") {
            prop_assert_eq!(for_terminal(&text), text.as_str());
            prop_assert_eq!(for_csv(&text), text.as_str());
            prop_assert_eq!(for_markdown(&text), format!("`{text}`"));
            prop_assert_eq!(own_words_for_markdown(&text), text);
        }
    }

    #[test]
    fn whole_escape_sequences_go_and_an_unfinished_one_hides_nothing() {
        for (text, shown) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            (
                "\u{1b}]8;;https://evil.example\u{1b}\\link\u{1b}]8;;\u{7}",
                "link",
            ),
            ("\u{1b}]0;title", "]0;title"),
            ("\u{9b}2Jgone?", "gone?"),
            ("\u{1b}(Bascii", "ascii"),
            ("two\r\nlines\u{2028}and\ttabs", "two lines and tabs"),
            ("moc.elpmaxe@\u{202e}enaj\u{202c}", "moc.elpmaxe@enaj"),
        ] {
            assert_eq!(for_terminal(text), shown, "{text:?}");
        }
    }

    #[test]
    fn formulas_are_defused_behind_white_space_and_in_full_width() {
        for text in [
            "=1",
            "+1",
            "-1",
            "@a",
            " =1",
            "\u{a0}=1",
            "\u{feff}=1",
            "＝1",
            "\tx",
            "\rx",
        ] {
            assert!(for_csv(text).starts_with('\''), "{text:?}");
        }
        assert_eq!(for_csv("jane@example.com"), "jane@example.com");
    }

    #[test]
    fn our_own_words_lose_no_underscore_to_emphasis() {
        assert_eq!(
            own_words_for_markdown("max_creations *"),
            "max\\_creations \\*"
        );
    }

    #[test]
    fn a_text_from_a_directory_cannot_steer_the_terminal() {
        assert_eq!(terminal_safe("Zoë Müller"), "Zoë Müller");
        assert_eq!(
            terminal_safe("a\u{1b}[31m\r\n\u{202e}b\u{9b}2J\u{200b}"),
            "a\\u{1b}[31m\\u{d}\\u{a}\\u{202e}b\\u{9b}2J\\u{200b}"
        );
        assert_eq!(safe_lines("one\ntwo\u{7}"), "one\ntwo\\u{7}");
    }
}
