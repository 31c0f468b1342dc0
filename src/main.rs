//! The binary: parses the command line, runs the command, maps its outcome to an exit status.

use std::process::ExitCode;

use clap::Parser as _;
use rolecall::cli::{self, Cli};
use rolecall::{commands, output};

#[tokio::main]
async fn main() -> ExitCode {
    let hardened = cli::hardening::forbid_core_dumps();
    let cli = Cli::parse();
    let colour = cli.global.colour();
    if let Err(error) = hardened {
        output::tell_failure(
            &anyhow::Error::new(error).context("core dumps of this process cannot be switched off"),
            &[],
            colour,
        );
    }
    match Box::pin(commands::run(cli)).await {
        Ok(status) => status.into(),
        Err(error) => {
            output::tell_failure(&error, &commands::hints(&error), colour);
            commands::exit_status(&error).into()
        }
    }
}
