//! `rolecall completions`: a completion script, made from the command line's definition.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs, GlobalArgs};
use crate::domain::ExitStatus;
use crate::output;

pub(super) fn run(global: &GlobalArgs, args: CompletionsArgs) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rolecall", &mut script);
    output::deliver(None, global.colour(), &String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Done)
}
