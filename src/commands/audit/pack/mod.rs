//! `rolecall audit pack`: the evidence of a period, for somebody who was not there.
//!
//! Everything is read from the store, which is opened for reading only. The log is verified first
//! and packed up to the entry at which it ended then, so that the verdict is about what is packed.

mod target;

use std::io::Write as _;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use self::target::{Pack, Written};
use super::verify;
use crate::audit::{Actor, ExportFormat, GENESIS, Verdict};
use crate::cli::{AuditPackArgs, GlobalArgs, TableFormat};
use crate::commands::config_show;
use crate::commands::desk::{self, Desk};
use crate::domain::text::{counted, for_csv, terminal_safe};
use crate::domain::time::{Timestamp, format_time, time_for_people};
use crate::domain::{ExitStatus, Report};
use crate::output;
use crate::settings::Layers;
use crate::store::audit::{AuditFilter, Exported, Period};
use crate::store::{PastReport, RunRow};

const README: &str = include_str!("README.md");
const SCRIPT: &str = include_str!("verify.py");

/// What a pack holds, in numbers.
struct Content {
    since: Timestamp,
    until: Timestamp,
    made_at: Timestamp,
    verdict: Verdict,
    exported: Exported,
    decisions: u64,
    runs: u64,
    team: Option<String>,
}

pub(super) async fn run(global: &GlobalArgs, args: &AuditPackArgs) -> anyhow::Result<ExitStatus> {
    let expected = verify::expect_head(args.expect_head.as_deref())?;
    let layers = Layers::read(&crate::commands::sources(global))?;
    let desk = Desk::look_at_store(global).await?;
    let gathered = async {
        let mut pack = Pack::begin(&args.output, desk.clock.now())?;
        let content = gather(&desk, args, expected, &mut pack).await?;
        pack.write("settings.json", &config_show::of_layers(&layers))?;
        pack.write("verify.py", SCRIPT)?;
        pack.write("README.md", &readme(&content))?;
        anyhow::Ok((pack.finish()?, content))
    }
    .await;
    desk.store.close().await;
    let (files, content) = gathered?;
    let text = match args.format.or_fitting() {
        TableFormat::Json => format!("{:#}\n", document(args, &files, &content)),
        TableFormat::Table => words(args, &content),
    };
    output::deliver(None, global.colour(), &text)?;
    Ok(verify::exit_status(&content.verdict))
}

async fn gather(
    desk: &Desk,
    args: &AuditPackArgs,
    expected: crate::audit::Proof,
    pack: &mut Pack,
) -> anyhow::Result<Content> {
    let made_at = pack.made_at;
    let since = desk::since(args.since, made_at);
    let until = args
        .until
        .map_or(made_at, |until| desk::since(until, made_at));
    if since >= until {
        anyhow::bail!(
            "the period from {} to {} has no time in it: give --since a time before --until",
            time_for_people(since),
            time_for_people(until)
        );
    }
    let head = desk.store.audit_head().await?;
    let verdict = verify::judge(desk, expected).await?;
    let period = Period {
        since: Some(since),
        until: Some(until),
        last: Some(head.entries),
    };
    let exported = export(desk, ExportFormat::Jsonl, period, "audit.jsonl", pack).await?;
    export(desk, ExportFormat::Csv, period, "audit.csv", pack).await?;
    let decisions = decisions(desk, period).await?;
    pack.write("decisions.json", &format!("{:#}\n", json!(decisions)))?;
    let runs = desk.store.list_runs_begun(since, until).await?;
    let team = reports(desk, pack, &runs).await?;
    let content = Content {
        since,
        until,
        made_at,
        verdict,
        exported,
        decisions: count(decisions.len()),
        runs: count(runs.len()),
        team,
    };
    pack.write(
        "verdict.json",
        &format!("{:#}\n", verdict_document(&content)),
    )?;
    Ok(content)
}

async fn export(
    desk: &Desk,
    format: ExportFormat,
    period: Period,
    name: &str,
    pack: &mut Pack,
) -> anyhow::Result<Exported> {
    let mut file = pack.open(name)?;
    let exported = desk.store.export_audit(format, period, &mut file).await?;
    pack.close(file)?;
    Ok(exported)
}

/// What people decided: the entries that belong to no run.
async fn decisions(desk: &Desk, period: Period) -> anyhow::Result<Vec<Value>> {
    let filter = AuditFilter {
        period,
        ..AuditFilter::default()
    };
    let mut entries = desk.store.stream_audit(&filter).await?;
    let mut decisions = Vec::new();
    while let Some(entry) = entries.try_next().await? {
        if entry.run_id.is_some() {
            continue;
        }
        let evidence: Option<Value> = entry
            .evidence
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .with_context(|| format!("the evidence of entry {} cannot be read", entry.seq))?;
        let by = evidence
            .as_ref()
            .and_then(|evidence| evidence["by"].as_str());
        decisions.push(json!({
            "entry": entry.seq,
            "at": entry.at,
            "event": entry.event,
            "by": by.map_or_else(|| format!("{}@{}", entry.user, entry.host), str::to_owned),
            "reason": entry.reason,
            "email": entry.email,
            "opsera_id": entry.opsera_id,
            "evidence": evidence,
        }));
    }
    Ok(decisions)
}

/// The table of the runs, and a file for the report of each: whole, as far as the store keeps it.
/// Gives the Team that the last of them names.
async fn reports(desk: &Desk, pack: &mut Pack, runs: &[RunRow]) -> anyhow::Result<Option<String>> {
    let mut team = None;
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "run_id",
        "mode",
        "started_at",
        "finished_at",
        "outcome",
        "plan_id",
        "settings_digest",
        "deactivate",
        "set_role",
        "create",
        "refused",
        "error",
        "report",
        "names_people",
    ])?;
    for run in runs {
        let (report, people) = match desk.store.past_report(&run.id).await? {
            PastReport::Whole(report) => (Some(report), "yes"),
            PastReport::WithoutPeople(report) => (Some(report), "no"),
            PastReport::NoEnd { .. } | PastReport::NotKept => (None, ""),
        };
        let report = report.as_deref();
        team = report
            .and_then(|report| report.origin.team.clone())
            .or(team);
        let file = report.map(|_| format!("reports/{}.json", file_name(run.id.as_str())));
        let text = |text: Option<&str>| for_csv(text.unwrap_or_default()).into_owned();
        let number =
            |of: fn(&Report) -> u64| report.map(|it| of(it).to_string()).unwrap_or_default();
        table.write_record([
            text(Some(run.id.as_str())),
            text(Some(&run.mode)),
            format_time(run.started_at),
            run.finished_at.map(format_time).unwrap_or_default(),
            text(run.outcome.as_deref()),
            text(run.plan_id.as_deref()),
            text(report.and_then(|report| report.origin.settings_digest.as_deref())),
            number(|report| report.summary.deactivate),
            number(|report| report.summary.set_role),
            number(|report| report.summary.create),
            number(|report| report.summary.refused),
            text(run.error.as_deref()),
            file.clone().unwrap_or_default(),
            people.to_owned(),
        ])?;
        if let (Some(file), Some(report)) = (file, report) {
            let mut open = pack.open(&file)?;
            output::render(
                report,
                None,
                output::Format::Json,
                output::TableStyle::default(),
                &mut open,
            )?;
            pack.close(open)?;
        }
    }
    let mut file = pack.open("runs.csv")?;
    file.write_all(
        &table
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?,
    )?;
    pack.close(file)?;
    Ok(team)
}

/// A run's id where it is part of a path: the store is not trusted with that.
fn file_name(run: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    run.chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

/// The verdict on the whole log, and which part of it is in the pack.
fn verdict_document(content: &Content) -> Value {
    let exported = &content.exported;
    let continues = exported.continues.as_ref();
    let head = exported.head.as_ref();
    let mut document = verify::document(&content.verdict);
    if let Some(members) = document.as_object_mut() {
        let export = json!({
            "since": format_time(content.since),
            "until": format_time(content.until),
            "entries": exported.entries,
            "first": continues.map_or(1, |before| before.entries + 1),
            "prev_hash": continues.map_or(GENESIS, |before| &before.hash),
            "last": head.map_or(0, |head| head.entries),
            "last_hash": head.map_or(GENESIS, |head| &head.hash),
        });
        members.insert("export".to_owned(), export);
    }
    document
}

fn readme(content: &Content) -> String {
    let actor = Actor::of_this_process();
    let exported = &content.exported;
    let entries = match (&exported.continues, &exported.head) {
        (Some(before), Some(head)) => format!(
            "{}, numbers {} to {}",
            counted(exported.entries, "entry", "entries"),
            before.entries + 1,
            head.entries
        ),
        _ => "no entries".to_owned(),
    };
    let team = content
        .team
        .as_deref()
        .unwrap_or("not known: no run of the period has a report");
    let facts = [
        format!("**Team**: {team}"),
        format!(
            "**Period**: from {} to {}, the end not included",
            time_for_people(content.since),
            time_for_people(content.until)
        ),
        format!("**Audit log**: {entries}"),
        format!("**Verdict on the whole log**: {}", content.verdict),
        format!("**Runs**: {}", content.runs),
        format!("**Decisions of people**: {}", content.decisions),
        format!(
            "**Made** at {} by {actor} with rolecall {}",
            time_for_people(content.made_at),
            actor.version
        ),
    ];
    let facts: Vec<String> = facts
        .iter()
        .map(|fact| format!("- {}", terminal_safe(fact)))
        .collect();
    README.replace("{{facts}}", &facts.join("\n"))
}

fn document(args: &AuditPackArgs, files: &[Written], content: &Content) -> Value {
    let files: Vec<Value> = files
        .iter()
        .map(|file| json!({ "name": file.name, "bytes": file.bytes, "sha256": file.sha256 }))
        .collect();
    json!({
        "schema": "rolecall.audit_pack/1",
        "output": args.output.display().to_string(),
        "runs": content.runs,
        "decisions": content.decisions,
        "verdict": verdict_document(content),
        "files": files,
    })
}

fn words(args: &AuditPackArgs, content: &Content) -> String {
    let mut text = format!(
        "{} holds {}, {} and {} from {} to {}.\nThe audit log is {}\n",
        args.output.display(),
        counted(content.exported.entries, "entry", "entries"),
        counted(content.runs, "run", "runs"),
        counted(content.decisions, "decision", "decisions"),
        time_for_people(content.since),
        time_for_people(content.until),
        content.verdict,
    );
    for remark in verify::remarks(&content.verdict) {
        text.push_str(&remark);
        text.push('\n');
    }
    crate::domain::text::safe_lines(&text)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
