//! The program in this process, as every test world uses it: settings from files, and one run.

use std::path::PathBuf;

use rolecall::audit::Actor;
use rolecall::domain::{KindSet, Mode, Progress, RunId};
use rolecall::reconcile::{Context, Finished, RunRequest, RunResult};
use rolecall::settings::{ConfigSources, Settings};
use tokio_util::sync::CancellationToken;

use crate::report_schema::assert_keeps_to_schema;

/// When every world begins.
pub(crate) const BEGINNING: &str = "2026-03-01T12:00:00Z";

/// Who runs the program.
pub(crate) fn actor() -> Actor {
    Actor {
        host: "here".to_owned(),
        user: "tester".to_owned(),
        version: "0".to_owned(),
    }
}

/// The settings that these files give, one on top of the other, without an environment.
pub(crate) fn load(files: Vec<PathBuf>) -> Settings {
    let sources = ConfigSources {
        files,
        ..ConfigSources::default()
    };
    match Settings::load(&sources) {
        Ok(loaded) => loaded.settings,
        Err(errors) => panic!("{errors}"),
    }
}

/// A run with everybody and every kind of action in it.
pub(crate) fn request(mode: Mode) -> RunRequest {
    RunRequest {
        id: RunId::random(),
        mode,
        kinds: KindSet::all(),
        people: None,
        stop: CancellationToken::new(),
        progress: Progress::silent(),
    }
}

/// Runs to the end; nobody else may hold the store.
pub(crate) async fn run(context: &Context, request: RunRequest) -> Box<Finished> {
    match rolecall::reconcile::run(context, &request).await {
        RunResult::Finished(finished) => {
            assert_keeps_to_schema(&finished.report);
            finished
        }
        RunResult::AnotherRun(words) => panic!("nobody else runs here: {words}"),
    }
}
