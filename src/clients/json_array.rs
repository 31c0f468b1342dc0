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
    /// Takes the next piece; every element that is complete with it goes to `element`. An element
    /// that lies in the piece as a whole is not copied.
    ///
    /// # Errors
    /// In words, what makes this no array of records, or what `element` says.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        mut element: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            match self.place {
                Place::Element => rest = self.inside(rest, &mut element)?,
                _ if is_space(byte) => rest = after,
                Place::BeforeArray => match byte {
                    b'[' => {
                        self.place = Place::First;
                        rest = after;
                    }
                    b'<' => return Err("it is an HTML page".to_owned()),
                    _ => return Err("it is not a JSON array".to_owned()),
                },
                Place::First if byte == b']' => {
                    self.place = Place::AfterArray;
                    rest = after;
                }
                Place::First => self.place = Place::Element,
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

    /// Takes bytes up to the end of the element that they begin in. Gives the bytes behind it.
    fn inside<'p>(
        &mut self,
        piece: &'p [u8],
        element: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<&'p [u8], String> {
        let end = self.find_end(piece);
        let (bytes, after) = piece
            .split_at_checked(end.unwrap_or(piece.len()))
            .unwrap_or((piece, &[]));
        if self.record.len().saturating_add(bytes.len()) > MAX_RECORD {
            return Err(format!("a record is larger than {MAX_RECORD} bytes"));
        }
        let Some((&delimiter, after)) = after.split_first() else {
            self.record.extend_from_slice(bytes);
            return Ok(after);
        };
        if self.record.is_empty() {
            element(bytes)?;
        } else {
            self.record.extend_from_slice(bytes);
            element(&self.record)?;
            self.record.clear();
        }
        if delimiter == b']' {
            self.place = Place::AfterArray;
        }
        Ok(after)
    }

    /// Where the comma or the bracket stands that ends the element; `None`: not in these bytes.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.string {
                InString::AfterBackslash => {
                    self.string = InString::Yes;
                    at += 1;
                }
                InString::Yes => {
                    let found = memchr::memchr2(b'"', b'\\', rest)?;
                    self.string = match rest.get(found) {
                        Some(b'"') => InString::No,
                        _ => InString::AfterBackslash,
                    };
                    at += found + 1;
                }
                InString::No => {
                    let found = rest.iter().position(|byte| is_structure(*byte))?;
                    match rest.get(found) {
                        Some(b',' | b']') if self.depth == 0 => return Some(at + found),
                        Some(b'"') => self.string = InString::Yes,
                        Some(b'{' | b'[') => self.depth = self.depth.saturating_add(1),
                        // A bracket that closes nothing makes the record unreadable, which is
                        // said then.
                        Some(b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    at += found + 1;
                }
            }
        }
        None
    }
}

fn is_structure(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',')
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
