//! What a shell offers after TAB and only the store knows: the ids of plans, runs and actions.
//!
//! The shell's script asks for it with `ROLECALL_COMPLETE` set, in place of a command. The store is
//! read and nothing is written. Whatever goes wrong, nothing is offered: the line that somebody is
//! typing is no place for an error. Only ids and our own words are offered, never a text from a
//! directory.

use std::ffi::OsString;

use clap::{Command, CommandFactory as _};
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate};

use crate::cli::Cli;
use crate::domain::PlanState;
use crate::domain::text::counted;
use crate::domain::time::time_for_people;
use crate::settings::{ConfigSources, OfflineSettings};
use crate::store::{QueueView, Store, StoreError};

/// What asks for completions when it is set; clap's own name for it could be set for another reason.
const VARIABLE: &str = "ROLECALL_COMPLETE";

/// More candidates than anybody reads in a shell.
const MOST: u32 = 50;

/// Answers a shell that asks for completions, or for the script that asks; `false` if nobody asks.
/// It must be called before there are other threads.
///
/// # Errors
/// The shell is not known.
pub fn complete() -> clap::error::Result<bool> {
    let directory = std::env::current_dir().ok();
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin("rolecall")
        .try_complete(std::env::args_os(), directory.as_deref())
}

/// The command line with what the store knows.
fn command() -> Command {
    let candidates = |what: Ids| ArgValueCandidates::new(move || offered(what));
    let with = |command: Command, name: &'static str, argument: &'static str, ids: Ids| {
        command.mut_subcommand(name, |sub| {
            sub.mut_arg(argument, |arg| arg.add(candidates(ids)))
        })
    };
    let cli = Cli::command();
    let cli = cli.mut_subcommand("plan", |plan| {
        let plan = with(plan, "show", "id", Ids::Plans);
        let plan = with(plan, "approve", "id", Ids::UndecidedPlans);
        with(plan, "reject", "id", Ids::UndecidedPlans)
    });
    let cli = cli.mut_subcommand("queue", |queue| {
        let queue = with(queue, "retry", "id", Ids::Actions);
        with(queue, "cancel", "id", Ids::Actions)
    });
    let cli = cli.mut_subcommand("audit", |audit| with(audit, "list", "run", Ids::Runs));
    let cli = with(cli, "review", "id", Ids::UndecidedPlans);
    let cli = with(cli, "undo", "run", Ids::UndoableRuns);
    let cli = with(cli, "report", "run", Ids::Reports);
    with(cli, "report", "diff", Ids::Reports)
}

/// Which ids an argument takes.
#[derive(Clone, Copy, Debug)]
enum Ids {
    Plans,
    /// Those that a decision can change.
    UndecidedPlans,
    Runs,
    /// `latest` as well.
    UndoableRuns,
    /// `latest` and `last-held` as well.
    Reports,
    Actions,
}

fn offered(ids: Ids) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let found = runtime.block_on(known(ids)).unwrap_or_default();
    found
        .into_iter()
        .enumerate()
        .map(|(position, (id, words))| {
            CompletionCandidate::new(id)
                .help(Some(words.into()))
                .display_order(Some(position))
        })
        .collect()
}

/// The ids, the likeliest first, each with what it is.
async fn known(ids: Ids) -> Result<Vec<(String, String)>, StoreError> {
    let files = files_of(std::env::args_os());
    let Ok(loaded) = OfflineSettings::load(&ConfigSources::of_process(files)) else {
        return Ok(Vec::new());
    };
    let store = Store::open_existing_read_only(&loaded.settings.store.path).await?;
    let found = match ids {
        Ids::Plans => plans(&store, |_| true).await,
        Ids::UndecidedPlans => {
            let undecided = |state| matches!(state, PlanState::Held | PlanState::Rejected);
            plans(&store, undecided).await
        }
        Ids::Runs => runs(&store, &[]).await,
        Ids::UndoableRuns => runs(&store, &[LATEST_APPLIED]).await,
        Ids::Reports => runs(&store, &[LATEST, LAST_HELD]).await,
        Ids::Actions => actions(&store).await,
    };
    store.close().await;
    found
}

async fn plans(
    store: &Store,
    wanted: impl Fn(PlanState) -> bool,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut plans = store.list_plans().await?;
    plans.retain(|plan| wanted(plan.state));
    plans.sort_by_key(|plan| {
        (
            plan.state != PlanState::Held,
            std::cmp::Reverse(plan.last_held_at),
        )
    });
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let plans = plans.into_iter().take(most).map(|plan| {
        let held = time_for_people(plan.last_held_at);
        let state = plan.state.as_str();
        let actions = counted(plan.actions, "action", "actions");
        let words = format!("{state}, {actions}, last held {held}");
        (plan.id.to_string(), words)
    });
    Ok(plans.collect())
}

/// Names for runs, with what they mean.
const LATEST: (&str, &str) = ("latest", "the latest run");
const LATEST_APPLIED: (&str, &str) = ("latest", "the latest run that applied its plan");
const LAST_HELD: (&str, &str) = ("last-held", "the latest run that a guard held");

async fn runs(store: &Store, names: &[(&str, &str)]) -> Result<Vec<(String, String)>, StoreError> {
    let runs = store.list_runs(MOST).await?;
    let names = names
        .iter()
        .map(|(name, words)| ((*name).to_owned(), (*words).to_owned()));
    let runs = runs.into_iter().map(|run| {
        let outcome = run
            .report
            .map_or("no report", |report| report.outcome.as_str());
        let words = format!("{outcome}, {}", time_for_people(run.started_at));
        (run.id.to_string(), words)
    });
    Ok(names.chain(runs).collect())
}

async fn actions(store: &Store) -> Result<Vec<(String, String)>, StoreError> {
    let rows = store.list_queue(QueueView::Unsettled, MOST).await?;
    let rows = rows.into_iter().map(|row| {
        let words = format!("{}, {}", row.action.kind().as_str(), row.state.as_str());
        (row.id.to_string(), words)
    });
    Ok(rows.collect())
}

/// The settings files that the line names so far, after the `--` that ends what the shell itself says.
fn files_of(line: impl Iterator<Item = OsString>) -> Vec<std::path::PathBuf> {
    let mut words = line.skip_while(|word| word != "--").skip(1);
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        if word == "--config" {
            files.extend(words.next().map(Into::into));
        } else if let Some(file) = word
            .to_str()
            .and_then(|word| word.strip_prefix("--config="))
        {
            files.push(file.into());
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_that_is_completed_exists() {
        command().debug_assert();
    }

    #[test]
    fn the_settings_files_of_the_line_are_found() {
        let line = [
            "rolecall",
            "--",
            "rolecall",
            "--config",
            "a.toml",
            "plan",
            "--config=b.toml",
        ];
        let files = files_of(line.into_iter().map(OsString::from));
        assert_eq!(files, ["a.toml", "b.toml"].map(std::path::PathBuf::from));
    }
}
