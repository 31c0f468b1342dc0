//! `rolecall explain`: everything known about one person, and what the next run would do.

use std::io::{IsTerminal as _, Write as _};

use crate::cli::{ExplainArgs, GlobalArgs, TableFormat};
use crate::clock::{SharedClock, SystemClock};
use crate::directory::{Opa, OpseraReader, Transport};
use crate::exit::ExitStatus;
use crate::explain::{Explanation, Question, explain, live, render};
use crate::settings::{Policy, Settings};
use crate::store::Store;
use crate::ui;

pub(super) async fn run(global: &GlobalArgs, args: &ExplainArgs) -> anyhow::Result<ExitStatus> {
    let clock = SystemClock::shared();
    let explanation = if args.live {
        let settings = super::load_settings(global)?.settings;
        let path = &settings.store.path;
        let mut explanation = from_store(path, &settings.policy, args, &clock).await?;
        look_again(&mut explanation, &settings, clock).await?;
        explanation
    } else {
        let settings = super::load_offline_settings(global)?.settings;
        from_store(&settings.store.path, &settings.policy, args, &clock).await?
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
    path: &std::path::Path,
    policy: &Policy,
    args: &ExplainArgs,
    clock: &SharedClock,
) -> anyhow::Result<Explanation> {
    let store = Store::open_existing_read_only(path).await?;
    let question = Question {
        text: &args.email,
        policy,
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
    let mut sink = ui::Sink::stdout(global.colour());
    match args.format.or_fitting() {
        TableFormat::Table => {
            let style = ui::table_style(global.colour(), std::io::stdout().is_terminal());
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
