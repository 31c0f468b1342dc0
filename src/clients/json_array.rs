//! Opsera's user listing: one large JSON array without paging, read as it comes.
//!
//! The array is cut into its records here, and each record is parsed by itself: memory holds one
//! record and one batch, however large the array is. No thread waits for bytes, so a stream that
//! is dropped half-way leaves nothing behind but a closed connection.

/// Largest record, in bytes.
const MAX_RECORD: usize = 4 << 20;

/// Cuts a JSON array, arriving in pieces of any size, into the texts of its elements.
#[derive(Debug, Default)]
pub(super) struct JsonArrayReader {
    place: Place,
    depth: u32,
    string: InString,
    record: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    BeforeArray,
    /// Where the first element or the end may stand.
    First,
    Element,
    AfterArray,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum InString {
    #[default]
    No,
    Yes,
    AfterBackslash,
}

impl JsonArrayReader {
    /// Takes the next piece; every element that is complete with it goes to `element`.
    ///
    /// # Errors
    /// In words, what makes this no array of records, or what `element` says.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        mut element: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        for &byte in piece {
            match self.place {
                Place::BeforeArray => match byte {
                    b'[' => self.place = Place::First,
                    _ if is_space(byte) => {}
                    b'<' => return Err("it is an HTML page".to_owned()),
                    _ => return Err("it is not a JSON array".to_owned()),
                },
                Place::First => match byte {
                    b']' => self.place = Place::AfterArray,
                    _ if is_space(byte) => {}
                    _ => {
                        self.place = Place::Element;
                        self.inside(byte, &mut element)?;
                    }
                },
                Place::Element => self.inside(byte, &mut element)?,
                Place::AfterArray if is_space(byte) => {}
                Place::AfterArray => {
                    return Err("something follows the end of the array".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Whether the array was whole, now that the body has ended.
    pub(super) fn finish(&self) -> Result<(), String> {
        match self.place {
            Place::AfterArray => Ok(()),
            Place::BeforeArray => Err("its body is empty".to_owned()),
            Place::First | Place::Element => Err("the array breaks off".to_owned()),
        }
    }

    fn inside(
        &mut self,
        byte: u8,
        element: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.string == InString::No && self.depth == 0 && matches!(byte, b',' | b']') {
            element(&self.record)?;
            self.record.clear();
            if byte == b']' {
                self.place = Place::AfterArray;
            }
            return Ok(());
        }
        self.string = match (&self.string, byte) {
            (InString::No, b'"') | (InString::AfterBackslash, _) => InString::Yes,
            (InString::Yes, b'\\') => InString::AfterBackslash,
            (InString::Yes, b'"') | (InString::No, _) => InString::No,
            (InString::Yes, _) => InString::Yes,
        };
        if self.string == InString::No {
            match byte {
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                // A bracket that closes nothing makes the record unreadable, which is said then.
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.record.len() >= MAX_RECORD {
            return Err(format!("a record is larger than {MAX_RECORD} bytes"));
        }
        self.record.push(byte);
        Ok(())
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn split(text: &[u8], piece: usize) -> Result<Vec<Value>, String> {
        let mut reader = JsonArrayReader::default();
        let mut elements = Vec::new();
        for piece in text.chunks(piece) {
            reader.push(piece, |record| {
                elements.push(serde_json::from_slice(record).map_err(|error| error.to_string())?);
                Ok(())
            })?;
        }
        reader.finish()?;
        Ok(elements)
    }

    #[test]
    fn what_is_no_whole_array_is_refused() {
        for text in [
            "",
            " ",
            "{}",
            "null",
            "[",
            "[{}",
            "[{},",
            "[{},]",
            "[,]",
            "[{} {}]",
            "[{}]]",
            "[{}] x",
            "[{}][]",
            "<html>",
            "[{]}]",
            "[{\"a\":\"]",
            "[\"\\\"]",
            "[}]",
            "\u{feff}[]",
        ] {
            assert!(split(text.as_bytes(), 3).is_err(), "{text}");
        }
        assert_eq!(split(b" [ ] \n", 1), Ok(vec![]));
    }

    #[test]
    fn a_record_beyond_all_measure_is_refused() {
        let text = format!("[\"{}\"]", "x".repeat(MAX_RECORD));
        assert!(
            split(text.as_bytes(), 1 << 16)
                .unwrap_err()
                .contains("larger")
        );
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{},:\"\\\\a-c\\PC]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[\"{}a\\\\]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_array_in_any_pieces_comes_out_as_it_went_in(
            elements in proptest::collection::vec(json(), 0..6),
            piece in 1_usize..20,
            pretty in any::<bool>(),
        ) {
            let text = if pretty {
                serde_json::to_vec_pretty(&elements).unwrap()
            } else {
                serde_json::to_vec(&elements).unwrap()
            };
            prop_assert_eq!(split(&text, piece), Ok(elements));
        }

        #[test]
        fn every_cut_is_noticed(elements in proptest::collection::vec(json(), 0..4), cut in 0.0..1.0_f64) {
            let text = serde_json::to_string(&elements).unwrap();
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            #[expect(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "picks a place in a short text")]
            let at = boundaries[(cut * boundaries.len() as f64) as usize];
            prop_assert!(split(&text.as_bytes()[..at], 5).is_err());
        }

        #[test]
        fn it_agrees_with_a_whole_parser_on_garbage(text in "[\\[\\]{},:\"\\\\a0 ]{0,16}") {
            let whole: Result<Vec<Value>, _> = serde_json::from_str(&text);
            prop_assert_eq!(split(text.as_bytes(), 2).is_ok(), whole.is_ok(), "{}", text);
        }
    }
}
