//! The audit log: its key, its checkpoints, and whether the store continues what they prove.

use std::path::Path;

use super::model::CheckReport;
use crate::audit::{Actor, AuditKey, AuditWriter, Checkpoint, read_checkpoints};
use crate::domain::{text::error_chain, time::SharedClock};
use crate::settings::OfflineSettings;
use crate::store::Store;

pub(super) async fn examine(
    report: &mut CheckReport,
    settings: &OfflineSettings,
    store: Option<&Store>,
    clock: &SharedClock,
    actor: Actor,
) {
    let key = match settings.audit.key_file.as_deref().map(AuditKey::read) {
        None => {
            report.warning(
                "audit.key",
                "audit.key_file is not set: whoever can write the store can forge its whole audit \
                 log",
                "make a key with `head -c 32 /dev/urandom > FILE`, mode 0600, away from the store, \
                 before the first run",
            );
            None
        }
        Some(Ok(key)) => {
            report.ok("audit.key", format!("{} is a key", key.file().display()));
            Some(key)
        }
        Some(Err(error)) => {
            report.failure(
                "audit.key",
                error_chain(&error),
                "nothing runs without the key that the settings name",
            );
            report.not_checked("audit.chain", "not checked because the key cannot be used");
            return;
        }
    };
    let last = examine_checkpoints(report, settings.audit.checkpoint_file.as_deref());
    let Some(store) = store else {
        if !settings.store.path.exists() {
            report.ok(
                "audit.chain",
                "there is no log yet; the first run begins it",
            );
            return;
        }
        report.not_checked(
            "audit.chain",
            "not checked because there is no store that can be read",
        );
        return;
    };
    let is_keyed = key.is_some();
    let audit_writer = AuditWriter {
        clock: clock.clone(),
        actor,
        key,
    };
    let checkpoints = settings.audit.checkpoint_file.as_deref();
    match store.check_anchor(&audit_writer, checkpoints).await {
        Ok(()) => match (last, is_keyed) {
            (Some(last), _) => report.ok(
                "audit.chain",
                format!("anchored to entry {} of {}", last.head.entries, last.at),
            ),
            (None, true) => report.ok("audit.chain", "its last entry verifies under the key"),
            (None, false) => report.warning(
                "audit.chain",
                "unanchored: its last entry is consistent, and nothing outside of the store proves \
                 it",
                "set audit.key_file and audit.checkpoint_file; `rolecall audit verify` goes \
                 through the whole log",
            ),
        },
        Err(error) => report.failure(
            "audit.chain",
            error_chain(&error),
            "nothing is applied until this is settled; `rolecall audit verify` says more",
        ),
    }
}

/// The last line of the checkpoint file.
fn examine_checkpoints(report: &mut CheckReport, file: Option<&Path>) -> Option<Checkpoint> {
    match file.map(read_checkpoints) {
        None => {
            report.warning(
                "audit.checkpoint",
                "audit.checkpoint_file is not set: a store that was replaced by an older copy is \
                 not noticed",
                "name a file, best on another volume",
            );
            None
        }
        Some(Ok(mut checkpoints)) => {
            let last = checkpoints.pop();
            let words = last.as_ref().map_or_else(
                || "it has no checkpoint yet".to_owned(),
                |last| {
                    format!(
                        "the last checkpoint is entry {} of {}",
                        last.head.entries, last.at
                    )
                },
            );
            report.ok("audit.checkpoint", words);
            last
        }
        Some(Err(error)) => {
            report.failure(
                "audit.checkpoint",
                error_chain(&error),
                "bring the file back as it was; nothing runs while it contradicts the log",
            );
            None
        }
    }
}
