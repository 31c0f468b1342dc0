//! `rolecall plan`: held plans, and the decisions about them (§6).

mod decide;
mod list;
mod show;

use crate::cli::{GlobalArgs, PlanArgs, PlanCommand};
use crate::domain::ExitStatus;
use crate::review::Decision;

pub(super) use decide::tell;

pub(super) async fn run(global: &GlobalArgs, args: &PlanArgs) -> anyhow::Result<ExitStatus> {
    let (id, decision, reason, reviewer, format) = match &args.command {
        PlanCommand::List { format } => return list::run(global, format.or_fitting()).await,
        PlanCommand::Show { id, format } => {
            return show::run(global, id, format.or_fitting()).await;
        }
        PlanCommand::Approve {
            id,
            reason,
            reviewer,
            format,
        } => (id, Decision::Approve, Some(reason), reviewer, format),
        PlanCommand::Reject {
            id,
            reason,
            reviewer,
            format,
        } => (id, Decision::Reject, reason.as_ref(), reviewer, format),
    };
    let given = decide::Given {
        id,
        decision,
        reason: reason.map(|reason| reason.trim().to_owned()),
        reviewer: reviewer.as_ref().map(|reviewer| reviewer.trim().to_owned()),
    };
    decide::run(global, given, format.or_fitting()).await
}
