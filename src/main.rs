//! The binary: parses the command line, runs the command, maps its outcome to an exit status.

use std::process::ExitCode;

use clap::Parser as _;
use rolecall::cli::Cli;
use rolecall::domain::ExitStatus;
use rolecall::{commands, output};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let colour = cli.global.colour();
    match commands::run(cli).await {
        Ok(status) => status.into(),
        Err(error) => {
            output::tell_failure(&error, &commands::hints(&error), colour);
            ExitStatus::Failed.into()
        }
    }
}
