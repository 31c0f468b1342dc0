//! `rolecall sandbox`: both directories, simulated, until interrupted.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::json;

use crate::cli::signals::stop_on_signals;
use crate::cli::{GlobalArgs, LinkFormsArg, OversizedCountArg, SandboxArgs, TableFormat};
use crate::domain::{ExitStatus, time::SystemClock};
use crate::output;
use crate::sandbox::{FaultOptions, LinkForms, OversizedCount, PageLimit, Sandbox, SandboxOptions};

pub(super) async fn run(global: &GlobalArgs, args: &SandboxArgs) -> anyhow::Result<ExitStatus> {
    let stop = stop_on_signals()?;
    let sandbox = Sandbox::start(SandboxOptions {
        users: args.users,
        seed: args.seed,
        faults: FaultOptions {
            latency: args.latency,
            error_rate: args.error_rate,
            rate_limit: args.rate_limit.map(f64::from),
        },
        opa_port: args.opa_port,
        opsera_port: args.opsera_port,
        clock: SystemClock::shared(),
        quota: args.quota.or(SandboxOptions::default().quota),
        page_limit: PageLimit {
            records: usize::try_from(args.page_limit).unwrap_or(usize::MAX),
            oversized: match args.oversized_count {
                OversizedCountArg::Clamp => OversizedCount::Clamp,
                OversizedCountArg::Refuse => OversizedCount::Refuse,
            },
        },
        link_forms: match args.link_forms {
            LinkFormsArg::Plain => LinkForms::Plain,
            LinkFormsArg::All => LinkForms::All,
        },
        ..SandboxOptions::default()
    })
    .await
    .context("the sandbox could not be started")?;
    if let Some(file) = &args.write_config {
        output::deliver(Some(file), global.colour(), &sandbox.settings_toml())?;
    }
    let text = match args.format {
        TableFormat::Table => words(&sandbox, args),
        TableFormat::Json => document(&sandbox, args),
    };
    output::deliver(None, global.colour(), &text)?;
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(ExitStatus::Done)
}

fn words(sandbox: &Sandbox, args: &SandboxArgs) -> String {
    let mut text = sandbox.describe();
    match &args.write_config {
        // Written with mode 0600; printing the secrets as well would undo that.
        Some(file) => {
            let _ = write!(
                text,
                "\nSettings for it are in {0}. In a second terminal: rolecall --config {0} sync --dry-run\n",
                file.display()
            );
        }
        None => {
            let _ = write!(text, "\nSettings for it:\n\n{}", sandbox.settings_toml());
        }
    }
    text.push_str("\nServing until interrupted (Ctrl-C).\n");
    text
}

/// Where both are, for a program that goes on when it has read this.
fn document(sandbox: &Sandbox, args: &SandboxArgs) -> String {
    let printed = args.write_config.is_none();
    let document = json!({
        "schema": "rolecall.sandbox/1",
        "opa_url": sandbox.opa_url(),
        "opsera_url": sandbox.opsera_url(),
        "team": sandbox.team(),
        "settings_file": args.write_config,
        "settings": printed.then(|| sandbox.settings_toml()),
    });
    format!("{document:#}\n")
}
