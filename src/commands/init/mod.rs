//! `rolecall init`: a first settings file.

mod asker;
mod interview;

use std::fmt::Write as _;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::check::CheckReport;
use crate::cli::{GlobalArgs, InitArgs, TableFormat, logging};
use crate::domain::text::{safe_lines, terminal_safe};
use crate::domain::{ExitStatus, time::SystemClock};
use crate::init::{Document, Draft, Holds, Places, SecretPlace};
use crate::output;
use crate::settings::{LogSettings, OpaCredentials, json_schema};
use asker::Asker;
use interview::{Answered, Interview, Stop};

/// The `schema` of the JSON form.
const SCHEMA: &str = "rolecall.init/1";

pub(super) async fn run(global: &GlobalArgs, args: &InitArgs) -> anyhow::Result<ExitStatus> {
    if !global.config.is_empty() {
        let words = "error: `init` writes new settings and reads none: name the file with --output, \
                     not with --config\n";
        output::note(words, global.colour());
        return Ok(ExitStatus::Usage);
    }
    let log = LogSettings {
        format: None,
        level: "warn".to_owned(),
    };
    logging::start(&log, global.log_options()).context("logging could not be set up")?;
    let draft = draft(args)?;
    let places = Places::beside(&args.output)?;
    if !args.force {
        places.refuse_to_replace(&written(&draft))?;
    }
    let format = args.format.or_fitting();
    let mut interview = Interview {
        asker: Asker::of_process(global.colour()).context("the terminal cannot be used")?,
        clock: SystemClock::shared(),
        colour: global.colour(),
        offline: args.offline,
        draft,
        tried: CheckReport::default(),
        shows_items: format == TableFormat::Table,
    };
    let answered = match interview.hold().await {
        Ok(answered) => answered,
        Err(Stop::Usage(words)) => {
            output::note(&format!("error: {}\n", safe_lines(&words)), global.colour());
            return Ok(ExitStatus::Usage);
        }
        Err(Stop::Refused) => {
            if format == TableFormat::Json {
                let document = document(&interview.tried, &[], &places);
                output::deliver(None, global.colour(), &document)?;
            }
            anyhow::bail!(
                "nothing was written, because a credential does not work (--offline writes the \
                 settings all the same)"
            );
        }
        Err(Stop::Other(error)) => return Err(error),
    };
    let files = write(&places, &interview.draft, &answered)?;
    let text = match format {
        TableFormat::Json => document(&interview.tried, &files, &places),
        TableFormat::Table => words(&files, &places),
    };
    output::deliver(None, global.colour(), &text)?;
    Ok(ExitStatus::Done)
}

/// The environment's answers, and over them those of the command line.
fn draft(args: &InitArgs) -> anyhow::Result<Draft> {
    let mut draft = Draft::of_environment(std::env::vars_os());
    for (key, answer) in [
        ("opa.base_url", &args.opa_url),
        ("opa.team", &args.opa_team),
        ("opa.key_id", &args.opa_key_id),
        ("opsera.base_url", &args.opsera_url),
        ("opsera.token_owner", &args.token_owner),
    ] {
        if let Some(answer) = answer {
            draft.answer(key, answer);
        }
    }
    for (key, file) in [
        ("opa.key_secret", &args.opa_key_secret_file),
        ("opsera.token", &args.opsera_token_file),
    ] {
        if let Some(file) = file {
            draft
                .answer_secret_file(key, file)
                .with_context(|| format!("the secret in {} cannot be read", file.display()))?;
        }
    }
    if let Some(file) = &args.ca_file {
        draft.answer("http.ca_file", file);
    }
    for (key, items) in [
        ("scope.domains", &args.domain),
        ("protect.emails", &args.protect),
    ] {
        if !items.is_empty() {
            draft.answer_list(key, items);
        }
    }
    Ok(draft)
}

/// The files that will be written, as far as can be told before anything is asked.
fn written(draft: &Draft) -> Vec<Holds> {
    let mut files = vec![Holds::Settings, Holds::Schema];
    for (key, holds) in [
        ("opa.key_secret", Holds::KeySecret),
        ("opsera.token", Holds::Token),
    ] {
        if draft.secret_file(key).is_none() {
            files.push(holds);
        }
    }
    files
}

/// Writes everything; gives what was written, the settings first.
fn write(places: &Places, draft: &Draft, answered: &Answered) -> anyhow::Result<Vec<Holds>> {
    let settings = &answered.settings;
    let mut files = Vec::new();
    let mut place = |key: &str, holds: Holds, secret: &str| {
        if let Some(file) = draft.secret_file(key) {
            return SecretPlace::Named(file);
        }
        files.push((holds, format!("{secret}\n")));
        SecretPlace::Beside(places.name(holds))
    };
    let key_secret = match &settings.opa.credentials {
        OpaCredentials::Key { secret, .. } | OpaCredentials::Token(secret) => {
            secret.expose_secret()
        }
    };
    let document = Document {
        settings,
        key_secret: place("opa.key_secret", Holds::KeySecret, key_secret),
        token: place(
            "opsera.token",
            Holds::Token,
            settings.opsera.token.expose_secret(),
        ),
        schema: &places.name(Holds::Schema),
        domains: &answered.domains,
        noteworthy: &answered.noteworthy,
    }
    .to_toml();
    files.push((Holds::Schema, format!("{:#}\n", json_schema())));
    files.push((Holds::Settings, document));
    places.write(&files)?;
    Ok(files.into_iter().rev().map(|(holds, _)| holds).collect())
}

/// The commands that come next, each with what it answers.
fn next(places: &Places) -> [(String, &'static str); 2] {
    let is_found_by_itself = std::env::current_dir()
        .is_ok_and(|here| here.join("rolecall.toml") == places.settings())
        || places.settings() == std::path::Path::new("/etc/rolecall/rolecall.toml");
    let rolecall = if is_found_by_itself {
        "rolecall".to_owned()
    } else {
        format!("rolecall --config {}", places.settings().display())
    };
    [
        (
            format!("{rolecall} check"),
            "is everything there that a run needs?",
        ),
        (
            format!("{rolecall} sync --dry-run"),
            "what would be done, and why? Nothing is written to Opsera",
        ),
    ]
}

fn words(files: &[Holds], places: &Places) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|holds| terminal_safe(&places.path(*holds).display().to_string()).into_owned())
        .collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default();
    // Writing to a String cannot fail, here and below.
    let mut text = "Written, readable for you alone:\n".to_owned();
    for (name, holds) in names.iter().zip(files) {
        let _ = writeln!(text, "  {name:width$}  {}", holds.in_words());
    }
    text.push_str("\nNext\n");
    let next = next(places);
    let width = next
        .iter()
        .map(|(command, _)| command.chars().count())
        .max();
    let width = width.unwrap_or_default();
    for (command, why) in &next {
        let _ = writeln!(text, "  {command:width$}  # {why}");
    }
    text
}

fn document(tried: &CheckReport, files: &[Holds], places: &Places) -> String {
    let next = if files.is_empty() {
        Vec::new()
    } else {
        next(places).map(|(command, _)| command).to_vec()
    };
    let document = json!({
        "schema": SCHEMA,
        "written": files
            .iter()
            .map(|holds| json!({ "path": places.path(*holds), "holds": holds.as_str() }))
            .collect::<Vec<_>>(),
        "tried": tried.items(),
        "next": next,
    });
    format!("{document:#}\n")
}
