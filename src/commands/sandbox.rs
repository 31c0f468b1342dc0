//! `rolecall sandbox`: both directories, simulated, until interrupted.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::cli::signals::stop_on_signals;
use crate::cli::{GlobalArgs, LinkFormsArg, OversizedCountArg, SandboxArgs};
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
    let mut text = sandbox.describe();
    match &args.write_config {
        // Written with mode 0600; printing the secrets as well would undo that.
        Some(file) => {
            output::deliver(Some(file), global.colour(), &sandbox.settings_toml())?;
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
    output::deliver(None, global.colour(), &text)?;
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(ExitStatus::Done)
}
