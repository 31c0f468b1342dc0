//! What the operator's commands share: the store opened for looking or for deciding, and words.

use std::time::Duration;

use crate::audit::{Actor, AuditKey, AuditWriter};
use crate::cli::{GlobalArgs, Since, TableFormat};
use crate::domain::approval::Refusal;
use crate::domain::text::{self, for_terminal};
use crate::domain::time::{SharedClock, SystemClock, Timestamp};
use crate::domain::{PlanId, RunId};
use crate::output;
use crate::review::Decisions;
use crate::settings::OfflineSettings;
use crate::store::{IdMatch, RunRow, Store, StoreError, audit::refuse_lost_store};

/// An open store with the settings that belong to it.
pub(super) struct Desk {
    pub(super) settings: OfflineSettings,
    pub(super) clock: SharedClock,
    pub(super) store: Store,
}

/// What there is to look at.
pub(super) enum Look {
    /// The store.
    Open(Box<Desk>),
    /// Nothing ran with these settings yet, or the store is somewhere else.
    NoRunYet(Box<OfflineSettings>),
}

impl Desk {
    /// Opens the store for reading. No store is no failure, unless the checkpoint file says that
    /// there was one.
    pub(super) async fn look(global: &GlobalArgs) -> anyhow::Result<Look> {
        let settings = super::load_offline_settings(global)?.settings;
        if let Some(checkpoints) = &settings.audit.checkpoint_file {
            refuse_lost_store(&settings.store.path, checkpoints)?;
        }
        match Store::open_existing_read_only(&settings.store.path).await {
            Ok(store) => Ok(Look::Open(Box::new(Self {
                settings,
                clock: SystemClock::shared(),
                store,
            }))),
            Err(StoreError::Missing { .. }) => Ok(Look::NoRunYet(Box::new(settings))),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Desk::look`], where there must be a store.
    pub(super) async fn look_at_store(global: &GlobalArgs) -> anyhow::Result<Self> {
        match Self::look(global).await? {
            Look::Open(desk) => Ok(*desk),
            Look::NoRunYet(settings) => Err(StoreError::Missing {
                path: settings.store.path,
            }
            .into()),
        }
    }

    /// What decides about plans in this store.
    pub(super) fn decisions(self, audit_writer: AuditWriter) -> Decisions {
        Decisions {
            store: self.store,
            audit_writer,
            ttl: self.settings.policy.guards.approval_ttl,
            checkpoint_file: self.settings.audit.checkpoint_file,
        }
    }

    /// Opens the store for a decision. What is decided is acted on by the next run, so it must be
    /// the store that the last run left (§8).
    pub(super) async fn decide(global: &GlobalArgs) -> anyhow::Result<(Self, AuditWriter)> {
        let settings = super::load_offline_settings(global)?.settings;
        if let Some(checkpoints) = &settings.audit.checkpoint_file {
            refuse_lost_store(&settings.store.path, checkpoints)?;
        }
        let key = settings.audit.key_file.as_deref();
        let clock = SystemClock::shared();
        let audit_writer = AuditWriter {
            clock: clock.clone(),
            actor: Actor::of_this_process(),
            key: key.map(AuditKey::read).transpose()?,
        };
        let store = Store::open_existing(&settings.store.path, &*clock).await?;
        let anchored = store
            .check_anchor(&audit_writer, settings.audit.checkpoint_file.as_deref())
            .await;
        if let Err(error) = anchored {
            store.close().await;
            return Err(error.into());
        }
        let desk = Self {
            settings,
            clock,
            store,
        };
        Ok((desk, audit_writer))
    }

    /// The held plan that an operator names by its id or the beginning of it.
    pub(super) async fn plan_named(&self, given: &str) -> anyhow::Result<PlanId> {
        let given = given.trim();
        match self.store.match_plan_id(given).await? {
            IdMatch::One(id) => Ok(id),
            IdMatch::Nothing => Err(Refusal::Unknown {
                id: PlanId::new(given),
            }
            .into()),
            IdMatch::Several(ids) => Err(AmbiguousId::of("plan", given, &ids).into()),
        }
    }

    /// As [`Desk::run_named`], for a list, which is empty where no run has the id.
    pub(super) async fn run_on_record(&self, given: &str) -> anyhow::Result<RunId> {
        let given = given.trim();
        match self.store.match_run_id(given).await? {
            IdMatch::One(id) => Ok(id),
            IdMatch::Nothing => Ok(RunId::new(given)),
            IdMatch::Several(ids) => Err(AmbiguousId::of("run", given, &ids).into()),
        }
    }

    /// The run that an operator names by its id or the beginning of it.
    pub(super) async fn run_named(&self, given: &str) -> anyhow::Result<RunId> {
        let given = given.trim();
        match self.store.match_run_id(given).await? {
            IdMatch::One(id) => Ok(id),
            IdMatch::Nothing => Err(UnknownRun {
                given: given.to_owned(),
                latest: self.store.list_runs(RUNS_TOLD).await?,
            }
            .into()),
            IdMatch::Several(ids) => Err(AmbiguousId::of("run", given, &ids).into()),
        }
    }
}

/// Runs that are told where an id names none.
const RUNS_TOLD: u32 = 3;

/// The beginning of an id that several have.
#[derive(Debug, thiserror::Error)]
#[error("more than one {what} has an id that begins with {}: {}", for_terminal(given), ids.join(", "))]
pub(super) struct AmbiguousId {
    what: &'static str,
    given: String,
    ids: Vec<String>,
}

impl AmbiguousId {
    fn of(what: &'static str, given: &str, ids: &[impl ToString]) -> Self {
        Self {
            what,
            given: given.to_owned(),
            ids: ids.iter().map(ToString::to_string).collect(),
        }
    }
}

/// An id that no run has.
#[derive(Debug, thiserror::Error)]
#[error(
    "no run has an id that begins with {}: the latest runs are {}",
    for_terminal(given),
    ids(latest)
)]
pub(super) struct UnknownRun {
    given: String,
    latest: Vec<RunRow>,
}

fn ids(runs: &[RunRow]) -> String {
    let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    ids.join(", ")
}

/// Says in the format asked for that there is nothing yet: `empty` to programs.
pub(super) fn tell_no_run_yet(
    global: &GlobalArgs,
    settings: &OfflineSettings,
    format: TableFormat,
    empty: &serde_json::Value,
) -> anyhow::Result<()> {
    let text = match format {
        TableFormat::Json => format!("{empty:#}\n"),
        TableFormat::Table => format!(
            "There has been no run yet: there is no store at {}.\n",
            text::terminal_safe(&settings.store.path.display().to_string())
        ),
    };
    Ok(output::deliver(None, global.colour(), &text)?)
}

/// The time that `--since` means.
pub(super) fn since(since: Since, now: Timestamp) -> Timestamp {
    match since {
        Since::At(at) => at,
        Since::Ago(ago) => chrono::TimeDelta::from_std(ago)
            .ok()
            .and_then(|ago| now.checked_sub_signed(ago))
            .unwrap_or(Timestamp::MIN_UTC),
    }
}

/// How long ago `at` was, in its two largest units.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    let Ok(passed) = (now - at).to_std() else {
        return "in the future".to_owned();
    };
    let whole = Duration::from_secs(passed.as_secs());
    let text = humantime::format_duration(whole).to_string();
    let units: Vec<&str> = text.split(' ').take(2).collect();
    format!("{} ago", units.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        let now: Timestamp = "2026-03-01T12:00:00.5Z".parse().unwrap();
        let at = |text: &str| age(text.parse().unwrap(), now);
        assert_eq!(at("2026-03-01T12:00:00Z"), "0s ago");
        assert_eq!(at("2026-03-01T10:29:30Z"), "1h 30m ago");
        assert_eq!(at("2026-02-26T09:29:30Z"), "3days 2h ago");
        assert_eq!(at("2026-03-01T12:01:00Z"), "in the future");
    }

    #[test]
    fn since_counts_back_from_now_and_never_fails() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let hour = Since::Ago(Duration::from_hours(1));
        assert_eq!(since(hour, now).to_rfc3339(), "2026-03-01T11:00:00+00:00");
        assert_eq!(since(Since::Ago(Duration::MAX), now), Timestamp::MIN_UTC);
        assert_eq!(since(Since::At(now), now), now);
    }
}
