//! What the daemon refuses at start and at a reload, and a person at a terminal is only warned of.

use crate::settings::{Warning, WarningKind};

/// A secret that every user of the machine can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon does not use a secret that everybody can read: {0}")]
pub struct ExposedSecret(String);

/// Refuses secrets that every user of the machine can read: what is a warning for a person at a
/// terminal is an error for a service that nobody watches.
pub(super) fn refuse_exposed(warnings: &[Warning]) -> Result<(), ExposedSecret> {
    let exposed: Vec<String> = warnings
        .iter()
        .filter(|warning| warning.kind == WarningKind::SecretReadableByAll)
        .map(ToString::to_string)
        .collect();
    if exposed.is_empty() {
        Ok(())
    } else {
        Err(ExposedSecret(exposed.join("; ")))
    }
}
