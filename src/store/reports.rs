//! Past reports, whole: the numbers stand in the run's row, the people in parts that the runs share.
//!
//! The rows of a report (actions, waiting accounts, findings, and whom a guard concerns) are one
//! text, a JSON object a line, in the report's order. It is cut after rows that their address
//! chooses, so a row that comes, goes or changes touches its own part and leaves the others as they
//! are. A part is kept once under its SHA-256, and so is the list of the parts: a run that says what
//! the run before said adds nothing. What no run needs any more is removed by triggers.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::thread;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::fields::Fields;
use super::{Store, StoreError};
use crate::domain::time::{Timestamp, before, format_time};
use crate::domain::{
    ActionReport, Finding, GUARD_HISTORY, Guard, GuardHistory, KindSet, Outcome, Report, RunId,
    WaitingReport,
};

/// One row in so many ends a part, by the first byte of its address's SHA-256: 4 of 256.
const ENDS_A_PART: u8 = 4;
/// Rows and bytes of a part at most, whatever addresses somebody chose for their accounts.
const MOST_ROWS: usize = 512;
const MOST_BYTES: usize = 1024 * 1024;
/// Fewer parts are not worth a thread.
const LEAST_PARTS_OF_A_THREAD: usize = 8;
/// What a part may come to when it is read: its rows, the last of which may be long.
const MOST_BYTES_READ: u64 = 64 * 1024 * 1024;
/// Runs of a history at most; the page tells the number.
const MOST_RUNS: u32 = 10_000;

/// What the store knows of a run that was.
#[derive(Clone, Debug, PartialEq)]
pub enum PastReport {
    /// The report as the run printed it.
    Whole(Box<Report>),
    /// The report without its lists of people: a version that did not keep them wrote it.
    WithoutPeople(Box<Report>),
    /// The run never came to its end.
    NoEnd {
        /// When it started.
        started_at: Timestamp,
        /// Whether a later run has found it killed; else it may still be under way.
        is_killed: bool,
    },
    /// The run is no longer kept (`store.retain`), or there was none with this id.
    NotKept,
}

/// One row of a report.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Row<'r> {
    Action(Cow<'r, ActionReport>),
    Waiting(Cow<'r, WaitingReport>),
    Finding(Cow<'r, Finding>),
    Concerned { guard: Guard, email: Cow<'r, str> },
}

impl<'r> Row<'r> {
    /// Every row of `report`, in its order.
    fn all(report: &'r Report) -> impl Iterator<Item = Self> {
        let concerned = report.guards.iter().flat_map(|guard| {
            guard.concerned.iter().map(|email| Self::Concerned {
                guard: guard.guard,
                email: Cow::Borrowed(email),
            })
        });
        let actions = report.actions.iter();
        let waiting = report.waiting.iter();
        let findings = report.findings.iter();
        actions
            .map(|row| Self::Action(Cow::Borrowed(row)))
            .chain(waiting.map(|row| Self::Waiting(Cow::Borrowed(row))))
            .chain(findings.map(|row| Self::Finding(Cow::Borrowed(row))))
            .chain(concerned)
    }

    fn ends_a_part(&self) -> bool {
        let email: &str = match self {
            Self::Action(row) => &row.email,
            Self::Waiting(row) => &row.email,
            Self::Finding(row) => &row.email,
            Self::Concerned { email, .. } => email,
        };
        let digest = Sha256::digest(email);
        digest.first().is_some_and(|first| *first < ENDS_A_PART)
    }

    /// Puts the row back where it came from; false where the report has no such guard.
    fn put_into(self, report: &mut Report) -> bool {
        match self {
            Self::Action(row) => report.actions.push(row.into_owned()),
            Self::Waiting(row) => report.waiting.push(row.into_owned()),
            Self::Finding(row) => report.findings.push(row.into_owned()),
            Self::Concerned { guard, email } => {
                let mut guards = report.guards.iter_mut();
                let Some(guard) = guards.find(|known| known.guard == guard) else {
                    return false;
                };
                guard.concerned.push(email.into());
            }
        }
        true
    }
}

impl Store {
    /// What `run` reported: each value, and each list in its order, as the run printed them.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub async fn past_report(&self, run: &RunId) -> Result<PastReport, StoreError> {
        // One transaction: a run that ends meanwhile may remove what it finds old.
        let mut tx = self.reader().begin().await?;
        let row = sqlx::query(
            "SELECT id, started_at, finished_at, report, report_rows FROM runs WHERE id = ?1",
        )
        .bind(run.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Ok(PastReport::NotKept);
        };
        let fields = Fields::of(&row, "runs", "id");
        if fields.get::<Option<String>>("report")?.is_none() {
            return Ok(PastReport::NoEnd {
                started_at: fields.time("started_at")?,
                is_killed: fields.maybe_time("finished_at")?.is_some(),
            });
        }
        let mut report = Box::new(fields.json("report")?);
        let Some(rows) = fields.maybe_number::<i64>("report_rows")? else {
            return Ok(PastReport::WithoutPeople(report));
        };
        read_rows(&mut tx, rows, &fields, &mut report).await?;
        Ok(PastReport::Whole(report))
    }

    /// The latest run that came to an end, or to this one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn last_ended_run(
        &self,
        outcome: Option<Outcome>,
    ) -> Result<Option<RunId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar(
            "SELECT id FROM runs WHERE finished_at IS NOT NULL AND outcome = coalesce(?1, outcome)
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(outcome.map(Outcome::as_str))
        .fetch_optional(self.reader())
        .await?;
        Ok(id.map(RunId::new))
    }

    /// What the guards said in the days before `report` ended, and in that run itself: the newest
    /// 10,000 runs that were for everybody and for every kind of action. Their people stay packed.
    ///
    /// # Errors
    /// The store cannot be read, or one of these reports is damaged.
    pub async fn guard_history(&self, report: &Report) -> Result<GuardHistory, StoreError> {
        // What is no JSON is handed on as it is: reading it then names the run.
        let rows = sqlx::query(
            "SELECT id, finished_at,
                    iif(json_valid(report), json_extract(report, '$.guards'), report) AS report
             FROM runs
             WHERE seq <= (SELECT seq FROM runs WHERE id = ?1) AND kinds = ?2
               AND finished_at BETWEEN ?3 AND ?4 AND report IS NOT NULL AND people IS NULL
             ORDER BY seq DESC LIMIT ?5",
        )
        .bind(report.run_id.as_str())
        .bind(KindSet::all().to_string())
        .bind(format_time(before(report.finished_at, GUARD_HISTORY)))
        .bind(format_time(report.finished_at))
        .bind(MOST_RUNS)
        .fetch_all(self.reader())
        .await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            let fields = Fields::of(row, "runs", "id");
            runs.push((fields.time("finished_at")?, fields.json("report")?));
        }
        Ok(GuardHistory::of(runs))
    }
}

/// Keeps the rows of a report. Gives the number under which they are found.
pub(super) async fn keep_rows(
    conn: &mut SqliteConnection,
    report: &Report,
) -> Result<i64, StoreError> {
    let mut parts = Vec::new();
    let mut whole = Sha256::new();
    let (mut text, mut length) = (Vec::new(), 0_usize);
    for row in Row::all(report) {
        serde_json::to_writer(&mut text, &row)
            .map_err(|error| StoreError::corrupt("report_parts", "rows", &report.run_id, error))?;
        text.push(b'\n');
        length += 1;
        if length >= MOST_ROWS || text.len() >= MOST_BYTES || row.ends_a_part() {
            parts.push(keep_part(conn, &text, &mut whole).await?);
            text.clear();
            length = 0;
        }
    }
    if !text.is_empty() {
        parts.push(keep_part(conn, &text, &mut whole).await?);
    }
    let digest = whole.finalize();
    let known = sqlx::query_scalar("SELECT id FROM report_rows WHERE digest = ?1")
        .bind(digest.as_slice())
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(known) = known {
        return Ok(known);
    }
    let id: i64 = sqlx::query_scalar("INSERT INTO report_rows (digest) VALUES (?1) RETURNING id")
        .bind(digest.as_slice())
        .fetch_one(&mut *conn)
        .await?;
    for (position, part) in (0_i64..).zip(parts) {
        sqlx::query(
            "INSERT INTO report_row_parts (report_rows, position, part) VALUES (?1, ?2, ?3)",
        )
        .bind(id)
        .bind(position)
        .bind(part)
        .execute(&mut *conn)
        .await?;
    }
    Ok(id)
}

async fn keep_part(
    conn: &mut SqliteConnection,
    rows: &[u8],
    whole: &mut Sha256,
) -> Result<i64, StoreError> {
    let digest = Sha256::digest(rows);
    whole.update(digest);
    let known = sqlx::query_scalar("SELECT id FROM report_parts WHERE digest = ?1")
        .bind(digest.as_slice())
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(known) = known {
        return Ok(known);
    }
    let mut compressed = DeflateEncoder::new(Vec::new(), Compression::default());
    let compressed = compressed
        .write_all(rows)
        .and_then(|()| compressed.finish())
        .map_err(|error| StoreError::corrupt("report_parts", "rows", hex::encode(digest), error))?;
    let id =
        sqlx::query_scalar("INSERT INTO report_parts (digest, rows) VALUES (?1, ?2) RETURNING id")
            .bind(digest.as_slice())
            .bind(compressed)
            .fetch_one(conn)
            .await?;
    Ok(id)
}

/// Puts the rows that are kept under `number` into `report`, which `run` holds.
async fn read_rows(
    conn: &mut SqliteConnection,
    number: i64,
    run: &Fields<'_>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let kept = sqlx::query("SELECT id, digest FROM report_rows WHERE id = ?1")
        .bind(number)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(kept) = kept else {
        return Err(run.corrupt("report_rows", "there are no such rows"));
    };
    let kept = Fields::of(&kept, "report_rows", "id");
    let parts = sqlx::query(
        "SELECT l.part, p.id, p.digest, p.rows FROM report_row_parts l
         LEFT JOIN report_parts p ON p.id = l.part
         WHERE l.report_rows = ?1 ORDER BY l.position",
    )
    .bind(number)
    .fetch_all(conn)
    .await?;
    let mut whole = Sha256::new();
    for (stored, part) in parts.iter().zip(read_parts(&parts)?) {
        whole.update(&part.digest);
        for row in part.rows {
            if !row.put_into(report) {
                let why = "a row names a guard that the report does not have";
                return Err(Fields::of(stored, "report_parts", "part").corrupt("rows", why));
            }
        }
    }
    if kept.get::<Vec<u8>>("digest")? == whole.finalize().as_slice() {
        Ok(())
    } else {
        Err(kept.corrupt("digest", "it is not the digest of the parts"))
    }
}

/// One part, unpacked.
struct Part {
    digest: Vec<u8>,
    rows: Vec<Row<'static>>,
}

/// Reads the parts in their order, on as many processors as there are: unpacking tens of thousands
/// of rows is what somebody who asks for a large report waits for.
fn read_parts(parts: &[SqliteRow]) -> Result<Vec<Part>, StoreError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = parts.len().div_ceil(threads).max(LEAST_PARTS_OF_A_THREAD);
    let read: Vec<Result<Vec<Part>, StoreError>> = thread::scope(|scope| {
        let shares: Vec<_> = parts
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().map(read_part).collect()))
            .collect();
        let crashed = |_| Err(StoreError::from(sqlx::Error::WorkerCrashed));
        shares
            .into_iter()
            .map(|share| share.join().unwrap_or_else(crashed))
            .collect()
    });
    let mut all = Vec::with_capacity(parts.len());
    for share in read {
        all.extend(share?);
    }
    Ok(all)
}

fn read_part(row: &SqliteRow) -> Result<Part, StoreError> {
    let part = Fields::of(row, "report_parts", "part");
    let compressed: Vec<u8> = part.get("rows")?;
    let digest: Vec<u8> = part.get("digest")?;
    let mut text = Vec::new();
    DeflateDecoder::new(compressed.as_slice())
        .take(MOST_BYTES_READ)
        .read_to_end(&mut text)
        .map_err(|error| part.corrupt("rows", error))?;
    if Sha256::digest(&text).as_slice() != digest {
        return Err(part.corrupt("rows", "they do not have their digest"));
    }
    let rows = text
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).map_err(|error| part.corrupt("rows", error)))
        .collect::<Result<_, _>>()?;
    Ok(Part { digest, rows })
}
