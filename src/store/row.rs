//! A row read field by field, so that a damaged value is named by table, column and row and never
//! ends the program.

use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Decode, Row as _, Type};

use super::StoreError;
use crate::domain::time::Timestamp;

/// One row of a table.
pub(super) struct Fields<'r> {
    row: &'r SqliteRow,
    table: &'static str,
    key: String,
}

impl<'r> Fields<'r> {
    /// The row of `table`, called by what stands in `key_column`.
    pub(super) fn of(row: &'r SqliteRow, table: &'static str, key_column: &str) -> Self {
        let key = row
            .try_get::<String, _>(key_column)
            .or_else(|_| row.try_get::<i64, _>(key_column).map(|key| key.to_string()))
            .unwrap_or_else(|_| "?".to_owned());
        Self { row, table, key }
    }

    /// The field of one column.
    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.row
            .try_get(column)
            .map_err(|error| self.corrupt(column, cause(error)))
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

    /// Says that the field of `column` is damaged.
    pub(super) fn corrupt(
        &self,
        column: &'static str,
        detail: impl std::fmt::Display,
    ) -> StoreError {
        StoreError::corrupt(self.table, column, &self.key, detail)
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

/// What is wrong, without sqlx's own words around it.
fn cause(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::ColumnDecode { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
