//! `rolecall plan`: held plans, and the decisions about them (§6).

mod decide;
mod list;
mod show;

use crate::cli::{GlobalArgs, PlanArgs, PlanCommand};
use crate::domain::ExitStatus;

pub(super) async fn run(global: &GlobalArgs, args: &PlanArgs) -> anyhow::Result<ExitStatus> {
    match &args.command {
        PlanCommand::List { format } => list::run(global, format.or_fitting()).await,
        PlanCommand::Show { id, format } => show::run(global, id, format.or_fitting()).await,
        PlanCommand::Approve { id, reason, format } => {
            let asked = decide::Asked {
                given: id.clone(),
                decision: decide::Decision::Approve,
                reason: Some(reason.trim().to_owned()),
            };
            decide::run(global, asked, format.or_fitting()).await
        }
        PlanCommand::Reject { id, reason, format } => {
            let asked = decide::Asked {
                given: id.clone(),
                decision: decide::Decision::Reject,
                reason: reason.as_deref().map(|reason| reason.trim().to_owned()),
            };
            decide::run(global, asked, format.or_fitting()).await
        }
    }
}
