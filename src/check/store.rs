//! The store: is it there, can it be written, is it this installation's, is there room.

use std::path::Path;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use super::model::CheckReport;
use crate::domain::text::error_chain;
use crate::settings::{OfflineSettings, Settings};
use crate::store::{Installation, Store, StoreError, audit::refuse_lost_store};

/// Below this many free bytes the volume is nearly full.
const LITTLE_SPACE: u64 = 100 * 1024 * 1024;

/// Opens the store for reading, if there is one that can be read.
pub(super) async fn examine(
    report: &mut CheckReport,
    settings: &OfflineSettings,
    all: Option<&Settings>,
) -> Option<Store> {
    let path = &settings.store.path;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        report.failure(
            "store.file",
            format!("the directory {} does not exist", directory.display()),
            "make it, writable for the user who runs rolecall, or correct store.path",
        );
        return None;
    }
    let writable = examine_writable(report, path, directory);
    examine_space(report, directory);
    if std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        examine_missing(report, settings, writable);
        return None;
    }
    let store = match Store::open_existing_read_only(path).await {
        Ok(store) => store,
        Err(StoreError::OlderSchema { .. }) => {
            report.warning(
                "store.schema",
                format!(
                    "{} was written by an older version of rolecall",
                    path.display()
                ),
                "nothing to do: the next `rolecall sync` (a dry run too) brings it up to date; back \
                 it up first if you may want to go back",
            );
            return None;
        }
        Err(error) => {
            report.failure(
                "store.schema",
                error_chain(&error),
                "nothing runs until the store can be opened; see the backup section of the \
                 documentation",
            );
            return None;
        }
    };
    report.ok(
        "store.schema",
        format!("{} is intact and up to date", path.display()),
    );
    if let Some(all) = all {
        let installation =
            Installation::new(&all.opa.team, &all.opa.base_url, &all.opsera.base_url);
        match store.check_installation(&installation).await {
            Ok(()) => report.ok(
                "store.installation",
                "it belongs to this Team and this Opsera",
            ),
            Err(error) => report.failure(
                "store.installation",
                error_chain(&error),
                "one store serves one installation: what it remembers of another Team would make \
                 leavers of everybody",
            ),
        }
    }
    Some(store)
}

fn examine_writable(report: &mut CheckReport, path: &Path, directory: &Path) -> bool {
    let read_only_volume =
        statvfs(directory).is_ok_and(|volume| volume.f_flag.contains(StatVfsMountFlags::RDONLY));
    let refused = if read_only_volume {
        Some(format!(
            "the volume of {} is mounted read-only",
            directory.display()
        ))
    } else if access(directory, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        Some(format!(
            "the directory {} cannot be written by this user",
            directory.display()
        ))
    } else if path.exists() && access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        Some(format!(
            "{} cannot be read and written by this user",
            path.display()
        ))
    } else {
        None
    };
    if let Some(message) = refused {
        report.failure(
            "store.file",
            message,
            "give the user who runs rolecall the right to write there (SQLite makes files beside \
             the store), or correct store.path",
        );
        return false;
    }
    if path.exists() {
        report.ok("store.file", format!("{} can be written", path.display()));
    }
    true
}

fn examine_missing(report: &mut CheckReport, settings: &OfflineSettings, writable: bool) {
    let path = &settings.store.path;
    if let Some(file) = &settings.audit.checkpoint_file
        && let Err(error) = refuse_lost_store(path, file)
    {
        report.failure(
            "store.schema",
            error_chain(&error),
            "restore the store from its backup; a new one would have forgotten the queue and the \
             absence clocks",
        );
        return;
    }
    if writable {
        report.ok(
            "store.file",
            format!(
                "there is none yet; the first run makes {}, and its directory can be written",
                path.display()
            ),
        );
    }
}

fn examine_space(report: &mut CheckReport, directory: &Path) {
    match statvfs(directory) {
        Ok(volume) => {
            let free = volume.f_bavail.saturating_mul(volume.f_frsize);
            let megabytes = free / (1024 * 1024);
            if free < LITTLE_SPACE {
                report.warning(
                    "store.disk",
                    format!(
                        "only {megabytes} MB are free on the volume of {}: when it is full, \
                         nothing can be recorded, and so nothing is sent",
                        directory.display()
                    ),
                    "free some space",
                );
            } else {
                report.ok("store.disk", format!("{megabytes} MB are free"));
            }
        }
        Err(error) => report.warning(
            "store.disk",
            format!(
                "the free space of {} cannot be told: {error}",
                directory.display()
            ),
            "look at the volume",
        ),
    }
}
