//! `rolecall config show`: every setting in effect, where it came from, secrets hidden.
//!
//! Shows what can be shown even if the settings are not valid: that is when people look.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::{GlobalArgs, TableFormat};
use crate::domain::ExitStatus;
use crate::domain::text;
use crate::output;
use crate::output::faint;
use crate::settings::{Effective, Layers, Settings, Warning};

pub(super) fn run(global: &GlobalArgs, format: TableFormat) -> anyhow::Result<ExitStatus> {
    let layers = Layers::read(&super::sources(global))?;
    let values = layers.effective();
    let files: Vec<String> = layers
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let digest = layers.digest();
    let validated = Settings::from_layers(layers);
    let warnings = match &validated {
        Ok(loaded) => loaded.warnings.as_slice(),
        Err(_) => &[],
    };
    let text = match format {
        TableFormat::Table => table(&values, &files, &digest),
        TableFormat::Json => document(&values, &files, &digest, warnings),
    };
    output::deliver(None, global.colour(), &text)?;
    for warning in warnings {
        let line = format!("warning: {}\n", text::terminal_safe(&warning.to_string()));
        output::note(&line, global.colour());
    }
    validated?;
    Ok(ExitStatus::Done)
}

/// In the shape of a configuration file, the origins as comments.
fn table(values: &[Effective], files: &[String], digest: &str) -> String {
    let mut text = String::new();
    match files {
        [] => text.push_str("# no configuration file\n"),
        files => {
            for file in files {
                line(&mut text, &format!("# read {}", text::terminal_safe(file)));
            }
        }
    }
    line(&mut text, &format!("# digest {digest}"));
    let mut section = "";
    for value in values {
        let (of, name) = value.key.split_once('.').unwrap_or(("", value.key));
        if of != section {
            section = of;
            line(&mut text, &format!("\n[{section}]"));
        }
        let setting = format!("{name} = {}", text::terminal_safe(&value.text));
        let origin = text::terminal_safe(&value.origin);
        line(
            &mut text,
            &format!("{setting:<44} {}", faint(&format!("# {origin}"))),
        );
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

/// The settings in effect as `--format json` shows them.
pub(super) fn of_layers(layers: &Layers) -> String {
    let files: Vec<String> = layers
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    document(&layers.effective(), &files, &layers.digest(), &[])
}

fn document(values: &[Effective], files: &[String], digest: &str, warnings: &[Warning]) -> String {
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let document = json!({
        "schema": "rolecall.settings/1",
        "files": files,
        "digest": digest,
        "settings": values,
        "warnings": warnings,
    });
    format!("{document:#}\n")
}
