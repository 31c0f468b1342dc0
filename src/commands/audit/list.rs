//! `rolecall audit list`.

use std::io::Write as _;

use futures::TryStreamExt as _;
use serde_json::{Value, json};

use crate::audit::HashedEntry;
use crate::cli::{AuditListArgs, GlobalArgs, TableFormat};
use crate::commands::desk::{Desk, Look, tell_no_run_yet};
use crate::domain::ExitStatus;
use crate::domain::time::{Timestamp, time_for_people};
use crate::output;
use crate::output::Listing;
use crate::store::{StoreError, audit::AuditFilter};

/// Entries whose columns are aligned with each other: what is held in memory at one time.
const ROWS_OF_ONE_TABLE: usize = 1000;

pub(super) async fn run(global: &GlobalArgs, args: &AuditListArgs) -> anyhow::Result<ExitStatus> {
    let format = args.format.or_fitting();
    let desk = match Desk::look(global).await? {
        Look::Open(desk) => desk,
        Look::NoRunYet(settings) => {
            tell_no_run_yet(global, &settings, format, &json!([]))?;
            return Ok(ExitStatus::Done);
        }
    };
    let filter = AuditFilter {
        person: args.person.clone(),
        run: match &args.run {
            Some(given) => Some(desk.run_on_record(given).await?),
            None => None,
        },
        event: args.event,
        period: super::period(args.period, desk.clock.now()),
        limit: Some(args.limit),
    };
    let mut sink = output::Sink::stdout(global.colour());
    let written = write_entries(global, &desk, &filter, format, &mut sink).await;
    desk.store.close().await;
    written?;
    sink.finish()?;
    Ok(ExitStatus::Done)
}

async fn write_entries(
    global: &GlobalArgs,
    desk: &Desk,
    filter: &AuditFilter,
    format: TableFormat,
    sink: &mut output::Sink,
) -> anyhow::Result<()> {
    let mut entries = desk.store.stream_audit(filter).await?;
    let mut is_first = true;
    let mut shown = table();
    let mut is_continued = false;
    while let Some(entry) = entries.try_next().await? {
        if sink.is_closed() {
            return Ok(());
        }
        match format {
            TableFormat::Table => {
                shown.push(row(&entry));
                if shown.rows.len() == ROWS_OF_ONE_TABLE {
                    std::mem::replace(&mut shown, table())
                        .write_table(crate::commands::style(global), sink)?;
                    is_continued = true;
                }
            }
            TableFormat::Json => {
                let json = entry.to_json().map_err(|fault| {
                    StoreError::corrupt(
                        "audit",
                        fault.column,
                        entry.seq,
                        "it is not canonical JSON",
                    )
                })?;
                write!(sink, "{}{json}", if is_first { "[\n" } else { ",\n" })?;
            }
        }
        is_first = false;
    }
    match (format, is_first) {
        (TableFormat::Table, _) if is_continued && shown.rows.is_empty() => {}
        (TableFormat::Table, _) => shown.write_table(crate::commands::style(global), sink)?,
        (TableFormat::Json, true) => writeln!(sink, "[]")?,
        (TableFormat::Json, false) => writeln!(sink, "\n]")?,
    }
    Ok(())
}

/// The table that people get; [`row`] fills it.
pub(in crate::commands) fn table() -> Listing {
    Listing::new(["entry", "time", "event", "who", "what", "by"])
}

/// One entry: number, time, event, whom it is about, what and why, who wrote it.
pub(in crate::commands) fn row(entry: &HashedEntry) -> Vec<Value> {
    let mut said: Vec<String> = Vec::new();
    match (&entry.before, &entry.after) {
        (None, None) => {}
        (before, after) => {
            let part = |json: &Option<String>| json.clone().unwrap_or_else(|| "nothing".to_owned());
            said.push(format!("{} → {}", part(before), part(after)));
        }
    }
    said.extend(entry.reason.clone());
    said.extend(entry.http_status.map(|status| format!("HTTP {status}")));
    said.extend(entry.words.clone());
    let subject = entry.email.as_ref().or(entry.opsera_id.as_ref());
    let time = entry
        .at
        .parse::<Timestamp>()
        .map_or_else(|_| entry.at.clone(), time_for_people);
    vec![
        json!(entry.seq),
        json!(time),
        json!(entry.event.replace('_', " ")),
        json!(subject),
        json!(said.join(" · ")),
        json!(format!("{}@{}", entry.user, entry.host)),
    ]
}
