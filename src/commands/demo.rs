//! `rolecall demo`: the whole job on two simulated directories, for somebody who has nothing yet.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::audit::{Actor, AuditKey, AuditWriter};
use crate::cli::logging::{self, LogOptions};
use crate::cli::signals::stop_on_signals;
use crate::cli::{DemoArgs, GlobalArgs};
use crate::domain::text::{counted, length};
use crate::domain::time::{SharedClock, SystemClock};
use crate::domain::{
    ActionStatus, ExitStatus, Finding, FindingKind, GuardReport, KindSet, Mode, Outcome, Report,
    RunId,
};
use crate::output;
use crate::output::{Format, ProgressLine, Visibility, render};
use crate::reconcile::{Context, RunRequest, RunResult, run as reconcile};
use crate::sandbox::{AccountStatus, Sandbox, SandboxOptions};
use crate::settings::{ConfigSources, LogFormat, LogSettings, Settings};
use crate::store::{Store, audit::AuditFilter};

/// Audit entries that are shown: enough to see one action from its announcement to its outcome.
const SHOWN_ENTRIES: u32 = 3;
/// Rows of a list that are shown: five reports are read in a row.
const SHOWN_ROWS: usize = 2;

pub(super) async fn run(global: &GlobalArgs, args: &DemoArgs) -> anyhow::Result<ExitStatus> {
    start_quiet_logging(global)?;
    let clock = SystemClock::shared();
    let place = Place::new(args.keep.as_deref())?;
    let sandbox = Sandbox::start(SandboxOptions {
        users: args.users,
        seed: args.seed,
        clock: clock.clone(),
        ..SandboxOptions::default()
    })
    .await
    .context("the sandbox could not be started")?;
    let mut stage = Stage {
        global,
        context: place.context(&sandbox.settings_toml(), clock)?,
        stop: stop_on_signals()?,
        step: 0,
    };
    stage.play(&sandbox, args, &place).await?;
    sandbox.stop().await;
    Ok(ExitStatus::Done)
}

/// The demo tells its own story; the log would only stand in between.
fn start_quiet_logging(global: &GlobalArgs) -> anyhow::Result<()> {
    let log = LogSettings {
        format: Some(LogFormat::Text),
        level: if global.verbose > 0 { "info" } else { "error" }.to_owned(),
    };
    let options = LogOptions {
        verbosity: 0,
        ..global.log_options()
    };
    Ok(logging::start(&log, options)?)
}

/// Where the demo's files are.
struct Place {
    directory: PathBuf,
    /// Removed at the end, unless they are to be kept.
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(directory) = keep else {
            let temporary = tempfile::Builder::new()
                .prefix("rolecall-demo-")
                .tempdir()
                .context("cannot make a temporary directory")?;
            return Ok(Self {
                directory: temporary.path().to_owned(),
                _temporary: Some(temporary),
            });
        };
        std::fs::create_dir_all(directory).with_context(|| {
            format!(
                "cannot make {}: give --keep a directory where you can write",
                directory.display()
            )
        })?;
        if directory.join("rolecall.db").exists() {
            bail!(
                "{} already holds a store: --keep needs a directory of its own",
                directory.display()
            );
        }
        Ok(Self {
            directory: directory.to_owned(),
            _temporary: None,
        })
    }

    fn settings_file(&self) -> PathBuf {
        self.directory.join("rolecall.toml")
    }

    fn context(&self, settings: &str, clock: SharedClock) -> anyhow::Result<Context> {
        let store =
            serde_json::Value::from(self.directory.join("rolecall.db").display().to_string());
        // A JSON string is a TOML basic string.
        let text = format!("{settings}\n[store]\npath = {store}\n");
        output::deliver(
            Some(&self.settings_file()),
            anstream::ColorChoice::Never,
            &text,
        )?;
        let loaded = Settings::load(&ConfigSources {
            files: vec![self.settings_file()],
            environment: Vec::new(),
            candidates: Vec::new(),
        })?;
        Ok(Context {
            settings: loaded.settings,
            clock,
            actor: Actor::of_this_process(),
        })
    }
}

struct Stage<'d> {
    global: &'d GlobalArgs,
    context: Context,
    stop: tokio_util::sync::CancellationToken,
    /// The number of the latest title.
    step: u32,
}

impl Stage<'_> {
    async fn play(
        &mut self,
        sandbox: &Sandbox,
        args: &DemoArgs,
        place: &Place,
    ) -> anyhow::Result<()> {
        self.say_wrapped(&format!(
            "Two directories are simulated on this machine: an OPA Team of {} records at {}, and an \
             Opsera with {} accounts at {}.",
            sandbox.opa().count(),
            sandbox.opa_url(),
            sandbox.opsera().count(),
            sandbox.opsera_url(),
        ))?;
        self.title("What would be done?", "rolecall sync --dry-run")?;
        let preview = self.run(Mode::DryRun).await?;
        self.show_preview(&preview)?;
        self.add_the_missing_alias(sandbox, place)?;

        self.title("Do it", "rolecall sync")?;
        let applied = self.run(Mode::Apply).await?;
        self.show_outcome(&applied)?;

        self.title("What is on record?", "rolecall audit list")?;
        self.show_audit_log().await?;

        let refused: Vec<&str> = applied
            .actions
            .iter()
            .filter(|action| action.status == ActionStatus::Rejected)
            .map(|action| action.email.as_str())
            .collect();
        self.let_people_act(sandbox, &refused).await?;
        if !refused.is_empty() {
            self.title("What was refused goes through now", "rolecall sync")?;
            let rest = self.run(Mode::Apply).await?;
            self.show_outcome(&rest)?;
        }

        self.title("Run again: is anything left to do?", "rolecall sync")?;
        let again = self.run(Mode::Apply).await?;
        self.show_outcome(&again)?;
        if again.outcome != Outcome::InSync {
            bail!("the last run should have found nothing left to do");
        }
        let again_command = match args.keep {
            Some(_) => format!(
                "The store and its settings are in {}: try `rolecall --config {} audit verify`. ",
                place.directory.display(),
                place.settings_file().display()
            ),
            None => String::new(),
        };
        self.say("\n")?;
        self.say_wrapped(&format!(
            "That was the whole job. {again_command}To try your own role rules, keep the simulation \
             running with `rolecall sandbox`; for your own Team, start with the README's “First \
             real use”."
        ))
    }

    async fn run(&self, mode: Mode) -> anyhow::Result<Report> {
        let request = RunRequest {
            id: RunId::random(),
            mode,
            kinds: KindSet::all(),
            people: None,
            stop: self.stop.clone(),
            progress: ProgressLine::on_stderr(Visibility::OnTerminal),
        };
        match reconcile(&self.context, &request).await {
            RunResult::AnotherRun(words) => bail!(words),
            RunResult::Finished(finished) => match finished.report.error {
                Some(error) => bail!(error),
                None => Ok(finished.report),
            },
        }
    }

    /// Says of the renamed person that both addresses are theirs, as an operator does after the
    /// preview: without that, the new address would get an account of its own.
    fn add_the_missing_alias(&mut self, sandbox: &Sandbox, place: &Place) -> anyhow::Result<()> {
        let Some((opsera, opa)) = sandbox.renamed_person() else {
            return Ok(());
        };
        let settings = sandbox.settings_toml_with_every_alias();
        let clock = self.context.clock.clone();
        self.context = place.context(&settings, clock)?;
        self.say("\n")?;
        self.say_wrapped(&format!(
            "One of these people was renamed: OPA has the address {opa}, Opsera still has {opsera}. \
             Nothing but a person can tell that they are the same. The operator adds to the settings:"
        ))?;
        self.say(&format!(
            "\n    [matching.aliases]\n    \"{opsera}\" = \"{opa}\"\n"
        ))
    }

    /// What people would do between two runs: new colleagues sign in, and somebody takes over
    /// what a leaver owned.
    async fn let_people_act(&self, sandbox: &Sandbox, refused: &[&str]) -> anyhow::Result<()> {
        let people = sandbox.opa().people().into_iter();
        let colleagues: HashSet<String> = people
            .filter(|person| person.status == "ACTIVE")
            .filter_map(|person| person.email)
            .collect();
        for account in sandbox.opsera().accounts() {
            let is_colleague = account.email.is_some_and(|e| colleagues.contains(&e));
            if account.status == AccountStatus::Pending && is_colleague {
                sandbox.opsera().edit(&account.id, |account| {
                    account.status = AccountStatus::Active;
                })?;
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        for owner in sandbox.opsera().owners() {
            sandbox.opsera().transfer_ownership(&owner.id)?;
        }
        let store =
            Store::open_existing(&self.context.settings.store.path, &*self.context.clock).await?;
        let released = store.release_refused(&self.audit_writer()?).await;
        store.close().await;
        let released = released?;
        self.say("\n")?;
        self.say_wrapped(&format!(
            "Meanwhile the new colleagues sign in, and a person takes over in Opsera what {} owned. \
             Opsera's refusal would be respected for a day; the operator says that it may be tried \
             again: `rolecall queue retry` ({}).",
            refused.join(", "),
            counted(released, "action", "actions")
        ))
    }

    fn audit_writer(&self) -> anyhow::Result<AuditWriter> {
        let key = self.context.settings.audit.key_file.as_deref();
        Ok(AuditWriter {
            clock: self.context.clock.clone(),
            actor: self.context.actor.clone(),
            key: key.map(AuditKey::read).transpose()?,
        })
    }

    async fn show_audit_log(&self) -> anyhow::Result<()> {
        let store = Store::open_existing_read_only(&self.context.settings.store.path).await?;
        let entries = store
            .list_audit(&AuditFilter {
                limit: Some(SHOWN_ENTRIES),
                ..AuditFilter::default()
            })
            .await;
        store.close().await;
        let mut listing = super::audit::table();
        for entry in entries? {
            listing.push(super::audit::row(&entry));
        }
        let mut sink = output::Sink::stdout(self.global.colour());
        listing.write_table(self.style(), &mut sink)?;
        sink.finish()?;
        self.say("Every entry carries the hash of the one before: an edit breaks the chain.\n")
    }

    /// The report as `sync --dry-run` shows it, with a few rows of each list.
    fn show_preview(&self, report: &Report) -> anyhow::Result<()> {
        let (shown, left_out): (Vec<Finding>, Vec<Finding>) = report
            .findings
            .iter()
            .cloned()
            .partition(|finding| finding.kind == FindingKind::PossibleMatch);
        let excerpt = Report {
            findings: shown,
            // Why a limit is what it is matters where it is reached.
            guards: report.guards.iter().map(without_basis).collect(),
            ..report.clone()
        };
        let style = output::TableStyle {
            rows_per_list: Some(SHOWN_ROWS),
            ..self.style()
        };
        let mut sink = output::Sink::stdout(self.global.colour());
        render(&excerpt, None, Format::Table, style, &mut sink)?;
        sink.finish()?;
        if left_out.is_empty() {
            return Ok(());
        }
        let mut kinds: Vec<String> = left_out
            .iter()
            .map(|finding| finding.kind.as_str().replace('_', " "))
            .collect();
        kinds.dedup();
        self.say_wrapped(&format!(
            "(The demo leaves out {}: {}.)",
            counted(length(&left_out), "finding", "findings"),
            kinds.join(", ")
        ))
    }

    /// The verdict, and what did not come out as planned.
    fn show_outcome(&self, report: &Report) -> anyhow::Result<()> {
        self.say_wrapped(&output::verdict(report))?;
        for action in &report.actions {
            if let (ActionStatus::Rejected | ActionStatus::Failed, Some(message)) =
                (action.status, &action.message)
            {
                self.say_wrapped(&format!("{}: {message}", action.email))?;
            }
        }
        Ok(())
    }

    fn style(&self) -> crate::output::TableStyle {
        use std::io::IsTerminal as _;
        output::table_style(self.global.colour(), std::io::stdout().is_terminal())
    }

    fn title(&mut self, words: &str, command: &str) -> anyhow::Result<()> {
        self.step = self.step.saturating_add(1);
        self.say(&format!(
            "\n{}   {}\n\n",
            output::strong(&format!("━━ {}. {words}", self.step)),
            output::faint(&format!("$ {command}"))
        ))
    }

    fn say_wrapped(&self, text: &str) -> anyhow::Result<()> {
        self.say(&format!("{}\n", output::paragraph(text, self.style())))
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        Ok(output::deliver(None, self.global.colour(), text)?)
    }
}

fn without_basis(guard: &GuardReport) -> GuardReport {
    GuardReport {
        basis: guard.basis.clone().filter(|_| guard.held),
        ..guard.clone()
    }
}
