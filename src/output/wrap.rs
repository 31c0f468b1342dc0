//! Lines that end at words: an address or a command that is broken in two cannot be copied.

use unicode_width::UnicodeWidthStr;

/// `text` in lines of at most `width` columns, broken at spaces only; a longer word has a line of
/// its own. Without a width, one line.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else {
        return vec![text.to_owned()];
    };
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0_usize;
    for word in text.split(' ') {
        let needed = word.width();
        if used > 0 && used.saturating_add(needed).saturating_add(1) > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used = used.saturating_add(1);
        }
        line.push_str(word);
        used = used.saturating_add(needed);
    }
    lines.push(line);
    lines
}

/// The columns of the longest word: a column as wide as that breaks none.
pub(super) fn width_of_longest_word(text: &str) -> usize {
    text.split(' ')
        .map(UnicodeWidthStr::width)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_words_and_a_long_word_stays_whole() {
        assert_eq!(
            wrapped("see a.very.long.address@example.com for it", Some(12)),
            ["see", "a.very.long.address@example.com", "for it"]
        );
        assert_eq!(wrapped("no limit here", None), ["no limit here"]);
        assert_eq!(wrapped("", Some(5)), [""]);
        assert_eq!(wrapped("日本 日本", Some(5)), ["日本", "日本"]);
    }

    #[test]
    fn nothing_of_a_text_is_lost() {
        let text = "one  two three four five";
        for width in 0..30 {
            assert_eq!(
                wrapped(text, Some(width))
                    .join(" ")
                    .split_whitespace()
                    .collect::<Vec<_>>(),
                text.split_whitespace().collect::<Vec<_>>()
            );
        }
    }
}
