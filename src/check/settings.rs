//! The settings: what is wrong, what is odd, and which files they came from.

use super::model::CheckReport;
use crate::settings::{ConfigSources, Settings, WarningKind};

/// Loads the settings and notes what is to be said of them; `None` if they are wrong.
pub(super) fn examine(report: &mut CheckReport, sources: &ConfigSources) -> Option<Settings> {
    let loaded = match Settings::load(sources) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for problem in errors.problems {
                let hint = problem.hint.clone().unwrap_or_else(|| {
                    "correct it; `rolecall config show` tells every setting in effect".to_owned()
                });
                report.failure("settings", problem.to_string(), hint);
            }
            return None;
        }
    };
    let files: Vec<String> = loaded
        .layers
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let from = if files.is_empty() {
        "no file".to_owned()
    } else {
        files.join(", then ")
    };
    let effective = loaded.layers.effective();
    let mut variables: Vec<&str> = effective
        .iter()
        .flat_map(|value| value.origin.split(", "))
        .filter_map(|origin| origin.strip_prefix("environment variable "))
        .collect();
    variables.sort_unstable();
    variables.dedup();
    let and = if variables.is_empty() {
        String::new()
    } else {
        format!("; variables: {}", variables.join(", "))
    };
    report.ok("settings", format!("read from {from}{and}"));
    let mut secrets = 0;
    for warning in loaded.warnings {
        match warning.kind {
            WarningKind::SecretReadableByAll | WarningKind::SecretReadableByGroup => {
                secrets += 1;
                report.warning(
                    "settings.secrets",
                    format!("{}: {}", warning.key, warning.message),
                    warning.hint,
                );
            }
            WarningKind::WithoutEffect | WarningKind::IgnoredVariable => {
                report.warning(warning.key, warning.message, warning.hint);
            }
        }
    }
    if secrets == 0 {
        report.ok("settings.secrets", "no secret's file can be read by others");
    }
    Some(loaded.settings)
}
