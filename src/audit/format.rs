//! Which canonical JSON an entry is hashed in: the form of 0.1, or RFC 8785.
//!
//! An entry says its format itself, and the format is part of what is hashed: no byte sequence is
//! an entry in both. A log may change over once, from 1 to 2, and never back.

use serde_json::Value;

use super::canonical_json;

/// The largest whole number that every reader of JSON holds exactly: 2⁵³ − 1 (RFC 7493).
const LARGEST_EXACT: u64 = (1 << 53) - 1;
/// The first double beyond it, 2⁵³: from here on not every whole number has one.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;

/// How the canonical JSON of an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The form of 0.1: members by code points, fractions as texts.
    One,
    /// RFC 8785: members by UTF-16, numbers as ECMAScript writes them.
    Two,
}

impl Format {
    /// What new entries are written in.
    pub const CURRENT: Self = Self::Two;

    /// The format with this number in the log.
    pub fn of(number: u16) -> Option<Self> {
        [Self::One, Self::Two]
            .into_iter()
            .find(|format| format.number() == number)
    }

    /// Its number in the log.
    pub fn number(self) -> u16 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Writes `value` canonically: writing what was read from it changes nothing.
    pub fn canonical(self, value: &Value) -> String {
        match self {
            Self::One => canonical_json(value),
            Self::Two => match serde_json_canonicalizer::to_string(&exact(value.clone())) {
                Ok(text) => text,
                Err(never) => unreachable!("a JSON value is always written: {never}"),
            },
        }
    }
}

/// A number that no double holds exactly becomes a text: two numbers must never be hashed alike.
fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let is_exact = match (number.as_i64(), number.as_u64()) {
                (Some(whole), _) => whole.unsigned_abs() <= LARGEST_EXACT,
                (None, Some(_)) => false,
                (None, None) => number.as_f64().is_some_and(|it| it.abs() < FIRST_INEXACT),
            };
            if is_exact {
                Value::Number(number)
            } else {
                Value::String(number.to_string())
            }
        }
        Value::Array(items) => items.into_iter().map(exact).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| (name, exact(member)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_formats_differ_in_the_order_of_names_and_in_fractions() {
        // U+1F600 is a surrogate pair in UTF-16, which sorts before U+FB33.
        let value = json!({"\u{fb33}": 1, "😀": 1.5, "é": "\u{1}\u{7f}\n", "a": 1e-7});
        assert_eq!(
            Format::One.canonical(&value),
            "{\"a\":\"1e-7\",\"é\":\"\\u0001\u{7f}\\n\",\"\u{fb33}\":1,\"😀\":\"1.5\"}"
        );
        assert_eq!(
            Format::Two.canonical(&value),
            "{\"a\":1e-7,\"é\":\"\\u0001\u{7f}\\n\",\"😀\":1.5,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn numbers_of_the_second_format_are_those_of_ecmascript_and_never_rounded() {
        for (value, text) in [
            (json!(1.0), "1"),
            (json!(-0.0), "0"),
            (json!(0.000_001), "0.000001"),
            (json!(1e-7), "1e-7"),
            (json!(333_333_333.333_333_3), "333333333.3333333"),
            (json!(9_007_199_254_740_991_u64), "9007199254740991"),
            (json!(-9_007_199_254_740_991_i64), "-9007199254740991"),
            (json!(9_007_199_254_740_992_u64), "\"9007199254740992\""),
            (json!(u64::MAX), "\"18446744073709551615\""),
            (json!(i64::MIN), "\"-9223372036854775808\""),
            (json!(1e21), "\"1e+21\""),
        ] {
            assert_eq!(Format::Two.canonical(&value), text);
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn writing_what_was_read_changes_nothing(value in any_json()) {
            for format in [Format::One, Format::Two] {
                let text = format.canonical(&value);
                let back: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(format.canonical(&back), text);
            }
        }
    }
}
