//! Reading the log: as a stream, as a filtered list, as an export.

use std::io::{self, Write};

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqlitePool};

use crate::audit::{Event, ExportFormat, Exporter, HashedEntry, Head};
use crate::domain::time::format_time;
use crate::domain::{RunId, time::Timestamp};
use crate::store::{Store, StoreError};

/// Which entries are wanted; everything that is set must fit.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// An address (ASCII letter case does not count) or an account's id.
    pub person: Option<String>,
    /// One run.
    pub run: Option<RunId>,
    /// One event.
    pub event: Option<Event>,
    /// When they were written.
    pub period: Period,
    /// At most this many: the last ones.
    pub limit: Option<u32>,
}

/// A part of the log. Times never go backwards in it, so a part has no gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Up to the entry with this number, which is a part of it.
    pub last: Option<u64>,
}

impl Period {
    fn last(self) -> i64 {
        self.last
            .map_or(i64::MAX, |last| i64::try_from(last).unwrap_or(i64::MAX))
    }
}

/// What an export came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// How many entries.
    pub entries: u64,
    /// What the first of them continues: the number and the hash of the entry before.
    pub continues: Option<Head>,
    /// The last of them.
    pub head: Option<Head>,
}

/// A row that is no entry.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) row: Option<u64>,
    pub(super) column: &'static str,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output does not take more.
    #[error("cannot write the export of the audit log")]
    Output(#[source] io::Error),
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT seq, at, run_id, host, user, version, event, email, opsera_id, ",
            "\"before\", \"after\", reason, evidence, http_status, words, algorithm, ",
            "prev_hash, hash, format FROM audit ",
            $rest
        )
    };
}

impl Store {
    /// The entries that fit, in the order in which they were written.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list_audit(&self, filter: &AuditFilter) -> Result<Vec<HashedEntry>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(select!("WHERE TRUE"));
        push_conditions(&mut query, filter);
        query.push(" ORDER BY seq DESC");
        if let Some(limit) = filter.limit {
            query.push(" LIMIT ");
            query.push_bind(limit);
        }
        let rows = query
            .build()
            .fetch_all(self.reader())
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter()
            .rev()
            .map(|row| entry(row).map_err(|unreadable| self.explain(corrupt(&unreadable))))
            .collect()
    }

    /// The entries that fit, one by one, in the order in which they were written: as
    /// [`Store::list_audit`], for a log of any length.
    ///
    /// # Errors
    /// The store cannot be read; also each entry may be an error.
    pub async fn stream_audit(
        &self,
        filter: &AuditFilter,
    ) -> Result<BoxStream<'_, Result<HashedEntry, StoreError>>, StoreError> {
        let mut first = QueryBuilder::<Sqlite>::new(
            "SELECT coalesce(min(seq), 0), coalesce(max(seq), -1) FROM (SELECT seq FROM audit WHERE TRUE",
        );
        push_conditions(&mut first, filter);
        first.push(" ORDER BY seq DESC");
        if let Some(limit) = filter.limit {
            first.push(" LIMIT ");
            first.push_bind(limit);
        }
        first.push(")");
        let (from, to): (i64, i64) = first
            .build_query_as()
            .fetch_one(self.reader())
            .await
            .map_err(|error| self.explain(error))?;
        let rows = sqlx::query(select!(
            "WHERE seq BETWEEN ?1 AND ?2
               AND (?3 IS NULL OR email = ?3 COLLATE NOCASE OR opsera_id = ?3)
               AND (?4 IS NULL OR run_id = ?4)
               AND (?5 IS NULL OR event = ?5)
               AND (?6 IS NULL OR at >= ?6)
               AND (?7 IS NULL OR at < ?7)
             ORDER BY seq"
        ))
        .bind(from)
        .bind(to)
        .bind(
            filter
                .person
                .as_deref()
                .map(|person| person.trim().to_owned()),
        )
        .bind(filter.run.as_ref().map(|run| run.as_str().to_owned()))
        .bind(filter.event.map(Event::as_str))
        .bind(filter.period.since.map(format_time))
        .bind(filter.period.until.map(format_time))
        .fetch(self.reader());
        Ok(rows
            .map(|row| {
                let row = row.map_err(|error| self.explain(error))?;
                entry(&row).map_err(|unreadable| self.explain(corrupt(&unreadable)))
            })
            .boxed())
    }

    /// At most `limit` entries after the one with this number.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list_audit_after(
        &self,
        entry: u64,
        limit: u32,
    ) -> Result<Vec<HashedEntry>, StoreError> {
        let period = Period {
            last: Some(entry.saturating_add(limit.into())),
            ..Period::default()
        };
        let from = i64::try_from(entry.saturating_add(1)).unwrap_or(i64::MAX);
        let rows: Vec<_> = stream(self.reader(), from, period)
            .try_collect()
            .await
            .map_err(|error| self.explain(error))?;
        rows.into_iter()
            .map(|row| row.map_err(|unreadable| self.explain(corrupt(&unreadable))))
            .collect()
    }

    /// Writes the entries of `period` to `out`, one by one.
    ///
    /// # Errors
    /// The store cannot be read, or `out` does not take more.
    pub async fn export_audit(
        &self,
        format: ExportFormat,
        period: Period,
        out: &mut dyn Write,
    ) -> Result<Exported, ExportError> {
        let mut exporter = Exporter::new(format, out).map_err(ExportError::Output)?;
        let mut rows = stream(self.reader(), 0, period);
        let mut all = Exported::default();
        while let Some(row) = rows.try_next().await.map_err(|error| self.explain(error))? {
            let entry = row.map_err(|unreadable| self.explain(corrupt(&unreadable)))?;
            exporter.write(&entry).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => ExportError::Store(
                    self.explain(StoreError::corrupt("audit", "value", entry.seq, error)),
                ),
                _ => ExportError::Output(error),
            })?;
            all.entries += 1;
            if all.continues.is_none() {
                all.continues = Some(Head {
                    entries: entry.seq.saturating_sub(1),
                    hash: entry.prev_hash,
                });
            }
            all.head = Some(Head {
                entries: entry.seq,
                hash: entry.hash,
            });
        }
        exporter.finish().map_err(ExportError::Output)?;
        Ok(all)
    }
}

fn push_conditions(query: &mut QueryBuilder<Sqlite>, filter: &AuditFilter) {
    if let Some(person) = &filter.person {
        query.push(" AND (email = ");
        query.push_bind(person.trim());
        query.push(" COLLATE NOCASE OR opsera_id = ");
        query.push_bind(person.trim());
        query.push(")");
    }
    if let Some(run) = &filter.run {
        query.push(" AND run_id = ");
        query.push_bind(run.as_str());
    }
    if let Some(event) = filter.event {
        query.push(" AND event = ");
        query.push_bind(event.as_str());
    }
    if let Some(since) = filter.period.since {
        query.push(" AND at >= ");
        query.push_bind(format_time(since));
    }
    if let Some(until) = filter.period.until {
        query.push(" AND at < ");
        query.push_bind(format_time(until));
    }
    if filter.period.last.is_some() {
        query.push(" AND seq <= ");
        query.push_bind(filter.period.last());
    }
}

/// Entries of `period` from number `from` on, in order; one statement, so of one moment.
pub(super) fn stream(
    pool: &SqlitePool,
    from: i64,
    period: Period,
) -> BoxStream<'_, Result<Result<HashedEntry, Unreadable>, sqlx::Error>> {
    sqlx::query(select!(
        "WHERE seq BETWEEN ?1 AND ?2 AND at >= ?3 AND (?4 IS NULL OR at < ?4) ORDER BY seq"
    ))
    .bind(from)
    .bind(period.last())
    .bind(period.since.map(format_time).unwrap_or_default())
    .bind(period.until.map(format_time))
    .fetch(pool)
    .map_ok(|row| entry(&row))
    .boxed()
}

fn corrupt(unreadable: &Unreadable) -> StoreError {
    let row = unreadable
        .row
        .map_or_else(|| "?".to_owned(), |row| row.to_string());
    StoreError::corrupt("audit", unreadable.column, row, "it is not of its type")
}

fn entry(row: &SqliteRow) -> Result<HashedEntry, Unreadable> {
    let number: Option<u64> = row
        .try_get::<i64, _>("seq")
        .ok()
        .and_then(|seq| u64::try_from(seq).ok());
    let bad = |column| Unreadable {
        row: number,
        column,
    };
    let text = |column| row.try_get::<String, _>(column).map_err(|_| bad(column));
    let maybe = |column| {
        row.try_get::<Option<String>, _>(column)
            .map_err(|_| bad(column))
    };
    Ok(HashedEntry {
        seq: number.ok_or_else(|| bad("seq"))?,
        at: text("at")?,
        run_id: maybe("run_id")?,
        host: text("host")?,
        user: text("user")?,
        version: text("version")?,
        event: text("event")?,
        email: maybe("email")?,
        opsera_id: maybe("opsera_id")?,
        before: maybe("before")?,
        after: maybe("after")?,
        reason: maybe("reason")?,
        evidence: maybe("evidence")?,
        http_status: row
            .try_get::<Option<i64>, _>("http_status")
            .ok()
            .and_then(|status| status.map(u16::try_from).transpose().ok())
            .ok_or_else(|| bad("http_status"))?,
        words: maybe("words")?,
        algorithm: text("algorithm")?,
        prev_hash: text("prev_hash")?,
        hash: text("hash")?,
        format: row
            .try_get::<i64, _>("format")
            .ok()
            .and_then(|format| u16::try_from(format).ok())
            .ok_or_else(|| bad("format"))?,
    })
}
