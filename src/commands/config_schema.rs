//! `rolecall config schema`: the JSON Schema of a settings file.

use crate::cli::GlobalArgs;
use crate::domain::ExitStatus;
use crate::{output, settings};

pub(super) fn run(global: &GlobalArgs) -> anyhow::Result<ExitStatus> {
    let schema = format!("{:#}\n", settings::json_schema());
    output::deliver(None, global.colour(), &schema)?;
    Ok(ExitStatus::Done)
}
