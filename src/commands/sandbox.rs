//! `rolecall sandbox`: both directories, simulated, until interrupted.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::cli::signals::stop_on_signals;
use crate::cli::{GlobalArgs, SandboxArgs};
use crate::domain::{ExitStatus, time::SystemClock};
use crate::output;
use crate::sandbox::{FaultOptions, Sandbox, SandboxOptions};

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
        ..SandboxOptions::default()
    })
    .await
    .context("the sandbox could not be started")?;
    let mut text = sandbox.describe();
    if let Some(file) = &args.write_config {
        output::deliver(Some(file), global.colour(), &sandbox.settings_toml())?;
        let _ = write!(
            text,
            "\nWritten to {0}. In a second terminal: rolecall --config {0} sync --dry-run\n",
            file.display()
        );
    }
    text.push_str("\nServing until interrupted (Ctrl-C).\n");
    output::deliver(None, global.colour(), &text)?;
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(ExitStatus::Done)
}
