//! The binary: parses the command line, runs the command, maps its outcome to an exit status.

use std::process::ExitCode;

use clap::Parser as _;
use rolecall::cli::{self, Cli};
use rolecall::{commands, output};

fn main() -> ExitCode {
    let hardened = cli::hardening::forbid_core_dumps();
    match commands::complete() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => run(hardened),
        Err(error) => error.exit(),
    }
}

#[tokio::main]
async fn run(hardened: std::io::Result<()>) -> ExitCode {
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
