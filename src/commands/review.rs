//! `rolecall review`: the decision about a held plan in a browser.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::desk::Desk;
use super::plan::tell;
use crate::cli::signals::stop_on_signals;
use crate::cli::{GlobalArgs, ReviewArgs};
use crate::domain::approval::good_until;
use crate::domain::text::error_chain;
use crate::domain::{ExitStatus, HeldPlan, PlanId, PlanState};
use crate::output;
use crate::review::{Decisions, End, Limits, Review};

pub(super) async fn run(global: &GlobalArgs, args: &ReviewArgs) -> anyhow::Result<ExitStatus> {
    let stop = stop_on_signals()?;
    let (desk, audit_writer) = Desk::decide(global).await?;
    let clock = desk.clock.clone();
    let store = desk.store.clone();
    let reviewed = async {
        let named = match &args.id {
            Some(id) => Some(desk.plan_named(id).await?),
            None => None,
        };
        let decisions = desk.decisions(audit_writer);
        let plan = match named {
            Some(plan) => plan,
            None => match only_held_plan(&decisions).await? {
                Ok(plan) => plan,
                Err(words) => {
                    output::note(&format!("error: {words}\n"), global.colour());
                    return Ok(ExitStatus::Usage);
                }
            },
        };
        if let Some(refusal) = decisions.refusal(&plan).await? {
            return Err(refusal.into());
        }
        let ttl = decisions.ttl;
        let review = Review::open(decisions, plan.clone(), args.port, clock, Limits::default())
            .await
            .with_context(|| format!("no page could be served on port {}", args.port))?;
        // Held until the end: the browser may be slow to read it.
        let _opened = args.open.then(|| open_browser(review.url()));
        output::note(
            &format!(
                "Plan {plan} can be looked at and decided on, once, at\n\n  {}\n\nThe address works \
                 on this machine only. Waiting for 15 minutes after the last look (Ctrl-C ends it).\n",
                review.url()
            ),
            global.colour(),
        );
        let end = review.wait(&stop).await;
        let status = match &end {
            End::Decided(plan) => {
                tell(global, plan, ttl, args.format.or_fitting())?;
                ExitStatus::Done
            }
            End::Idle => {
                let words = format!(
                    "error: nobody looked at plan {plan} for 15 minutes, so nothing is decided and \
                     its page is gone\n"
                );
                output::note(&words, global.colour());
                ExitStatus::Failed
            }
            End::Interrupted => {
                let words = format!("error: interrupted; nothing is decided about plan {plan}\n");
                output::note(&words, global.colour());
                ExitStatus::Failed
            }
        };
        review.close(&end).await;
        Ok(status)
    }
    .await;
    store.close().await;
    reviewed
}

/// The plan that waits for a decision, if there is one and no more.
async fn only_held_plan(decisions: &Decisions) -> anyhow::Result<Result<PlanId, String>> {
    let now = decisions.audit_writer.clock.now();
    let is_open = |plan: &HeldPlan| {
        plan.state == PlanState::Held
            && good_until(plan, decisions.ttl).is_some_and(|until| until > now)
    };
    let mut plans = decisions.store.list_plans().await?;
    plans.retain(is_open);
    let ids: Vec<&str> = plans.iter().map(|plan| plan.id.as_str()).collect();
    Ok(match ids.as_slice() {
        [id] => Ok(PlanId::new(*id)),
        [] => Err("no plan waits for a decision: `rolecall plan list` shows the others".to_owned()),
        _ => Err(format!(
            "{} plans wait for a decision, so say which one: {}",
            ids.len(),
            ids.join(", ")
        )),
    })
}

/// Shows the address to the browser of this desktop. A command line can be read by every user of
/// the machine, so the address goes through a file that only this one may read.
fn open_browser(url: &str) -> Option<NamedTempFile> {
    let opened = (|| {
        let mut page = tempfile::Builder::new()
            .prefix("rolecall-review-")
            .suffix(".html")
            .tempfile()?;
        writeln!(
            page,
            "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
             <meta http-equiv=\"refresh\" content=\"0; url={url}\"><title>rolecall</title>\
             <a href=\"{url}\">To the plan</a>"
        )?;
        let opener = if cfg!(target_os = "macos") {
            "open"
        } else {
            "xdg-open"
        };
        Command::new(opener)
            .arg(page.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok::<_, std::io::Error>(page)
    })();
    opened
        .inspect_err(|error| {
            tracing::warn!(
                error = error_chain(error),
                "no browser could be opened; open the address by hand"
            );
        })
        .ok()
}
