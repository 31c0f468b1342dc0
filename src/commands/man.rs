//! `rolecall man`: the manual pages, made from the command line's definition for packages to ship.

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::{Cli, ManArgs};
use crate::domain::ExitStatus;

pub(super) fn run(args: &ManArgs) -> anyhow::Result<ExitStatus> {
    let directory = args.directory.display();
    std::fs::create_dir_all(&args.directory)
        .with_context(|| format!("the directory {directory} could not be created"))?;
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .with_context(|| format!("the manual pages could not be written to {directory}"))?;
    Ok(ExitStatus::Done)
}
