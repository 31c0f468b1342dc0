//! `rolecall explain`: everything known about one person, and what the next run would do.

use std::io::{IsTerminal as _, Write as _};

use super::desk::Desk;
use crate::cli::{ExplainArgs, GlobalArgs, TableFormat};
use crate::clients::{Opa, OpseraReader, Transport};
use crate::domain::ExitStatus;
use crate::domain::time::{SharedClock, SystemClock};
use crate::explain::{Explanation, Question, explain, live, render};
use crate::output;
use crate::rules::Policy;
use crate::settings::Settings;
use crate::store::{Store, audit::refuse_lost_store};

pub(super) async fn run(global: &GlobalArgs, args: &ExplainArgs) -> anyhow::Result<ExitStatus> {
    let clock = SystemClock::shared();
    let explanation = if args.live {
        let settings = super::load_settings(global)?.settings;
        if let Some(checkpoints) = &settings.audit.checkpoint_file {
            refuse_lost_store(&settings.store.path, checkpoints)?;
        }
        let store = Store::open_existing_read_only(&settings.store.path).await?;
        let digest = settings.digest();
        let mut explanation = from_store(store, (&settings.policy, &digest), args, &clock).await?;
        look_again(&mut explanation, &settings, clock).await?;
        explanation
    } else {
        let desk = Desk::look_at_store(global).await?;
        let digest = desk.settings.digest();
        from_store(desk.store, (&desk.settings.policy, &digest), args, &clock).await?
    };
    print(global, args, &explanation)?;
    let unanswered = explanation
        .live
        .as_ref()
        .is_some_and(|live| !live.errors.is_empty());
    Ok(if unanswered {
        ExitStatus::Failed
    } else {
        ExitStatus::Done
    })
}

async fn from_store(
    store: Store,
    (policy, settings_digest): (&Policy, &str),
    args: &ExplainArgs,
    clock: &SharedClock,
) -> anyhow::Result<Explanation> {
    let question = Question {
        text: &args.email,
        policy,
        settings_digest,
        now: clock.now(),
    };
    let explanation = explain(&store, question).await;
    store.close().await;
    Ok(explanation?)
}

async fn look_again(
    explanation: &mut Explanation,
    settings: &Settings,
    clock: SharedClock,
) -> anyhow::Result<()> {
    let transport = Transport::new(&settings.http, clock)?;
    let opa = Opa::new(&transport, &settings.opa, &settings.retry)?;
    let opsera = OpseraReader::new(&transport, &settings.opsera, &settings.retry)?;
    live::compare(explanation, &settings.policy, &opa, &opsera).await;
    Ok(())
}

fn print(global: &GlobalArgs, args: &ExplainArgs, explanation: &Explanation) -> anyhow::Result<()> {
    let mut sink = output::Sink::stdout(global.colour());
    match args.format.or_fitting() {
        TableFormat::Table => {
            let style = output::table_style(global.colour(), std::io::stdout().is_terminal());
            render(explanation, style, &mut sink)?;
        }
        TableFormat::Json => {
            serde_json::to_writer_pretty(&mut sink, explanation)?;
            writeln!(sink)?;
        }
    }
    sink.finish()?;
    Ok(())
}
