//! The canonical JSON of format 1, in which 0.1 wrote its entries: one value, one sequence of
//! bytes. New entries are written as RFC 8785 says ([`super::Format`]).
//!
//! Object members sorted by the code points of their names, no white space, UTF-8, strings
//! escaped as little as JSON allows. The same bytes as Python's
//! `json.dumps(v, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`. Numbers are whole:
//! two languages rarely print the same fraction alike, so a fraction is kept as a text.

use serde_json::Value;

/// Writes `value` canonically. A number that is not whole becomes a string.
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.push_str(&number.to_string());
        }
        Value::Number(fraction) => write_string(&fraction.to_string(), out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // Sorted here and not left to the map's own order, which is a compile-time feature
            // that any dependency can switch.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                out.push_str("\\u00");
                for digit in [u32::from(c) >> 4, u32::from(c) & 0xf] {
                    out.extend(char::from_digit(digit, 16));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_sorted_and_nothing_is_escaped_that_need_not_be() {
        let value = json!({"z": [1, -2, null, true], "a": {"ü": "é\"\\/", "b": "\u{1}\n\u{7f}"}});
        assert_eq!(
            canonical_json(&value),
            "{\"a\":{\"b\":\"\\u0001\\n\u{7f}\",\"ü\":\"é\\\"\\\\/\"},\"z\":[1,-2,null,true]}"
        );
    }

    #[test]
    fn a_fraction_is_kept_as_a_text() {
        assert_eq!(canonical_json(&json!({"rate": 0.5})), r#"{"rate":"0.5"}"#);
    }

    #[test]
    fn writing_what_was_read_changes_nothing() {
        let text = canonical_json(&json!({"k": ["\u{0}\u{1f}\u{2028}😀", u64::MAX, i64::MIN]}));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(canonical_json(&back), text);
    }
}
