//! One column of one row, or an error that names table, column and row.

use std::fmt::Display;

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

use super::StoreError;
use crate::domain::time::Timestamp;

/// A row of a table, with what tells it from the others, for the error.
#[derive(Clone, Copy)]
pub(super) struct Fields<'r> {
    row: &'r SqliteRow,
    table: &'static str,
    id: &'static str,
}

impl<'r> Fields<'r> {
    /// `row` is of `table`, and its column `id` tells it from the others.
    pub(super) fn of(row: &'r SqliteRow, table: &'static str, id: &'static str) -> Self {
        Self { row, table, id }
    }

    /// The value of a column.
    ///
    /// # Errors
    /// The column holds null or another type: something else has written to the store.
    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.row
            .try_get(column)
            .map_err(|error| self.corrupt(column, error))
    }

    /// A number that is never negative, or is in a narrower range.
    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.get::<Option<i64>>(column)?
            .ok_or_else(|| self.corrupt(column, "it is missing"))
            .and_then(|number| self.in_range(column, number))
    }

    /// As [`Fields::number`], where null is no damage.
    pub(super) fn maybe_number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.get::<Option<i64>>(column)?
            .map(|number| self.in_range(column, number))
            .transpose()
    }

    /// A time.
    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        let text: String = self.get(column)?;
        self.parsed(column, &text)
    }

    /// A time, where null is no damage.
    pub(super) fn maybe_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        self.get::<Option<String>>(column)?
            .map(|text| self.parsed(column, &text))
            .transpose()
    }

    /// A value whose text has a form of its own.
    pub(super) fn text<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        self.parsed(column, &text)
    }

    /// A JSON value.
    pub(super) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.corrupt(column, error))
    }

    /// The error that this column does not hold what this program writes there.
    pub(super) fn corrupt(&self, column: &'static str, why: impl Display) -> StoreError {
        let id = self
            .row
            .try_get::<String, _>(self.id)
            .or_else(|_| self.row.try_get::<i64, _>(self.id).map(|id| id.to_string()))
            .unwrap_or_else(|_| "unknown".to_owned());
        StoreError::corrupt(self.table, column, id, why)
    }

    fn in_range<T: TryFrom<i64>>(
        &self,
        column: &'static str,
        number: i64,
    ) -> Result<T, StoreError> {
        T::try_from(number).map_err(|_| self.corrupt(column, format!("{number} is out of range")))
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, StoreError> {
        text.parse()
            .map_err(|error| self.corrupt(column, format!("{text:?}: {error}")))
    }
}
