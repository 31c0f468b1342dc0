//! A small table for the commands that list something: people get a table, programs get JSON.

use std::io;

use serde::ser::{Serialize, SerializeSeq as _, Serializer};
use serde_json::Value;

use super::render::TableStyle;
use super::table::{Flat, write_table};
use crate::domain::text::for_terminal;

/// Rows under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The columns; in JSON they name the fields, a table shows them with spaces for underscores.
    pub columns: Vec<&'static str>,
    /// One value per column; a value too many is not shown, one too few is left out.
    pub rows: Vec<Vec<Value>>,
}

impl Listing {
    /// An empty listing.
    pub fn new(columns: impl Into<Vec<&'static str>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds one row.
    pub fn push(&mut self, row: impl Into<Vec<Value>>) {
        self.rows.push(row.into());
    }

    /// Writes a table for people, every text stripped of what a terminal would act on; without
    /// rows a line that says so.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write_table(&self, style: TableStyle, out: &mut dyn io::Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return writeln!(out, "None.");
        }
        let titles: Vec<String> = self.columns.iter().map(|name| title(name)).collect();
        let rows = self.rows.iter().map(|row| {
            let row = row.iter().take(self.columns.len());
            row.map(cell).collect()
        });
        write_table(titles.iter().map(String::as_str), rows, style, out)
    }

    /// Writes a JSON array with one object per row, and a newline.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            rows.serialize_element(&Fields(&self.columns, row))?;
        }
        rows.end()
    }
}

struct Fields<'a>(&'a [&'static str], &'a [Value]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

fn cell(value: &Value) -> Flat {
    Flat::plain(match value {
        Value::Null => String::new(),
        Value::String(text) => for_terminal(text).into_owned(),
        other => for_terminal(&other.to_string()).into_owned(),
    })
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters)
        .collect::<String>()
        .replace('_', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::new(["plan_id", "actions", "reason"]);
        listing.push([json!("0123456789ab"), json!(3), Value::Null]);
        listing.push([json!("ba9876543210"), json!(1), json!("a\u{1b}[31mb\nc")]);
        listing
    }

    #[test]
    fn people_get_a_table_without_anything_their_terminal_would_act_on() {
        let mut out = Vec::new();
        listing()
            .write_table(TableStyle::default(), &mut out)
            .unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn programs_get_the_values_as_they_are_in_the_order_of_the_columns() {
        let mut out = Vec::new();
        listing().write_json(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn an_empty_listing_says_so_to_people_and_is_an_empty_array_to_programs() {
        let mut out = Vec::new();
        let empty = Listing::new(["plan_id"]);
        empty.write_table(TableStyle::default(), &mut out).unwrap();
        empty.write_json(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "None.\n[]\n");
    }
}
