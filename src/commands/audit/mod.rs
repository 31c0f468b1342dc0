//! `rolecall audit`: the log read, proven and handed on; a log of any length in the same memory.

mod export;
mod list;
mod pack;
mod verify;

use super::desk;
use crate::cli::{AuditArgs, AuditCommand, GlobalArgs, PeriodArgs};
use crate::domain::ExitStatus;
use crate::domain::time::Timestamp;
use crate::store::audit::Period;

pub(super) use list::{row, table};

pub(super) async fn run(global: &GlobalArgs, args: &AuditArgs) -> anyhow::Result<ExitStatus> {
    match &args.command {
        AuditCommand::List(args) => list::run(global, args).await,
        AuditCommand::Verify(args) => verify::run(global, args).await,
        AuditCommand::Export(args) => export::run(global, args).await,
        AuditCommand::Pack(args) => pack::run(global, args).await,
    }
}

/// The part of the log that `--since` and `--until` name.
fn period(args: PeriodArgs, now: Timestamp) -> Period {
    Period {
        since: args.since.map(|when| desk::since(when, now)),
        until: args.until.map(|when| desk::since(when, now)),
        last: None,
    }
}
