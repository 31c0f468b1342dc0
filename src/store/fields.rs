//! One column of one row, or an error that names table, column and row.

use std::fmt::Display;

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

use super::StoreError;

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

    /// The error that this column does not hold what this program writes there.
    pub(super) fn corrupt(&self, column: &'static str, why: impl Display) -> StoreError {
        let id: String = self
            .row
            .try_get(self.id)
            .unwrap_or_else(|_| "unknown".to_owned());
        StoreError::corrupt(self.table, column, id, why)
    }
}
