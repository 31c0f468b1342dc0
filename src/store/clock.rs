//! The clocks of earlier runs, and what follows when one of them cannot be trusted.

use std::time::Duration;

use super::fields::Fields;
use super::{Pull, Store, StoreError};
use crate::domain::time::{SinceBoot, Timestamp, format_time};
use crate::rules::clock_trust::{ClockReading, TOLERANCE};

impl Store {
    /// The clocks as the last run with a complete pull read them.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not one that this program writes.
    pub async fn last_clock(&self) -> Result<Option<ClockReading>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, clock_wall, clock_boot_id, clock_uptime_ms FROM runs
             WHERE clock_wall IS NOT NULL ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await
        .map_err(|error| self.explain(error))?;
        row.map(|row| {
            let row = Fields::of(&row, "runs", "seq");
            let boot_id: Option<String> = row.get("clock_boot_id")?;
            let passed: Option<u64> = row.maybe_number("clock_uptime_ms")?;
            Ok(ClockReading {
                wall: row.time("clock_wall")?,
                since_boot: boot_id.zip(passed).map(|(boot_id, passed)| SinceBoot {
                    boot_id,
                    passed: Duration::from_millis(passed),
                }),
            })
        })
        .transpose()
    }

    /// Whether the last run trusted the wall clock; before there is one, there is no reason not to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last_clock_is_trusted(&self) -> Result<bool, StoreError> {
        let trusted: Option<bool> = sqlx::query_scalar(
            "SELECT clock_trusted FROM runs WHERE clock_trusted IS NOT NULL
             ORDER BY seq DESC LIMIT 1",
        )
        .fetch_optional(self.reader())
        .await
        .map_err(|error| self.explain(error))?;
        Ok(trusted.unwrap_or(true))
    }

    /// Writes down the clocks of the run of `pull`, and whether the wall clock is trusted. One
    /// that is not trusted has told no time, so every absence begins anew: its time was measured
    /// against this clock.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn note_clock(
        &self,
        pull: Pull,
        reading: &ClockReading,
        trusted: bool,
    ) -> Result<(), StoreError> {
        let uptime = reading
            .since_boot
            .as_ref()
            .map(|since| i64::try_from(since.passed.as_millis()).unwrap_or(i64::MAX));
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE runs SET clock_wall = ?2, clock_boot_id = ?3, clock_uptime_ms = ?4,
                             clock_trusted = ?5 WHERE seq = ?1",
        )
        .bind(pull.0)
        .bind(format_time(reading.wall))
        .bind(
            reading
                .since_boot
                .as_ref()
                .map(|since| since.boot_id.as_str()),
        )
        .bind(uptime)
        .bind(trusted)
        .execute(&mut *tx)
        .await?;
        if trusted {
            // A decision from the future was made with a clock ahead: it lasts from now on.
            sqlx::query(
                "UPDATE plans SET decided_at = ?1
                 WHERE decided_at > ?2 AND state IN ('approved', 'rejected')",
            )
            .bind(format_time(reading.wall))
            .bind(format_time(
                reading
                    .wall
                    .checked_add_signed(TOLERANCE)
                    .unwrap_or(Timestamp::MAX_UTC),
            ))
            .execute(&mut *tx)
            .await?;
        } else {
            sqlx::query("DELETE FROM absences")
                .execute(&mut *tx)
                .await?;
        }
        self.commit(tx).await
    }
}
