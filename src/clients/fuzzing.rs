//! The two parsers of foreign bytes that are private to this folder, for the targets in `fuzz/`.
//! Compiled by cargo-fuzz alone, which sets `cfg(fuzzing)`.

use reqwest::header::HeaderMap;
use url::Url;

use super::json_array::JsonArrayReader;
use super::link;

/// The URL of the page after `page`.
///
/// # Errors
/// In words, why it cannot be told.
pub fn next_page(headers: &HeaderMap, page: &Url) -> Result<Option<Url>, String> {
    link::next_page(headers, page).map_err(|error| error.to_string())
}

/// The elements of the JSON array that `pieces` are.
///
/// # Errors
/// In words, what makes this no array.
pub fn split_array<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = JsonArrayReader::default();
    let mut elements = Vec::new();
    for piece in pieces {
        reader.push(piece, |element| {
            elements.push(element.to_vec());
            Ok(())
        })?;
    }
    reader.finish()?;
    Ok(elements)
}
