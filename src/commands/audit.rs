//! `rolecall audit`: the log read, proven and handed on; a log of any length in the same memory.

use std::io::{self, Write};

use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::desk::{Desk, Look, since, tell_no_run_yet};
use crate::audit::{Anchor, AuditKey, ExportFormat, HashedEntry, Proof, Verdict, read_checkpoints};
use crate::cli::{
    self, AuditArgs, AuditCommand, AuditExportArgs, AuditListArgs, AuditVerifyArgs, GlobalArgs,
    TableFormat,
};
use crate::domain::text;
use crate::domain::time::{SystemClock, Timestamp, time_for_people};
use crate::domain::{ExitStatus, text::for_terminal};
use crate::output;
use crate::output::Listing;
use crate::store::{StoreError, audit::AuditFilter};

/// Entries whose columns are aligned with each other: what is held in memory at one time.
const ROWS_OF_ONE_TABLE: usize = 1000;

pub(super) async fn run(global: &GlobalArgs, args: &AuditArgs) -> anyhow::Result<ExitStatus> {
    match &args.command {
        AuditCommand::List(args) => list(global, args).await,
        AuditCommand::Verify(args) => verify(global, args).await,
        AuditCommand::Export(args) => export(global, args).await,
    }
}

async fn list(global: &GlobalArgs, args: &AuditListArgs) -> anyhow::Result<ExitStatus> {
    let format = args.format.or_fitting();
    let desk = match Desk::look(global).await? {
        Look::Open(desk) => desk,
        Look::NoRunYet(settings) => {
            tell_no_run_yet(global, &settings, format, &serde_json::json!([]))?;
            return Ok(ExitStatus::Done);
        }
    };
    let filter = AuditFilter {
        person: args.person.clone(),
        run: match &args.run {
            Some(given) => Some(desk.run_on_record(given).await?),
            None => None,
        },
        event: args.event.map(|event| event.as_str().parse()).transpose()?,
        since: args.since.map(|when| since(when, desk.clock.now())),
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
                        .write_table(super::style(global), sink)?;
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
        (TableFormat::Table, _) => shown.write_table(super::style(global), sink)?,
        (TableFormat::Json, true) => writeln!(sink, "[]")?,
        (TableFormat::Json, false) => writeln!(sink, "\n]")?,
    }
    Ok(())
}

/// The table that people get; [`row`] fills it.
pub(super) fn table() -> Listing {
    Listing::new(["entry", "time", "event", "who", "what", "by"])
}

/// One entry: number, time, event, whom it is about, what and why, who wrote it.
pub(super) fn row(entry: &HashedEntry) -> Vec<Value> {
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

async fn verify(global: &GlobalArgs, args: &AuditVerifyArgs) -> anyhow::Result<ExitStatus> {
    let mut proof = Proof::default();
    if let Some(head) = &args.expect_head {
        proof = proof.expect_head(head)?;
    }
    let desk = Desk::look_at_store(global).await?;
    let audit = &desk.settings.audit;
    proof.key = audit.key_file.as_deref().map(AuditKey::read).transpose()?;
    // Read before the rows: an entry that a checkpoint names was stored before it.
    if let Some(file) = &audit.checkpoint_file {
        proof.checkpoints = read_checkpoints(file)?;
    }
    let verdict = desk.store.verify_audit(&proof).await;
    desk.store.close().await;
    let verdict = verdict?;
    let mut text = format!("{}\n", for_terminal(&verdict.to_string()));
    for remark in remarks(&verdict) {
        text.push_str(&remark);
        text.push('\n');
    }
    output::deliver(None, global.colour(), &text)?;
    Ok(match verdict {
        Verdict::Anchored { .. } | Verdict::Unanchored { .. } => ExitStatus::Done,
        Verdict::Broken(_) => ExitStatus::Failed,
    })
}

/// What a verdict leaves open.
fn remarks(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Broken(_) => Vec::new(),
        Verdict::Unanchored { head } => vec![
            counts(head),
            "Every entry continues the one before, but nothing outside of the store confirms it: \
             give --expect-head a head from a report, or set audit.key_file and \
             audit.checkpoint_file."
                .to_owned(),
        ],
        Verdict::Anchored {
            entry,
            how,
            head,
            unkeyed,
            ..
        } => {
            let mut remarks = vec![counts(head)];
            if *entry < head.entries {
                remarks.push(format!(
                    "The {} after entry {entry} continue it, but nothing outside of the store \
                     confirms them.",
                    super::desk::counted(head.entries - entry, "entry", "entries")
                ));
            }
            if *how == Anchor::Key {
                remarks.push(
                    "Whether entries were cut off at the end, a key cannot tell: \
                     audit.checkpoint_file or --expect-head can."
                        .to_owned(),
                );
            }
            if *unkeyed > 0 {
                remarks.push(format!(
                    "The first {} were written before there was a key.",
                    super::desk::counted(*unkeyed, "entry", "entries")
                ));
            }
            remarks
        }
    }
}

fn counts(head: &crate::audit::Head) -> String {
    let entries = super::desk::counted(head.entries, "entry", "entries");
    format!("{entries}, head {}", head.hash)
}

async fn export(global: &GlobalArgs, args: &AuditExportArgs) -> anyhow::Result<ExitStatus> {
    let desk = Desk::look_at_store(global).await?;
    let format = match args.format {
        cli::ExportFormat::Jsonl => ExportFormat::Jsonl,
        cli::ExportFormat::Csv => ExportFormat::Csv,
    };
    let from = args
        .since
        .map(|when| since(when, SystemClock::shared().now()));
    let exported = export_to(&desk, format, from, args, global).await;
    desk.store.close().await;
    exported?;
    Ok(ExitStatus::Done)
}

async fn export_to(
    desk: &Desk,
    format: ExportFormat,
    from: Option<crate::domain::time::Timestamp>,
    args: &AuditExportArgs,
    global: &GlobalArgs,
) -> anyhow::Result<()> {
    let mut sink = output::Sink::open(args.output.as_deref(), global.colour())?;
    let written = {
        let mut buffered = io::BufWriter::new(&mut sink);
        let written = desk.store.export_audit(format, from, &mut buffered).await?;
        buffered.flush()?;
        written
    };
    sink.finish()?;
    if let Some(file) = &args.output {
        let entries = super::desk::counted(written, "entry", "entries");
        let file = text::terminal_safe(&file.display().to_string()).into_owned();
        output::note(&format!("{entries} written to {file}\n"), global.colour());
    }
    Ok(())
}
