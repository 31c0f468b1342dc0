//! Texts from outside, made fit for a chat.
//!
//! A name in a directory is chosen by somebody. In a message it must neither call people
//! (`@channel`, `<!here>`), nor become a link, nor pretend to be formatting.

use crate::domain::text::is_unsafe;

/// Words that chats take for "everybody" after an `@`.
const CALLS: [&str; 5] = ["channel", "here", "all", "everyone", "team"];

/// `text` without anything that could be taken for markup, at most `most` characters long.
/// `<`, `>` and `&` stay: the body's own escaping takes care of them.
pub(super) fn escape(text: &str, most: usize) -> String {
    let characters: Vec<char> = text.chars().filter(|c| !is_unsafe(*c)).collect();
    let mut safe = String::with_capacity(text.len());
    for (position, c) in characters.iter().enumerate() {
        if position == most {
            safe.push('…');
            break;
        }
        let before = position.checked_sub(1).and_then(|at| characters.get(at));
        let after = characters
            .get(position.saturating_add(1)..)
            .unwrap_or_default();
        let inside_word = before.is_some_and(|c| c.is_alphanumeric())
            && after.first().is_some_and(|c| c.is_alphanumeric());
        match c {
            '`' => safe.push('\''),
            '*' => safe.push('∗'),
            '~' => safe.push('∼'),
            '|' => safe.push('¦'),
            '[' => safe.push('('),
            ']' => safe.push(')'),
            '_' if !inside_word => safe.push('‗'),
            // An address keeps its sign; what calls people does not.
            '@' if !inside_word || calls_people(after) => safe.push('＠'),
            ':' if after.starts_with(&['/', '/']) => safe.push_str(": "),
            c => safe.push(*c),
        }
    }
    safe
}

fn calls_people(after: &[char]) -> bool {
    let word: String = after
        .iter()
        .take_while(|c| c.is_alphanumeric())
        .flat_map(|c| c.to_lowercase())
        .collect();
    CALLS.contains(&word.as_str())
}

/// `text` as Slack wants its three special characters.
pub(super) fn entities(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A JSON document in which no `<`, `>` or `&` stands literally; it means the same.
pub(super) fn without_markup(json: &serde_json::Value) -> String {
    json.to_string()
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_and_addresses_stay_readable() {
        for text in [
            "jane_doe@example.com",
            "Zoë Müller-Lüdenscheidt",
            "a: b, c (d)",
        ] {
            assert_eq!(escape(text, 100), text);
        }
    }

    #[test]
    fn nobody_is_called_and_nothing_is_linked_or_formatted() {
        let hostile = "<!channel> @here x@channel *b* _i_ ~s~ `c` [l](http://evil.example) a|b";
        let safe = entities(&escape(hostile, 200));
        for markup in [
            "<", ">", "@here", "@channel", "*", "`", "~", "[", "://", "|", " _",
        ] {
            assert!(!safe.contains(markup), "{markup} in {safe}");
        }
        assert!(safe.contains("&lt;!channel&gt;"), "{safe}");
    }

    #[test]
    fn nothing_steers_a_terminal_or_breaks_the_line() {
        assert_eq!(
            escape("a\r\n\u{1b}[31m\u{202e}b\u{200b}\u{0}", 50),
            "a(31mb"
        );
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(escape(&"é".repeat(50), 3), "ééé…");
    }

    #[test]
    fn json_means_the_same_without_its_markup() {
        let value = serde_json::json!({ "text": "<a & b>" });
        let text = without_markup(&value);
        assert!(!text.contains(['<', '>', '&']));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
