//! `rolecall audit verify`: the verdict on the log, and what it leaves open.

use serde_json::{Value, json};

use crate::audit::{Anchor, AuditKey, Head, Proof, Verdict, read_checkpoints};
use crate::cli::{AuditVerifyArgs, GlobalArgs, TableFormat};
use crate::commands::desk::Desk;
use crate::domain::text::counted;
use crate::domain::{ExitStatus, text::for_terminal};
use crate::output;

pub(super) async fn run(global: &GlobalArgs, args: &AuditVerifyArgs) -> anyhow::Result<ExitStatus> {
    let expected = expect_head(args.expect_head.as_deref())?;
    let desk = Desk::look_at_store(global).await?;
    let verdict = judge(&desk, expected).await;
    desk.store.close().await;
    let verdict = verdict?;
    let text = match args.format {
        TableFormat::Json => format!("{:#}\n", document(&verdict)),
        TableFormat::Table => {
            let mut text = format!("{}\n", for_terminal(&verdict.to_string()));
            for remark in remarks(&verdict) {
                text.push_str(&remark);
                text.push('\n');
            }
            text
        }
    };
    output::deliver(None, global.colour(), &text)?;
    Ok(exit_status(&verdict))
}

/// What `--expect-head` asks for.
pub(super) fn expect_head(head: Option<&str>) -> anyhow::Result<Proof> {
    let proof = Proof::default();
    Ok(match head {
        Some(head) => proof.expect_head(head)?,
        None => proof,
    })
}

/// The whole log against the key and the checkpoints of the settings, and what is `expected`.
pub(super) async fn judge(desk: &Desk, expected: Proof) -> anyhow::Result<Verdict> {
    let audit = &desk.settings.audit;
    let mut proof = expected;
    proof.key = audit.key_file.as_deref().map(AuditKey::read).transpose()?;
    // Read before the rows: an entry that a checkpoint names was stored before it.
    if let Some(file) = &audit.checkpoint_file {
        proof.checkpoints = read_checkpoints(file)?;
    }
    Ok(desk.store.verify_audit(&proof).await?)
}

pub(super) fn exit_status(verdict: &Verdict) -> ExitStatus {
    match verdict {
        Verdict::Anchored { .. } | Verdict::Unanchored { .. } => ExitStatus::Done,
        Verdict::Broken(_) => ExitStatus::Failed,
    }
}

/// The verdict for programs: every member always, `null` where there is nothing to say.
pub(super) fn document(verdict: &Verdict) -> Value {
    let (name, head, anchor, unkeyed, broken) = match verdict {
        Verdict::Anchored {
            entry,
            at,
            how,
            head,
            unkeyed,
        } => {
            let by = match how {
                Anchor::Key => "key",
                Anchor::Checkpoint => "checkpoint",
                Anchor::ExpectedHead => "expected_head",
            };
            let anchor = json!({ "entry": entry, "at": at, "by": by });
            ("anchored", Some(head), Some(anchor), Some(*unkeyed), None)
        }
        Verdict::Unanchored { head } => ("unanchored", Some(head), None, None, None),
        Verdict::Broken(broken) => {
            let fault = json!({ "entry": broken.entry, "fault": broken.fault.to_string() });
            ("broken", None, None, None, Some(fault))
        }
    };
    json!({
        "schema": "rolecall.audit_verdict/1",
        "verdict": name,
        "entries": head.map(|head| head.entries),
        "head": head.map(|head| &head.hash),
        "anchor": anchor,
        "unkeyed": unkeyed,
        "broken": broken,
        "words": verdict.to_string(),
        "remarks": remarks(verdict),
    })
}

/// What a verdict leaves open.
pub(super) fn remarks(verdict: &Verdict) -> Vec<String> {
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
                    counted(head.entries - entry, "entry", "entries")
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
                    counted(*unkeyed, "entry", "entries")
                ));
            }
            remarks
        }
    }
}

fn counts(head: &Head) -> String {
    let entries = counted(head.entries, "entry", "entries");
    format!("{entries}, head {}", head.hash)
}
